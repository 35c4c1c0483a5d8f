"""Large worlds: whether a tick's cost grows with history, a full rebuild, and the speed of the row-level stages."""

import resource
import shutil
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.quality.run import check_table
from onlineeval_dagster.sampling.select import select_responses
from onlineeval_dagster.settings import Settings, load_settings
from onlineeval_dagster.signals.stage import derive_signals
from tests.bench.history import drop_warehouse, write_past
from tests.bench.measured import Measured
from tests.bench.past import Past
from tests.bench.ticks import BUILDING, Tick, run_tick, write_events

UNTIL = datetime(2026, 11, 23, tzinfo=UTC)
SHORT, LONG, A_DAY = 2, 100, 100_000
ROUNDS = 3


def history(scratch: Path) -> list[Measured]:
    """The same 1,000 events into 2 days and into 100 days of 100,000 responses, in turn; medians of three ticks each.

    The last two days lie in 288 parts a table, as the ticks left them; older days are one part, as the nightly
    compaction leaves them. Process start apart: one process, after one tick of each world that is not counted.
    """
    worlds = {days: _world(scratch, days) for days in (SHORT, LONG)}
    ticks: dict[int, list[Tick]] = {days: [] for days in worlds}
    for number in range(ROUNDS + 1):
        for days, settings in worlds.items():
            ticks[days].append(_one_tick(settings, number))
    short, long = (ticks[days][1:] for days in worlds)
    ratio = _median(long, lambda tick: tick.seconds) / _median(short, lambda tick: tick.seconds)
    lines = [
        Measured(name=f"tick with {LONG} days / {SHORT} days", value=ratio, unit="×", at_most=1.3),
        Measured(name=f"  tick with {SHORT} days", value=_median(short, lambda tick: tick.seconds), unit="s"),
        Measured(name=f"  tick with {LONG} days", value=_median(long, lambda tick: tick.seconds), unit="s"),
    ]
    for step in short[0].steps:
        pair = [_median(some, lambda tick, step=step: tick.steps[step]) for some in (short, long)]
        lines.append(Measured(name=f"  step {step}", value=pair[1], unit="s", note=f"{SHORT} days: {pair[0]:.2f} s"))
    return lines


def rebuild(scratch: Path) -> list[Measured]:
    """Delete the warehouse of 10,000,000 responses and run: dbt build, points and effects."""
    settings = _world(scratch, LONG)
    drop_warehouse(settings)
    steps = run_tick(settings, now=UNTIL).steps
    memory = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return [
        Measured(
            name=f"full rebuild of {LONG * A_DAY:,} responses",
            value=sum(steps[name] for name in BUILDING) / 60,
            unit="min",
            at_most=10,
            note=f"largest process {memory / 2**20:.1f} GB",
        ),
        *[Measured(name=f"  step {name}", value=steps[name], unit="s") for name in BUILDING],
    ]


def stages(scratch: Path) -> list[Measured]:
    """Rows a second of the row-level stages over 1,000,000 responses with 1,100 characters each, and the checks."""
    settings = load_settings(home=scratch / "stages")
    shutil.rmtree(settings.home, ignore_errors=True)
    write_past(settings, Past(days=10, responses=A_DAY, until=UNTIL, derived=False))
    lake, catalog = Lake(settings.lake_folder), load_catalog(settings.catalog)
    count = 10 * A_DAY
    speed = {
        "signals": _seconds(lambda: derive_signals(lake, catalog, now=UNTIL)),
        "selections": _seconds(lambda: select_responses(lake, catalog, now=UNTIL)),
    }
    lines = [
        Measured(name=f"stage {name}, responses", value=count / seconds, unit="/s") for name, seconds in speed.items()
    ]
    check_table(lake, "deploys")  # loads Great Expectations
    for table in ("responses", "actions", "signals", "selections"):
        checked = []
        seconds = _seconds(lambda table=table, checked=checked: checked.append(check_table(lake, table)))
        name = f"check of {table}, rows"
        lines.append(
            Measured(
                name=name, value=checked[0].rows / seconds, unit="/s", note=f"{checked[0].expectations} expectations"
            )
        )
    shutil.rmtree(settings.home)
    return lines


def _world(scratch: Path, days: int) -> Settings:
    """The world of `days` days, made once a run of the benchmarks, its warehouse built."""
    settings = load_settings(home=scratch / f"past-{days}")
    if not settings.lake_folder.exists():
        write_past(settings, Past(days=days, responses=A_DAY, until=UNTIL, fresh_days=2))
    return settings


def _one_tick(settings: Settings, number: int) -> Tick:
    """Write the tick's events and run it; the first call builds the warehouse where there is none."""
    if not settings.warehouse_file.exists():
        run_tick(settings, now=UNTIL)
    sql = f"select response_id from responses order by response_id limit 30 offset {30 * number}"
    late = rows(Lake(settings.lake_folder), sql, {"responses": [(UNTIL - timedelta(days=2)).date()]})
    write_events(
        settings, number=number, until=UNTIL - timedelta(minutes=5), late_for=late.column("response_id").to_pylist()
    )
    return run_tick(settings, now=UNTIL)


def _median(ticks: list[Tick], value: Callable[[Tick], float]) -> float:
    return statistics.median(map(value, ticks))


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
