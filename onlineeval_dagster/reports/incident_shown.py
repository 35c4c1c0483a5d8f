"""An incident's page as one HTML file without script, and as Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from onlineeval_dagster.reports.experiment_shown import parts_markdown, rendered
from onlineeval_dagster.reports.incident_page import HourSeen, IncidentPage
from onlineeval_dagster.reports.markdown import plain
from onlineeval_dagster.reports.model import Unit
from onlineeval_dagster.reports.wording import day_short, format_for

LEFT, RIGHT, TOP, BOTTOM = 80.0, 990.0, 26.0, 270.0
"""Of the drawing, which is 1,000 wide."""
CLOSE = 16.0
"""Marks closer than this cannot be read beside each other."""
UNITS: dict[str, Unit] = {"share": "share", "score": "score", "ms": "ms", "usd": "usd", "count": "count"}


def incident_markdown(page: IncidentPage) -> str:
    """The same as the page without its drawing."""
    blocks = [f"# {plain(page.title)}", f"**{page.status}**", *map(plain, page.sentences)]
    return "\n\n".join([*blocks, *parts_markdown(page.parts), page.made]) + "\n"


def incident_html(page: IncidentPage) -> str:
    """One file, no script, nothing loaded from anywhere."""
    return rendered("incident.html.j2", page=page, drawn=_drawn(page))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A vertical line with its number."""

    x: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """The series in the drawing's own units: pieces of its band and of its line, and what is marked."""

    band: tuple[str, ...]
    lines: tuple[str, ...]
    dots: tuple[tuple[float, float], ...]
    marks: tuple[Mark, ...]
    named: tuple[str, ...]
    shaded: tuple[float, float]
    heights: tuple[tuple[float, str], ...]
    days: tuple[tuple[float, str], ...]


def _drawn(page: IncidentPage) -> Drawn | None:
    """None where no hour has a number."""
    known = [one for one in page.hours if one.value is not None]
    if not known:
        return None
    first, last = page.hours[0].starts_at, page.hours[-1].starts_at + timedelta(hours=1)
    values = [part for one in page.hours for part in (one.value, one.usual_low, one.usual_high) if part is not None]
    low, high = min(values), max(values)
    air = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
    low, high = low - air, high + air

    def across(instant: datetime) -> float:
        return round(LEFT + (RIGHT - LEFT) * max(0.0, min(1.0, (instant - first) / (last - first))), 1)

    def up(value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * (value - low) / (high - low), 1)

    def middle(one: HourSeen) -> float:
        return across(one.starts_at + timedelta(minutes=30))

    bands = []
    for run in _runs(page.hours, "usual_low"):
        top = [f"{middle(one)},{up(one.usual_high or 0)}" for one in run]
        bottom = [f"{middle(one)},{up(one.usual_low or 0)}" for one in reversed(run)]
        bands.append(" ".join([*top, *bottom]))
    lines = [" ".join(f"{middle(one)},{up(one.value or 0)}" for one in run) for run in _runs(page.hours, "value")]
    inside = sorted((one for one in page.marks if first <= one.at <= last), key=lambda one: one.at)
    ticks = [low + (high - low) * part for part in (0.1, 0.5, 0.9)]
    return Drawn(
        band=tuple(bands),
        lines=tuple(lines),
        dots=tuple((middle(one), up(one.value or 0)) for one in known),
        marks=_marks([across(one.at) for one in inside]),
        named=tuple(f"{place}: {one.what}" for place, one in enumerate(inside, start=1)),
        shaded=(across(page.began_at), across(page.ended_at or last)),
        heights=tuple((up(tick), _written(page.unit, tick, (high - low) / 20)) for tick in ticks),
        days=tuple(
            (across(one.starts_at), f"{day_short(one.starts_at.date())}")
            for one in page.hours
            if one.starts_at.hour == 0 and LEFT < across(one.starts_at) < RIGHT - 60
        ),
    )


def _marks(places: Sequence[float]) -> tuple[Mark, ...]:
    """Numbered marks; of those that stand close together one bears all numbers."""
    marks: list[Mark] = []
    for number, x in enumerate(places, start=1):
        if marks and x - marks[-1].x < CLOSE:
            marks[-1] = Mark(x=marks[-1].x, label=f"{marks[-1].label}, {number}")
        else:
            marks.append(Mark(x=x, label=str(number)))
    return tuple(marks)


def _runs(hours: Sequence[HourSeen], name: str) -> list[list[HourSeen]]:
    """Stretches of hours that have a number: nothing is drawn across a gap."""
    runs: list[list[HourSeen]] = [[]]
    for one in hours:
        if getattr(one, name) is None:
            runs.append([])
        else:
            runs[-1].append(one)
    return [run for run in runs if run]


def _written(unit: str, value: float, width: float) -> str:
    if unit not in UNITS:
        return f"{value:,.0f}"
    return format_for(UNITS[unit], value - width, value, value + width).value(value)
