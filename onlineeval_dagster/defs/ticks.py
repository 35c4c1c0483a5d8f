"""When things run: the tick over everything, sensors on the log and on deploys, the nightly full check, the report."""

import json
from datetime import timedelta

import dagster as dg

from onlineeval_dagster.catalog.alert_file import Alerts
from onlineeval_dagster.defs.keeping import NIGHT
from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.tables import FULL
from onlineeval_dagster.errors import OnlineEvalError
from onlineeval_dagster.lake.scan import first_rows, rows
from onlineeval_dagster.lake.waiting import waiting_key
from onlineeval_dagster.progress import waiting

REPORTS = dg.AssetSelection.groups("reports")
# Other systems are asked every quarter of an hour by a job of their own, not whenever something is in the log.
# What signals are worth, what people would say, what a judge's version changes and what it obeys are measured once a
# day: that reads 28 days or more.
EVERYTHING = (
    dg.AssetSelection.all()
    - REPORTS
    - dg.AssetSelection.assets("imports")
    - dg.AssetSelection.assets("signal_validity", "quality_weights", "corrected_points", "judge_comparisons")
    - dg.AssetSelection.assets("judged_days")
    - dg.AssetSelection.assets("judge_trials", "judge_reliability", "judge_drift", "reviewer_quality")
    - dg.AssetSelection.assets("promotion_evidence")
    - dg.AssetSelection.assets("experiment_results")
    - dg.AssetSelection.assets("reviewer_agreement", "judge_agreement", "judge_calibration")
)

tick = dg.define_asset_job(
    "tick",
    selection=EVERYTHING,
    description="Pull what is ready in the log through signals, sampling, judges and dbt to estimates.",
    executor_def=dg.in_process_executor,
)
# What is measured once a day brings its own checks along; at night all are looked at once more.
full_tick = dg.define_asset_job(
    "full_tick",
    selection=EVERYTHING | dg.AssetSelection.all_asset_checks(),
    description="A tick with the checks of all tables, which read every day.",
    tags={FULL: "true"},
    executor_def=dg.in_process_executor,
)
report = dg.define_asset_job(
    "report",
    selection=REPORTS,
    description="The daily report of one day.",
    executor_def=dg.in_process_executor,
)


@dg.op(pool="lake")
def tidy(context: dg.OpExecutionContext, place: Place) -> None:
    """Finish erasures, let go what is older than retention.toml allows, merge and clean the lake, forget old runs.

    One that fails keeps none of the others from being done; the op fails at the end.
    """
    failed = []
    for name, work in NIGHT.items():
        try:
            for line in work(place, context.instance):
                context.log.info(line)
        except OnlineEvalError as error:
            failed.append(f"{name}: {error}")
    if failed:
        raise dg.Failure("\n".join(failed))


@dg.job(
    description="Finish erasures, apply retention, compact the lake's days, remove what no version needs.",
    executor_def=dg.in_process_executor,
)
def tidy_lake() -> None:
    tidy()


@dg.sensor(job=tick, minimum_interval_seconds=15, default_status=dg.DefaultSensorStatus.RUNNING)
def sealed_segments(context: dg.SensorEvaluationContext, place: Place) -> dg.SensorResult | dg.SkipReason:
    """Start a tick when the log holds something that is not in the lake yet."""
    key = waiting_key(place.settings(), now=place.now())
    if key is None:
        return dg.SkipReason("nothing new in the log")
    if key == context.cursor:
        return dg.SkipReason("the run for this content has been requested")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=key)], cursor=key)


LOOKS = {"5m": timedelta(minutes=5), "1h": timedelta(hours=1), "24h": timedelta(hours=24)}


def looks_after(alerts: Alerts) -> dict[str, timedelta]:
    """When what follows a deploy is evaluated, by name; the looks of its watch among them, once they can be made."""
    waits = {rule.wait_minutes for rule in alerts.after_deploys.values()}
    watched = {
        f"watch {minutes}+{wait:g}": timedelta(minutes=minutes + wait)
        for minutes in alerts.deploy_watch.looks
        for wait in waits
    }
    return LOOKS | watched


@dg.sensor(job=tick, minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def deploys_seen(context: dg.SensorEvaluationContext, place: Place) -> dg.SensorResult | dg.SkipReason:
    """Evaluate what follows a deploy: 5 minutes, an hour and a day after it, and whenever a look of its watch can be
    made. One run for all that is due."""
    now, lake, looks = place.now(), place.lake(), looks_after(place.catalog().alerts)
    recent = {day for day in lake.days("deploys") if day >= now.date() - timedelta(days=2)}
    deploys = rows(lake, first_rows("deploys"), {"deploys": recent}).to_pylist()
    due = sorted(
        f"{deploy['deploy_id']}:{look}"
        for deploy in deploys
        for look, age in looks.items()
        if now >= deploy["occurred_at"] + age
    )
    fresh = sorted(set(due) - set(json.loads(context.cursor or "[]")))
    if not fresh:
        return dg.SkipReason("no deploy is due for a look")
    request = dg.RunRequest(run_key="deploys " + " ".join(fresh), tags={"onlineeval/deploys": " ".join(fresh)})
    return dg.SensorResult(run_requests=[request], cursor=json.dumps(due))


@dg.schedule(job=tick, cron_schedule="*/5 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def every_five_minutes(context: dg.ScheduleEvaluationContext, place: Place) -> dg.RunRequest | dg.SkipReason:
    """Catches what no sensor sees: verdicts that failed, a catalog that changed, a run that was killed."""
    work = waiting(place.settings(), place.catalog(), now=place.now())
    if not work:
        return dg.SkipReason("everything is up to date")
    return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())


nightly = dg.ScheduleDefinition(
    name="nightly",
    job=full_tick,
    cron_schedule="30 2 * * *",
    description="A tick whose checks read every day.",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
tidying = dg.ScheduleDefinition(
    name="tidying", job=tidy_lake, cron_schedule="0 3 * * *", default_status=dg.DefaultScheduleStatus.RUNNING
)


@dg.schedule(job=report, cron_schedule="0 5 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def every_morning(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """The report of the day that just ended (UTC)."""
    day = (context.scheduled_execution_time - timedelta(days=1)).date().isoformat()
    return dg.RunRequest(run_key=f"report:{day}", partition_key=day)


defs = dg.Definitions(
    jobs=[tick, full_tick, report, tidy_lake],
    sensors=[sealed_segments, deploys_seen],
    schedules=[every_five_minutes, nightly, tidying, every_morning],
)
