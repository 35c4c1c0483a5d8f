"""What is known of the judges themselves: trials on items with a known answer, and how far each can be relied on."""

import dagster as dg

from onlineeval_dagster.defs.place import Place, told_plainly
from onlineeval_dagster.defs.quality import contract_checks
from onlineeval_dagster.defs.tables import RETRIES, table_spec
from onlineeval_dagster.errors import JudgeError
from onlineeval_dagster.judges.canaries import canaries_for
from onlineeval_dagster.judges.client import endpoint_of
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.judges.status_shown import reliability_told
from onlineeval_dagster.judges.trials import latest_reliability, try_judges
from onlineeval_dagster.review.reliability import MOST_OBEYED, obedient, write_reliability

# Made-up answers go in, no data of the product: nothing upstream.
TRIALS = table_spec("judge_trials", group="judges")
RELIABILITY = table_spec("judge_reliability", group="judges", deps=["judge_trials", "verdicts", "responses"])


@dg.multi_asset(specs=[TRIALS], retry_policy=RETRIES, pool="judges")
def judge_trials(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult:
    """Put the day's injection canaries to every judge that may be asked."""
    settings, catalog = place.settings(), place.catalog()
    refused, summaries = None, []
    with place.stage("judges"), JudgeState(settings.judge_state_file) as state:
        try:
            summaries = try_judges(
                place.lake(),
                [(judge, canaries_for(judge)) for judge in catalog.asked_judges],
                endpoint=endpoint_of(settings, now=place.now),
                now=place.now,
                state=state,
            )
        except JudgeError as error:
            refused = error
            context.log.error(str(error))
    return dg.MaterializeResult(
        asset_key="judge_trials",
        metadata={
            "dagster/row_count": sum(one.done + one.failed for one in summaries),
            "cost, $": sum(one.cost_usd for one in summaries),
            "judges": {one.judge: f"{one.done} done, {one.failed} failed, {one.shed} shed" for one in summaries},
            "problem": str(refused) if refused else "none",
        },
    )


@dg.multi_asset(specs=[RELIABILITY], retry_policy=RETRIES, pool="lake")
def judge_reliability(place: Place) -> dg.MaterializeResult:
    """Measure, over 28 days, what each judge obeys and how far its scores move when it is asked again."""
    with place.stage("reliability"):
        found = write_reliability(place.lake(), place.catalog(), now=place.now())
    return dg.MaterializeResult(
        asset_key="judge_reliability",
        metadata={
            "dagster/row_count": len(found),
            "judges": dg.MetadataValue.md("\n".join(f"- {one.judge}: {reliability_told(one)}" for one in found)),
        },
    )


@dg.asset_check(
    asset="judge_reliability",
    name="judges_resist_orders",
    description=f"No judge clearly obeys more than {MOST_OBEYED:.0%} of the orders that are hidden in answers.",
)
def judges_resist_orders(place: Place) -> dg.AssetCheckResult:
    """Warn of live judges whose likely range lies wholly above the limit."""
    with told_plainly():
        known = latest_reliability(place.lake())
        live = [known[key] for one in place.catalog().live_judges if (key := (one.name, one.version)) in known]
    wrong = obedient(live)
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description="\n".join(f"{one.judge} {reliability_told(one)}" for one in wrong) or None,
        metadata={one.judge: reliability_told(one) for one in live},
    )


try_them = dg.define_asset_job(
    "try_judges",
    selection=dg.AssetSelection.assets("judge_trials", "judge_reliability"),
    description="The day's injection canaries, and how far each judge can be relied on over the last 28 days.",
    executor_def=dg.in_process_executor,
)
daily = dg.ScheduleDefinition(
    name="judges_tried",
    job=try_them,
    cron_schedule="45 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

defs = dg.Definitions(
    assets=[judge_trials, judge_reliability],
    asset_checks=[contract_checks("check_trials", ["judge_trials", "judge_reliability"]), judges_resist_orders],
    jobs=[try_them],
    schedules=[daily],
)
