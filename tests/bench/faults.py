"""kill -9 of product, collector and ingest at random points while all three work: nothing acknowledged may be lost.

    product    a process whose threads call `track_response`; it tells us through a pipe what was acknowledged
    collector  `onlineeval serve`; we post batches, and post one again until it is answered
    ingest     a process that takes in whatever is ready, again and again; killed within its first batch or after one or
               two, else a slow machine would only ever see its first

Each is killed and started again so many times, at points drawn with a seed, all at once over one home. At the end what
is left in the log is taken in, and the lake is asked for every acknowledged id: there exactly once, and no line lost.
"""

import http.client
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import pyarrow as pa

from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.scan import first_rows, rows
from onlineeval_dagster.quality.closing import Closing, close
from onlineeval_dagster.quality.coverage import count_coverage
from onlineeval_dagster.settings import Settings, child_environment, load_settings
from tests.bench.measured import Measured

KILLS = 50
_WRITERS = ("product", "collector")
VICTIMS = (*_WRITERS, "ingest")
_ROOT = Path(__file__).parents[2]
_LIFE_SECONDS = (0.02, 1.0)
_START_SECONDS = 60
_BATCH = 20
_PAUSE_SECONDS = 0.005
_MOST_BATCHES, _BATCH_SECONDS = 2, 30

_PRODUCT = """
import itertools, os, sys, threading, time
from pathlib import Path
from onlineeval_dagster.collector.client import Client
from onlineeval_dagster.collector.local_log import LocalLog

client = Client(transport=LocalLog(Path(sys.argv[1]), rotate_bytes=200_000))
def work(thread):
    for number in itertools.count():
        name = f"product-{sys.argv[2]}-{thread}-{number}"
        if client.track_response(response_id=name, query="Where is it?", response="On its way. " * 90):
            os.write(1, f"{name}\\n".encode())  # one write below 4 KB goes through a pipe whole or not at all
        time.sleep(0.002)
threads = [threading.Thread(target=work, args=(each,)) for each in range(4)]
print("ready", flush=True)
for thread in threads:
    thread.start()
"""
_INGEST = """
import time
from datetime import UTC, datetime
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.settings import load_settings

settings = load_settings()
print("ready", flush=True)
while True:
    if ingest(settings, Lake(settings.lake_folder), now=datetime.now(UTC)).lines:
        print("a batch", flush=True)
    time.sleep(0.02)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an attack.

    acknowledged  ids, by who acknowledged them; missing, doubled: of these, in the lake without duplicates
    lines         rows of responses in the lake; `repeated` of them stand twice for one place in the log
    batches       of the ingest, with the last one that nobody killed
    """

    acknowledged: dict[str, int]
    missing: list[str]
    doubled: list[str]
    lines: int
    repeated: int
    batches: int
    closing: Closing


def faults(scratch: Path, kills: int = KILLS) -> list[Measured]:
    """kill -9 of product, collector and ingest, 50 times each under load: acknowledged events that are not there."""
    shutil.rmtree(scratch / "faults", ignore_errors=True)
    started = time.perf_counter()
    found = attack(scratch / "faults", dict.fromkeys(VICTIMS, kills), seed=1)
    took = f"{kills} kills each in {time.perf_counter() - started:,.0f} s, {found.batches} batches"
    sums = "; ".join(f"{count:,} by the {name}" for name, count in found.acknowledged.items())
    return [
        Measured(name="acknowledged events lost", value=len(found.missing), unit="events", at_most=0, note=took),
        Measured(name="acknowledged events twice", value=len(found.doubled), unit="events", at_most=0, note=sums),
        Measured(name="lines taken in twice", value=found.repeated, unit="lines", at_most=0),
        Measured(
            name="hours and sources that do not close",
            value=len(found.closing.failures),
            unit="",
            at_most=0,
            note=str(found.closing),
        ),
    ]


def attack(home: Path, kills: dict[str, int], *, seed: int) -> Outcome:
    """Kill each victim so often, at points that `seed` draws, over one new home; then see what is in the lake."""
    settings = load_settings(home=home, rotate_seconds=0.3, rotate_bytes=200_000)
    settings.log_folder.mkdir(parents=True)
    scene = _Scene(settings)
    with ThreadPoolExecutor(len(VICTIMS) + 1) as threads:
        sender = threads.submit(scene.send)
        ends = [
            threads.submit(scene.kill_often, victim, count, random.Random(f"{seed} {victim}"))
            for victim, count in kills.items()
        ]
        try:
            for end in ends:
                end.result()
        finally:
            scene.over.set()
        sender.result()
    lake = Lake(settings.lake_folder)
    ingest(settings, lake, now=datetime.now(UTC))
    count_coverage(lake, full=True)
    return _asked(lake, scene.acknowledged, close(settings, lake))


class _Scene:
    """One home, those who work on it, and what they acknowledged."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.acknowledged: dict[str, list[str]] = {"product": [], "collector": []}
        self.over = threading.Event()
        self.ended: set[str] = set()
        self._port: int | None = None

    def kill_often(self, victim: str, kills: int, rng: random.Random) -> None:
        for number in range(kills):
            batches = rng.randint(0, _MOST_BATCHES) if victim == "ingest" else 0
            self._live_and_die(victim, number, rng.uniform(*_LIFE_SECONDS), batches)
        self.ended.add(victim)

    def _live_and_die(self, victim: str, number: int, seconds: float, batches: int) -> None:
        """Start it, let it take in so many batches where there are as many, and live for some seconds more."""
        process = subprocess.Popen(
            self._command(victim, number),
            cwd=_ROOT,
            env=child_environment(
                self.settings,
                ONLINEEVAL_ROTATE_SECONDS=str(self.settings.rotate_seconds),
                ONLINEEVAL_ROTATE_BYTES=str(self.settings.rotate_bytes),
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None and process.stderr is not None
        stop = threading.Timer(_START_SECONDS, process.kill)  # one that never says it is ready
        stop.start()
        try:
            first = process.stdout.readline()
            if not first:
                raise RuntimeError(f"{victim} did not start: {process.stderr.read()[-2000:]}")
            stop.cancel()
            if victim == "collector":
                self._port = urlsplit(first.split()[1].rstrip(",")).port
            taken = threading.Semaphore(0)
            listener = threading.Thread(target=self._listen, args=(victim, process.stdout, taken))
            listener.start()
            for _ in range(batches):
                self._until_taken(taken)
            time.sleep(seconds)
            if process.poll() is not None:
                raise RuntimeError(f"{victim} ended by itself: {process.stderr.read()[-2000:]}")
            process.kill()
            listener.join()
        finally:
            stop.cancel()
            process.kill()
            process.wait()
            process.stdout.close()
            process.stderr.close()

    def _until_taken(self, taken: threading.Semaphore) -> None:
        """Wait for a batch, as long as somebody writes."""
        end = time.monotonic() + _BATCH_SECONDS
        while not taken.acquire(timeout=0.1) and time.monotonic() < end and not self.ended.issuperset(_WRITERS):
            pass

    def _command(self, victim: str, number: int) -> list[str]:
        return [sys.executable] + {
            "product": ["-c", _PRODUCT, str(self.settings.log_folder), str(number)],
            "collector": ["-m", "onlineeval_dagster.cli", "serve", "--port", "0"],
            "ingest": ["-c", _INGEST],
        }[victim]

    def _listen(self, victim: str, said: Iterable[str], taken: threading.Semaphore) -> None:
        """Until the process is dead: what it says was acknowledged. A pipe keeps what was written into it."""
        for line in said:
            if victim == "product":
                self.acknowledged["product"].append(line.strip())
            elif victim == "ingest":
                taken.release()

    def send(self) -> None:
        """Post batches to the collector as it is now; one that got no answer again, to the next one too."""
        number = 0
        while not self.over.is_set():
            names = [f"collector-{number}-{each}" for each in range(_BATCH)]
            body = _batch(names, datetime.now(UTC))
            while not self.over.is_set():
                if self._port is not None and _is_taken(self._port, body):
                    self.acknowledged["collector"] += names
                    break
                time.sleep(0.01)
            number += 1
            time.sleep(_PAUSE_SECONDS)


def _batch(names: list[str], occurred_at: datetime) -> bytes:
    """A request of responses with these ids."""
    said = {"kind": "response", "occurred_at": occurred_at, "query": "Where is it?", "response": "On its way. " * 90}
    return orjson.dumps([said | {"event_id": name, "response_id": name} for name in names])


def _is_taken(port: int, body: bytes) -> bool:
    """Whether the collector acknowledged a batch. Raises RuntimeError where it refuses one of its events."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("POST", "/v1/events", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    if answer.status in (429, 503, 507):
        return False
    if answer.status >= 300 or orjson.loads(said)["accepted"] != _BATCH:
        raise RuntimeError(f"the collector refused a good batch: {answer.status} {said[:500]!r}")
    return True


def _asked(lake: Lake, acknowledged: dict[str, list[str]], closing: Closing) -> Outcome:
    """Ask the lake for every acknowledged id."""
    names = [name for of_victim in acknowledged.values() for name in of_victim]
    told = pa.table({"response_id": pa.array(names, pa.string())})
    counted = rows(
        lake,
        f"select told.response_id, count(kept.response_id) as times from told left join ({first_rows('responses')}) "
        "as kept using (response_id) group by all having times <> 1",
        {"responses": None},
        told=told,
    ).to_pylist()
    places = "select count(*) as lines, count(distinct (log_segment, log_offset)) as places from responses"
    (stood,) = rows(lake, places, {"responses": None}).to_pylist()
    batches = "select count(distinct batch) as batches from ingested_parts"
    (done,) = rows(lake, batches, {"ingested_parts": None}).to_pylist()
    return Outcome(
        acknowledged={name: len(of_victim) for name, of_victim in acknowledged.items()},
        missing=[row["response_id"] for row in counted if row["times"] == 0],
        doubled=[row["response_id"] for row in counted if row["times"] > 1],
        lines=stood["lines"],
        repeated=stood["lines"] - stood["places"],
        batches=done["batches"],
        closing=closing,
    )
