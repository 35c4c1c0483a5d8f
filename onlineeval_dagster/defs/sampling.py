"""Which responses the judges see."""

import dagster as dg

from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.tables import RETRIES, listed, table_spec
from onlineeval_dagster.sampling.seen import strata_seen
from onlineeval_dagster.sampling.select import select_responses
from onlineeval_dagster.sampling.shown import plan_metadata

SPEC = table_spec("selections", group="sampling", deps=["responses", "signals", "deploys"])


@dg.multi_asset(specs=[SPEC], retry_policy=RETRIES, pool="lake")
def selections(place: Place) -> dg.MaterializeResult:
    """Decide for every new response and judge; never decide twice."""
    lake, catalog, now = place.lake(), place.catalog(), place.now()
    with place.stage("selections"):
        done = select_responses(lake, catalog, now=now)
    told = {"selected": done.selected, "targeted": done.targeted, "days": listed(done.days)}
    if done.decided:
        seen = [strata_seen(lake, judge, now=now) for judge in catalog.asked_judges]
        told |= {name: value for one in seen if one is not None for name, value in plan_metadata(one).items()}
    return dg.MaterializeResult(asset_key="selections", metadata={"dagster/row_count": done.decided} | told)


defs = dg.Definitions(assets=[selections])
