"""Versions of judges: the new beside the old on the same answers, compared once a day."""

import dagster as dg

from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.quality import contract_checks
from onlineeval_dagster.defs.tables import RETRIES, table_spec
from onlineeval_dagster.review.versions import write_comparisons
from onlineeval_dagster.review.versions_shown import markdown

COMPARISONS = table_spec("judge_comparisons", group="judges", deps=["verdicts", "responses", "judge_reliability"])


@dg.multi_asset(specs=[COMPARISONS], retry_policy=RETRIES, pool="lake")
def judge_comparisons(place: Place) -> dg.MaterializeResult:
    """Compare each live judge's version with every other that judged the same answers of 90 days."""
    with place.stage("comparisons"):
        found = write_comparisons(place.lake(), place.catalog(), now=place.now())
    return dg.MaterializeResult(
        asset_key="judge_comparisons",
        metadata={
            "dagster/row_count": len(found),
            "with a shift": sum(one.row.shift is not None for one in found),
            "old → new": dg.MetadataValue.md(markdown(found)),
        },
    )


compare = dg.define_asset_job(
    "compare_judges",
    selection=dg.AssetSelection.assets("judge_comparisons"),
    description="Compare versions of judges on the answers of 90 days that both judged.",
    executor_def=dg.in_process_executor,
)
daily = dg.ScheduleDefinition(
    name="judges_compared",
    job=compare,
    cron_schedule="45 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

defs = dg.Definitions(
    assets=[judge_comparisons],
    asset_checks=[contract_checks("check_comparisons", ["judge_comparisons"])],
    jobs=[compare],
    schedules=[daily],
)
