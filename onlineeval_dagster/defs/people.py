"""Answers whose right score is known, and how well each person labels."""

import dagster as dg

from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.quality import contract_checks
from onlineeval_dagster.defs.tables import RETRIES, table_spec
from onlineeval_dagster.review.gold import freeze_gold
from onlineeval_dagster.review.people import GOLD_LEAST, off_gold, read_quality, write_quality
from onlineeval_dagster.review.people_shown import quality_markdown

GOLD = table_spec("gold_answers", group="review", deps=["responses", "labels"])
QUALITY = table_spec("reviewer_quality", group="review", deps=["labels", "gold_answers"])


@dg.multi_asset(specs=[GOLD], retry_policy=RETRIES, pool="lake")
def gold_answers(place: Place) -> dg.MaterializeResult:
    """Keep what became gold: items of the catalog, and answers of the audit on which people agree."""
    with place.stage("gold"):
        added = freeze_gold(place.lake(), place.catalog(), now=place.now())
    return dg.MaterializeResult(asset_key="gold_answers", metadata={"added": added})


@dg.multi_asset(specs=[QUALITY], retry_policy=RETRIES, pool="lake")
def reviewer_quality(place: Place) -> dg.MaterializeResult:
    """Measure each person's labels of the last 90 days against the others' and against gold."""
    with place.stage("people"):
        found = write_quality(place.lake(), now=place.now())
    return dg.MaterializeResult(
        asset_key="reviewer_quality",
        metadata={"dagster/row_count": len(found), "people": dg.MetadataValue.md(quality_markdown(found))},
    )


@dg.asset_check(
    asset="reviewer_quality",
    name="reviewers_know_gold",
    description=f"Nobody's likely range on gold answers lies below {GOLD_LEAST:.0%} right.",
)
def reviewers_know_gold(place: Place) -> dg.AssetCheckResult:
    """Warn, naming who gets gold answers wrong: the anchors are read otherwise, or not at all."""
    wrong = off_gold(read_quality(place.lake()))
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{row.reviewer} on {row.axis}" for row in wrong) or "everybody does",
        metadata={
            f"{row.reviewer} ({row.axis})": f"{row.gold_right:.0%} of {row.gold}, likely at most {row.gold_high:.0%}"
            for row in wrong
        },
    )


measure = dg.define_asset_job(
    "measure_people",
    selection=dg.AssetSelection.assets("reviewer_quality"),
    description="Measure each person's labels against the others' and against gold answers.",
    executor_def=dg.in_process_executor,
)
daily = dg.ScheduleDefinition(
    name="people_measured",
    job=measure,
    cron_schedule="0 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

defs = dg.Definitions(
    assets=[gold_answers, reviewer_quality],
    asset_checks=[
        contract_checks("check_gold", ["gold_answers"]),
        contract_checks("check_people", ["reviewer_quality"]),
        reviewers_know_gold,
    ],
    jobs=[measure],
    schedules=[daily],
)
