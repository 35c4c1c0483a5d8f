"""Complete traces of the lake's `spans` become responses, verdicts and labels: through the front door, the log.

    ingest ──▶ assemble ──▶ log (door `traces`) ──▶ `trace_states`, with what was read ──▶ ingest

A run that is killed anywhere and repeated makes the same rows: event ids come from the spans, and what an earlier run
wrote is in the lake by then and is not written again. A span that comes after its trace's response is kept and counted
(`late_spans`), and the response is not rewritten: it may have been judged already. A late evaluation gives a verdict.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import groupby
from typing import Any

import orjson
import pyarrow as pa

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.traces_file import Traces
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.base import Contract, LogEvent
from onlineeval_dagster.contracts.rows import TraceState
from onlineeval_dagster.contracts.tables import TABLE_OF, TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine, rows, scan_files
from onlineeval_dagster.lake.sieve import day_of
from onlineeval_dagster.traces.assemble import Assembled, assemble
from onlineeval_dagster.traces.named import find_named
from onlineeval_dagster.traces.said import Step

LATE_DAYS = 30
"""How long after a trace an evaluation of it still finds it."""

_MOST_TRACES = 10_000  # a pass: with ten spans of 3 KB each some 300 MB
_FOR_ROOT, _FOR_MORE = "its root, or the answer that it speaks of, has not come", "it may not be complete"
_KEY = "coalesce(trace_id, event_id)"
_FIELDS = (
    "event_id, record, trace_id, span_id, parent_span_id, name, occurred_at, received_at, ended_at, status, "
    "status_message, environment, app, user_id, session_id, attributes, events"
)
Record = Callable[[Sequence[LogEvent]], None]
"""Takes events for good before it returns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """What a call did: traces by their new state, events written to the log, days of `trace_states` rewritten."""

    responses: int = 0
    without: int = 0
    waiting: int = 0
    events: int = 0
    days: tuple[date, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trace:
    """A trace that has something new: counts over all its rows, and its state so far."""

    trace_id: str
    first_at: datetime
    last_at: datetime
    spans: int
    has_root: bool
    known: TraceState | None

    def is_complete(self, rule: Traces, now: datetime) -> bool:
        if self.known is not None and self.known.state == "response":
            return True  # what is late is told at once
        return self.last_at + _patience(rule, self.has_root) <= now


def assemble_settled(lake: Lake, catalog: Catalog, *, now: datetime, record: Record) -> Assembly:
    """Make the responses of every trace that is complete and has not been looked at so; `record` writes them down."""
    changes = lake.changes("spans", lake.read_through("trace_states", "spans"))
    found = _with_something_new(lake, changes.files, changes.days)
    due = [trace for trace in found if trace.is_complete(catalog.traces, now)]
    states = [_waiting_state(trace) for trace in found if not trace.is_complete(catalog.traces, now)]
    written = 0
    for start in range(0, len(due), _MOST_TRACES):
        made = _assembled(lake, catalog, due[start : start + _MOST_TRACES])
        some = [trace for trace in due[start : start + _MOST_TRACES] if trace.trace_id in made]  # none erased meanwhile
        told = [event for trace in some for event in _to_tell(trace, made[trace.trace_id])]
        events = _new_events(lake, find_named(lake, told, days=LATE_DAYS))
        record(events)
        written += len(events)
        states += [_final_state(trace, made[trace.trace_id], now) for trace in some]
    days = _put(lake, found, states, version=changes.version)
    counted = {name: sum(state.state == name for state in states) for name in ("response", "no_content", "waiting")}
    return Assembly(
        responses=counted["response"],
        without=counted["no_content"],
        waiting=counted["waiting"],
        events=written,
        days=days,
    )


def traces_due(lake: Lake, catalog: Catalog, *, now: datetime) -> int:
    """How many traces have waited long enough; days with spans that nobody has read count as one each."""
    unread = lake.changes("spans", lake.read_through("trace_states", "spans")).days
    waits = rows(lake, "select last_at, reason from trace_states where state = 'waiting'", {"trace_states": None})
    patience = {reason: _patience(catalog.traces, reason != _FOR_ROOT) for reason in (_FOR_ROOT, _FOR_MORE)}
    return len(unread) + sum(row["last_at"] + patience[row["reason"]] <= now for row in waits.to_pylist())


def _patience(rule: Traces, has_root: bool) -> timedelta:
    return timedelta(seconds=rule.settle_seconds) if has_root else timedelta(minutes=rule.rootless_minutes)


def _with_something_new(lake: Lake, files: Sequence[str], days: Iterable[date]) -> list[_Trace]:
    """Traces with rows that their state does not count, and those that wait; in order of time."""
    waits = rows(lake, "select trace_id, first_at from trace_states where state = 'waiting'", {"trace_states": None})
    fresh = rows(lake, f"select distinct {_KEY} as trace_id from ({scan_files('spans', list(files))})", {})
    ids = pa.table({"trace_id": pa.concat_arrays(_chunks(waits, "trace_id") + _chunks(fresh, "trace_id")).unique()})
    if not ids.num_rows:
        return []
    near = {*days, *(row["first_at"].date() for row in waits.to_pylist())}
    states = _states(lake, ids, _around(near, before=LATE_DAYS, after=1))
    window = _around(near | {state.first_at.date() for state in states.values()}, before=1, after=1)
    summary = rows(
        lake,
        f"select {_KEY} as trace_id, min(occurred_at) as first_at, max(received_at) as last_at, "
        "count(distinct event_id) as spans, "
        "bool_or(record = 'span' and parent_span_id is null) as has_root "
        f"from spans where {_KEY} in (select trace_id from ids) group by 1 order by first_at, 1",
        {"spans": window & lake.days("spans")},
        ids=ids,
    )
    traces = [_Trace(**row, known=states.get(row["trace_id"])) for row in summary.to_pylist()]
    return [trace for trace in traces if _has_news(trace)]


def _has_news(trace: _Trace) -> bool:
    known = trace.known
    return known is None or known.state == "waiting" or known.spans != trace.spans


def _states(lake: Lake, ids: pa.Table, days: set[date]) -> dict[str, TraceState]:
    sql = "select * exclude (day, file_name) from trace_states where trace_id in (select trace_id from ids)"
    found = rows(lake, sql, {"trace_states": days & lake.days("trace_states")}, ids=ids)
    return {row["trace_id"]: TraceState.model_validate(row) for row in found.to_pylist()}


def _assembled(lake: Lake, catalog: Catalog, traces: Sequence[_Trace]) -> dict[str, Assembled]:
    """What each of `traces` holds; their spans are read in one scan."""
    ids = pa.table({"trace_id": [trace.trace_id for trace in traces]})
    starts = {trace.first_at.date() for trace in traces} | {trace.last_at.date() for trace in traces}
    days = _around(starts, before=1, after=1) & lake.days("spans")
    made: dict[str, Assembled] = {}
    with engine(lake, {"spans": days}) as connection:
        connection.register("ids", ids)
        found = connection.sql(
            f"select {_KEY} as key, {_FIELDS} from spans where key in (select trace_id from ids) "
            "qualify row_number() over (partition by event_id order by received_at, log_segment, log_offset) = 1 "
            "order by key, occurred_at, event_id"
        ).to_arrow_reader(5_000)
        each = (row for batch in found for row in batch.to_pylist())
        for key, of_trace in groupby(each, key=lambda row: row.pop("key")):
            made[key] = assemble([_step(row) for row in of_trace], catalog.traces.response)
    return made


def _step(row: dict[str, Any]) -> Step:
    return Step(**{**row, "attributes": orjson.loads(row["attributes"]), "events": orjson.loads(row["events"])})


def _to_tell(trace: _Trace, made: Assembled) -> list[LogEvent]:
    is_late = trace.known is not None and trace.known.state == "response"
    return [*(() if is_late else made.responses), *made.opinions]


def _new_events(lake: Lake, events: list[LogEvent]) -> list[LogEvent]:
    """Those that are not in the lake: an earlier run that was killed, or an earlier look at the trace, wrote them."""
    of_table: dict[str, list[LogEvent]] = {}
    for event in events:
        of_table.setdefault(_table(event).name, []).append(event)
    seen: set[str] = set()
    for name, some in of_table.items():
        days = {day_of(_table(event), event) for event in some} & lake.days(name)
        # Where an earlier run wrote an evaluation before its response was found.
        days |= {event.occurred_at.date() for event in some} & lake.days(name)
        ids = pa.table({"event_id": [event.event_id for event in some]})
        sql = f"select distinct event_id from {name} where event_id in (select event_id from ids)"
        seen |= set(rows(lake, sql, {name: days}, ids=ids).column("event_id").to_pylist())
    return [event for event in events if event.event_id not in seen]


def _table(event: LogEvent) -> Any:
    kind: str = getattr(event, "kind")  # noqa: B009 - each kind declares its own
    return TABLE_OF[kind]


def _waiting_state(trace: _Trace) -> TraceState:
    return TraceState(
        trace_id=trace.trace_id,
        first_at=trace.first_at,
        last_at=trace.last_at,
        state="waiting",
        reason=_FOR_MORE if trace.has_root else _FOR_ROOT,
        spans=trace.spans,
    )


def _final_state(trace: _Trace, made: Assembled, now: datetime) -> TraceState:
    known = trace.known
    if known is not None and known.state == "response":
        late = known.late_spans + trace.spans - known.spans
        more = {"spans": trace.spans, "late_spans": late, "last_at": trace.last_at, "first_at": trace.first_at}
        return known.model_copy(update=more)
    first = made.responses[0] if made.responses else None
    return TraceState(
        trace_id=trace.trace_id,
        first_at=trace.first_at,
        last_at=trace.last_at,
        state="no_content" if first is None else "response",
        reason=made.reason,
        response_id=None if first is None else first.response_id,
        responses=len(made.responses),
        spans=trace.spans,
        assembled_at=None if first is None else now,
    )


def _put(lake: Lake, traces: Sequence[_Trace], states: Sequence[TraceState], *, version: int) -> tuple[date, ...]:
    """Make `states` the states of `traces`, in one commit with what was read. Returns the days rewritten."""
    schema = TABLES["trace_states"].schema
    if not states:
        if lake.read_through("trace_states", "spans") != version and version >= 0:
            lake.append("trace_states", schema.empty_table(), reads={"spans": version})
        return ()
    told: list[Contract] = list(states)
    days = [state.first_at.date() for state in states]
    table = to_table(told, TraceState).append_column("day", pa.array(days, pa.date32()))
    before = {trace.known.first_at.date() for trace in traces if trace.known is not None}
    touched = {*days, *before}
    sql = "select * from trace_states where trace_id not in (select trace_id from new_states)"
    kept = rows(lake, sql, {"trace_states": touched}, new_states=table)
    whole = pa.concat_tables([kept.select(schema.names).cast(schema), table.cast(schema)])
    lake.replace_days("trace_states", touched, whole, reads={"spans": version})
    return tuple(sorted(touched))


def _around(days: Iterable[date], *, before: int, after: int) -> set[date]:
    return {day + timedelta(days=shift) for day in days for shift in range(-before, after + 1)}


def _chunks(table: pa.Table, column: str) -> list[pa.Array]:
    return [table.column(column).combine_chunks()]
