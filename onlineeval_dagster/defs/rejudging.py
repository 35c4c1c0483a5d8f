"""Which days each judge version has judged; the past judged again by a backfill, or by a new version in the catalog."""

import hashlib
from collections.abc import Collection
from datetime import date

import dagster as dg

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.defs.place import Place, told_plainly
from onlineeval_dagster.defs.tables import DAYS, RETRIES
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.judges.backfill import LOOK_BACK_ANSWERS, LOOK_BACK_DAYS, Plan, judge_to_ask, new_versions
from onlineeval_dagster.judges.looking_back import LookedBack, look_back, plan_now
from onlineeval_dagster.judges.stage import judged_days as days_judged

VERSIONS = dg.DynamicPartitionsDefinition(name="judge_versions")
BY_DAY_AND_VERSION = dg.MultiPartitionsDefinition({"day": DAYS, "judge_version": VERSIONS})
MOST_A_DAY = 100_000
"""Answers of one partition at the most; money usually ends it before."""

SPEC = dg.AssetSpec(
    key="judged_days",
    description="Which days each judge version has judged, told by every run that writes verdicts. A backfill of it "
    "judges the stored answers of its days again that another version judged, newest first, within the budget.",
    group_name="judges",
    owners=["team:evaluation"],
    kinds={"delta", "parquet"},
    deps=["responses", "verdicts"],
    partitions_def=BY_DAY_AND_VERSION,
)


def tell_judged(
    context: dg.OpExecutionContext | dg.AssetExecutionContext, place: Place, days: Collection[date]
) -> None:
    """Report the days with scores of each version as partitions of `judged_days`, new versions among them."""
    found = days_judged(place.lake(), place.catalog(), days)
    known = set(context.instance.get_dynamic_partitions(str(VERSIONS.name)))
    if new := sorted({version for version, _ in found} - known):
        context.instance.add_dynamic_partitions(str(VERSIONS.name), new)
    for version, day in found:
        key = dg.MultiPartitionKey({"day": day.isoformat(), "judge_version": version})
        context.log_event(dg.AssetMaterialization(asset_key="judged_days", partition=key))


@dg.multi_asset(
    specs=[SPEC],
    retry_policy=RETRIES,
    backfill_policy=dg.BackfillPolicy.multi_run(max_partitions_per_run=1),
    pool="judges",
)
def judged_days(context: dg.AssetExecutionContext, place: Place) -> dg.MaterializeResult:
    """Judge the answers of one day again by one version: those that another version judged and this one has not."""
    key = context.partition_key
    assert isinstance(key, dg.MultiPartitionKey)
    day, version = date.fromisoformat(key.keys_by_dimension["day"]), key.keys_by_dimension["judge_version"]
    with told_plainly():
        judge = _in_the_catalog(place, version)
        planned, done = _judge_again(context, place, judge, days=1, limit=MOST_A_DAY, on=day)
    return dg.MaterializeResult(asset_key="judged_days", metadata=_metadata(planned, done))


class Look(dg.Config):
    """Which version looks back, how far (days) and over how many answers at the most."""

    version: str
    days: int = LOOK_BACK_DAYS
    limit: int = LOOK_BACK_ANSWERS


@dg.op(pool="judges")
def look_back_once(context: dg.OpExecutionContext, place: Place, config: Look) -> None:
    """Judge stored answers again by a new version, newest first, within the budget."""
    with told_plainly():
        judge = _in_the_catalog(place, config.version)
        planned, done = _judge_again(context, place, judge, days=config.days, limit=config.limit, on=None)
    tell_judged(context, place, set(planned.work.column("day").to_pylist()))
    context.add_output_metadata(_metadata(planned, done))


@dg.job(
    name="look_back",
    description="A new judge version judges stored answers that another one judged: newest first, within the budget.",
    executor_def=dg.in_process_executor,
)
def look_back_job() -> None:
    look_back_once()


@dg.sensor(job=look_back_job, minimum_interval_seconds=120, default_status=dg.DefaultSensorStatus.RUNNING)
def new_judge_versions(context: dg.SensorEvaluationContext, place: Place) -> dg.SensorResult | dg.SkipReason:
    """Ask for a look back by each version that shares too few judged answers with others. New traffic needs no asking:
    sampling selects for every live judge. A remote judge without a confirmed budget, or without money today, waits.
    """
    settings, lake, catalog, now = place.settings(), place.lake(), place.catalog(), place.now()
    seen = f"{catalog.version} {lake.changes('verdicts', None).version} {now.date()}"
    if context.cursor == seen:
        return dg.SkipReason("no verdict and no version is new")
    requests, names = [], []
    for new in new_versions(lake, catalog, known=(), now=now):
        names.append(new.key)
        limit = LOOK_BACK_ANSWERS - new.judged
        planned = plan_now(settings, catalog, new.judge, days=LOOK_BACK_DAYS, limit=limit, now=now)
        if len(planned.work):
            config = {"ops": {"look_back_once": {"config": {"version": new.key, "limit": limit}}}}
            tags = {"onlineeval/judge_version": new.key, "onlineeval/expected_usd": f"{planned.usd:.4f}"}
            requests.append(dg.RunRequest(run_key=_run_key(new.key, planned), run_config=config, tags=tags))
    missing = sorted(set(names) - set(context.instance.get_dynamic_partitions(str(VERSIONS.name))))
    added = [VERSIONS.build_add_request(missing)] if missing else []
    return dg.SensorResult(run_requests=requests, dynamic_partitions_requests=added, cursor=seen)


def _run_key(version: str, planned: Plan) -> str:
    """From what would be judged: the same answers are asked for once."""
    ids = "|".join(planned.work.column("response_id").to_pylist())
    return f"{version} {hashlib.sha256(ids.encode()).hexdigest()[:16]}"


def _in_the_catalog(place: Place, version: str) -> Judge:
    name, _, wanted = version.rpartition(":")
    judge = judge_to_ask(place.catalog(), name)
    if judge.version != wanted:
        raise CatalogError(
            f"judges/{name}.md: its version is {judge.version}, not {wanted}; put that version's file back, or "
            f"choose {name}:{judge.version}"
        )
    return judge


def _judge_again(
    context: dg.OpExecutionContext | dg.AssetExecutionContext,
    place: Place,
    judge: Judge,
    *,
    days: int,
    limit: int,
    on: date | None,
) -> tuple[Plan, LookedBack]:
    """What was planned, told before anybody is asked, and what was done."""
    settings, catalog = place.settings(), place.catalog()
    planned = plan_now(settings, catalog, judge, days=days, limit=limit, now=place.now(), on=on)
    context.log.info(f"{judge.name} {judge.version}: {len(planned.work):,} answers, expected ${planned.usd:.4f}")
    done = look_back(settings, catalog, judge, days=days, limit=limit, now=place.now, on=on)
    if done.stopped:
        context.log.warning(done.stopped)
    return planned, done


def _metadata(planned: Plan, done: LookedBack) -> dict[str, int | float | str]:
    return {
        "planned": len(planned.work),
        "expected, $": planned.usd,
        "done": done.done,
        "failed": done.failed,
        "cost, $": done.cost_usd,
        "judged by both": planned.judged + done.done,
        "stopped": done.stopped or "no",
    }


rejudge = dg.define_asset_job(
    "rejudge",
    selection=dg.AssetSelection.assets("judged_days"),
    description="One version judges the stored answers of one day again; what a backfill of `judged_days` runs.",
    executor_def=dg.in_process_executor,
)

defs = dg.Definitions(assets=[judged_days], jobs=[look_back_job, rejudge], sensors=[new_judge_versions])
