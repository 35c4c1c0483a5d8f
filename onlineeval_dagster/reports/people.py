"""What people would say of all answers, in words: the AI reviewer's number corrected by human checks."""

from collections.abc import Sequence

from onlineeval_dagster.contracts.corrected import CorrectedPoint
from onlineeval_dagster.reports.model import ComputedTable, MetricWords, NumberRow
from onlineeval_dagster.reports.wording import format_for, format_for_difference

ALONE = "by the AI reviewer alone, uncorrected"
"""Stands beside every number that is a judge's own word."""

_WINDOWS = {"days28": "over 28 days", "week": "this week so far", "day": "on this day"}
_COLUMNS = (
    *("metric", "window", "AI alone (uncorrected)", "corrected", "low", "high"),
    *("change in a week", "its low", "its high", "human checks", "method", "reason"),
)


def people_lines(points: Sequence[CorrectedPoint], words: MetricWords, *, headline: str) -> tuple[str, ...]:
    """ "Corrected by people: over 28 days 86 %, likely 83–89 % (uncorrected, the AI reviewer alone: 79 %; …)."


    Where nothing could be corrected the line says so, and that the numbers of the page are the AI reviewer's own.
    """
    of_headline = {point.grain: point for point in points if point.metric == headline}
    said = [_said(of_headline[grain], words) for grain in _WINDOWS if grain in of_headline]
    known = [line for line in said if line]
    if known:
        return (f"Corrected by people: {'; '.join(known)}.",)
    reasons = ", ".join(sorted({point.reason for point in of_headline.values() if point.reason}))
    stands = "the AI reviewer's numbers stand uncorrected"
    return (f"Corrected by people: not enough yet ({reasons}); {stands}.",) if reasons else ()


def people_row(points: Sequence[CorrectedPoint], words: MetricWords, *, metric: str) -> NumberRow | None:
    """The day's corrected number, to stand below the AI reviewer's own; None where nothing was judged on the day."""
    point = next((point for point in points if point.metric == metric and point.grain == "day"), None)
    if point is None:
        return None
    title = f"{words.title}: corrected by people"
    if point.value is None or point.low is None or point.high is None:
        return NumberRow(title=title, value="not enough yet", likely="–", change="–")
    written = format_for(words.unit, point.low, point.value, point.high)
    return NumberRow(
        title=title,
        value=written.value(point.value),
        likely=written.likely(point.low, point.high),
        change=change_told(point, words) or "–",
    )


def change_told(point: CorrectedPoint, words: MetricWords) -> str | None:
    """ "down 3 points, likely 1–5", on the same days a week earlier; None where that is not known."""
    if point.change is None or point.change_low is None or point.change_high is None:
        return None
    if point.change_low <= 0 <= point.change_high:
        return "no clear change"
    written = format_for_difference(words.unit, point.change_low, point.change_high)
    least, most = sorted((abs(point.change_low), abs(point.change_high)))
    likely = f"{written.number(least)}–{written.number(most)}"
    return f"{'up' if point.change > 0 else 'down'} {written.difference(point.change)}, likely {likely}"


def people_table(points: Sequence[CorrectedPoint], metrics: dict[str, MetricWords]) -> ComputedTable:
    """Every corrected number of the day."""
    return ComputedTable(
        title="AI reviewers corrected by people",
        columns=_COLUMNS,
        rows=tuple(_row(point) for point in points if point.metric in metrics),
    )


def _said(point: CorrectedPoint, words: MetricWords) -> str | None:
    if point.value is None or point.low is None or point.high is None:
        return None
    written = format_for(words.unit, point.low, point.value, point.high)
    change = change_told(point, words)
    moved = f", {change} on the same days a week earlier" if change else ""
    beside = f"uncorrected, the AI reviewer alone: {written.value(point.raw)}; {point.labels:,} human checks"
    likely = written.likely(point.low, point.high)
    return f"{_WINDOWS[point.grain]} {written.value(point.value)}, likely {likely}{moved} ({beside})"


def _row(point: CorrectedPoint) -> tuple[str, ...]:
    numbers = (point.raw, point.value, point.low, point.high, point.change, point.change_low, point.change_high)
    shown = (f"{number:.4g}" if number is not None else "–" for number in numbers)
    return (
        *(point.metric, _WINDOWS[point.grain], *shown),
        *(f"{point.labels:,}", point.method, point.reason or ""),
    )
