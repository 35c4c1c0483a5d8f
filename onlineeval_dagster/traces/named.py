"""Evaluations that name a response by an id alone, without its trace: which response of the lake that is."""

from collections.abc import Sequence
from datetime import date, timedelta

import pyarrow as pa

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import Label, Verdict
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows

CALL_ID = "gen_ai.response.id"
"""Where a response keeps, among its attributes, the provider's id of the model call that spoke."""

_SQL = f"""
with spoken as (
    select response_id, occurred_at, json_extract_string(attributes, '$."{CALL_ID}"') as named
    from responses where contains(attributes, '{CALL_ID}')
),
every_name as (
    select response_id as named, response_id, occurred_at from responses
    union all
    select named, response_id, occurred_at from spoken
)
select named, arg_min(response_id, occurred_at) as response_id, min(occurred_at) as occurred_at
from every_name where named in (select named from ids) group by named
"""


def find_named(lake: Lake, events: Sequence[LogEvent], *, days: int) -> list[LogEvent]:
    """`events`, of which labels and verdicts without `response_at` get the response that they name: its id and time.

    Looked for under its own id and that of its model call, on the `days` before the evaluation was said. Where there
    is none, the event stays as it is: it lies on its own day, to be shown.
    """
    lost = [event for event in events if isinstance(event, Label | Verdict) and event.response_at is None]
    if not lost:
        return list(events)
    near = {day for event in lost for day in _before(event.occurred_at.date(), days)}
    ids = pa.table({"named": [event.response_id for event in lost]})
    found = rows(lake, _SQL, {"responses": near & lake.days("responses")}, ids=ids).to_pylist()
    known = {row["named"]: {"response_id": row["response_id"], "response_at": row["occurred_at"]} for row in found}
    return [
        event.model_copy(update=known.get(event.response_id, {}))
        if isinstance(event, Label | Verdict) and event.response_at is None
        else event
        for event in events
    ]


def _before(day: date, days: int) -> set[date]:
    return {day + timedelta(days=shift) for shift in range(-days, 2)}
