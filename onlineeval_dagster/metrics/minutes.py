"""Traffic and errors by minute, from the warehouse to the lake: the last days only, whole touched days."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import literals, rows
from onlineeval_dagster.warehouse.duckdb import built_since, query

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Days rewritten, and minutes in them (one for each environment, app and prompt version)."""

    days: tuple[date, ...]
    minutes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LastHour:
    """Answers and failed answers of the hour before `until`; `latest` is the last minute with any answer at all."""

    responses: int
    errors: int
    latest: datetime

    def __str__(self) -> str:
        if not self.responses:
            return f"Last hour: no answer; the last one came at {self.latest:%Y-%m-%d %H:%M} UTC"
        share = 100 * self.errors / self.responses
        failed = f"{self.errors:,} failed ({share:.1f} %)" if self.errors else "none failed"
        pace = f", {self.responses / 60:,.1f} a minute" if self.responses >= 60 else ""
        return f"Last hour: {self.responses:,} answer{'s' if self.responses != 1 else ''}{pace}, {failed}"


def count_minutes(
    file: Path, lake: Lake, catalog: Catalog, *, now: datetime, days: Collection[date] | None = None
) -> Counted:
    """Publish the minutes of the days built since the last call (or of `days`); older ones than are kept stay away."""
    number, built = built_since(file, lake.read_through("minute_counts", "warehouse"))
    kept = catalog.retention.of("minute_counts").days
    touched = built if days is None else days
    wanted = sorted(day for day in touched if kept is None or day >= now.date() - timedelta(days=kept))
    reads = {"warehouse": number} if days is None and built else None
    columns = ", ".join(TABLES["minute_counts"].schema.names)
    if not wanted:
        if reads:  # so that the same old days are not looked at again
            lake.append("minute_counts", TABLES["minute_counts"].schema.empty_table(), reads=reads)
        return Counted(days=(), minutes=0)
    listed = ", ".join(f"date '{day}'" for day in wanted)
    minutes = query(file, f"select {columns} from marts.minute_moments where day in ({listed}) order by window_start")
    lake.replace_days("minute_counts", wanted, minutes, reads=reads)
    return Counted(days=tuple(wanted), minutes=len(minutes))


def last_hour(lake: Lake, catalog: Catalog, *, now: datetime) -> LastHour | None:
    """Traffic and errors of the last 60 minutes in the catalog's environments; None where no minute is known."""
    days = sorted(lake.days("minute_counts"))[-2:]
    begin, end = (f"timestamptz '{at.isoformat(sep=' ')}'" for at in (now - HOUR, now))
    found = rows(
        lake,
        f"""
        select
            coalesce(sum(responses) filter (where recent), 0)::bigint as responses,
            coalesce(sum(errors) filter (where recent), 0)::bigint as errors,
            max(window_start) as latest
        from (
            select *, window_start > {begin} and window_start <= {end} as recent
            from minute_counts
            where environment in ({literals(catalog.sampling.environments)})
        )
        """,
        {"minute_counts": days},
    ).to_pylist()[0]
    return None if found["latest"] is None else LastHour(**found)
