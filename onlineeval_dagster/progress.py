"""What a run would find to do, in words. Empty when every table is up to date."""

from datetime import datetime

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.errors import QueueError
from onlineeval_dagster.judges.canaries import canaries_for
from onlineeval_dagster.judges.stage import pending_work
from onlineeval_dagster.judges.trials import due_trials
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.drained import messages_behind
from onlineeval_dagster.lake.waiting import waiting_bytes
from onlineeval_dagster.metrics.detrended import touched_by_points
from onlineeval_dagster.quality.coverage import uncounted
from onlineeval_dagster.sampling.select import something_to_decide
from onlineeval_dagster.settings import Settings
from onlineeval_dagster.signals.stage import touched_days
from onlineeval_dagster.traces.stage import traces_due
from onlineeval_dagster.warehouse.duckdb import built_since, plan_build, warehouse_held


def waiting(settings: Settings, catalog: Catalog, *, now: datetime) -> list[str]:
    """One line a stage that has something to do, in the order in which a run does it."""
    lake = Lake(settings.lake_folder)
    lines = []
    if settings.queue and (told := _in_the_queue(settings, lake, settings.queue)):
        lines.append(told)
    if size := waiting_bytes(settings, now=now):
        lines.append(f"{size:,} bytes of the log to take in")
    if count := traces_due(lake, catalog, now=now):
        lines.append(f"{count:,} traces, or days with spans, to look at")
    if days := touched_days(lake, catalog, now=now)[0]:
        lines.append(f"signals of {len(days)} days to derive")
    if something_to_decide(lake, catalog, now=now):
        lines.append("responses to select from")
    if count := len(pending_work(lake, catalog).work):
        lines.append(f"{count:,} responses to judge")
    if days := uncounted(lake).days:
        lines.append(f"coverage of {len(days)} days to count")
    if catalog.broken:  # nothing is built before the files are mended: asking again and again would not help
        return lines
    with warehouse_held(
        settings.warehouse_file, wait_seconds=settings.warehouse_wait_seconds, purpose="looking for work"
    ):
        build = plan_build(settings.warehouse_file, lake, catalog)
        if build is not None:
            lines.append(f"{len(build.days)} days to build")
        for table in ("metric_points", "deploy_effects", "minute_counts", "rolling_points"):
            if built_since(settings.warehouse_file, lake.read_through(table, "warehouse"))[1]:
                lines.append(f"{table.replace('_', ' ')} to estimate")
    # Asked where nothing is to be built: what is to be estimated anew is to be detrended anew, as one knows.
    if not lines and (days := touched_by_points(lake)[0]):
        lines.append(f"metrics of {len(days)} days to detrend")
    return lines


def trials_due(settings: Settings, catalog: Catalog, *, now: datetime) -> bool:
    """Whether a judge has injection canaries to answer today."""
    lake = Lake(settings.lake_folder)
    return any(due_trials(lake, judge, canaries_for(judge), now=now) for judge in catalog.asked_judges)


def _in_the_queue(settings: Settings, lake: Lake, url: str) -> str | None:
    try:
        count = messages_behind(settings, lake, url)
    except QueueError as error:
        return f"a queue that cannot be asked: {error}"
    return f"{count:,} messages of the queue to drain" if count else None
