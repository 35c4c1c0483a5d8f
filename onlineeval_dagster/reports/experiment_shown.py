"""An experiment's page as one HTML file and as Markdown."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from onlineeval_dagster.experiments.path import PathPoint
from onlineeval_dagster.reports.experiment import Bar, ExperimentPage
from onlineeval_dagster.reports.experiment_parts import Part
from onlineeval_dagster.reports.markdown import lined_up, plain


def page_markdown(page: ExperimentPage) -> str:
    """The same as the page without its plots."""
    blocks = [
        f"# {plain(page.title)}",
        *(f"**{plain(sentence)}**" for sentence in page.sentences),
        *map(plain, page.why),
    ]
    return "\n\n".join([*blocks, *parts_markdown(page.parts)]) + "\n"


def parts_markdown(parts: Iterable[Part]) -> Iterator[str]:
    """The blocks of a page's parts: heading, lines, table."""
    for part in parts:
        yield f"## {plain(part.title)}"
        if part.lines:
            yield "\n".join(f"- {plain(line)}" for line in part.lines)
        if part.table:
            yield lined_up(part.table[0], part.table[1:])


def page_html(page: ExperimentPage) -> str:
    """One file, no script, nothing loaded from anywhere."""
    return rendered("experiment.html.j2", page=page, drawn=_drawn(page.bars), band=_band(page))


def rendered(template: str, **told: object) -> str:
    """A template of this folder, with the reports' style in it."""
    from importlib.resources import files

    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("onlineeval_dagster.reports", ""), autoescape=True, undefined=StrictUndefined
    )
    css = files("onlineeval_dagster.reports").joinpath("daily.css").read_text(encoding="utf-8")
    return environment.get_template(template).render(css=Markup(css), **told)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Bars in the plot's own units: 0 to 1,000 across."""

    title: str
    text: str
    y: int
    low: float
    width: float
    middle: float
    edge: float | None


def _drawn(bars: Sequence[Bar]) -> dict[str, object]:
    """Places on a common scale around nothing, with room for the widest interval."""
    reach = max((abs(edge) for bar in bars for edge in (bar.low, bar.high, bar.edge or 0)), default=1.0) * 1.05 or 1.0

    def at(percent: float) -> float:
        return round(500 + 500 * percent / reach, 1)

    lines = [
        Drawn(
            title=bar.title,
            text=f"{bar.middle:+.1f} % ({bar.low:+.1f} to {bar.high:+.1f})",
            y=56 * place,
            low=at(bar.low),
            width=round(at(bar.high) - at(bar.low), 1),
            middle=at(bar.middle),
            edge=None if bar.edge is None else at(bar.edge),
        )
        for place, bar in enumerate(bars)
    ]
    return {"lines": lines, "height": 56 * len(bars) + 4}


def _share(points: Sequence[PathPoint], at: datetime) -> float:
    """How far along the plot a moment lies; below 0 or above 1 where it is not in it."""
    return (at - points[0].until) / (points[-1].until - points[0].until)


def _band(page: ExperimentPage) -> dict[str, object] | None:
    """The first treatment's lift so far and its band as points of a plot 1,000 wide; None with fewer than two days.

    What lies beyond three times the last band is cut off: the first days tell nothing, and would flatten the rest.
    """
    points = [one for one in page.path if one.variant == page.path[0].variant]
    if len(points) < 2:
        return None
    most = 3 * max(abs(points[-1].low), abs(points[-1].high), 1e-6)
    above = min(most, max(0.0, *(one.high for one in points)))
    below = max(-most, min(0.0, *(one.low for one in points)))

    def height(lift: float) -> float:
        return 10 + 240 * (above - max(below, min(above, lift))) / (above - below)

    def place(number: int, lift: float) -> str:
        return f"{60 + 920 * number / (len(points) - 1):.1f},{height(lift):.1f}"

    top = [place(number, one.high) for number, one in enumerate(points)]
    bottom = [place(number, one.low) for number, one in enumerate(points)]
    return {
        "area": " ".join([*top, *reversed(bottom)]),
        "line": " ".join(place(number, one.lift) for number, one in enumerate(points)),
        "above": f"{100 * above:+.0f} %",
        "below": f"{100 * below:+.0f} %" if below < -0.15 * (above - below) else "",
        "zero": round(height(0.0), 1),
        "first": f"{points[0].until:%d %b}",
        "last": f"{points[-1].until:%d %b}",
        "variant": points[0].variant,
        "marks": [
            {"x": f"{60 + 920 * share:.1f}", "number": number}
            for number, share in enumerate((_share(points, at) for at in page.marks), 1)
            if 0 <= share <= 1
        ],
    }
