"""Evidence on shadow judges: may one take the active one's place?"""

import dagster as dg

from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.quality import contract_checks
from onlineeval_dagster.defs.tables import RETRIES, table_spec
from onlineeval_dagster.review.promoted import unbacked
from onlineeval_dagster.review.promotion import write_evidence
from onlineeval_dagster.review.promotion_shown import evidence_markdown, evidence_page

EVIDENCE = table_spec(
    "promotion_evidence", group="review", deps=["labels", "verdicts", "responses", "judge_reliability"]
)


@dg.multi_asset(specs=[EVIDENCE], retry_policy=RETRIES, pool="lake")
def promotion_evidence(place: Place) -> dg.MaterializeResult:
    """Put every shadow judge beside the active one, on the audit's answers of the last 90 days."""
    with place.stage("promotion"):
        found = write_evidence(place.lake(), place.catalog(), now=place.now())
        page = place.settings().report_folder / "promotion.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(evidence_page(found), encoding="utf-8")
    return dg.MaterializeResult(
        asset_key="promotion_evidence",
        metadata={
            "dagster/row_count": len(found),
            "ready": ", ".join(evidence.judge for evidence, _ in found if evidence.ready) or "none",
            "evidence": dg.MetadataValue.md(evidence_markdown(found)),
            "page": dg.MetadataValue.path(str(page)),
        },
    )


@dg.asset_check(
    asset="promotion_evidence",
    name="promotions_had_evidence",
    description="Every promotion of the last 90 days had evidence that was ready, or it is named here with its reason.",
)
def promotions_had_evidence(place: Place) -> dg.AssetCheckResult:
    """Warn of promotions that somebody overrode, so that they are looked at again."""
    found = unbacked(place.lake(), now=place.now())
    return dg.AssetCheckResult(
        passed=not found,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(f"{one.judge} {one.judge_version}" for one in found) or "every one had",
        metadata={f"{one.judge} {one.judge_version}": f"{one.promoted_at:%Y-%m-%d}: {one.reason}" for one in found},
    )


gather = dg.define_asset_job(
    "gather_evidence",
    selection=dg.AssetSelection.assets("promotion_evidence"),
    description="Put every shadow judge beside the active one, on answers that people labelled.",
    executor_def=dg.in_process_executor,
)
daily = dg.ScheduleDefinition(
    name="evidence_gathered",
    job=gather,
    cron_schedule="50 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

defs = dg.Definitions(
    assets=[promotion_evidence],
    asset_checks=[contract_checks("check_evidence", ["promotion_evidence"]), promotions_had_evidence],
    jobs=[gather],
    schedules=[daily],
)
