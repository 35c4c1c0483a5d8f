"""Every Monday: what the weeks of the experiments said, and a page of each."""

from datetime import date, timedelta

import dagster as dg

from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.quality import contract_checks
from onlineeval_dagster.defs.tables import RETRIES, listed, table_spec
from onlineeval_dagster.experiments.portfolio import portfolio
from onlineeval_dagster.experiments.stage import Weeks, analyse_weeks, newest_primaries, week_ends
from onlineeval_dagster.reports.experiment import build_page
from onlineeval_dagster.reports.experiment_beside import read_beside
from onlineeval_dagster.reports.experiment_shown import page_html, page_markdown
from onlineeval_dagster.reports.portfolio import portfolio_page

WEEKS = dg.WeeklyPartitionsDefinition(start_date="2023-01-02", day_offset=1)
"""By the Monday on which the week begins."""
RESULTS = table_spec(
    "experiment_results", group="experiments", deps=["response_facts", "exposures"]
).replace_attributes(partitions_def=WEEKS)


@dg.multi_asset(specs=[RESULTS], retry_policy=RETRIES, backfill_policy=dg.BackfillPolicy.single_run(), pool="warehouse")
def experiment_results(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult:
    """Analyse the weeks of a backfill, or the last two that ended; write a page of each experiment and week."""
    ends = (
        [date.fromisoformat(key) + timedelta(weeks=1) for key in context.partition_keys]
        if context.has_partition_key or context.has_partition_key_range
        else week_ends(place.now())
    )
    with place.warehouse("analysing experiments"):
        done = analyse_weeks(place.settings().warehouse_file, place.lake(), place.catalog(), ends=ends)
    pages = write_pages(place, done)
    return dg.MaterializeResult(
        asset_key="experiment_results",
        metadata={
            "dagster/row_count": len(done.rows),
            "weeks ended": listed(done.ends),
            "all experiments": dg.MetadataValue.md(write_portfolio(place)),
            "report": dg.MetadataValue.md("\n\n".join(pages) or "No experiment ran in these weeks."),
        },
    )


def write_pages(place: Place, done: Weeks) -> list[str]:
    """A page per experiment and week below reports/experiments; returns their Markdown."""
    catalog, folder = place.catalog(), place.settings().report_folder / "experiments"
    told = []
    for name, end in sorted({(row.experiment, row.as_of.date()) for row in done.rows}):
        rows = [row for row in done.rows if (row.experiment, row.as_of.date()) == (name, end)]
        path = done.paths[name, end]
        experiment = catalog.experiments.experiments[name]
        beside = read_beside(place.lake(), catalog, name, experiment, end=end)
        page = build_page(name, experiment, catalog.metrics.metrics, rows, path=path, beside=beside)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}-{end}.html").write_text(page_html(page), encoding="utf-8")
        (folder / f"{name}-{end}.md").write_text(page_markdown(page), encoding="utf-8")
        told.append(page_markdown(page))
    return told


def write_portfolio(place: Place) -> str:
    """The page over all experiments, reports/experiments/index; returns its Markdown."""
    catalog, folder = place.catalog(), place.settings().report_folder / "experiments"
    told = portfolio(catalog.experiments.experiments, newest_primaries(place.lake()))
    page = portfolio_page(told, catalog.metrics.metrics)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "index.html").write_text(page_html(page), encoding="utf-8")
    (folder / "index.md").write_text(page_markdown(page), encoding="utf-8")
    return page_markdown(page)


analyse_experiments = dg.define_asset_job(
    "analyse_experiments",
    selection=dg.AssetSelection.assets("experiment_results"),
    description="What the week that ended said of each experiment.",
    executor_def=dg.in_process_executor,
)


@dg.schedule(
    job=analyse_experiments, cron_schedule="0 6 * * 1", default_status=dg.DefaultScheduleStatus.RUNNING, name="mondays"
)
def every_monday(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """The week that ended on Sunday (UTC)."""
    begin = (context.scheduled_execution_time.date() - timedelta(weeks=1)).isoformat()
    return dg.RunRequest(run_key=f"experiments:{begin}", partition_key=begin)


defs = dg.Definitions(
    assets=[experiment_results],
    asset_checks=[contract_checks("check_experiments", ["experiment_results"])],
    jobs=[analyse_experiments],
    schedules=[every_monday],
)
