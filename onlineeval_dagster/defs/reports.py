"""The daily report: a page and its Markdown; the asset's metadata shows it without any user's words."""

from datetime import date

import dagster as dg

from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.tables import DAYS, RETRIES
from onlineeval_dagster.reports.stage import write_daily_report


@dg.asset(
    group_name="reports",
    owners=["team:evaluation"],
    kinds={"html", "markdown"},
    deps=[
        *("metric_points", "deploy_effects", "corrected_points", "daily_coverage", "judge_coverage", "arrivals"),
        *("incidents", "incident_causes"),
    ],
    partitions_def=DAYS,
    retry_policy=RETRIES,
    pool="warehouse",
)
def daily_report(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult:
    """How good the answers were on a day, what changed, the worst of them, and what to do next."""
    settings = place.settings()
    with place.warehouse("reporting"):
        written = write_daily_report(
            settings,
            place.lake(),
            place.catalog().whole(),
            day=date.fromisoformat(context.partition_key),
            now=place.now(),
        )
    return dg.MaterializeResult(
        metadata={
            "in one sentence": written.sentence,
            "report": dg.MetadataValue.md(written.unquoted),
            "page": dg.MetadataValue.path(str(written.html)),
        }
    )


defs = dg.Definitions(assets=[daily_report])
