"""What the headline metric says of the day: its point, how it compares, the status, and the first sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

from onlineeval_dagster.contracts.estimates import Estimate, MetricPoint, NotEnough
from onlineeval_dagster.reports.changes import is_in_force
from onlineeval_dagster.reports.history import WEEK, Comparison, best_known, week_comparison
from onlineeval_dagster.reports.model import ChangeLine, Coverage, MetricWords, Status
from onlineeval_dagster.reports.sentence import day_sentence, pooled_sentence
from onlineeval_dagster.reports.shortage import day_shortage, days_to_go
from onlineeval_dagster.reports.wording import count


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The headline metric on the day; `comparison` is set exactly when the day's point has a number."""

    point: MetricPoint | None
    daily: list[MetricPoint]
    hours: list[MetricPoint]
    comparison: Comparison | None
    judged_by_ai: bool
    status: Status


def headline_of(
    known: list[MetricPoint],
    lines: Sequence[ChangeLine],
    coverage: Coverage,
    words: MetricWords,
    *,
    name: str,
    day: date,
) -> Headline:
    """From the points of all traffic up to the day, and the changes that may outweigh a quiet week."""
    of_metric = [point for point in known if point.metric == name]
    daily = [point for point in of_metric if point.grain == "day"]
    point = best_known(point for point in daily if point.window_start.date() == day)
    measured = point is not None and point.value is not None
    comparison = week_comparison(point, daily, unit=words.unit) if point is not None and measured else None
    judged_by_ai = not daily or any(point.judge_version != "none" for point in daily)
    nothing_checked = judged_by_ai and not coverage.judged
    status: Status = "nothing_checked" if nothing_checked else "not_enough"
    if comparison is not None:
        status = _status(comparison, [line for line in lines if line.occurred_at.date() >= day - WEEK], lines, words)
    return Headline(
        point=point,
        daily=daily,
        hours=[point for point in of_metric if point.grain == "hour" and point.window_start.date() == day],
        comparison=comparison,
        judged_by_ai=judged_by_ai,
        status=status,
    )


def _status(
    comparison: Comparison, recent: Sequence[ChangeLine], lines: Sequence[ChangeLine], words: MetricWords
) -> Status:
    """A change that made it worse and still stands outweighs a quiet week, while the comparison may not yet show it."""
    if any(line.found == "worse" and is_in_force(line, lines) for line in recent):
        return "worse"
    if comparison.alike in ("up", "down") and words.direction != "none":
        return "better" if comparison.alike == words.direction else "worse"
    if comparison.alike == "same":
        return "steady"
    return "measured" if comparison.difference is None or words.direction == "none" else "unclear"


def full_sentence(
    seen: Headline, words: MetricWords, coverage: Coverage, *, so_far: Estimate | NotEnough | None, now: datetime
) -> str:
    """The first sentence, with its full stop."""
    return f"{_said(seen, words, coverage, so_far=so_far, now=now)}."


def _said(
    seen: Headline, words: MetricWords, coverage: Coverage, *, so_far: Estimate | NotEnough | None, now: datetime
) -> str:
    if seen.point is not None and seen.comparison is not None:
        return day_sentence(words, seen.point, seen.comparison)
    if seen.status == "nothing_checked":
        return f"Nothing checked yet: the AI reviewer looked at none of {count(coverage.responses, 'answer')}"
    if isinstance(so_far, Estimate):
        return pooled_sentence(words, so_far, days=len(seen.daily))
    if so_far is not None:
        return f"Not enough yet: {days_to_go(so_far, seen.daily, now=now)}"
    return f"Not enough yet: {day_shortage(seen.point, seen.hours, now=now)}"
