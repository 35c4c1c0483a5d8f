"use strict";
// Unpacks the plotting library, which lies in this page, and draws the figures in the colours of the page.
(() => {
  const root = document.documentElement;
  const figures = [...document.querySelectorAll("script[data-figure]")];

  const coloured = (value, style) => {
    if (typeof value === "string") {
      const name = /^var\((--[a-z]+)\)$/.exec(value);
      return name ? style.getPropertyValue(name[1]).trim() : value;
    }
    if (Array.isArray(value)) return value.map((part) => coloured(part, style));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, coloured(part, style)]));
    }
    return value;
  };

  const draw = () => {
    const style = getComputedStyle(root);
    for (const script of figures) {
      const figure = coloured(JSON.parse(script.textContent), style);
      if (root.classList.contains("paper")) figure.layout.width = 680; // what fits an A4 or Letter page
      Plotly.react(document.getElementById(script.dataset.figure), figure.data, figure.layout, figure.config);
    }
    root.dataset.drawn = "yes";
  };

  const unpack = async () => {
    const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const library = document.createElement("script");
    library.textContent = await new Response(stream).text();
    document.head.append(library);
  };

  unpack().then(() => {
    draw();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    addEventListener("beforeprint", () => { root.classList.add("paper"); draw(); });
    addEventListener("afterprint", () => { root.classList.remove("paper"); draw(); });
  }).catch(() => { root.dataset.drawn = "no"; });
})();
