"""The log becomes the lake: one asset a table, written by numbered batches; complete traces become responses."""

from collections.abc import Iterator, Sequence

import dagster as dg

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.defs.place import Place, told_plainly
from onlineeval_dagster.defs.tables import RETRIES, listed, table_spec
from onlineeval_dagster.errors import QueueError
from onlineeval_dagster.lake.drained import drain_into_log
from onlineeval_dagster.lake.ingest import Ingested
from onlineeval_dagster.lake.ingest import ingest as ingest_log
from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.log.writer import SegmentWriter
from onlineeval_dagster.traces.stage import assemble_settled

# Verdicts come through the log as well; their asset is the judges' (defs/judges.py).
FROM_THE_LOG = [name for name, table in TABLES.items() if table.written_by == "ingest" and name != "verdicts"]
INGESTED = [*FROM_THE_LOG, "trace_states"]
"""What the step writes together."""


@dg.multi_asset(
    name="ingest",
    specs=[table_spec(name, group="lake", deps=["imports"]) for name in FROM_THE_LOG]
    + [table_spec("trace_states", group="traces", deps=["spans"])],
    retry_policy=RETRIES,
    pool="lake",
)
def ingest(context: dg.AssetExecutionContext, place: Place) -> Iterator[dg.MaterializeResult]:
    """Pull everything that is ready in the log into the lake, exactly once; then what complete traces make."""
    settings, lake = place.settings(), place.lake()
    with told_plainly():
        _drain(context, place)
    with place.stage("traces"):
        done = ingest_log(settings, lake, now=place.now())
        with open_log(settings, door="traces") as log:
            traces = assemble_settled(lake, place.catalog(), now=place.now(), record=lambda said: _append(log, said))
        if traces.events:
            done += ingest_log(settings, lake, now=place.now())
    context.log.info(f"{done.lines} lines, {done.bad} of them not readable, batches {list(done.batches)}")
    for name in FROM_THE_LOG:
        yield dg.MaterializeResult(
            asset_key=name,
            metadata={
                "dagster/row_count": _rows(done, name),
                "days": listed(done.days.get(name, ())),
                "batches": ", ".join(map(str, done.batches)) or "none",
            },
        )
    yield dg.MaterializeResult(
        asset_key="trace_states",
        metadata={
            "dagster/row_count": traces.responses + traces.without + traces.waiting,
            "responses": traces.responses,
            "without a response": traces.without,
            "waiting": traces.waiting,
            "days": listed(traces.days),
        },
    )


def _drain(context: dg.AssetExecutionContext, place: Place) -> None:
    """What waits in the queue into the log, where one is configured. A broker that is away does not hold up the log."""
    settings = place.settings()
    if not settings.queue:
        return
    try:
        done = drain_into_log(settings, place.lake(), settings.queue, now=place.now())
    except QueueError as error:
        context.log.warning(f"{error}; what is in the log is taken in meanwhile")
    else:
        context.log.info(f"{done.events} events and {done.refused} other messages came out of the queue")
        if done.lost:
            context.log.warning(f"{done.lost} messages of the queue were deleted by the broker before they were read")


def _append(log: SegmentWriter, events: Sequence[LogEvent]) -> None:
    if events:
        log.append(b"".join(encode(event) for event in events))


def _rows(done: Ingested, name: str) -> int:
    return done.bad if name == "quarantine" else done.accepted.get(name, 0)


defs = dg.Definitions(assets=[ingest])
