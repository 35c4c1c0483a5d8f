"""kill -9 in the middle, run again: no verdict twice, and nothing paid twice beyond the calls in flight."""

import subprocess
import sys
import time
from pathlib import Path

from tests.fake_endpoint import FakeEndpoint, completion, serving

ITEMS, CONCURRENCY, KILLS = 150, 8, 3
ROOT = Path(__file__).parents[2]
WORKER = """
import os, sys
from datetime import UTC, datetime
from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.judges.client import Endpoint
from onlineeval_dagster.judges.runner import judge_all
from onlineeval_dagster.judges.work import WorkItem

base_url, journal, count, concurrency = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
judge = Judge(name="tone", axis="tone", prompt="{response}", scale={1: "rude", 3: "kind"}, good_from=3, model="m",
              max_in_flight=concurrency)
file = os.open(journal, os.O_RDWR | os.O_CREAT | os.O_APPEND)
judged = {line.split()[0] for line in os.pread(file, 10**7, 0).decode().splitlines()}
names = (f"r{number}" for number in range(count) if f"r{number}" not in judged)
at = datetime(2026, 11, 23, tzinfo=UTC)
work = (WorkItem(response_id=name, response_at=at, query="q", response=name) for name in names)

def record(verdicts):
    os.write(file, "".join(f"{verdict.response_id} {verdict.event_id}\\n" for verdict in verdicts).encode())

judge_all([(judge, work)], endpoint=lambda judge: Endpoint(base_url=base_url, api_key="k"),
          record=record, now=lambda: at)
"""


def start(fake: FakeEndpoint, journal: Path, items: int = ITEMS) -> subprocess.Popen[bytes]:
    arguments = [fake.base_url, str(journal), str(items), str(CONCURRENCY)]
    return subprocess.Popen([sys.executable, "-c", WORKER, *arguments], cwd=ROOT)


def killed_after(calls: int, fake: FakeEndpoint, journal: Path, items: int = ITEMS) -> None:
    process, deadline = start(fake, journal, items), time.monotonic() + 60
    while len(fake.calls) < calls and time.monotonic() < deadline:
        time.sleep(0.002)
    process.kill()
    assert process.wait(10) == -9, "it must have been killed at work"


def test_a_killed_run_that_is_repeated_pays_only_for_the_calls_in_flight(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with serving(lambda number, body: completion('{"score": 3}', delay_s=0.02)) as fake:
        for kill in range(KILLS):
            killed_after((kill + 1) * ITEMS // (KILLS + 1), fake, journal)
        assert start(fake, journal).wait(60) == 0
    lines = journal.read_text().splitlines()
    assert len(lines) == ITEMS
    assert len(set(lines)) == ITEMS
    assert ITEMS <= len(fake.calls) <= ITEMS + KILLS * CONCURRENCY
