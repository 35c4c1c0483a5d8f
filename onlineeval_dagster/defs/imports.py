"""Configured sources (sources.toml) into the log, every fifteen minutes."""

import dagster as dg

from onlineeval_dagster.catalog.load import load_sources
from onlineeval_dagster.contracts.rows import Pull
from onlineeval_dagster.defs.place import Place, told_plainly
from onlineeval_dagster.defs.tables import table_spec
from onlineeval_dagster.lake.pulls import record_pulls
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.sources.incremental import pull_all

SPEC = table_spec("imports", group="sources")


@dg.multi_asset(specs=[SPEC], pool="sources")
def imports(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult:
    """Pull every configured source into the log. One that fails is a row and a warning; the others are pulled."""
    settings = place.settings()
    with told_plainly():
        pulls = list(pull_all(settings, load_sources(settings.catalog), now=place.now()))
        record_pulls(place.lake(), pulls)
    for pull in pulls:
        context.log.info(f"{pull.source}: {pull.events} events, {pull.bad} bad rows; {pull.error or 'no error'}")
    return dg.MaterializeResult(
        asset_key="imports",
        metadata={
            "dagster/row_count": len(pulls),
            "events": sum(pull.events for pull in pulls),
            "bad rows": sum(pull.bad for pull in pulls),
            "sources": dg.MetadataValue.md(_listed(pulls)),
        },
    )


def _listed(pulls: list[Pull]) -> str:
    if not pulls:
        return "none is configured in sources.toml"
    head = "| source | dialect | events | bad | from | to | error |\n|---|---|---|---|---|---|---|\n"
    return head + "\n".join("| " + " | ".join(_cells(pull)) + " |" for pull in pulls)


def _cells(pull: Pull) -> list[str]:
    found = [pull.source, pull.dialect, pull.events, pull.bad, pull.cursor_from, pull.cursor_to, pull.error]
    return ["" if one is None else str(one).replace("|", "\\|").replace("\n", " ") for one in found]


@dg.asset_check(
    asset="imports",
    name="every_source_answers",
    description="The last pull of each configured source ended without an error.",
)
def every_source_answers(place: Place) -> dg.AssetCheckResult:
    """Warn, naming the sources whose last pull failed."""
    configured = load_sources(place.settings().catalog)
    sql = (
        "select source, arg_max(coalesce(error, ''), started_at) as error from imports group by source order by source"
    )
    last = rows(place.lake(), sql, {"imports": None}).to_pylist()
    failing = {row["source"]: row["error"] for row in last if row["error"] and row["source"] in configured}
    return dg.AssetCheckResult(
        passed=not failing,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{', '.join(failing)} failed" if failing else f"{len(configured)} sources, none failed",
        metadata=dict(failing),
    )


pull_sources = dg.define_asset_job(
    "pull_sources",
    selection=dg.AssetSelection.assets("imports"),
    description="Read what is new in every configured source into the log; a tick then takes it from there.",
    executor_def=dg.in_process_executor,
)


@dg.schedule(job=pull_sources, cron_schedule="*/15 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def every_fifteen_minutes(context: dg.ScheduleEvaluationContext, place: Place) -> dg.RunRequest | dg.SkipReason:
    """Pull the configured sources, where there are some."""
    if not load_sources(place.settings().catalog):
        return dg.SkipReason("no source is configured in sources.toml")
    return dg.RunRequest(run_key=context.scheduled_execution_time.isoformat())


defs = dg.Definitions(
    assets=[imports],
    asset_checks=[every_source_answers],
    jobs=[pull_sources],
    schedules=[every_fifteen_minutes],
)
