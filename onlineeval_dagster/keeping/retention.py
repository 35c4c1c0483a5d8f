"""What is older than retention.toml says goes: whole days of tables, texts before them, pages. Counts stay."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from onlineeval_dagster.catalog.retention import HOURS, LOG_DAYS, TEXTS, Retention
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.keeping.quiet import keeping, quiet
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import prune
from onlineeval_dagster.lake.rewrite import drop_days, rows_where, take_out
from onlineeval_dagster.quality.coverage import count_coverage
from onlineeval_dagster.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """Something of `what` that is older than it may be: what goes of it, and how much (rows, or files)."""

    what: str
    goes: str
    before: date
    count: int


def due(settings: Settings, lake: Lake, retention: Retention, *, now: datetime) -> list[Due]:
    """What would go now, without touching anything."""
    found = [*_days_due(lake, retention, now), *_texts_due(lake, retention, now), *_hours_due(lake, retention, now)]
    before = _before(retention.of("reports").days, now)
    if before is not None and (pages := _old_pages(settings, before)):
        found.append(Due(what="reports", goes="pages", before=before, count=len(pages)))
    return found


def apply(settings: Settings, lake: Lake, retention: Retention, *, now: datetime) -> list[Due]:
    """Let go what is due, one commit a table; returns it. Safe to kill and to repeat.

    The old files leave the disk a week later, with the vacuum. Raises KeepingError where somebody holds the lake.
    """
    with keeping(settings, "retention"):
        going = due(settings, lake, retention, now=now)
        if going:
            with quiet(settings, "retention", readers=False):
                count_coverage(lake)  # all that stands is counted, so that what goes is booked as taken out
                for each in going:
                    _let_go(settings, lake, each, now=now)
                count_coverage(lake)
        kept = retention.of("log").days or LOG_DAYS
        gone = prune(settings, lake, now=now, kept=timedelta(days=kept))
    segments = Due(what="log", goes="segments", before=(now - timedelta(days=kept)).date(), count=len(gone))
    return [*going, *([segments] if gone else [])]


def _let_go(settings: Settings, lake: Lake, each: Due, *, now: datetime) -> None:
    match each.goes:
        case "days":
            drop_days(lake, each.what, before=each.before, now=now)
        case "hours":
            old = {day for day in lake.days(each.what) if day < each.before}
            take_out(lake, each.what, _is_hour(each.what, each.before), now=now, days=old)
        case "texts":
            take_out(
                lake,
                each.what,
                _has_text(each.what, each.before),
                now=now,
                days={day for day in lake.days(each.what) if day < each.before},
                replace={**TEXTS[each.what], **_mark(each.what, now)},
            )
        case _:
            for page in _old_pages(settings, each.before):
                page.unlink(missing_ok=True)


def _days_due(lake: Lake, retention: Retention, now: datetime) -> Iterable[Due]:
    for name in TABLES:
        before = _before(retention.of(name).days, now)
        if before is None:
            continue
        old = lake.rows_by_day(name, {day for day in lake.days(name) if day < before})
        if old:
            yield Due(what=name, goes="days", before=before, count=sum(old.values()))


def _texts_due(lake: Lake, retention: Retention, now: datetime) -> Iterable[Due]:
    for name in TEXTS:
        before = _before(retention.of(name).text_days, now)
        if before is None or not any(day < before for day in lake.days(name)):
            continue
        gone = _before(retention.of(name).days, now)
        where = _has_text(name, before) + (f" and day >= date '{gone}'" if gone else "")
        if count := rows_where(lake, name, where):
            yield Due(what=name, goes="texts", before=before, count=count)


def _hours_due(lake: Lake, retention: Retention, now: datetime) -> Iterable[Due]:
    for name in HOURS:
        before = _before(retention.of(name).hour_days, now)
        if before is not None and any(day < before for day in lake.days(name)):
            gone = _before(retention.of(name).days, now)
            where = _is_hour(name, before) + (f" and day >= date '{gone}'" if gone else "")
            if count := rows_where(lake, name, where):
                yield Due(what=name, goes="hours", before=before, count=count)


def _is_hour(name: str, before: date) -> str:
    """SQL: points by hour of the days before `before`."""
    return f"({name}.grain = 'hour' and {name}.day < date '{before}')"


def _has_text(name: str, before: date) -> str:
    """SQL: rows of the days before `before` whose text is still there."""
    old = f"{name}.day < date '{before}'"
    if TABLES[name].marks_erased_text:
        return f"({old} and text_erased_at is null)"
    different = " or ".join(f"{column} is distinct from {empty}" for column, empty in TEXTS[name].items())
    return f"({old} and ({different}))"


def _mark(name: str, now: datetime) -> dict[str, str]:
    return {"text_erased_at": f"timestamptz '{now.isoformat(sep=' ')}'"} if TABLES[name].marks_erased_text else {}


def _before(days: int | None, now: datetime) -> date | None:
    """The first day that is kept."""
    return None if days is None else now.date() - timedelta(days=days)


def _old_pages(settings: Settings, before: date) -> list[Path]:
    pages = (settings.report_folder / "daily").glob("????-??-??.*")
    return sorted(page for page in pages if page.stem < str(before))
