"""How fast the ingest is, against DuckDB's bare `read_ndjson` → Parquet of the same files in the same run.

    python -m tests.bench.ingest [lines] [rounds]

The log: 1,000,000 lines of some 1.3 KB, three kinds, two days, 0.1 % bad lines, an unknown field on one line in
a hundred. Bars: 60 % of the speed of the auto-typed bare read, 45 % of the column-typed one. Best of `rounds` each.
On a machine that is shared the ratio of CPU time says more than that of the clock.
"""

import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import duckdb
import numpy as np
import orjson

from onlineeval_dagster.contracts.events import EVENTS
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.settings import Settings, load_settings

START = datetime(2026, 11, 20, tzinfo=UTC)
NOW = START + timedelta(days=3)
FILES = 16
BARS = {"auto-typed": 0.60, "column-typed": 0.45}
_SQL_TYPES = {"string": "varchar", "int64": "bigint", "double": "double", "bool": "boolean"}


class Took(NamedTuple):
    """Seconds of one piece of work: on the clock, and of all cores together."""

    wall: float
    cpu: float


def corpus(rng: np.random.Generator, words: int = 2_000_000) -> str:
    """Prose of made-up words in Zipf's frequencies, with what JSON must escape and what is not ASCII."""
    letters = np.array(list("etaoinshrdlucmfwypvbgk"))
    lexicon = ["".join(rng.choice(letters, size=rng.integers(2, 11))) for _ in range(20_000)]
    marks = np.array([" "] * 30 + [", "] * 3 + [". "] * 3 + ["\n", ' "', '" ', "é ", " — ", " 你好 "])
    ranks = np.minimum(rng.zipf(1.3, size=words), len(lexicon)) - 1
    gaps = marks[rng.integers(0, len(marks), size=words)]
    return "".join(lexicon[rank] + gap for rank, gap in zip(ranks, gaps, strict=True))


def events(rng: np.random.Generator, lines: int) -> Iterator[bytes]:
    """Log lines, without newline, in the order in which they arrive."""
    prose = corpus(rng)
    seconds = np.sort(rng.random(lines) * 2 * 86_400)
    starts = rng.integers(0, len(prose) - 4_000, size=(lines, 2))
    kinds = rng.random(lines)
    bad = rng.random(lines) < 0.001
    for i in range(lines):
        at = (START + timedelta(seconds=float(seconds[i]))).isoformat(timespec="microseconds")
        who = int(rng.integers(0, 50_000))
        head = {"event_id": rng.bytes(16).hex(), "occurred_at": at, "received_at": at, "app": "shop"}
        text = prose[starts[i, 0] : starts[i, 0] + 850]
        if kinds[i] < 0.5:
            said = _response(rng, head, who, prose[starts[i, 1] : starts[i, 1] + 180], text[:600])
        elif kinds[i] < 0.9:
            said = {"kind": "action", **head, "response_id": rng.bytes(16).hex(), "action": "comment", "text": text}
            said |= {"user_id": f"user-{who}", "attributes": {"page": "/chat", "position": who % 40}}
        else:
            said = {"kind": "exposure", **head, "experiment": "greeting", "variant": "warm", "unit_id": f"user-{who}"}
            said |= {"propensity": 0.5, "attributes": {"note": text}}
        if i % 100 == 0:
            said["tenant"] = f"tenant-{who % 7}"
        line = orjson.dumps(said)
        yield _spoilt(line, i) if bad[i] else line


def write_log(folder: Path, lines: int) -> int:
    """The log's files. Returns their bytes."""
    folder.mkdir(parents=True)
    files = [(folder / f"bench-{i:02d}.ndjson").open("wb", buffering=2**20) for i in range(FILES)]
    for i, line in enumerate(events(np.random.default_rng(7), lines)):
        files[i % FILES].write(line + b"\n")
    for file in files:
        file.close()
    return sum(path.stat().st_size for path in folder.iterdir())


def bare(folder: Path, target: Path, *, typed: bool) -> Took:
    """Seconds of `copy (select * from read_ndjson(files)) to parquet`."""
    files = sorted(str(path) for path in folder.iterdir())
    columns = {
        field.name: "json" if field.name == "attributes" else _SQL_TYPES.get(str(field.type), "timestamptz")
        for kind in ("response", "action", "exposure")
        for field in TABLES[{"response": "responses", "action": "actions", "exposure": "exposures"}[kind]].schema
        if field.name in EVENTS[kind].model_fields
    }
    types_ = f", columns = {columns}" if typed else ""
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    source = f"read_ndjson({files}, ignore_errors = true{types_})"
    return _timed(lambda: connection.execute(f"copy (select * from {source}) to '{target}' (format parquet)"))


def whole_ingest(settings: Settings, lines: int) -> Took:
    """Seconds of plan, sieve, Parquet, commits and quarantine, into a new lake."""
    shutil.rmtree(settings.lake_folder, ignore_errors=True)
    shutil.rmtree(settings.home / "ingest", ignore_errors=True)
    lake = Lake(settings.lake_folder)
    taken = []
    seconds = _timed(lambda: taken.append(ingest(settings, lake, now=NOW)))
    (done,) = taken
    stored = sum(
        rows(lake, f"select count(*) as n from {name}", {name: None})["n"][0].as_py()
        for name in ("responses", "actions", "exposures", "quarantine")
    )
    assert done.lines == lines == stored, (done, stored)
    return seconds


def tick(settings: Settings) -> Took:
    """Seconds to take in 1,000 more events."""
    with (settings.log_folder / "tick.ndjson").open("wb") as file:
        file.writelines(line + b"\n" for line in events(np.random.default_rng(8), 1_000))
    return _timed(lambda: ingest(settings, Lake(settings.lake_folder), now=NOW))


def main() -> None:
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    with tempfile.TemporaryDirectory(prefix="bench-ingest-") as folder:
        settings = load_settings(home=Path(folder) / "home", retention_days=400)
        size = write_log(settings.log_folder, lines)
        print(f"log: {lines:,} lines, {size / 1e6:,.0f} MB, {size / lines / 1000:.2f} KB each")
        target = Path(folder) / "bare.parquet"
        never = Took(wall=float("inf"), cpu=float("inf"))
        best = {"auto-typed": never, "column-typed": never, "ingest": never}
        for number in range(1, rounds + 1):
            took = {
                "auto-typed": bare(settings.log_folder, target, typed=False),
                "ingest": whole_ingest(settings, lines),
                "column-typed": bare(settings.log_folder, target, typed=True),
            }
            best = {name: Took(*map(min, best[name], took[name])) for name in best}
            print(
                f"round {number}: "
                + ", ".join(f"{name} {t.wall:.2f} s (CPU {t.cpu:.1f} s)" for name, t in took.items())
            )
        for name, bar in BARS.items():
            wall, cpu = best[name].wall / best["ingest"].wall, best[name].cpu / best["ingest"].cpu
            print(f"ingest at {wall:.0%} of the speed of the {name} bare read (bar {bar:.0%}); by CPU time {cpu:.0%}")
        print(f"a tick of 1,000 events: {tick(settings).wall:.2f} s")
        print(f"largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")


def _response(rng: np.random.Generator, head: dict, who: int, query: str, answer: str) -> dict:
    return {
        "kind": "response",
        **head,
        "response_id": rng.bytes(16).hex(),
        "session_id": rng.bytes(6).hex(),
        "user_id": f"user-{who}",
        "query": query,
        "response": answer,
        "prompt_version": f"v{who % 3}",
        "model": "small-1",
        "latency_ms": float(rng.gamma(2, 400)),
        "input_tokens": int(rng.integers(20, 4_000)),
        "output_tokens": int(rng.integers(5, 900)),
        "device": "mobile" if who % 2 else "desktop",
        "language": "en",
        "new_user": who % 9 == 0,
        "attributes": {"shop": who % 5},
    }


def _spoilt(line: bytes, number: int) -> bytes:
    """A bad line: torn, binary, no JSON, a time that is none."""
    return [line[:500], b"\xff\xfe" + line[:300], b"not json", line.replace(b"2026-11", b"yesterday")][number % 4]


def _timed(work: Callable[[], object]) -> Took:
    start, cpu = time.perf_counter(), time.process_time()
    work()
    return Took(wall=time.perf_counter() - start, cpu=time.process_time() - cpu)


if __name__ == "__main__":
    main()
