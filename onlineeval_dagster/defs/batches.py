"""Batches at the Batch API: looked at every two minutes, taken in when they are over."""

import dagster as dg

from onlineeval_dagster.defs.place import Place, told_plainly
from onlineeval_dagster.errors import JudgeError
from onlineeval_dagster.judges.batching import collect_batches, poll_batches


@dg.op(pool="judges")
def take_in_batches(context: dg.OpExecutionContext, place: Place) -> None:
    """Take in what is over, find again what was sent before a kill. The next tick counts the verdicts."""
    with told_plainly():
        found = collect_batches(place.settings(), now=place.now())
    for one in found:
        context.log.info(f"{one.judge} {one.judge_version}, {one.batch_id}: {one.status} {one.reason or ''}")
    context.add_output_metadata(
        {
            "batches": len(found),
            "done": sum(one.done for one in found),
            "failed": sum(one.failed for one in found),
            "wait again": sum(one.missing for one in found),
            "cost, $": sum(one.cost_usd for one in found),
        }
    )


@dg.job(description="Take in the batches that are over.", executor_def=dg.in_process_executor)
def collect() -> None:
    take_in_batches()


@dg.sensor(job=collect, minimum_interval_seconds=120, default_status=dg.DefaultSensorStatus.RUNNING)
def batches_over(place: Place) -> dg.SensorResult | dg.SkipReason:
    """Ask for a run when a batch is over, or when one was sent whose id nobody noted. Without open batches: no call."""
    try:
        found = poll_batches(place.settings())
    except JudgeError as error:
        return dg.SkipReason(str(error))
    due = sorted(f"{seen.batch_id} {seen.status}" for _, seen in found if seen is not None and seen.is_over)
    unknown = sorted(intent.key for intent, seen in found if seen is None)
    if unknown:
        # Looked for again and again until a listing shows it, so this key may not stay the same.
        return dg.SensorResult(run_requests=[dg.RunRequest(run_key=None, tags={"onlineeval/batches": unknown[0]})])
    if not due:
        return dg.SkipReason(f"{len(found)} batches are under way" if found else "no batch is open")
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=" ".join(due))])


defs = dg.Definitions(jobs=[collect], sensors=[batches_over])
