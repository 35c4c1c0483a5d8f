"""Moments become estimates: metric points, and what each deploy did."""

import dagster as dg

from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.tables import RETRIES, backfill_days, listed, table_spec, tell_days
from onlineeval_dagster.metrics.stage import estimate_effects, estimate_points

POINTS = table_spec("metric_points", group="metrics", deps=["metric_moments"], by_day=True)
EFFECTS = table_spec("deploy_effects", group="metrics", deps=["deploy_moments"])


@dg.multi_asset(specs=[POINTS], retry_policy=RETRIES, backfill_policy=dg.BackfillPolicy.single_run(), pool="warehouse")
def metric_points(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult:
    """Estimate the points of the days that were built."""
    with place.warehouse("estimating"):
        done = estimate_points(
            place.settings().warehouse_file, place.lake(), place.catalog(), days=backfill_days(context)
        )
    tell_days(context, "metric_points", done.days)
    return dg.MaterializeResult(
        asset_key="metric_points",
        metadata={"dagster/row_count": done.points, "with a number": done.answered, "days": listed(done.days)},
    )


@dg.multi_asset(specs=[EFFECTS], retry_policy=RETRIES, pool="warehouse")
def deploy_effects(place: Place) -> dg.MaterializeResult:
    """Compare each metric before and after the deploys near the days that were built."""
    with place.warehouse("comparing deploys"):
        count = estimate_effects(place.settings().warehouse_file, place.lake(), place.catalog())
    return dg.MaterializeResult(asset_key="deploy_effects", metadata={"dagster/row_count": count})


defs = dg.Definitions(assets=[metric_points, deploy_effects])
