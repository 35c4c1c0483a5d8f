"""The log becomes the lake: one asset a table, written by numbered batches."""

from collections.abc import Iterator

import dagster as dg

from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.defs.place import Place, told_plainly
from onlineeval_dagster.defs.tables import RETRIES, listed, table_spec
from onlineeval_dagster.lake.ingest import Ingested
from onlineeval_dagster.lake.ingest import ingest as ingest_log

# Verdicts come through the log as well; their asset is the judges' (defs/judges.py).
INGESTED = [name for name, table in TABLES.items() if table.written_by == "ingest" and name != "verdicts"]


@dg.multi_asset(
    name="ingest", specs=[table_spec(name, group="lake") for name in INGESTED], retry_policy=RETRIES, pool="lake"
)
def ingest(context: dg.AssetExecutionContext, place: Place) -> Iterator[dg.MaterializeResult]:
    """Pull everything that is ready in the log into the lake, exactly once."""
    settings = place.settings()
    with told_plainly():
        done = ingest_log(settings, place.lake(), now=place.now())
    context.log.info(f"{done.lines} lines, {done.bad} of them not readable, batches {list(done.batches)}")
    for name in INGESTED:
        yield dg.MaterializeResult(
            asset_key=name,
            metadata={
                "dagster/row_count": _rows(done, name),
                "days": listed(done.days.get(name, ())),
                "batches": ", ".join(map(str, done.batches)) or "none",
            },
        )


def _rows(done: Ingested, name: str) -> int:
    return done.bad if name == "quarantine" else done.accepted.get(name, 0)


defs = dg.Definitions(assets=[ingest])
