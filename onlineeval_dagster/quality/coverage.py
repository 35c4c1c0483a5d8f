"""Keep the lake's `coverage` in step with what it counts: each touched day is a pure function of that day's partitions.

    ingested_parts ── received ─┐
    tables of events ─ ingested ┼─▶ by day, hour and segment ─▶ by day, hour and door: coverage
    quarantine, signals ────────┘

The rows are counted where they stand, in the Parquet files that are there: what vanished, or stands twice, shows.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa

from onlineeval_dagster.contracts.coverage import CoverageRow
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import literals, rows, scan_files
from onlineeval_dagster.log.writer import door_of

LOSS_EVENTS = ("onlineeval.sdk_loss", "onlineeval.queue_gap")
"""Events by which a sender says how many it could not deliver, in their `value`."""

EVENT_TABLES = tuple(name for name, table in TABLES.items() if table.kind is not None)
COUNTED = (*EVENT_TABLES, "quarantine", "ingested_parts", "signals")
"""The tables that coverage counts, or counts by."""

COUNTS = tuple(name for name in CoverageRow.model_fields if name not in ("hour", "source"))

_DAYS_A_COMMIT = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What was counted again: the days, and the rows now in them."""

    days: tuple[date, ...]
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncounted:
    """What changed since it was counted: days, those among them from which rows were taken on purpose, versions."""

    days: frozenset[date]
    taken_from: frozenset[date]
    reads: Mapping[str, int]


def uncounted(lake: Lake) -> Uncounted:
    """What `count_coverage` would count, and the versions of the tables that make it so."""
    since = {name: lake.read_through("coverage", name) for name in COUNTED}
    changes = [lake.changes(name, since[name]) for name in COUNTED]
    taken = [lake.days_taken_from(name, since[name]) for name in (*EVENT_TABLES, "quarantine")]
    taken_from = frozenset[date]().union(*taken)
    return Uncounted(
        days=taken_from.union(*(change.days for change in changes)),
        taken_from=taken_from,
        reads={change.table: change.version for change in changes},
    )


def count_coverage(lake: Lake, *, days: Collection[date] | None = None, full: bool = False) -> Counted:
    """Count the touched days again (or `days`, for a backfill; every day with `full`) and put them in place.

    Days go in groups of ten, one commit each; the last one records what was read, so a kill in between repeats. What
    stood there when it was last counted and was taken out on purpose since is booked as `taken_out`, for ever: call
    this before something is taken out, so that all of it was counted.
    """
    new = uncounted(lake)
    every = new.days.union(lake.days("coverage"), *(lake.days(name) for name in COUNTED)) if full else new.days
    wanted = sorted(every if days is None else days)
    written = 0
    for start in range(0, len(wanted), _DAYS_A_COMMIT):
        group = wanted[start : start + _DAYS_A_COMMIT]
        is_last = days is None and start + _DAYS_A_COMMIT >= len(wanted)
        counted = _with_taken_out(lake, group, _by_door(_count(lake, group)), new.taken_from)
        lake.replace_days("coverage", group, counted, reads=new.reads if is_last else None)
        written += counted.num_rows
    return Counted(days=tuple(wanted), rows=written)


def _with_taken_out(lake: Lake, days: list[date], counted: pa.Table, taken_from: Collection[date]) -> pa.Table:
    """`counted`, and what of the last count was taken out on purpose since, or earlier."""
    schema = TABLES["coverage"].schema
    fewer = "greatest(0, old.ingested + old.quarantined - coalesce(new.ingested, 0) - coalesce(new.quarantined, 0))"
    booked = (
        f"coalesce(old.taken_out, 0) + case when day in ({_listed(taken_from)}) then coalesce({fewer}, 0) else 0 end"
    )
    columns = ", ".join(
        f"{booked} as taken_out" if name == "taken_out" else f"coalesce(new.{name}, 0) as {name}" for name in COUNTS
    )
    sql = f"""
        with booked as (
            select day, hour, source, new.received is not null as is_counted, {columns}
            from counted as new full join coverage as old using (day, hour, source)
        )
        select * from booked where is_counted or taken_out > 0 order by hour, source"""
    return rows(lake, sql, {"coverage": days}, counted=counted).select(schema.names).cast(schema)


def _listed(days: Collection[date]) -> str:
    return ", ".join(f"date '{day}'" for day in sorted(days)) or "null"


def _count(lake: Lake, days: list[date]) -> pa.Table:
    """What the partitions of `days` hold, by day, hour and segment."""
    # A line is judged by the clock of its batch, ten minutes ahead at most: no part is older than its lines' day.
    parts = [day for day in lake.days("ingested_parts") if day >= days[0] - timedelta(days=1)]
    views = [
        f"{name} as ({scan_files(name, _standing(lake, name, parts if name == 'ingested_parts' else days))})"
        for name in COUNTED
    ]
    return rows(lake, _counted_lines(views, days), {})


def _standing(lake: Lake, name: str, days: Collection[date]) -> list[str]:
    """The table's files that are there: one that vanished holds no rows, which is what has to be seen."""
    return [file for file in lake.files(name, days) if Path(file).exists()]


def _counted_lines(views: Collection[str], days: Collection[date]) -> str:
    """Counts by day, hour and segment; a line that no part has taken in stands in the hour in which it was received."""
    lines = "\n    union all\n    ".join(_lines_of(name) for name in EVENT_TABLES)
    return f"""
with {", ".join(views)},
lines as (
    {lines}
    union all
    select day, log_segment, log_offset, quarantined_at as received_at, 0, 0, 1, 0, 0, null from quarantine
),
kinds as (
    select
        day, response_id,
        bool_or(kind = 'implicit')::int as with_implicit,
        bool_or(kind = 'explicit')::int as with_explicit,
        bool_or(kind = 'automated')::int as with_automated
    from signals group by day, response_id
),
stood as (
    select
        lines.*,
        date_trunc('hour', case when log_offset < end_offset then ingested_at else received_at end) as hour
    from lines asof left join (select log_segment, start_offset, end_offset, ingested_at from ingested_parts) as parts
        on lines.log_segment = parts.log_segment and lines.log_offset >= parts.start_offset
),
counted as (
    select
        stood.day, hour, log_segment,
        0 as received, sum(ingested) as ingested, sum(duplicate) as duplicate, sum(quarantined) as quarantined,
        0 as erased, 0 as taken_out, sum(late) as late, sum(lost_by_sender) as lost_by_sender,
        count(answer_id) as responses,
        sum(with_implicit) as with_implicit, sum(with_explicit) as with_explicit, sum(with_automated) as with_automated
    from stood left join kinds on kinds.day = stood.day and kinds.response_id = stood.answer_id
    group by stood.day, hour, log_segment
    union all
    select
        day, date_trunc('hour', ingested_at), log_segment,
        sum(lines), 0, 0, 0, sum(coalesce(erased, 0)), 0, 0, 0, 0, 0, 0, 0
    from ingested_parts where day in ({_listed(days)}) group by all
)
select day, hour, log_segment, {", ".join(f"coalesce({name}, 0)::bigint as {name}" for name in COUNTS)}
from counted"""


def _lines_of(name: str) -> str:
    """The lines in a table of events: where each stands, and what is to be counted of it."""
    key = ", ".join(TABLES[name].key)
    is_first = f"row_number() over (partition by day, {key} order by received_at, log_segment, log_offset) = 1"
    lost = f"greatest(value, 0) * (name in ({literals(LOSS_EVENTS)}) and is_first)::int" if name == "events" else "0"
    answer = "case when is_first then response_id end" if name == "responses" else "null"
    return f"""select
        day, log_segment, log_offset, received_at, 1 as ingested, (not is_first)::int as duplicate, 0 as quarantined,
        (received_at > occurred_at + interval 1 hour)::int as late, coalesce({lost}, 0) as lost_by_sender,
        {answer} as answer_id
    from (select *, {is_first} as is_first from {name})"""


def _by_door(counted: pa.Table) -> pa.Table:
    """The same by door instead of segment, as `coverage` has it."""
    schema = TABLES["coverage"].schema
    segments = counted.column("log_segment").combine_chunks().dictionary_encode()
    doors = pa.array([door_of(segment) for segment in segments.dictionary.to_pylist()], pa.string())
    by_door = counted.append_column("source", doors.take(segments.indices))
    sums: Mapping[str, str] = {f"{name}_sum": name for name in COUNTS}
    grouped = by_door.group_by(["day", "hour", "source"]).aggregate([(name, "sum") for name in COUNTS])
    named = grouped.rename_columns([sums.get(name, name) for name in grouped.column_names])
    return named.select(schema.names).sort_by([("hour", "ascending"), ("source", "ascending")]).cast(schema)
