"""What is known of the judges themselves: trials on items with a known answer, and how far each can be relied on."""

import dagster as dg

from onlineeval_dagster.defs.place import Place, told_plainly
from onlineeval_dagster.defs.quality import contract_checks
from onlineeval_dagster.defs.tables import RETRIES, table_spec
from onlineeval_dagster.errors import JudgeError
from onlineeval_dagster.judges.canaries import canaries_for
from onlineeval_dagster.judges.client import endpoint_of
from onlineeval_dagster.judges.gold_trials import gold_set, is_due
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.judges.status_shown import reliability_told
from onlineeval_dagster.judges.trials import latest_reliability, try_judges
from onlineeval_dagster.privacy.policy import load_privacy
from onlineeval_dagster.review.drift import drift_told, drifted, markdown, write_drift
from onlineeval_dagster.review.gold import gold_texts
from onlineeval_dagster.review.reliability import MOST_OBEYED, obedient, write_reliability

TRIALS = table_spec("judge_trials", group="judges", deps=["gold_answers", "responses"])
DRIFT = table_spec("judge_drift", group="judges", deps=["judge_trials", "judge_reliability"])
RELIABILITY = table_spec("judge_reliability", group="judges", deps=["judge_trials", "verdicts", "responses"])


@dg.multi_asset(specs=[TRIALS], retry_policy=RETRIES, pool="judges")
def judge_trials(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult:
    """Put the day's injection canaries to every judge that may be asked, and the gold set to those it is due for."""
    settings, catalog = place.settings(), place.catalog()
    refused, summaries, lake = None, [], place.lake()
    redact, texts = load_privacy(settings, catalog).clean_text, gold_texts(lake, catalog)
    gold = [(judge, gold_set(judge, texts, redact=redact)) for judge in catalog.asked_judges]
    with place.stage("judges"), JudgeState(settings.judge_state_file) as state:
        try:
            for asked in (
                [(judge, canaries_for(judge)) for judge in catalog.asked_judges],
                [(judge, known) for judge, known in gold if is_due(lake, judge, known, now=place.now())],
            ):
                endpoint = endpoint_of(settings, now=place.now)
                summaries += try_judges(lake, asked, endpoint=endpoint, now=place.now, state=state)
        except JudgeError as error:
            refused = error
            context.log.error(str(error))
    return dg.MaterializeResult(
        asset_key="judge_trials",
        metadata={
            "dagster/row_count": sum(one.done + one.failed for one in summaries),
            "cost, $": sum(one.cost_usd for one in summaries),
            "judges": "\n".join(f"{s.judge}: {s.done} done, {s.failed} failed, {s.shed} shed" for s in summaries),
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


@dg.multi_asset(specs=[DRIFT], retry_policy=RETRIES, pool="lake")
def judge_drift(place: Place) -> dg.MaterializeResult:
    """Put each judge's latest scores of the gold set beside its first."""
    with place.stage("drift"):
        found = write_drift(place.lake(), place.catalog(), now=place.now())
    return dg.MaterializeResult(
        asset_key="judge_drift",
        metadata={"dagster/row_count": len(found), "judges": dg.MetadataValue.md(markdown(found))},
    )


@dg.asset_check(
    asset="judge_drift",
    name="judges_hold_still",
    description="No judge says something else of the frozen gold set than it did at first, beyond its noise.",
)
def judges_hold_still(place: Place) -> dg.AssetCheckResult:
    """Fail where one moved: its numbers before and after are no longer of one reviewer, whatever its version says."""
    found = drifted(place.lake())
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.ERROR,
        description="\n".join(map(drift_told, found)) or None,
        metadata={row.judge: drift_told(row) for row in found},
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
    selection=dg.AssetSelection.assets("judge_trials", "judge_reliability", "judge_drift"),
    description="Injection canaries, the gold set every week, and how far each judge can be relied on.",
    executor_def=dg.in_process_executor,
)
daily = dg.ScheduleDefinition(
    name="judges_tried",
    job=try_them,
    cron_schedule="45 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

defs = dg.Definitions(
    assets=[judge_trials, judge_reliability, judge_drift],
    asset_checks=[
        contract_checks("check_trials", ["judge_trials", "judge_reliability", "judge_drift"]),
        judges_resist_orders,
        judges_hold_still,
    ],
    jobs=[try_them],
    schedules=[daily],
)
