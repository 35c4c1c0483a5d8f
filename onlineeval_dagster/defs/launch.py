"""Run jobs in this process against the home's own Dagster instance, so that the UI shows them."""

import contextlib
import os
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from onlineeval_dagster.settings import Settings, child_environment

INSTANCE_YAML = """\
telemetry: {enabled: false}
nux: {enabled: false}
concurrency:
  pools: {default_limit: 1, granularity: run}
  runs: {max_concurrent_runs: 4}
run_monitoring:
  enabled: true
  free_slots_after_run_end_seconds: 60
run_coordinator:
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
  config: {dequeue_interval_seconds: 1}
retention:
  schedule: {purge_after_days: 30}
  sensor: {purge_after_days: {skipped: 7, failure: 30, success: 30}}
"""


# The name is the one in the checkout's workspace.yaml: with two names, sensors would begin anew.
WORKSPACE_YAML = """\
load_from:
  - python_module:
      module_name: onlineeval_dagster.definitions
      location_name: onlineeval_dagster
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended; `failures` has a line a failed step, its error's own words.

    details  what dbt said
    """

    run_id: str
    success: bool
    failures: tuple[str, ...]
    details: Path


Tell = Callable[[str, str], None]
"""Told of each step: its name, and `started`, `done` or `failed`."""


def instance_folder(settings: Settings) -> Path:
    """DAGSTER_HOME of this home, with telemetry off."""
    folder = settings.dagster_home
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "dagster.yaml"
    if not config.exists():
        config.write_text(INSTANCE_YAML)
    return folder


def run_job(
    settings: Settings,
    job: dg.JobDefinition,
    *,
    tell: Tell,
    partition: str | None = None,
    tags: Mapping[str, str] | None = None,
) -> RunOutcome:
    """Run `job` to its end in this process, telling of its steps as they go."""
    run_id = str(uuid.uuid4())
    details = settings.home / "runs" / f"{run_id}.log"
    details.parent.mkdir(parents=True, exist_ok=True)
    with dg.DagsterInstance.from_config(str(instance_folder(settings))) as instance:
        stop = threading.Event()
        watcher = threading.Thread(target=_watch, args=(instance, run_id, tell, stop), daemon=True)
        watcher.start()
        # dbt tells all it does on stdout; here a line a step is enough, and the rest is kept.
        with details.open("w") as kept, contextlib.redirect_stdout(kept), _stopped(stop, watcher):
            result = job.execute_in_process(
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                instance=instance,
                partition_key=partition,
                raise_on_error=False,
                run_id=run_id,
                tags=dict(tags or {}),
            )
        return RunOutcome(run_id=run_id, success=result.success, failures=tuple(_failures(result)), details=details)


@contextlib.contextmanager
def _stopped(stop: threading.Event, watcher: threading.Thread) -> Iterator[None]:
    """End the watcher with the block, after its last look."""
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def _failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """The last error of each step that failed, in the words of its first cause."""
    last: dict[str, str] = {}
    failed = []
    for event in result.all_events:
        if event.event_type == dg.DagsterEventType.STEP_UP_FOR_RETRY:
            last[event.step_key or ""] = _root(event.step_retry_data.error)
        if event.is_step_failure:
            failed.append(event.step_key or "")
            own = _root(event.step_failure_data.error)
            last[failed[-1]] = last.get(failed[-1], own) if own.startswith("Exceeded max_retries") else own
    return [f"{step}: {last[step]}" for step in failed]


def _root(error: SerializableErrorInfo | None) -> str:
    if error is None:
        return "failed"
    while error.cause is not None:
        error = error.cause
    return error.message.strip().split(": ", 1)[-1]


_STATES = {
    dg.DagsterEventType.STEP_START: "started",
    dg.DagsterEventType.STEP_SUCCESS: "done",
    dg.DagsterEventType.STEP_FAILURE: "failed",
}


def _watch(instance: dg.DagsterInstance, run_id: str, tell: Tell, stop: threading.Event) -> None:
    told: set[tuple[str, str]] = set()
    while True:
        last_look = stop.wait(0.3)
        for record in instance.all_logs(run_id, of_type=set(_STATES)):
            event = record.dagster_event
            if event and event.step_key and (event.step_key, event.event_type_value) not in told:
                told.add((event.step_key, event.event_type_value))
                tell(event.step_key, _STATES[event.event_type])
        if last_look:
            return


def leaked_slots(settings: Settings, *, free: bool) -> list[str]:
    """Runs that have ended but still hold a slot of a pool, as a kill leaves them; `free` gives the slots back."""
    leaked = []
    with dg.DagsterInstance.from_config(str(instance_folder(settings))) as instance:
        storage = instance.event_log_storage
        if not storage.supports_global_concurrency_limits:
            return []
        for key in sorted(storage.get_concurrency_keys()):
            info = storage.get_concurrency_info(key)
            for run_id in sorted(info.active_run_ids | info.pending_run_ids):
                run = instance.get_run_by_id(run_id)
                if run is None or run.is_finished:
                    leaked.append(f"{key} by run {run_id[:8]}")
                    if free:
                        storage.free_concurrency_slots_for_run(run_id)
    return leaked


def serve_ui(settings: Settings, *, port: int) -> None:
    """Dagster's UI and daemon over this home. This process becomes `dagster dev`."""
    folder = instance_folder(settings)
    workspace = folder / "workspace.yaml"
    workspace.write_text(WORKSPACE_YAML)
    environment = child_environment(settings, DAGSTER_HOME=str(folder))
    arguments = ["dagster", "dev", "-w", str(workspace), "-p", str(port)]
    os.execvpe(sys.executable, [sys.executable, "-m", *arguments], environment)
