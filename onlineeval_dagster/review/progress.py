"""How far people are: tasks by axis and stream, labels by person."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, rows
from onlineeval_dagster.review.tasks import OPEN_DAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamProgress:
    """Tasks of one axis and stream, those that as many have answered as are asked, and the labels."""

    axis: str
    stream: str
    tasks: int
    done: int
    labels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonProgress:
    """Labels of one person, and the median seconds each took on the review pages; None where none was timed."""

    reviewer: str
    labels: int
    seconds: float | None


def tasks_by_stream(lake: Lake, *, now: datetime) -> list[StreamProgress]:
    """Of the answers of the last 28 days."""
    sql = """
    select axis, stream, count(*) as tasks, count(*) filter (labels >= raters) as done, sum(labels)::bigint as labels
    from review_tasks
    group by axis, stream
    order by axis, stream
    """
    found = rows(lake, sql, {"review_tasks": _days(lake, "review_tasks", now)}).to_pylist()
    return [StreamProgress(**row) for row in found]


def labels_by_person(lake: Lake, *, now: datetime) -> list[PersonProgress]:
    """Of the answers of the last 28 days, most labels first."""
    sql = f"""
    select reviewer, count(*) as labels, median((attributes ->> '$.seconds')::double) as seconds
    from ({first_rows("labels")})
    group by reviewer
    order by labels desc, reviewer
    """
    found = rows(lake, sql, {"labels": _days(lake, "labels", now)}).to_pylist()
    return [PersonProgress(**row) for row in found]


def _days(lake: Lake, name: str, now: datetime) -> set[date]:
    first = (now - timedelta(days=OPEN_DAYS)).date()
    return {day for day in lake.days(name) if day >= first}
