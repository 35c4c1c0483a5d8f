"""Signals on every response: behaviour, opinions, detectors."""

import dagster as dg

from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.tables import RETRIES, backfill_days, listed, table_spec, tell_days
from onlineeval_dagster.signals.stage import derive_signals

SPEC = table_spec("signals", group="signals", deps=["responses", "actions"], by_day=True)


@dg.multi_asset(specs=[SPEC], retry_policy=RETRIES, backfill_policy=dg.BackfillPolicy.single_run(), pool="lake")
def signals(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult:
    """Derive the signals of touched days again; a backfill derives the days it asks for."""
    with place.stage("signals"):
        done = derive_signals(place.lake(), place.catalog(), now=place.now(), days=backfill_days(context))
    tell_days(context, "signals", done.days)
    return dg.MaterializeResult(
        asset_key="signals", metadata={"dagster/row_count": done.rows, "days": listed(done.days)}
    )


defs = dg.Definitions(assets=[signals])
