"""The accounts of the log: what came in, what became of it, and whether that adds up."""

import dagster as dg

from onlineeval_dagster.defs.ingest import FROM_THE_LOG
from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.tables import FULL, RETRIES, listed, table_spec
from onlineeval_dagster.quality.closing import close
from onlineeval_dagster.quality.coverage import count_coverage

# Without day partitions: Dagster refuses an unpartitioned run of a partitioned asset that rests on a partitioned one.
SPEC = table_spec("coverage", group="coverage", deps=[*FROM_THE_LOG, "verdicts", "signals"])


@dg.multi_asset(specs=[SPEC], retry_policy=RETRIES, pool="lake")
def coverage(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult:
    """Count the touched days again, at night every day."""
    full = context.run.tags.get(FULL) == "true"
    with place.stage("ingest"):  # the ingest's own lock: a batch that is half in the lake would look like a loss
        done = count_coverage(place.lake(), full=full)
    return dg.MaterializeResult(
        asset_key="coverage", metadata={"dagster/row_count": done.rows, "days": listed(done.days)}
    )


@dg.asset_check(
    asset="coverage",
    name="closes",
    description="For each hour and source, every line received stands in the lake or is said to be elsewhere.",
)
def closes(place: Place) -> dg.AssetCheckResult:
    """Fail with hour, source and the missing count where the accounts do not close."""
    outcome = close(place.settings(), place.lake())
    return dg.AssetCheckResult(
        passed=outcome.closes,
        severity=dg.AssetCheckSeverity.ERROR,
        description=str(outcome),
        metadata={
            "received": outcome.received,
            "missing": outcome.missing,
            "does not add up": dg.MetadataValue.md("\n".join(f"- {line}" for line in outcome.failures) or "nothing"),
        },
    )


defs = dg.Definitions(assets=[coverage], asset_checks=[closes])
