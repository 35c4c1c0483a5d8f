"""Signals at size: all detectors on one core, memory over a million answers, conversations against a bare sort.

BENCH_EVENTS makes the conversations smaller than 10,000,000 events, BENCH_ANSWERS the million.
"""

import itertools
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine, scan
from onlineeval_dagster.settings import PACKAGED_CATALOG, load_settings
from onlineeval_dagster.signals.detectors.interface import COLUMNS, Detector
from onlineeval_dagster.signals.detectors.registry import known_detectors
from onlineeval_dagster.signals.stage import derive_signals
from onlineeval_dagster.simulate.traffic import simulate
from tests.bench.history import write_past
from tests.bench.measured import Measured
from tests.bench.past import Past

EVENTS = int(os.environ.get("BENCH_EVENTS", 10_000_000))
ANSWERS = int(os.environ.get("BENCH_ANSWERS", 1_000_000))
UNTIL = datetime(2026, 11, 23, tzinfo=UTC)
SPEED_BAR, SORT_BAR, GROWTH_BAR = 1_500, 2.0, 1.25
_SAMPLE, _CHARACTERS = 3_000, 1_200  # 300 tokens of English
_DAYS = 10
_A_DAY = 33_333  # answers of a day in the stream: a million of them are a month
_STREAM = """
import re, sys
from datetime import datetime
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.settings import load_settings
from onlineeval_dagster.signals.stage import derive_signals

settings = load_settings()
derive_signals(Lake(settings.lake_folder), load_catalog(settings.catalog), now=datetime.fromisoformat(sys.argv[1]))
# Not getrusage: a child begins with its parent's peak.
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024)
"""


def detectors(scratch: Path) -> list[Measured]:
    """All default detectors on answers of 300 tokens, on one core."""
    used = known_detectors(load_catalog(PACKAGED_CATALOG))
    batch = _answers(_SAMPLE)
    before, threads = os.sched_getaffinity(0), pa.cpu_count()
    os.sched_setaffinity(0, {max(before)})
    pa.set_cpu_count(1)
    try:
        took = {name: _seconds(detector, batch) for name, detector in used.items()}
    finally:
        os.sched_setaffinity(0, before)
        pa.set_cpu_count(threads)
    note = f"{len(used)} detectors, {1e6 * sum(took.values()) / _SAMPLE:.0f} µs an answer"
    lines = [
        Measured(
            name="all detectors, answers of 300 tokens",
            value=_SAMPLE / sum(took.values()),
            unit="/s",
            at_least=SPEED_BAR,
            note=note,
        )
    ]
    return lines + [
        Measured(name=f"  {name}", value=1e6 * seconds / _SAMPLE, unit="µs", note=f"it says {used[name].cost_us:g}")
        for name, seconds in took.items()
    ]


def streaming(scratch: Path) -> list[Measured]:
    """Memory of the signals stage over 1,000,000 answers, against a tenth of them (BENCH_ANSWERS): ten times the days,
    which are alike, and ten times the answers a day.
    """
    lines, ten = [], ANSWERS // 10
    alike = {ten: ten // _A_DAY, ANSWERS: ANSWERS // _A_DAY}
    for what, days in {"the days": alike, "the answers a day": {ten: _DAYS, ANSWERS: _DAYS}}.items():
        (small, _), (large, seconds) = (_streamed(scratch, answers, days[answers]) for answers in (ten, ANSWERS))
        lines += [
            Measured(
                name=f"memory of the signals stage, ten times {what}",
                value=large / small,
                unit="×",
                at_most=GROWTH_BAR,
                note=f"{small:,.0f} MB at {ten:,}, {large:,.0f} MB at {ANSWERS:,} answers",
            ),
            Measured(name="  its answers", value=ANSWERS / seconds, unit="/s", note="one process, all signals"),
        ]
    return lines


def _streamed(scratch: Path, answers: int, days: int) -> tuple[float, float]:
    """Peak MB and seconds of a process that derives the signals of so many answers in so many days."""
    settings = load_settings(home=scratch / "streaming")
    shutil.rmtree(settings.home, ignore_errors=True)
    write_past(settings, Past(days=days, responses=answers // days, until=UNTIL, derived=False))
    environment = {**os.environ, "ONLINEEVAL_HOME": str(settings.home)}
    command = [sys.executable, "-c", _STREAM, UNTIL.isoformat()]
    began = time.perf_counter()
    said = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - began
    shutil.rmtree(settings.home)
    return float(said), seconds


def conversations(scratch: Path) -> list[Measured]:
    """Sessions and behaviour of 10,000,000 events, against DuckDB's bare sort of the same, written, before or after,
    whichever was quicker (BENCH_EVENTS).
    """
    settings = load_settings(home=scratch / "conversations")
    shutil.rmtree(settings.home, ignore_errors=True)
    # Four events are three answers and one action, nearly.
    write_past(settings, Past(days=_DAYS, responses=EVENTS * 3 // 4 // _DAYS, until=UNTIL, derived=False))
    lake = Lake(settings.lake_folder)
    bare, events = _bare_sort(lake, scratch / "sorted")
    ours = _derive_without_detectors(lake)
    # The first to read pays for more than its work: 79 s, and 38 s afterwards, of 2,900,000 events.
    bare = min(bare, _bare_sort(lake, scratch / "sorted")[0])
    shutil.rmtree(settings.home)
    return [
        Measured(
            name="signals of behaviour / bare sort",
            value=ours / bare,
            unit="×",
            at_most=SORT_BAR,
            note=f"{events:,} events: {ours:.0f} s, {bare:.0f} s",
        )
    ]


def _derive_without_detectors(lake: Lake) -> float:
    catalog = load_catalog(PACKAGED_CATALOG)
    bare = replace(catalog, signals=catalog.signals.model_copy(update={"detectors": {}}))
    began = time.perf_counter()
    derive_signals(lake, bare, now=UNTIL + timedelta(days=1))
    return time.perf_counter() - began


def _bare_sort(lake: Lake, folder: Path) -> tuple[float, int]:
    """Seconds for `copy (select * … order by session, time)` of responses and actions; how many there were."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    began, events = time.perf_counter(), 0
    with engine(lake, {}) as connection:
        for table, who in (("responses", "session_id, user_id"), ("actions", "response_id, session_id")):
            sql = f"select * from ({scan(lake, table, lake.days(table))}) order by {who}, occurred_at"
            written = connection.execute(
                f"copy ({sql}) to '{folder / table}.parquet' (format parquet, compression zstd)"
            )
            events += written.fetchall()[0][0]
    seconds = time.perf_counter() - began
    shutil.rmtree(folder)
    return seconds, events


def _seconds(detector: Detector, batch: pa.Table) -> float:
    """The best of three."""
    took = []
    for _ in range(3):
        began = time.process_time()
        detector.score(batch)
        took.append(time.process_time() - began)
    return min(took)


def _answers(count: int) -> pa.Table:
    """Simulated questions; as answers and contexts several simulated answers in a row, cut at their length."""
    start = datetime(2026, 11, 1, tzinfo=UTC)
    said = [event for event in simulate(days=3, start=start).events if isinstance(event, Response)]
    many = itertools.cycle(event.response for event in said)
    texts = [" ".join(itertools.islice(many, 30)) for _ in range(count)]
    columns = {
        "query": [said[place % len(said)].query for place in range(count)],
        "response": [text[:_CHARACTERS] for text in texts],
        "context": [text[-2 * _CHARACTERS :] for text in texts],
        "finish_reason": ["stop"] * count,
        "latency_ms": [900.0] * count,
    }
    batch = pa.table({"response_id": [f"r{place}" for place in range(count)], **columns})
    missing = [column for column in COLUMNS if column.name not in batch.column_names]
    return pa.table(
        [*batch.columns, *(pa.nulls(count, column.type) for column in missing)],
        names=[*batch.column_names, *(column.name for column in missing)],
    )
