// Keys press the buttons that are there; without this file the page works by mouse and touch.
"use strict";
const note = document.querySelector("textarea");

function press(selector) {
  const button = document.querySelector(selector);
  if (button && !button.disabled) button.click();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target === note) {
    if (event.key === "Escape") note.blur();
    return;
  }
  if (event.target instanceof HTMLInputElement) return;
  if (/^[0-9]$/.test(event.key)) press(`button[name=score][value="${event.key}"]`);
  else if (event.key === "s") press("button.skip");
  else if (event.key === "u") press("button.undo");
  else if (event.key === "n" && note) {
    note.closest("details").open = true;
    note.focus();
  } else return;
  event.preventDefault();
});

// A second press while the first is on its way would be told that it came twice.
for (const each of document.querySelectorAll("form")) {
  each.addEventListener("submit", (event) => {
    if (document.body.dataset.busy) event.preventDefault();
    document.body.dataset.busy = "yes";
  });
}
// A page that comes back out of the browser's memory may be pressed again.
window.addEventListener("pageshow", () => delete document.body.dataset.busy);
document.documentElement.dataset.ready = "yes";
