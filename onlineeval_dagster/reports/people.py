"""What people would say of all answers, in words: the AI reviewer's number corrected by human checks."""

from collections.abc import Sequence

from onlineeval_dagster.contracts.corrected import CorrectedPoint
from onlineeval_dagster.reports.model import ComputedTable, MetricWords
from onlineeval_dagster.reports.wording import format_for

_WINDOWS = {"days28": "over 28 days", "week": "this week so far", "day": "on this day"}
_COLUMNS = ("metric", "window", "AI alone", "corrected", "low", "high", "human checks", "method", "reason")


def people_lines(points: Sequence[CorrectedPoint], words: MetricWords, *, headline: str) -> tuple[str, ...]:
    """ "By people's word: over 28 days 86 %, likely 83–89 % (the AI reviewer alone 79 %, …)."; or none."""
    of_headline = {point.grain: point for point in points if point.metric == headline}
    said = [_said(of_headline[grain], words) for grain in _WINDOWS if grain in of_headline]
    known = [line for line in said if line]
    if known:
        return (f"By people's word: {'; '.join(known)}.",)
    reasons = {point.reason for point in of_headline.values() if point.reason}
    return (f"By people's word: not enough yet ({', '.join(sorted(reasons))}).",) if reasons else ()


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
    likely = written.likely(point.low, point.high)
    beside = f"the AI reviewer alone {written.value(point.raw)}, {point.labels:,} human checks"
    return f"{_WINDOWS[point.grain]} {written.value(point.value)}, likely {likely} ({beside})"


def _row(point: CorrectedPoint) -> tuple[str, ...]:
    numbers = (f"{number:.4g}" if number is not None else "–" for number in (point.value, point.low, point.high))
    return (
        *(point.metric, _WINDOWS[point.grain], f"{point.raw:.4g}", *numbers, f"{point.labels:,}"),
        *(point.method, point.reason or ""),
    )
