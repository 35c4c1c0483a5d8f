"""What people's and judges' words are worth: agreement, biases, calibration, every night."""

import dagster as dg

from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.quality import contract_checks
from onlineeval_dagster.defs.tables import RETRIES, table_spec
from onlineeval_dagster.review.tasks import targeted_in_estimates
from onlineeval_dagster.review.worth import read_worth, write_worth
from onlineeval_dagster.review.worth_shown import (
    agreement_markdown,
    below_limit,
    bias_markdown,
    calibration_markdown,
    confusion_markdown,
    drifted,
    without_labels,
)

TABLES = ("reviewer_agreement", "judge_agreement", "judge_calibration")
SPECS = [
    table_spec("reviewer_agreement", group="review", deps=["responses", "labels"]),
    table_spec("judge_agreement", group="review", deps=["responses", "labels", "verdicts"]),
    table_spec("judge_calibration", group="review", deps=["responses", "labels", "verdicts"]),
]


@dg.multi_asset(specs=SPECS, retry_policy=RETRIES, pool="lake")
def judge_worth(place: Place):  # noqa: ANN201
    """Compare people with each other and each judge with people, on the audit of the last 28 days."""
    with place.stage("worth"):
        found = write_worth(place.lake(), place.catalog(), now=place.now())
    shown = {
        "reviewer_agreement": (found.reviewers, {"agreement": agreement_markdown([], found.reviewers)}),
        "judge_agreement": (
            found.judges,
            {
                "agreement": agreement_markdown(found.judges, found.reviewers),
                "biases": bias_markdown(found.judges),
                "confusion": confusion_markdown(found.judges),
            },
        ),
        "judge_calibration": (found.calibration, {"reliability": calibration_markdown(found.calibration)}),
    }
    for name, (rows, texts) in shown.items():
        metadata = {key: dg.MetadataValue.md(text) for key, text in texts.items()}
        yield dg.MaterializeResult(asset_key=name, metadata={"dagster/row_count": len(rows), **metadata})


def _warning(wrong: list[str], well: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=not wrong,
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(wrong) or well,
        metadata={line.partition(":")[0]: line for line in wrong},
    )


@dg.asset_check(
    asset="judge_agreement",
    name="judges_agree_with_people",
    description="No judge in force surely agrees less with people (kappa) than promotion.toml asks of a new one.",
)
def judges_agree_with_people(place: Place) -> dg.AssetCheckResult:
    """Warn, naming the judges whose likely range lies below the limit."""
    found, catalog = read_worth(place.lake()), place.catalog()
    wrong = below_limit(found.judges, found.reviewers, catalog.live_judges, promotion=catalog.promotion)
    return _warning(wrong, "none is below the limit")


@dg.asset_check(
    asset="judge_calibration",
    name="enough_audit_labels",
    description="Each active judge has audit labels on answers of 30 users in 28 days: else it stays uncorrected.",
)
def enough_audit_labels(place: Place) -> dg.AssetCheckResult:
    """Warn, naming the judges that cannot be corrected."""
    return _warning(without_labels(read_worth(place.lake()).judges, place.catalog().live_judges), "each has")


@dg.asset_check(
    asset="judge_calibration",
    name="worth_is_steady",
    description="What a judge's score is worth has not surely changed in the last week: days borrow it from 28 days.",
)
def worth_is_steady(place: Place) -> dg.AssetCheckResult:
    """Warn, naming the judges whose borrowed correction no longer fits."""
    return _warning(drifted(read_worth(place.lake()).judges), "none has changed")


@dg.asset_check(
    asset="corrected_points",
    name="only_the_audit",
    description="No label that corrects a judge is of an answer that people were asked about because it looked wrong.",
)
def only_the_audit(place: Place) -> dg.AssetCheckResult:
    """Fail where labels of targeted answers of the last 28 days claim to be of the audit."""
    leaked = targeted_in_estimates(place.lake(), now=place.now())
    return dg.AssetCheckResult(passed=leaked == 0, metadata={"labels of targeted answers in estimates": leaked})


measure = dg.define_asset_job(
    "measure_judges",
    selection=dg.AssetSelection.assets(*TABLES),
    description="Compare people with each other and each judge with people, on the audit of the last 28 days.",
    executor_def=dg.in_process_executor,
)
daily = dg.ScheduleDefinition(
    name="judges_measured",
    job=measure,
    cron_schedule="20 4 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)

defs = dg.Definitions(
    assets=[judge_worth],
    asset_checks=[
        contract_checks("check_worth", list(TABLES)),
        judges_agree_with_people,
        enough_audit_labels,
        worth_is_steady,
        only_the_audit,
    ],
    jobs=[measure],
    schedules=[daily],
)
