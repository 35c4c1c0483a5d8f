"""The plots' values: a metric by day, by week and by hour of the day, with gaps where there is no number."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from onlineeval_dagster.contracts.estimates import Grain, MetricPoint
from onlineeval_dagster.reports.history import WEEK, best_known, is_rebased, numbers, series_name
from onlineeval_dagster.reports.model import MetricWords, Plot, PlotPoint
from onlineeval_dagster.reports.people import ALONE
from onlineeval_dagster.reports.wording import count, day_short, format_for

DAYS_SHOWN = 28
WEEKS_SHOWN = 12
BY: Mapping[Grain, str] = {"day": "by day", "week": "by week", "hour": "by hour of the day"}


def by_day(words: MetricWords, points: Sequence[MetricPoint], *, day: date) -> Plot:
    """The last 28 days, or since the first point where that is later; a day without a point is a gap too."""
    last = datetime(day.year, day.month, day.day, tzinfo=UTC)
    first = max(last - timedelta(days=DAYS_SHOWN - 1), min((point.window_start for point in points), default=last))
    starts = [first + timedelta(days=step) for step in range((last - first).days + 1)]
    drawn = [_drawn(words, points, start, day_short(start.date())) for start in starts]
    return _plot(words, drawn, points, grain="day", span=f"{drawn[0].name} to {drawn[-1].name}")


def by_week(words: MetricWords, points: Sequence[MetricPoint], *, day: date, now: datetime) -> Plot | None:
    """The calendar weeks up to the day's own, twelve at most; None where there is no point of a week.

    A week that is not over at `now` is said to be so far, and one with days without answers says how many it has.
    """
    if not points:
        return None
    last = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=day.weekday())
    first = max(last - (WEEKS_SHOWN - 1) * WEEK, min(point.window_start for point in points))
    starts = [first + step * WEEK for step in range((last - first) // WEEK + 1)]
    drawn = [_drawn(words, points, start, _week_name(points, start, now)) for start in starts]
    plot = _plot(words, drawn, points, grain="week", span=f"{drawn[0].name} to {drawn[-1].name}")
    open_yet = " The last one is not over." if last + WEEK > now else ""
    return replace(plot, caption=f"{plot.caption} Weeks begin on Monday.{open_yet}")


def _week_name(points: Sequence[MetricPoint], start: datetime, now: datetime) -> str:
    """`Mon 16 Nov`, with what keeps it from being a whole week."""
    point = best_known(point for point in points if point.window_start == start)
    days = point.days_covered if point is not None else None
    so_far = ", so far" if start + WEEK > now else ""
    covered = f" ({days} of 7 days)" if days is not None and days < 7 else ""
    return f"{day_short(start.date())}{so_far}{covered}"


def by_hour(words: MetricWords, points: Sequence[MetricPoint], *, day: date) -> Plot:
    """The 24 hours of the day."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
    starts = [midnight + timedelta(hours=hour) for hour in range(24)]
    drawn = [_drawn(words, points, start, f"{start:%H:%M}") for start in starts]
    return _plot(words, drawn, points, grain="hour", span=day_short(day))


def _drawn(words: MetricWords, points: Sequence[MetricPoint], start: datetime, name: str) -> PlotPoint:
    point = best_known(point for point in points if point.window_start == start)
    if point is None or point.value is None:
        seen = "nothing seen" if point is None or not point.n else f"not enough yet: {point.n:,} seen"
        return PlotPoint(
            starts_at=start, name=name, value=None, low=None, high=None, value_text="–", likely_text=seen, series=""
        )
    value, low, high = numbers(point)
    written = format_for(words.unit, low, value, high)
    return PlotPoint(
        starts_at=start,
        name=name,
        value=value,
        low=low,
        high=high,
        value_text=written.value(value),
        likely_text=written.likely(low, high),
        series=series_name(point),
        rebased=is_rebased(point),
    )


def _plot(words: MetricWords, points: list[PlotPoint], of: Sequence[MetricPoint], *, grain: Grain, span: str) -> Plot:
    known = [point for point in points if point.value is not None]
    gaps = len(points) - len(known)
    title = f"{words.title}, {BY[grain]}"
    caption = "The line is the value, the bars are its likely range."
    if any(point.judge_version != "none" for point in of):
        caption = f"The line is the value {ALONE}; the bars are its likely range."
    if gaps:
        caption += f" {count(gaps, grain)} without a number {'is' if gaps == 1 else 'are'} left open."
    if breaks := [one.name for before, one in pairwise(known) if one.series != before.series]:
        caption += f" The line breaks where the AI reviewer or the way of counting changed: {', '.join(breaks)}."
    if moved := [point.name for point in known if point.rebased]:
        caption += (
            f" Up to {moved[-1]} an earlier AI reviewer checked: those values are moved by how the two differ on the "
            "same answers, and their ranges are wider for it."
        )
    summary = f"{title}, {span}: no number yet."
    if not known:
        caption = "No number yet."
    if known:
        lowest = min(known, key=lambda point: point.value or 0)
        highest = max(known, key=lambda point: point.value or 0)
        summary = (
            f"{title}, {span}: lowest {lowest.value_text} ({lowest.name}), highest {highest.value_text} "
            f"({highest.name}), last {known[-1].value_text} ({known[-1].name})."
        )
    return Plot(
        title=title,
        grain=grain,
        unit=words.unit,
        points=tuple(points),
        summary=summary,
        caption=caption,
    )
