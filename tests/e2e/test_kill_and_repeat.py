"""kill -9 at eleven places, run again: the same rows as a run that nobody killed, none lost, none doubled."""

import json
import shutil
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.log.segments import open_log
from onlineeval_dagster.progress import waiting
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from onlineeval_dagster.simulate.traffic import simulate
from onlineeval_dagster.simulate.write import write_traffic
from onlineeval_dagster.warehouse.duckdb import query
from tests.pipeline import table
from tests.worlds import settings_at

ROOT = Path(__file__).parents[2]
DAYS = 12  # signals commit ten days at a time, so there is a middle

# The stages in the order of the assets. A process that has imported them works them off once for each place it is told,
# in a child that kills itself when it comes there, and says how each child ended.
STAGES = """
import json, os, signal, subprocess, sys
from datetime import UTC, datetime
from pathlib import Path
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.judges import runner
from onlineeval_dagster.judges.stage import mark_judged, pending_work, run_judges
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.metrics.detrended import detrend_points
from onlineeval_dagster.metrics.stage import estimate_effects, estimate_points
from onlineeval_dagster.metrics.minutes import count_minutes
from onlineeval_dagster.metrics.rolling import roll_points
from onlineeval_dagster.quality.coverage import count_coverage
from onlineeval_dagster.review.stage import correct_points
from onlineeval_dagster.sampling import select
from onlineeval_dagster.settings import load_settings
from onlineeval_dagster.signals.stage import derive_signals
from onlineeval_dagster.warehouse.duckdb import dbt_vars, finish, plan_build, prepare, warehouse_held

project, places = Path(sys.argv[1]), sys.argv[2:]

for deadly in places:
    child = os.fork()
    if not child:
        break
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
else:
    sys.exit()

def reached(place):
    if place == deadly:
        os.kill(os.getpid(), signal.SIGKILL)

class Fragile(Lake):
    __slots__ = ()

    def append(self, name, rows, **more):
        super().append(name, rows, **more)
        reached(f"appended {name}")

    def replace_days(self, name, days, rows, **more):
        super().replace_days(name, days, rows, **more)
        reached(f"replaced {name}")

def commit_copied(lake, name, parts, **more):
    reached(f"copied {name}")
    committed(lake, name, parts, **more)
    reached(f"committed {name}")

committed, select.commit_copied = select.commit_copied, commit_copied

def now():
    return datetime.now(UTC)

def build(settings, lake, catalog):
    file = settings.warehouse_file
    with warehouse_held(file, wait_seconds=5, purpose="building"):
        plan = plan_build(file, lake, catalog)
        if plan is None:
            return
        prepare(file, lake, plan.days)
        target = settings.home / "dbt"
        dbt = [Path(sys.executable).with_name("dbt"), "--quiet", "build", "--exclude-resource-type", "unit_test",
               "--project-dir", project, "--profiles-dir", project, "--target-path", target, "--log-path", target,
               "--vars", json.dumps(dbt_vars(file, catalog))]
        subprocess.run(dbt, check=True, stdout=sys.stderr)
        reached("dbt")
        finish(file, plan)

runner.LOCAL_CHUNK = 20
settings = load_settings()
lake, catalog = Fragile(settings.lake_folder), load_catalog(settings.catalog)
ingest(settings, lake, now=now(), checkpoint=reached)
derive_signals(lake, catalog, now=now())
select.select_responses(lake, catalog, now=now())
pending = pending_work(lake, catalog)
recorded = 0
with open_log(settings, door="test") as log:
    def record(verdicts):
        global recorded
        log.append(b"".join(encode(verdict) for verdict in verdicts))
        recorded += 1
        reached(f"recorded {recorded}")
    run_judges(lake, catalog, pending, endpoint=None, record=record, now=now)
ingest(settings, lake, now=now(), checkpoint=lambda step: reached(f"verdicts {step}"))
mark_judged(lake, pending)
count_coverage(lake)
build(settings, lake, catalog)
estimate_points(settings.warehouse_file, lake, catalog)
detrend_points(lake, catalog)
estimate_effects(settings.warehouse_file, lake, catalog)
count_minutes(settings.warehouse_file, lake, catalog, now=now())
# Until midnight: both homes have the same windows behind them, whenever each of them is worked off.
midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
roll_points(settings.warehouse_file, lake, catalog, now=midnight)
correct_points(settings.warehouse_file, lake, catalog)
"""

PLACES = [
    "planned",
    "committed responses",
    "replaced signals",
    "copied selections",
    "committed selections",
    "recorded 2",
    "verdicts committed verdicts",
    "dbt",
    "replaced metric_points",
    "replaced detrended_metrics",
    "replaced rolling_points",
    "replaced corrected_points",
]

OF_THE_RUN = {
    "responses": set(),
    "actions": set(),
    "deploys": set(),
    "events": set(),
    "exposures": set(),
    "labels": set(),
    "signals": set(),
    "selections": {"selected_at"},
    "verdicts": {"occurred_at", "received_at", "log_segment", "log_offset"},
    "quarantine": {"quarantined_at", "day"},
    "metric_points": set(),
    "detrended_metrics": set(),
    "deploy_effects": set(),
    "minute_counts": set(),
    "rolling_points": set(),
    "corrected_points": set(),
}
"""Columns that tell when and where a run worked: another run has others."""


def run(home: Path, *places: str) -> list[int]:
    """How the run that was told each place ended, one after the other over the same home."""
    command = [sys.executable, "-c", STAGES, str(ROOT / "dbt_project"), *places]
    environment = {"ONLINEEVAL_HOME": str(home), "PATH": "/usr/bin:/bin", "DO_NOT_TRACK": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, timeout=600, check=True, stdout=subprocess.PIPE, text=True
    )
    return [int(code) for code in done.stdout.split()]


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Settings]:
    """The same log worked off twice: once in one go, once with a kill at every place."""
    folder = tmp_path_factory.mktemp("kill")
    whole, killed = settings_at(folder / "whole"), settings_at(folder / "killed")
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
    traffic = simulate(days=DAYS, start=start, seed=5, daily_users=12, population=30, responses_per_day=40)
    with open_log(whole, door="test") as log:
        assert write_traffic(log.append, traffic, bad_lines=0.01).bad_lines
    shutil.copytree(whole.log_folder, killed.log_folder)
    assert run(whole.home, "nowhere") == [0]
    ended = dict(zip([*PLACES, "nowhere"], run(killed.home, *PLACES, "nowhere"), strict=True))
    assert ended == dict.fromkeys(PLACES, -signal.SIGKILL) | {"nowhere": 0}, "a place was not reached"
    return whole, killed


Content = tuple[list[str], np.ndarray]


def content(rows: list[dict[str, Any]], without: set[str]) -> Content:
    """Rows in an order of their own: what is no float as text, and the floats, NaN for null."""
    without = without | {"file_name"}
    floats = sorted({name for row in rows for name, value in row.items() if isinstance(value, float)})
    told = [{name: value for name, value in row.items() if name not in without and name not in floats} for row in rows]
    texts = [json.dumps(row, sort_keys=True, default=str) for row in told]
    order = sorted(range(len(rows)), key=texts.__getitem__)
    numbers = [[np.nan if rows[at][name] is None else rows[at][name] for name in floats] for at in order]
    return [texts[at] for at in order], np.array(numbers, dtype=float)


def same(one: Content, other: Content) -> bool:
    """Equal; floats up to the order in which two threads add them."""
    return one[0] == other[0] and np.allclose(one[1], other[1], rtol=1e-6, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize("name", OF_THE_RUN)
def test_after_kills_at_every_place_a_table_of_the_lake_holds_the_same_rows(
    homes: tuple[Settings, Settings], name: str
) -> None:
    whole, killed = (content(table(settings, name), OF_THE_RUN[name]) for settings in homes)
    assert whole[0]
    assert same(killed, whole)


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("response_facts", set()),
        ("selection_outcomes", {"selected_at"}),
        ("metric_moments", set()),
        ("deploy_moments", set()),
        ("daily_coverage", set()),
        ("judge_coverage", set()),
        ("arrivals", set()),
    ],
)
def test_after_kills_at_every_place_the_warehouse_holds_the_same_rows(
    homes: tuple[Settings, Settings], name: str, without: set[str]
) -> None:
    whole, killed = (
        content(query(settings.warehouse_file, f"select * from marts.{name}").to_pylist(), without)
        for settings in homes
    )
    assert whole[0]
    assert same(killed, whole)


def test_no_line_was_taken_in_twice(homes: tuple[Settings, Settings]) -> None:
    taken = []
    for settings in homes:
        segments = set.intersection(*({file.name for file in home.log_folder.iterdir()} for home in homes))
        sql = (
            "select log_segment, sum(lines)::bigint as lines, sum(bad)::bigint as bad from ingested_parts group by all"
        )
        sums = table(settings, "ingested_parts", sql)
        taken.append({row["log_segment"]: (row["lines"], row["bad"]) for row in sums if row["log_segment"] in segments})
    assert taken[0] == taken[1]
    assert taken[0]


def test_no_response_was_judged_twice(homes: tuple[Settings, Settings]) -> None:
    for settings in homes:
        judged = [(row["response_id"], row["judge"], row["attempt"]) for row in table(settings, "verdicts")]
        assert len(judged) == len(set(judged)) > 40


def test_nothing_is_left_to_do(homes: tuple[Settings, Settings]) -> None:
    for settings in homes:
        assert waiting(settings, load_catalog(PACKAGED_CATALOG), now=datetime.now(UTC)) == []
