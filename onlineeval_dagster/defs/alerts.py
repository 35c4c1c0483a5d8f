"""Rules look at the newest points, with each tick and when a window has become mature, and at what deploys brought;
people are told of incidents, and a rollback is called for a deploy that is condemned."""

from collections.abc import Iterator

import dagster as dg

from onlineeval_dagster.alerts.blame import attribute, read_causes
from onlineeval_dagster.alerts.causes import verdict
from onlineeval_dagster.alerts.deploy_looks import look_at_deploys
from onlineeval_dagster.alerts.rollback import condemned_deploys
from onlineeval_dagster.alerts.said import read_said
from onlineeval_dagster.alerts.stage import Evaluated, evaluate, evaluation_key, read_alerts, read_incidents
from onlineeval_dagster.alerts.telling import due_key, tell
from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.quality import contract_checks
from onlineeval_dagster.defs.tables import RETRIES, listed, table_spec
from onlineeval_dagster.reports.incident_stage import write_incidents

ALERTS = table_spec(
    "alerts",
    group="alerts",
    deps=[
        "metric_points",
        "detrended_metrics",
        "rolling_points",
        "coverage",
        "selections",
        "verdicts",
        "events",
        "deploy_looks",
    ],
)
INCIDENTS = table_spec("incidents", group="alerts", deps=["alerts"])
CAUSES = table_spec(
    "incident_causes",
    group="alerts",
    deps=["incidents", "response_facts", "metric_points", "detrended_metrics", "deploys", "events"],
)
LOOKS = table_spec("deploy_looks", group="alerts", deps=["response_facts", "deploys"])


@dg.multi_asset(specs=[LOOKS], retry_policy=RETRIES, pool="warehouse")
def deploy_looks(place: Place) -> dg.MaterializeResult:
    """Make the looks at deploys that are due."""
    with place.warehouse("looking at deploys"):
        done = look_at_deploys(place.settings().warehouse_file, place.lake(), place.catalog().whole(), now=place.now())
    return dg.MaterializeResult(
        asset_key="deploy_looks",
        metadata={
            "dagster/row_count": len(done.looks),
            "broken": dg.MetadataValue.md("\n".join(f"- {look.told}" for look in done.looks if look.beyond) or "none"),
            "not known": sum(look.reason is not None for look in done.looks),
            "days": listed(done.days),
        },
    )


@dg.multi_asset(name="alerting", specs=[ALERTS, INCIDENTS], retry_policy=RETRIES, pool="lake")
def alerting(place: Place) -> Iterator[dg.MaterializeResult]:
    """Look at every mature window with every rule that is not off; write what became of alerts and incidents."""
    with place.stage("alerts"):
        catalog = place.catalog()
        done = evaluate(place.lake(), catalog, now=place.now())
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
            "days": listed(done.incident_days),
        },
    )


@dg.multi_asset(specs=[CAUSES], retry_policy=RETRIES, pool="warehouse")
def incident_causes(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult:
    """Look for the causes of new incidents; then people are told, whether causes could be looked for or not."""
    settings, catalog, lake = place.settings(), place.catalog().whole(), place.lake()
    incidents, alerts = read_incidents(lake), read_alerts(lake)
    try:
        with place.warehouse("looking for causes"):
            done = attribute(settings.warehouse_file, lake, catalog, incidents, alerts, now=place.now())
    finally:
        now = place.now()
        condemned, said = condemned_deploys(lake, catalog, now=now), read_said(lake, now=now)
        told = tell(
            settings.outbox_file,
            catalog,
            incidents,
            alerts,
            read_causes(lake),
            now=now,
            condemned=condemned,
            said=said,
        )
        for error in told.errors:  # tried again later; what was found is on record whoever could be told
            context.log.warning(error)
    lines = [
        f"- {one.title}: {verdict([cause for cause in done.causes if cause.incident_id == one.incident_id]) or 'none'}"
        for one in incidents
        if one.state != "resolved"
    ]
    return dg.MaterializeResult(
        asset_key="incident_causes",
        metadata={
            "dagster/row_count": len(done.causes),
            "incidents looked at": done.looked_at,
            "open incidents": dg.MetadataValue.md("\n".join(lines) or "none"),
            "messages sent": told.sent,
            "messages that failed": told.failed,
            "days": listed(done.days),
        },
    )


@dg.asset(
    group_name="alerts",
    owners=["team:evaluation"],
    kinds={"html", "markdown"},
    deps=["incident_causes", "metric_points", "detrended_metrics"],
    retry_policy=RETRIES,
    pool="lake",
)
def incident_pages(place: Place) -> dg.MaterializeResult:
    """A page an incident with its series, causes and timeline, and the draft of its post-mortem."""
    with place.stage("incident_pages"):
        written = write_incidents(place.settings(), place.lake(), place.catalog().whole(), now=place.now())
    newest = written[-1] if written else None
    return dg.MaterializeResult(
        metadata={
            "pages written": len(written),
            "latest": dg.MetadataValue.md(newest.markdown if newest is not None else "none"),
            "page": dg.MetadataValue.path(str(newest.page)) if newest is not None else "none",
            "post-mortem": dg.MetadataValue.path(str(newest.post_mortem)) if newest is not None else "none",
        }
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
    selection=dg.AssetSelection.assets("alerts", "incidents", "incident_causes", "incident_pages"),
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
    assets=[deploy_looks, alerting, incident_causes, incident_pages],
    asset_checks=[
        contract_checks("check_deploy_looks", ["deploy_looks"]),
        contract_checks("check_alerts", ["alerts", "incidents"]),
        contract_checks("check_causes", ["incident_causes"]),
        alerts_add_up,
    ],
    jobs=[watch_rules],
    schedules=[windows_mature],
)
