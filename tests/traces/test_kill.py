"""kill -9 at each step of ingest → assemble → ingest, and at random moments; run again: the same rows, none doubled."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from onlineeval_dagster.settings import Settings
from tests.pipeline import table
from tests.traces.test_stage import LLM, NOON, span, verdict_on
from tests.worlds import log_events, settings_at

ROOT = Path(__file__).parents[2]

# What the ingest asset does, in a child for each line of stdin: the imports are paid once, the death is a real one.
DRIVER = """
import json, os, signal, sys, time
from datetime import datetime
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.log.segments import encode
from onlineeval_dagster.log.writer import SegmentWriter
from onlineeval_dagster.settings import PACKAGED_CATALOG, load_settings
from onlineeval_dagster.traces.stage import assemble_settled

def run(home, place, now):
    def reached(step):
        if step == place:
            os.kill(os.getpid(), signal.SIGKILL)

    class Fragile(Lake):
        __slots__ = ()

        def replace_days(self, name, days, rows, **more):
            super().replace_days(name, days, rows, **more)
            reached(f"replaced {name}")

    def half(file, data):
        os.write(file, data[: len(data) // 2])
        os.kill(os.getpid(), signal.SIGKILL)

    settings, now = load_settings(home=home), datetime.fromisoformat(now)
    lake = Fragile(settings.lake_folder)
    ingest(settings, lake, now=now, checkpoint=reached)
    with SegmentWriter(settings.log_folder, door="traces", write=half if place == "torn" else os.write) as log:
        def record(events):
            if events:
                log.append(b"".join(encode(event) for event in events))
                reached("recorded")
        assemble_settled(lake, load_catalog(PACKAGED_CATALOG), now=now, record=record)
    ingest(settings, lake, now=now, checkpoint=lambda step: reached("again " + step))

for line in sys.stdin:
    home, place, now = json.loads(line)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run(home, place, now)
            code = 0
        finally:
            os._exit(code)
    if place.startswith("after "):
        time.sleep(float(place.removeprefix("after ")))
        os.kill(child, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

PLACES = [
    "planned",
    "sifted",
    "written",
    "committed spans",
    "done",
    "torn",
    "recorded",
    "replaced trace_states",
    "again planned",
    "again written",
    "again committed responses",
    "again committed verdicts",
    "again done",
]
BETWEEN = ["torn", "recorded", "replaced trace_states"]
Run = Callable[[Settings, str, datetime], int]


@contextmanager
def driver() -> Iterator[Run]:
    process = subprocess.Popen(
        [sys.executable, "-c", DRIVER],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": os.environ.get("HOME", "/")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None

    def run(settings: Settings, place: str, now: datetime) -> int:
        stdin.write(json.dumps([str(settings.home), place, now.isoformat()]) + "\n")
        stdin.flush()
        return int(stdout.readline())

    try:
        yield run
    finally:
        stdin.close()
        process.wait(30)


def arriving(number: int) -> list[Any]:
    """What comes in one round: whole traces, an evaluation, one without content, one without a root, and late parts
    of the round before."""
    at = NOON.replace(hour=23, minute=59, second=58) + timedelta(minutes=30 * number)
    trace, before = f"t{number}", f"t{number - 1}"
    person = {f"annotations.0.annotation.{name}": value for name, value in (("name", "tone"), ("score", 2.0))}
    person["annotations.0.annotation.annotator_kind"] = "HUMAN"
    found = [
        span(trace, "root", at=at, attributes=LLM | person),
        *(span(trace, f"i{n}", parent="root", at=at + timedelta(seconds=n), attributes=LLM) for n in range(4)),
        verdict_on(trace, at=at + timedelta(seconds=3)),
        *(span(f"more{number}-{n}", "root", at=at) for n in range(5)),
        span(f"http{number}", "root", at=at, attributes={"http.request.method": "GET"}),
        # Waits until the next round: its root never comes.
        span(f"orphan{number}", "inner", parent="gone", at=at, received_at=at + timedelta(minutes=25)),
    ]
    if number:
        late = {"at": at - timedelta(minutes=30), "received_at": at}
        found += [span(before, "late", parent="root", **late)]
        found += [span(f"http{number - 1}", "call", parent="root", **late)]
        found += [verdict_on(f"more{number - 1}-0", at=at)]
    return found


def rounds(folder: Path, count: int) -> list[tuple[Path, datetime]]:
    """The log of each round in a folder of its own, and when it is worked off."""
    made = []
    for number in range(count):
        settings = settings_at(folder / str(number))
        log_events(settings, arriving(number))
        made.append((settings.log_folder, NOON.replace(hour=23, minute=59) + timedelta(minutes=30 * number + 29)))
    return made


def bring(log: Path, settings: Settings) -> None:
    shutil.copytree(log, settings.log_folder, dirs_exist_ok=True)


def content(settings: Settings, name: str) -> list[str]:
    of_the_run = {"log_segment", "log_offset", "file_name"}
    told = [{key: value for key, value in row.items() if key not in of_the_run} for row in table(settings, name)]
    return sorted(json.dumps(row, sort_keys=True, default=str) for row in told)


TABLES = ("spans", "responses", "verdicts", "labels", "trace_states")


@pytest.mark.parametrize(
    "places", [BETWEEN, pytest.param(PLACES, marks=pytest.mark.slow)], ids=["between the steps", "at every place"]
)
def test_kills_and_repeats_leave_the_rows_of_a_run_that_nobody_killed(places: list[str], tmp_path: Path) -> None:
    whole, killed = settings_at(tmp_path / "whole"), settings_at(tmp_path / "killed")
    with driver() as run:
        for place, (log, now) in zip(places, rounds(tmp_path, len(places)), strict=True):
            for settings in (whole, killed):
                bring(log, settings)
            assert run(whole, "nowhere", now) == 0
            assert run(killed, place, now) == -signal.SIGKILL, f"{place} was not reached"
            assert run(killed, "nowhere", now) == 0
    same_rows(whole, killed, rounds_done=len(places))


@pytest.mark.slow
def test_kills_at_random_moments_leave_the_rows_of_a_run_that_nobody_killed(tmp_path: Path) -> None:
    whole, killed = settings_at(tmp_path / "whole"), settings_at(tmp_path / "killed")
    chance, count, deaths = random.Random(3), 12, 0
    with driver() as run:
        for log, now in rounds(tmp_path, count):
            for settings in (whole, killed):
                bring(log, settings)
            assert run(whole, "nowhere", now) == 0
            for _ in range(4):
                deaths += run(killed, f"after {chance.uniform(0.02, 0.9):.3f}", now) == -signal.SIGKILL
            assert run(killed, "nowhere", now) == 0
    assert deaths > count
    same_rows(whole, killed, rounds_done=count)


def same_rows(whole: Settings, killed: Settings, *, rounds_done: int) -> None:
    for name in TABLES:
        wanted, found = content(whole, name), content(killed, name)
        assert found == wanted, name
        assert len(set(found)) == len(found) >= rounds_done, name
    assert len(content(whole, "responses")) == 6 * rounds_done + 2 * (rounds_done - 1), "orphans and late calls too"
    assert len(content(whole, "verdicts")) == 2 * rounds_done - 1
