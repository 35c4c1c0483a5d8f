"""Signals on every response: behaviour, opinions, detectors."""

import dagster as dg

from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.tables import FULL, RETRIES, backfill_days, listed, table_spec, tell_days
from onlineeval_dagster.quality.unjoined import recent_days
from onlineeval_dagster.signals.heard import LOOKED_AT, heard, markdown
from onlineeval_dagster.signals.stage import derive_signals
from onlineeval_dagster.signals.versions import behind

SPEC = table_spec("signals", group="signals", deps=["responses", "actions"], by_day=True)


@dg.multi_asset(specs=[SPEC], retry_policy=RETRIES, backfill_policy=dg.BackfillPolicy.single_run(), pool="lake")
def signals(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult:
    """Derive the signals of touched days again; a backfill derives the days it asks for."""
    lake = place.lake()
    with place.stage("signals"):
        done = derive_signals(lake, place.catalog(), now=place.now(), days=backfill_days(context))
    tell_days(context, "signals", done.days)
    looked_at = sorted(done.days)[-LOOKED_AT:]
    return dg.MaterializeResult(
        asset_key="signals",
        metadata={
            "dagster/row_count": done.rows,
            "days": listed(done.days),
            f"what they say ({listed(looked_at)})": dg.MetadataValue.md(markdown(heard(lake, looked_at))),
        },
    )


@dg.asset_check(
    asset="signals",
    name="signals_in_their_present_version",
    description="Each day holds the signals that signals.toml names, in the versions of now; a backfill mends a day.",
)
def signals_in_their_present_version(context: dg.AssetCheckExecutionContext, place: Place) -> dg.AssetCheckResult:
    """Warn, naming signals and days: of the last two days in a tick, of all days at night."""
    lake = place.lake()
    full = context.run.tags.get(FULL) == "true"
    found = behind(lake, place.catalog(), None if full else recent_days(lake, "signals"))
    days = {day for one in found for day in one.days}
    told = f"backfill `signals` of {listed(days)}, or: onlineeval signals rescore" if days else "all are"
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description=told,
        metadata={
            f"{one.signal}, {'missing' if one.missing else 'in an older version'}": listed(one.days) for one in found
        },
    )


defs = dg.Definitions(assets=[signals], asset_checks=[signals_in_their_present_version])
