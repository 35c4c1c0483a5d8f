"""The product's own `tick` job, in this process, at a time the benchmark sets; and how long each step of it took."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import Action, Response
from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.settings import Settings

BUILDING = ("warehouse", "deploy_effects", "metric_points", "rolling_points", "minute_counts")
"""The steps that build the warehouse anew and estimate from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """Seconds of each step; `dbt_start` is what dbt took to start and to stop (Python, project, adapters)."""

    steps: Mapping[str, float]
    dbt_start: float

    @property
    def seconds(self) -> float:
        """All steps, dbt's start apart."""
        return sum(self.steps.values()) - self.dbt_start


def run_tick(settings: Settings, *, now: datetime) -> Tick:
    """Run the tick over `settings.home` as if it were `now`. Raises RuntimeError with the steps' own messages."""
    from onlineeval_dagster.defs.launch import run_job

    outcome = run_job(settings, _job(settings, now), tell=lambda *_: None)
    if not outcome.success:
        raise RuntimeError("; ".join(outcome.failures))
    steps = step_seconds(settings, outcome.run_id)
    results = json.loads((settings.home / "dbt" / "run" / "run_results.json").read_text())
    return Tick(steps=steps, dbt_start=max(steps["warehouse"] - results["elapsed_time"], 0))


def _job(settings: Settings, now: datetime) -> Any:
    """The rooms' definitions around a place whose clock stands."""
    # They read the environment when they are imported: dbt's manifest is parsed below this home.
    os.environ["ONLINEEVAL_HOME"] = str(settings.home)
    import dagster as dg

    from onlineeval_dagster.defs import (
        coverage,
        ingest,
        judges,
        metrics,
        quality,
        reports,
        sampling,
        signals,
        ticks,
        warehouse,
    )
    from onlineeval_dagster.defs.place import Place

    class PlaceThen(Place):
        def now(self) -> datetime:
            return now

    rooms = [ingest, signals, sampling, judges, coverage, metrics, reports, quality, ticks]
    place = dg.Definitions(resources={"place": PlaceThen(home=str(settings.home))}, executor=dg.in_process_executor)
    return dg.Definitions.merge(*[room.defs for room in rooms], warehouse.build_defs(), place).resolve_job_def("tick")


def step_seconds(settings: Settings, run_id: str | None = None) -> dict[str, float]:
    """Seconds of each step of a run, the latest by default, in the order they ended."""
    import dagster as dg

    kinds = {dg.DagsterEventType.STEP_START, dg.DagsterEventType.STEP_SUCCESS}
    begun: dict[str, float] = {}
    took: dict[str, float] = {}
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        run_id = run_id or next(run.run_id for run in instance.get_runs() if run.job_name == "tick")
        for record in instance.all_logs(run_id, of_type=kinds):
            event = record.dagster_event
            if event is None or event.step_key is None:
                continue
            if event.event_type == dg.DagsterEventType.STEP_START:
                begun[event.step_key] = record.timestamp
            else:
                took[event.step_key] = record.timestamp - begun[event.step_key]
    return took


def write_events(settings: Settings, *, number: int, until: datetime, late_for: Sequence[str]) -> int:
    """Log 700 answers of the last half hour, 270 actions on them, and an action on each of `late_for`, which are 30
    answers of the day before: `number` tells one call's ids from another's. Returns how many events.
    """
    query, answer = "Where is the parcel of my last order?", "Your parcel is on its way. " * 40
    events: list[LogEvent] = []
    for i in range(700):
        at = until - timedelta(seconds=1800 - 2 * i)
        identity = f"tick-{number}-{i:04d}"
        who = {"user_id": f"user-{i * 37}", "session_id": f"s-{number}-{i}", "app": "shop"}
        served = {"prompt_version": "p1", "variant": "a", "model": "model-1", "latency_ms": 900.0 + i, "cost_usd": 1e-4}
        when = {"occurred_at": at, "received_at": at}
        events.append(
            Response(event_id=identity, response_id=identity, query=query, response=answer, **who, **served, **when)
        )
        if i < 270:
            events.append(Action(event_id=f"{identity}-a", response_id=identity, action="copy", **who, **when))
    for identity in late_for:
        name = f"{identity}-late-{number}"
        events.append(
            Action(event_id=name, response_id=identity, action="thumbs_up", occurred_at=until, received_at=until)
        )
    with open_log(settings, door="test") as log:
        log.append(b"".join(encode(event) for event in events))
    return len(events)
