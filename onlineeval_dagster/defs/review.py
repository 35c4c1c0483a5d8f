"""What people are asked to look at, and AI reviewers corrected by what they say."""

import dagster as dg

from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.quality import contract_checks
from onlineeval_dagster.defs.tables import RETRIES, backfill_days, listed, table_spec, tell_days
from onlineeval_dagster.privacy.policy import load_privacy
from onlineeval_dagster.review.published import publish
from onlineeval_dagster.review.stage import correct_points
from onlineeval_dagster.review.tasks import plan_tasks, undrawn_labels

POINTS = table_spec("corrected_points", group="review", deps=["response_facts", "labels"], by_day=True)

TASKS = table_spec(
    "review_tasks",
    group="review",
    deps=["responses", "selections", "signals", "verdicts", "labels", "gold_answers"],
)


@dg.multi_asset(specs=[TASKS], retry_policy=RETRIES, pool="lake")
def review_tasks(place: Place) -> dg.MaterializeResult:
    """Ask people about what the audit drew and what looks wrong, and publish the open tasks for the review pages."""
    settings, lake, catalog, now = place.settings(), place.lake(), place.catalog(), place.now()
    with place.stage("review"):
        planned = plan_tasks(lake, catalog, now=now)
        redact = load_privacy(settings, catalog).clean_text
        published = publish(settings.review_tasks_file, lake, catalog, now=now, redact=redact)
    return dg.MaterializeResult(
        asset_key="review_tasks",
        metadata={
            "dagster/row_count": planned.audit + planned.targeted,
            "audit": planned.audit,
            "targeted": planned.targeted,
            "open": published.open,
            "days": listed(planned.days),
        },
    )


@dg.asset_check(
    asset="review_tasks",
    name="audit_is_drawn",
    description="Every label that says it is of the audit is of an answer that the audit drew.",
)
def audit_is_drawn(place: Place) -> dg.AssetCheckResult:
    """Warn where labels with a stated chance, of the last 28 days, are of answers that had none: they would mislead."""
    found = undrawn_labels(place.lake(), now=place.now())
    return dg.AssetCheckResult(
        passed=found.undrawn == 0,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"labels of the audit": found.audit, "of answers it did not draw": found.undrawn},
    )


@dg.multi_asset(specs=[POINTS], retry_policy=RETRIES, backfill_policy=dg.BackfillPolicy.single_run(), pool="warehouse")
def corrected_points(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult:
    """Correct judges by the labels of 28 days, on the days built or labelled since, or those of a backfill."""
    with place.warehouse("correcting"):
        done = correct_points(
            place.settings().warehouse_file,
            place.lake(),
            place.catalog().whole(),
            days=backfill_days(context),
        )
    tell_days(context, "corrected_points", done.days)
    return dg.MaterializeResult(
        asset_key="corrected_points",
        metadata={"dagster/row_count": done.points, "with a number": done.answered, "days": listed(done.days)},
    )


correct = dg.define_asset_job(
    "correct",
    selection=dg.AssetSelection.assets("corrected_points"),
    description="Correct the AI reviewers' numbers by what people said in the last 28 days.",
    executor_def=dg.in_process_executor,
)
every_night = dg.ScheduleDefinition(
    name="corrected",
    job=correct,
    cron_schedule="30 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

defs = dg.Definitions(
    assets=[review_tasks, corrected_points],
    asset_checks=[
        contract_checks("check_tasks", ["review_tasks"]),
        audit_is_drawn,
        contract_checks("check_corrected", ["corrected_points"]),
    ],
    jobs=[correct],
    schedules=[every_night],
)
