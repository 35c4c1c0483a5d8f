"""Which responses the judges see."""

import dagster as dg

from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.tables import RETRIES, listed, table_spec
from onlineeval_dagster.sampling.select import select_responses

SPEC = table_spec("selections", group="sampling", deps=["responses", "signals", "deploys"])


@dg.multi_asset(specs=[SPEC], retry_policy=RETRIES, pool="lake")
def selections(place: Place) -> dg.MaterializeResult:
    """Decide for every new response and judge; never decide twice."""
    with place.stage("selections"):
        done = select_responses(place.lake(), place.catalog(), now=place.now())
    return dg.MaterializeResult(
        asset_key="selections",
        metadata={"dagster/row_count": done.decided, "selected": done.selected, "days": listed(done.days)},
    )


defs = dg.Definitions(assets=[selections])
