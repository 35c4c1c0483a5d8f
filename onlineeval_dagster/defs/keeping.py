"""What was erased, in the lineage: ingest asks it, `onlineeval erase` and the night write it. And the night's work."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg

from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.quality import contract_checks
from onlineeval_dagster.defs.tables import table_spec
from onlineeval_dagster.keeping.erasure import resume, unfinished
from onlineeval_dagster.keeping.quiet import keeping
from onlineeval_dagster.keeping.retention import apply

# No run makes it: a request does.
TOMBSTONES = table_spec("tombstones", group="keeping")

# A month of ticks each five minutes is 9,000: a first night must not take till morning.
RUNS_A_NIGHT = 2_000
_FINISHED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dg.asset_check(
    asset="tombstones",
    name="erasures_finished",
    description="No request for an erasure is left half done: the night, or the next `onlineeval erase`, resumes it.",
)
def erasures_finished(place: Place) -> dg.AssetCheckResult:
    """Warn of requests that were not worked to their end, by name and age; never by the id they are about."""
    open_ = {request.name: request.before.isoformat() for request in unfinished(place.settings())}
    return dg.AssetCheckResult(
        passed=not open_,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"{len(open_)} erasures are not finished; run: onlineeval erase, or wait for the night"
        if open_
        else "every erasure that was asked for is done",
        metadata={"unfinished": dg.MetadataValue.json(open_)},
    )


def forget_runs(instance: dg.DagsterInstance, details: Path, *, before: datetime, limit: int = RUNS_A_NIGHT) -> int:
    """Delete Dagster's memory of up to `limit` runs that ended before `before`, oldest first, and what dbt said in
    them (`details`); returns how many runs.
    """
    old = dg.RunsFilter(statuses=_FINISHED, updated_before=before)
    runs = instance.get_run_records(filters=old, limit=limit, order_by="update_timestamp", ascending=True)
    for record in runs:
        instance.delete_run(record.dagster_run.run_id)
    for file in details.glob("*.log"):
        if file.stat().st_mtime < before.timestamp():
            file.unlink(missing_ok=True)
    return len(runs)


def forget_ticks(instance: dg.DagsterInstance, *, before: datetime) -> int:
    """Delete the ticks of every sensor and schedule from before `before`; returns how many of these were asked."""
    states = instance.all_instigator_state()
    for state in states:
        instance.purge_ticks(state.instigator_origin_id, state.selector_id, before.timestamp())
    return len(states)


def _erasures(place: Place, _: dg.DagsterInstance) -> Iterator[str]:
    for done in resume(place.settings(), now=place.now()):
        yield f"erasure {done.name} finished: {sum(done.rows.values())} rows, {done.lines} lines of the log"


def _retention(place: Place, _: dg.DagsterInstance) -> Iterator[str]:
    for each in apply(place.settings(), place.lake(), place.catalog().retention, now=place.now()):
        yield f"{each.what}: {each.count} {each.goes} from before {each.before} went"


def _merging(place: Place, _: dg.DagsterInstance) -> Iterator[str]:
    lake = place.lake()
    # An erasure counts on it that no file is merged or removed while it looks.
    with keeping(place.settings(), "tidying"):
        for table in TABLES:
            merged, removed = lake.compact(table), lake.vacuum(table)
            if merged or removed:
                yield f"{table}: {merged} days merged, {removed} files removed"


def _runs(place: Place, instance: dg.DagsterInstance) -> Iterator[str]:
    days = place.catalog().retention.of("runs").days
    if days is not None:
        before = place.now() - timedelta(days=days)
        if count := forget_runs(instance, place.settings().home / "runs", before=before):
            yield f"{count} runs that ended more than {days} days ago forgotten"
        forget_ticks(instance, before=before)


NIGHT: Mapping[str, Callable[[Place, dg.DagsterInstance], Iterator[str]]] = {
    "erasures": _erasures,
    "retention": _retention,
    "lake": _merging,
    "runs": _runs,
}
"""What the night does, in this order; each tells its lines."""

defs = dg.Definitions(
    assets=[TOMBSTONES], asset_checks=[contract_checks("check_tombstones", ["tombstones"]), erasures_finished]
)
