"""What signals are worth, measured against people once a day."""

import dagster as dg

from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.tables import RETRIES, table_spec
from onlineeval_dagster.signals.validity import read_measured, write_measured
from onlineeval_dagster.signals.worth import backwards, markdown

FROM = ["responses", "labels", "signals"]
VALIDITY = table_spec("signal_validity", group="signals", deps=FROM)
WEIGHTS = table_spec("quality_weights", group="signals", deps=FROM)


@dg.multi_asset(specs=[VALIDITY, WEIGHTS], retry_policy=RETRIES, pool="lake")
def signal_worth(place: Place):  # noqa: ANN201
    """Compare every signal with the labels of the last 28 days, and weigh them all."""
    with place.stage("validity"):
        measured = write_measured(place.lake(), place.catalog(), now=place.now())
    yield dg.MaterializeResult(
        asset_key="signal_validity",
        metadata={
            "dagster/row_count": len(measured.validity),
            "with a number": sum(row.auc is not None for row in measured.validity),
            "best first": dg.MetadataValue.md(markdown(measured)),
        },
    )
    indices = [row for row in measured.weights if row.signal == "intercept"]
    yield dg.MaterializeResult(
        asset_key="quality_weights",
        metadata={
            "dagster/row_count": len(measured.weights),
            "weights used": {row.axis: row.reason or "fitted to labels" for row in indices},
        },
    )


@dg.asset_check(
    asset="signal_validity",
    name="signals_point_the_right_way",
    description="No signal's likely range lies on the wrong side: the catalog scores as bad what people call good.",
)
def signals_point_the_right_way(place: Place) -> dg.AssetCheckResult:
    """Warn, naming the signals that point the wrong way."""
    wrong = backwards(read_measured(place.lake()))
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{', '.join(sorted({row.signal for row in wrong}))} point the wrong way" if wrong else "none does",
        metadata={f"{row.signal} ({row.axis})": f"{row.auc:.3f}, likely up to {row.auc_high:.3f}" for row in wrong},
    )


measure = dg.define_asset_job(
    "measure_signals",
    selection=dg.AssetSelection.assets("signal_validity", "quality_weights"),
    description="Compare every signal with what people said in the last 28 days.",
    executor_def=dg.in_process_executor,
)
daily = dg.ScheduleDefinition(
    name="signals_measured",
    job=measure,
    cron_schedule="15 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

defs = dg.Definitions(
    assets=[signal_worth], asset_checks=[signals_point_the_right_way], jobs=[measure], schedules=[daily]
)
