"""Rules look at the newest points, with each tick and when a window has become mature; people are told of incidents."""

from collections.abc import Iterator

import dagster as dg

from onlineeval_dagster.alerts.stage import Evaluated, evaluate, evaluation_key, read_alerts, read_incidents
from onlineeval_dagster.alerts.telling import due_key, tell
from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.quality import contract_checks
from onlineeval_dagster.defs.tables import RETRIES, listed, table_spec

ALERTS = table_spec(
    "alerts",
    group="alerts",
    deps=["metric_points", "detrended_metrics", "coverage", "selections", "verdicts", "events"],
)
INCIDENTS = table_spec("incidents", group="alerts", deps=["alerts"])


@dg.multi_asset(name="alerting", specs=[ALERTS, INCIDENTS], retry_policy=RETRIES, pool="lake")
def alerting(context: dg.AssetExecutionContext, place: Place) -> Iterator[dg.MaterializeResult]:
    """Look at every mature window with every rule that is not off; write what became of alerts and incidents."""
    with place.stage("alerts"):
        catalog = place.catalog()
        done = evaluate(place.lake(), catalog, now=place.now())
        told = tell(place.settings().outbox_file, catalog, done.incidents, done.alerts, now=place.now())
    for error in told.errors:  # tried again later; what was found is on record whoever could be told
        context.log.warning(error)
    yield dg.MaterializeResult(
        asset_key="alerts",
        metadata={
            "dagster/row_count": len(done.alerts),
            "firing": sum(alert.state in ("firing", "acknowledged") for alert in done.alerts),
            "days": listed(done.alert_days),
        },
    )
    yield dg.MaterializeResult(
        asset_key="incidents",
        metadata={
            "dagster/row_count": len(done.incidents),
            "open": dg.MetadataValue.md(_open(done)),
            "messages sent": told.sent,
            "messages that failed": told.failed,
            "days": listed(done.incident_days),
        },
    )


def _open(done: Evaluated) -> str:
    lines = [
        f"- {one.title}, since {one.began_at:%Y-%m-%d %H:%M} UTC ({one.owner}{', watched' if one.watched else ''})"
        for one in done.incidents
        if one.state != "resolved"
    ]
    return "\n".join(lines) or "none"


@dg.asset_check(
    asset="incidents",
    name="alerts_add_up",
    description="Every alert that fired is in one incident, and incidents count just these.",
    blocking=True,
)
def alerts_add_up(place: Place) -> dg.AssetCheckResult:
    """Compare the incidents' counts with the alerts themselves."""
    lake = place.lake()
    fired = [alert for alert in read_alerts(lake) if alert.fired_at is not None]
    incidents = {one.incident_id: one.alerts for one in read_incidents(lake)}
    lost = sorted(alert.alert_id for alert in fired if alert.incident_id not in incidents)
    counted = sum(incidents.values())
    return dg.AssetCheckResult(
        passed=not lost and counted == len(fired),
        metadata={"alerts that fired": len(fired), "alerts in incidents": counted, "lost": ", ".join(lost) or "none"},
    )


watch_rules = dg.define_asset_job(
    "watch_rules",
    selection=dg.AssetSelection.assets("alerts", "incidents"),
    description="Look with the rules at windows that have become mature; no tick is needed for it, nor any new line.",
    executor_def=dg.in_process_executor,
)


@dg.schedule(
    job=watch_rules,
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    name="windows_mature",
)
def windows_mature(context: dg.ScheduleEvaluationContext, place: Place) -> dg.RunRequest | dg.SkipReason:  # noqa: ARG001
    """Where nothing comes in there is no tick, and silence is what a rule is to see."""
    catalog, now = place.catalog(), place.now()
    key = evaluation_key(catalog, now=now)
    due = due_key(place.settings().outbox_file, place.lake(), catalog, now=now) if key else ""
    return dg.RunRequest(run_key=f"{key} {due}".strip()) if key else dg.SkipReason("alerts.toml has no rule that looks")


defs = dg.Definitions(
    assets=[alerting],
    asset_checks=[contract_checks("check_alerts", ["alerts", "incidents"]), alerts_add_up],
    jobs=[watch_rules],
    schedules=[windows_mature],
)
