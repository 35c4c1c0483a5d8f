"""The typical user's world (14 days of 3,200 responses): a run with nothing new, and one with 1,000 new events."""

import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.settings import Settings, child_environment, load_settings
from onlineeval_dagster.warehouse.duckdb import built_since
from tests.bench.measured import Measured
from tests.bench.ticks import step_seconds, write_events

ROUNDS = 3


def nothing_new(scratch: Path) -> list[Measured]:
    """`onlineeval run` with everything up to date: seconds of the whole process, median of three; what it changed."""
    settings = _world(scratch)
    before = _versions(settings)
    seconds = sorted(_onlineeval(settings, "run") for _ in range(ROUNDS))[ROUNDS // 2]
    after = _versions(settings)
    changed = [name for name in before if before[name] != after[name]]
    return [
        Measured(name="run with nothing new", value=seconds, unit="s", at_most=6),
        Measured(
            name="tables it changed", value=len(changed), unit="tables", at_most=0, note=", ".join(changed) or "none"
        ),
    ]


def tick(scratch: Path) -> list[Measured]:
    """`onlineeval run` with 1,000 new events: seconds of the whole process, then each step of its run in Dagster."""
    settings = _world(scratch)
    now = datetime.now(UTC)
    late = [f"gone-{i}" for i in range(30)]
    count = write_events(settings, number=int(now.timestamp()), until=now, late_for=late)
    seconds = _onlineeval(settings, "run")
    steps = step_seconds(settings)
    return [
        Measured(name=f"tick of {count:,} events, whole process", value=seconds, unit="s", at_most=30),
        *[Measured(name=f"  step {name}", value=took, unit="s") for name, took in steps.items()],
    ]


def _world(scratch: Path) -> Settings:
    """The demo's world, up to date. Made once (a minute), then kept: a run brings it up to date with the code."""
    settings = load_settings(home=scratch / "demo")
    made = settings.home / "made"
    if not made.exists():
        shutil.rmtree(settings.home, ignore_errors=True)
        _onlineeval(settings, "demo")
        made.touch()
    _onlineeval(settings, "run")
    return settings


def _onlineeval(settings: Settings, *arguments: str) -> float:
    """Seconds of a command in a process of its own. Raises RuntimeError with what it said where it fails."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "onlineeval_dagster.cli", *arguments],
        env=child_environment(settings),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"onlineeval {' '.join(arguments)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return time.perf_counter() - started


def _versions(settings: Settings) -> dict[str, int]:
    lake = Lake(settings.lake_folder)
    return {name: lake.version(name) for name in TABLES} | {"warehouse": built_since(settings.warehouse_file, None)[0]}
