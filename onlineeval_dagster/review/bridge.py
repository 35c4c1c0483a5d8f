"""Where a metric passes from one judge version to another: the series breaks, or its past is moved by what was seen.

    points of several versions ──┬─ at_new_judge = "break"  ──▶ as they are: two series, never joined
                                 └─ at_new_judge = "rebase" ──▶ old points + shift, their ranges wider by its error

Stored points are never changed. The shift is that of `judge_comparisons`: the same answers, judged by both. It is taken
as the same on every day; what it says of answers unlike those that were compared is not known.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import hypot

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.contracts.estimates import MetricPoint
from onlineeval_dagster.contracts.versions import JudgeComparison

REBASED = "+rebased"
"""End of the method of a point that was moved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """A metric that one judge version told until `since`, and another one from then on.

    shift, low, high  by which older points were moved, in the metric's unit; None where the series breaks
    reason            why it breaks
    """

    metric: str
    before: str
    after: str
    since: datetime
    shift: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


def bridged(
    points: Iterable[MetricPoint], catalog: Catalog, comparisons: Sequence[JudgeComparison]
) -> tuple[list[MetricPoint], list[Handover]]:
    """The points, older ones moved where their metric asks for it and a shift is known; and where series change hands.

    In the order of the points. A metric whose judge version in force has no number yet is left as it is.
    """
    points = list(points)
    found = {
        (one.metric, one.before): one
        for name in catalog.metrics.metrics
        for one in _handovers(points, catalog, name, comparisons)
    }
    moved = [_moved(point, found.get((point.metric, point.judge_version)), catalog) for point in points]
    return moved, list(found.values())


def _handovers(
    points: Sequence[MetricPoint], catalog: Catalog, name: str, comparisons: Sequence[JudgeComparison]
) -> Iterable[Handover]:
    metric = catalog.metrics.metrics[name]
    judge = next((one for one in catalog.judges if one.name == metric.judge), None)
    if judge is None:
        return
    known = [point for point in points if point.metric == name and point.slice == "all" and point.value is not None]
    own = [point.window_start for point in known if point.judge_version == judge.version]
    if not own:
        return
    for before in sorted({point.judge_version for point in known} - {judge.version}):
        row = next(
            (
                one
                for one in comparisons
                if (one.axis, one.judge_version, one.against_version) == (judge.axis, judge.version, before)
            ),
            None,
        )
        yield _handover(name, metric, before, judge.version, min(own), row)


def _handover(
    name: str, metric: Metric, before: str, after: str, since: datetime, row: JudgeComparison | None
) -> Handover:
    def broken(reason: str) -> Handover:
        return Handover(metric=name, before=before, after=after, since=since, reason=reason)

    if metric.at_new_judge == "break":
        return broken('metrics.toml says at_new_judge = "break"')
    if row is None:
        return broken("no answer was judged by both")
    if row.design != "sampled":
        return broken("the answers that both judged were not drawn with a known chance")
    shift, low, high, reason = (
        (row.good_shift, row.good_shift_low, row.good_shift_high, row.good_shift_reason)
        if metric.kind == "rate"
        else (row.shift, row.shift_low, row.shift_high, row.shift_reason)
    )
    if shift is None or low is None or high is None:
        return broken(reason or "no shift was measured")
    return Handover(metric=name, before=before, after=after, since=since, shift=shift, low=low, high=high)


def _moved(point: MetricPoint, over: Handover | None, catalog: Catalog) -> MetricPoint:
    """The point in the terms of the later version; itself where there is no way, or no number."""
    if over is None or over.shift is None or over.low is None or over.high is None:
        return point
    if point.value is None or point.low is None or point.high is None:
        return point
    metric = catalog.metrics.metrics[point.metric]
    scale = next(one.scale for one in catalog.judges if one.name == metric.judge)
    least, most = (0.0, 1.0) if metric.kind == "rate" else (float(min(scale)), float(max(scale)))
    value = point.value + over.shift
    # MOVER for a sum (Zou and Donner 2008): each side's distances add in squares. The two errors are not independent
    # where the compared answers are of the point's own window: there they cancel in part, and this is too wide.
    low = value - hypot(point.value - point.low, over.shift - over.low)
    high = value + hypot(point.high - point.value, over.high - over.shift)
    inside = [min(max(limit, least), most) for limit in (low, value, high)]
    told = {"low": inside[0], "value": inside[1], "high": inside[2], "method": f"{point.method}{REBASED}"}
    return point.model_copy(update={**told, "judge_version": over.after})
