"""The numbers that the project promises, measured on this machine.

    python -m tests.bench                    all of them, some 35 minutes and 15 GB of scratch space
    python -m tests.bench nothing_new tick   the quick ones
    python -m tests.bench --list             their names

Every line has its value and, where there is one, the bar it is held to. Results are also written to
tests/bench/results/<date>.json; the worlds that take long to make are kept beside them, in results/scratch; the
exit code is 1 where a bar is not met.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from onlineeval_dagster.settings import load_settings
from tests.bench import experiments
from tests.bench import ingest as log_ingest
from tests.bench.collector import collector
from tests.bench.corrected import corrected
from tests.bench.endpoint import endpoint
from tests.bench.faults import faults
from tests.bench.judge_kills import judge_kills
from tests.bench.judges import judges
from tests.bench.large import history, rebuild, stages
from tests.bench.measured import Measured
from tests.bench.points import points, rolling
from tests.bench.queues import queues
from tests.bench.redaction import redaction
from tests.bench.review import review
from tests.bench.selection import selection
from tests.bench.series import series
from tests.bench.signal_quality import signal_quality
from tests.bench.signals import conversations, detectors, streaming
from tests.bench.small import nothing_new, tick
from tests.bench.track import track

RESULTS = Path(__file__).parent / "results"
LINES, ROUNDS = 1_000_000, 3


def ingest(scratch: Path) -> list[Measured]:
    """1,000,000 log lines into the lake, against DuckDB's bare `read_ndjson` → Parquet; see tests/bench/ingest.py."""
    folder = scratch / "ingest"
    shutil.rmtree(folder, ignore_errors=True)
    settings = load_settings(home=folder / "home", retention_days=400)
    size = log_ingest.write_log(settings.log_folder, LINES)
    took: dict[str, list[float]] = {"auto-typed": [], "column-typed": [], "ingest": []}
    for _ in range(ROUNDS):
        for kind in ("auto-typed", "column-typed"):
            bare = log_ingest.bare(settings.log_folder, folder / "bare.parquet", typed=kind == "column-typed")
            took[kind].append(bare.wall)
        took["ingest"].append(log_ingest.whole_ingest(settings, LINES).wall)
    best = {name: min(seconds) for name, seconds in took.items()}
    shutil.rmtree(folder)
    return [
        Measured(name=f"ingest / {kind} bare read, speed", value=best[kind] / best["ingest"], unit="×", at_least=bar)
        for kind, bar in log_ingest.BARS.items()
    ] + [
        Measured(name="  ingest, lines", value=LINES / best["ingest"], unit="/s", note=f"{size / 1e6:,.0f} MB of log"),
    ]


def imported(scratch: Path) -> list[Measured]:
    """`onlineeval import --source jsonl`: rows a second from a team's own file to the log."""
    from onlineeval_dagster.sources.importing import import_files

    folder, count = scratch / "import", 50_000
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    file = folder / "answers.jsonl"
    rows = (
        {"id": f"q{i}", "timestamp": "2026-11-20T08:00:00Z", "query": "Where is it?", "response": "On its way. " * 80}
        for i in range(count)
    )
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    started = time.perf_counter()
    done = import_files(
        load_settings(home=folder / "home"),
        "jsonl",
        [file],
        column_map={},
        environment="production",
        app="shop",
        occurred_at=None,
        zone=None,
        now=datetime.now(UTC),
    )
    seconds = time.perf_counter() - started
    shutil.rmtree(folder)
    return [Measured(name="import of JSON lines, rows", value=count / seconds, unit="/s", note=f"{done.bad} bad")]


BENCHMARKS: dict[str, Callable[[Path], list[Measured]]] = {
    "nothing_new": nothing_new,
    "tick": tick,
    "ingest": ingest,
    "import": imported,
    "redaction": redaction,
    "queues": queues,
    "collector": collector,
    "stages": stages,
    "detectors": detectors,
    "streaming": streaming,
    "conversations": conversations,
    "signal_quality": signal_quality,
    "selection": selection,
    "history": history,
    "rebuild": rebuild,
    "faults": faults,
    "track": track,
    "endpoint": endpoint,
    "judges": judges,
    "judge_kills": judge_kills,
    "review": review,
    "experiments": experiments.compared,
    "experiment_units": experiments.counted,
    "points": points,
    "rolling": rolling,
    "series": series,
    "corrected": corrected,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)}; all by default")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument("--scratch", type=Path, default=RESULTS / "scratch", help="where the worlds are made")
    asked = parser.parse_args()
    if asked.list:
        print("\n".join(f"{name:12} {work.__doc__.splitlines()[0]}" for name, work in BENCHMARKS.items()))
        return
    unknown = sorted(set(asked.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    scratch = asked.scratch.absolute()
    scratch.mkdir(parents=True, exist_ok=True)
    lines: dict[str, list[Measured]] = {}
    for name in asked.names or BENCHMARKS:
        print(f"{name} …", file=sys.stderr, flush=True)
        lines[name] = BENCHMARKS[name](scratch)
    _show(lines)
    _keep(lines)
    if any(line.met is False for some in lines.values() for line in some):
        sys.exit(1)


def _show(lines: dict[str, list[Measured]]) -> None:
    table = Table("", "measured", "", "bar", "met", "")
    for column in (1, 3):
        table.columns[column].justify = "right"
    for some in lines.values():
        for line in some:
            met = {None: "", True: "yes", False: "NO"}[line.met]
            value = f"{line.value:,.0f}" if line.value >= 100 or line.unit == "tables" else f"{line.value:.2f}"
            table.add_row(line.name, value, line.unit, line.bar, met, line.note)
        table.add_section()
    Console(width=140).print(table)


def _keep(lines: dict[str, list[Measured]]) -> None:
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / f"{datetime.now(UTC):%Y-%m-%d}.json"
    kept = json.loads(file.read_text()) if file.exists() else {}
    kept |= {name: [line.as_row() for line in some] for name, some in lines.items()}
    file.write_text(json.dumps(kept, indent=1))
    print(f"written to {file}", file=sys.stderr)


if __name__ == "__main__":
    main()
