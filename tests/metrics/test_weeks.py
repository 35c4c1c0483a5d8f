"""Weeks and minutes from facts to the lake: dbt's own SQL over weeks at the end of months and of a year."""

import json
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts import estimates
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.estimates import MetricPoint
from onlineeval_dagster.contracts.tables import DAY
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.metrics.minutes import count_minutes, last_hour
from onlineeval_dagster.metrics.moments import CELL_COLUMNS, GROUP_COLUMNS, moments_from_rows
from onlineeval_dagster.metrics.rolling import roll_points
from onlineeval_dagster.metrics.stage import estimate_points
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.warehouse.dry_run import fact_columns
from onlineeval_dagster.warehouse.duckdb import SLICE_VALUES, Build, connection, dbt_vars, finish, query
from tests.worlds import answer, lake_of, settings_at

PROJECT = Path(__file__).parents[2] / "dbt_project"
CATALOG = load_catalog(PACKAGED_CATALOG)
JUDGE = next(judge for judge in CATALOG.live_judges if judge.name == "relevance")
# Monday 21 December 2026 and three weeks more; no answers on Wednesday 6 January.
MONDAYS = [date(2026, 12, 21) + timedelta(weeks=step) for step in range(4)]
EMPTY = date(2027, 1, 6)
DAYS = [day for monday in MONDAYS for step in range(7) if (day := monday + timedelta(days=step)) != EMPTY]
LATE = date(2026, 12, 30)
GONE, REST = date(2026, 12, 14), date(2026, 12, 18)
NOW = datetime(2027, 1, 17, 20, 59, 30, tzinfo=UTC)

# 40 answers a day of 30 users of whom eight ask half of it; a fifth of the normal answers is judged, all flagged ones.
FACTS = f"""
select
    day,
    day::timestamptz + interval (n * 1800 + 600) second as occurred_at,
    'r-' || day || '-' || n as response_id,
    case when n % 10 = 9 then 'staging' else 'production' end as environment,
    'shop' as app,
    'user:u' || case when n % 2 = 0 then n // 2 % 8 else (n + 7 * (day - date '2026-12-21')) % 30 end as user_key,
    case when day < date '2026-12-30' then 'p1' else 'p2' end as prompt_version,
    n % 11 = 0 as is_error,
    n % 3 = 0 as copy_seen,
    (100 + (n * 37 + 11 * (day - date '2026-12-21')) % 900)::double as latency_ms,
    '{JUDGE.version}' as relevance_version,
    case when n % 8 = 0 then 'flagged' else 'normal' end as relevance_stratum,
    case when n % 8 = 0 then 1.0 else 0.2 end as relevance_probability,
    case when n % 8 = 0 or n % 5 = 1 then 1 + n % 3 end::double as relevance_score,
    case when n % 8 = 0 or n % 5 = 1 then n % 3 = 2 end as relevance_good
from days, range(40) as numbers(n)
"""


class World:
    """A warehouse whose facts are known, and the lake that its points go to."""

    def __init__(self, folder: Path) -> None:
        self.settings = settings_at(folder)
        self.folder, self.file = folder, self.settings.warehouse_file
        self.file.parent.mkdir(parents=True)
        self.lake = Lake(self.settings.lake_folder)
        with connection(self.file) as warehouse:
            columns = ", ".join(f"{name} {kind}" for name, kind in fact_columns(CATALOG).items())
            warehouse.execute("create schema marts")
            warehouse.execute("create schema tick")
            warehouse.execute(f"create table marts.response_facts ({columns})")
        self.serve(DAYS)

    def serve(self, days: list[date], *, prefix: str = "") -> None:
        """Answers of `days` into the facts and into the lake."""
        with connection(self.file) as warehouse:
            warehouse.register("days", pa.table({"day": pa.array(days, pa.date32())}))
            named = f"select * replace ('{prefix}' || response_id as response_id) from ({FACTS})"
            warehouse.execute(f"insert into marts.response_facts by name {named}")
        noon = timedelta(hours=12)
        midnight = [datetime(day.year, day.month, day.day, tzinfo=UTC) for day in days]
        lake_of(self.settings, [answer(f"{prefix}{at:%m%d}", at=at + noon) for at in midnight], now=NOW)

    def build(self, days: list[date]) -> None:
        """What a tick does with touched days: dbt over them, then the points and the minutes."""
        with connection(self.file) as warehouse:
            warehouse.execute("create or replace table tick.days (day date)")
            warehouse.executemany("insert into tick.days values (?)", [(day,) for day in days])
        known = json.dumps(dbt_vars(self.file, CATALOG))
        where = ["--project-dir", PROJECT, "--profiles-dir", PROJECT, "--vars", known]
        where += ["--target-path", self.folder / "dbt", "--log-path", self.folder / "dbt"]
        models = ["metric_moments", "week_moments", "minute_moments", "minute_sums"]
        dbt = [Path(sys.executable).with_name("dbt"), "--quiet", "build", "--exclude-resource-type", "unit_test"]
        done = subprocess.run([*dbt, "--select", *models, *where], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        finish(self.file, Build(days=tuple(days), reads={}, catalog_version=CATALOG.version))

    def points(self, where: str = "true") -> list[dict[str, Any]]:
        sql = f"select * exclude (file_name) from metric_points where {where} order by all"
        found = rows(self.lake, sql, {"metric_points": None}).to_pylist()
        # The last bits of a number hang on what else was estimated in the same call.
        return [{k: round(v, 9) if isinstance(v, float) else v for k, v in point.items()} for point in found]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    made = World(tmp_path_factory.mktemp("weeks"))
    made.build(DAYS)
    estimate_points(made.file, made.lake, CATALOG)
    count_minutes(made.file, made.lake, CATALOG, now=NOW)
    roll_points(made.file, made.lake, CATALOG, now=NOW)
    return made


def reference(world: World, value: str, chance: str | None, slice_: str) -> tuple[list[str], Any]:
    """The moments of whole weeks by the numpy reference, users in the same buckets as in SQL; their groups' names."""
    slice_value = "'all'" if slice_ == "all" else slice_
    stratum = f"relevance_stratum || ' at ' || {chance}" if chance else "'all'"
    facts = query(
        world.file,
        f"""
        select date_trunc('week', occurred_at)::date || ' ' || {slice_value} as place, {stratum} as stratum,
            (hash(user_key) % 16384)::bigint as bucket, ({value})::double as value
        from marts.response_facts where environment = 'production'
        """,
    ).to_pydict()
    values = np.array([np.nan if found is None else found for found in facts["value"]])
    return sorted(set(facts["place"])), moments_from_rows(facts["place"], facts["stratum"], facts["bucket"], values)


@pytest.mark.parametrize(("metric", "p"), [("latency_p50", 0.5), ("latency_p95", 0.95)])
def test_quantiles_of_weeks_are_those_of_their_answers(world: World, metric: str, p: float) -> None:
    exact = query(
        world.file,
        f"""
        select date_trunc('week', day)::timestamptz as week, quantile_disc(latency_ms, {p}) as value, count(*) as n
        from marts.response_facts where environment = 'production' group by all order by all
        """,
    ).to_pylist()
    points = world.points(f"metric = '{metric}' and grain = 'week' and slice = 'all'")
    assert [point["window_start"] for point in points] == [row["week"] for row in exact]
    for point, row in zip(points, exact, strict=True):
        assert point["n"] == point["population"] == row["n"]
        assert point["value"] == pytest.approx(row["value"], rel=0.005), point
        assert point["low"] < point["value"] < point["high"]
    assert [point["days_covered"] for point in points] == [7, 7, 6, 7]


def test_a_percentile_of_a_day_of_forty_answers_says_what_it_lacks(world: World) -> None:
    (point,) = world.points("metric = 'latency_p95' and grain = 'day' and slice = 'all' and day = date '2026-12-21'")
    assert point["value"] is None
    assert point["reason"].startswith("too few ")


@pytest.mark.parametrize("slice_", ["all", "prompt_version"])
@pytest.mark.parametrize(
    ("metric", "value", "chance"),
    [
        ("good_answers", "relevance_good::int", "relevance_probability"),
        ("relevance_score", "relevance_score", "relevance_probability"),
        ("copied", "copy_seen::int", None),
    ],
)
def test_a_weeks_moments_are_those_of_all_its_rows_at_once(
    world: World, metric: str, value: str, chance: str | None, slice_: str
) -> None:
    places, wanted = reference(world, value, chance, slice_)
    got = query(
        world.file,
        "select day || ' ' || slice_value as place, * from marts.week_moments "
        f"where metric = '{metric}' and slice = '{slice_}' order by place, stratum",
    )
    assert got.column("place").to_pylist() == [places[at] for at in wanted.cell_group]
    for name in (*CELL_COLUMNS, *GROUP_COLUMNS):
        found = got.column(name).cast(pa.float64()).to_numpy()
        expected = getattr(wanted, name)
        assert np.allclose(found, expected if name in CELL_COLUMNS else expected[wanted.cell_group]), name


def test_each_week_has_one_point_on_its_monday_also_where_a_year_ends(world: World) -> None:
    weeks = world.points("grain = 'week' and metric = 'copied' and slice = 'all'")
    assert [point["day"] for point in weeks] == MONDAYS
    assert [point["window_start"].date() for point in weeks] == MONDAYS
    assert all(point["low"] < point["value"] < point["high"] for point in weeks)
    assert [point["population"] for point in weeks] == [7 * 36, 7 * 36, 6 * 36, 7 * 36]


def test_a_week_with_an_empty_day_says_so(world: World) -> None:
    weeks = world.points("grain = 'week'")
    assert {point["day"]: point["days_covered"] for point in weeks} == dict(zip(MONDAYS, (7, 7, 6, 7), strict=True))
    assert {point["days_covered"] for point in world.points("grain <> 'week'")} == {None}


def test_a_weeks_interval_is_wider_than_its_days_together_would_have_it(world: World) -> None:
    """Eight users ask half of all on every day: seven days of them are not seven times as much known."""
    monday = MONDAYS[0]
    sql = (
        "select sum(population * population * influence_squares) / sum(population) ** 2 as variance from marts.{} "
        f"where metric = 'copied' and slice = 'all' and grain = '{{}}' and day between '{monday}' and '{{}}'"
    )
    days = query(world.file, sql.format("metric_moments", "day", monday + timedelta(days=6))).to_pylist()[0]
    week = query(world.file, sql.format("week_moments", "week", monday)).to_pylist()[0]
    assert week["variance"] > 1.25 * days["variance"]


def test_the_days_of_a_monday_stand_beside_its_week(world: World) -> None:
    found = world.points(f"day = date '{MONDAYS[1]}' and metric = 'copied' and slice = 'all'")
    grains = [point["grain"] for point in found]
    assert (grains.count("week"), grains.count("day"), grains.count("hour")) == (1, 1, 20)


def test_minutes_count_traffic_and_errors_of_the_days_they_are_kept(world: World) -> None:
    found = rows(world.lake, "select * from minute_counts order by window_start", {"minute_counts": None}).to_pylist()
    assert {row["day"] for row in found} == {NOW.date() - timedelta(days=back) for back in range(8)}
    today = [row for row in found if row["day"] == NOW.date() and row["environment"] == "production"]
    assert sum(row["responses"] for row in today) == 36
    assert sum(row["errors"] for row in today) == 4
    assert today[0]["window_start"] == datetime(2027, 1, 17, 0, 10, tzinfo=UTC)


def test_the_last_hour_is_told_and_silence_too(world: World) -> None:
    # 16:10, and 16:40, which failed; the last one of the day, at 19:40, is of staging.
    hour = last_hour(world.lake, CATALOG, now=datetime(2027, 1, 17, 17, 0, tzinfo=UTC))
    assert str(hour) == "Last hour: 2 answers, 1 failed (50.0 %)"
    silent = last_hour(world.lake, CATALOG, now=NOW + timedelta(hours=9))
    assert str(silent) == "Last hour: no answer; the last one came at 2027-01-17 19:10 UTC"


def rolled(world: World, where: str) -> list[dict[str, Any]]:
    sql = f"select * from rolling_points where metric = 'errors' and {where} order by last_minute, minutes"
    return rows(world.lake, sql, {"rolling_points": None}).to_pylist()


def test_rolling_windows_hold_just_the_answers_of_their_minutes(world: World) -> None:
    # An answer each half hour from 00:10; each tenth is of staging, so 19:40 of a day is the last and not ours.
    at = datetime(2027, 1, 17, 17, 5, tzinfo=UTC)
    counts = {row["minutes"]: row["n"] for row in rolled(world, f"last_minute = '{at}' and slice = 'all'")}
    assert counts == {60: 2}  # 16:10, 16:40; a window without an answer is no row
    day = {row["last_minute"]: row["n"] for row in rolled(world, "minutes = 1440 and slice = 'all'")}
    assert day[datetime(2027, 1, 17, 0, 4, tzinfo=UTC)] == 36  # the whole day before
    assert day[datetime(2027, 1, 17, 20, 54, tzinfo=UTC)] == 36
    assert max(day) == datetime(2027, 1, 17, 20, 54, tzinfo=UTC)  # the next one ends after now


def test_a_rolling_day_has_the_number_and_the_interval_of_its_answers_clustered_by_user(world: World) -> None:
    (whole,) = rolled(world, "minutes = 1440 and slice = 'all' and last_minute = '2027-01-16 23:59:00+00'")
    (point,) = world.points("metric = 'errors' and grain = 'day' and slice = 'all' and day = date '2027-01-16'")
    assert [whole["value"], whole["low"], whole["high"]] == pytest.approx([point["value"], point["low"], point["high"]])
    (short,) = rolled(world, "minutes = 60 and slice = 'all' and last_minute = '2027-01-16 17:05:00+00'")
    assert short["reason"] == "too few judged responses: 2 of 30" and short["value"] is None


def test_rolling_windows_stay_as_long_as_minutes_do(world: World) -> None:
    assert min(row["day"] for row in rolled(world, "true")) == NOW.date() - timedelta(days=7)


class Later:
    """The same world after a second build: late answers of an old week, and of one that retention took a part of."""

    def __init__(self, world: World) -> None:
        self.before = world.points()
        world.lake.append("metric_points", _counted_long_ago())
        with connection(world.file) as warehouse:
            # What is not rebuilt stays as it is, also where it is wrong.
            warehouse.execute(f"update marts.week_moments set users = users + 5000 where day = date '{MONDAYS[3]}'")
        world.serve([LATE, REST], prefix="late-")
        world.build([LATE, REST])
        self.days = estimate_points(world.file, world.lake, CATALOG).days
        self.minutes = count_minutes(world.file, world.lake, CATALOG, now=NOW)
        self.points = world.points()


def _counted_long_ago() -> pa.Table:
    """Monday 14 December and its week, of which the lake has no answers any more."""
    point = MetricPoint(
        **{"metric": "copied", "judge_version": "none", "grain": "day", "slice": "all", "slice_value": "all"},
        **{"window_start": datetime(2026, 12, 14, tzinfo=UTC), "metric_version": "m", "population": 9, "n": 9},
        reason="too few",
    )
    week = point.model_copy(update={"grain": "week", "days_covered": 7})
    return to_table([point, week], MetricPoint).append_column(DAY, pa.array([GONE] * 2, pa.date32()))


@pytest.fixture(scope="module")
def later(world: World) -> Later:
    return Later(world)


def test_late_answers_change_their_week_and_no_other(world: World, later: Later) -> None:
    old = [point for point in later.points if point["day"] not in (REST, GONE)]
    changed = {("week", MONDAYS[1]), ("day", LATE), ("hour", LATE)}
    assert {(point["grain"], point["day"]) for point in old if point not in later.before} == changed
    assert {(point["grain"], point["day"]) for point in later.before if point not in old} == changed
    places, wanted = reference(world, "copy_seen::int", None, "all")
    sql = "select day, users, influence_squares from marts.week_moments where metric = 'copied' and slice = 'all'"
    got = {row["day"]: row for row in query(world.file, sql).to_pylist()}
    at = places.index(f"{MONDAYS[1]} all")
    assert got[MONDAYS[1]]["influence_squares"] == pytest.approx(wanted.influence_squares[at])
    assert got[MONDAYS[3]]["users"] > 5000


def test_a_week_whose_answers_went_with_retention_stays_as_it_was_counted(later: Later) -> None:
    assert later.days == (REST, MONDAYS[1], LATE)
    assert [point["grain"] for point in later.points if point["day"] == GONE] == ["day", "week"]


def test_days_too_old_for_minutes_are_looked_at_once(world: World, later: Later) -> None:
    assert later.minutes.days == ()
    assert world.lake.read_through("minute_counts", "warehouse") == 2


@pytest.mark.parametrize("metric", ["copied", "latency_p50"])
def test_of_a_slice_with_a_value_an_answer_the_most_are_kept_and_the_others_are_one(
    crowded: World, metric: str
) -> None:
    points = crowded.points(f"metric = '{metric}' and slice in ('all', 'variant')")
    for grain in ("hour", "day", "week"):
        own = [point for point in points if point["grain"] == grain]
        values = {point["slice_value"] for point in own} - {"all"}
        assert {"common", estimates.REST} <= values and len(values) <= SLICE_VALUES + 1
        whole, parts = (
            sum(point["population"] for point in own if point["slice"] == slice_) for slice_ in ("all", "variant")
        )
        assert whole == parts
    (day,) = [point for point in points if point["grain"] == "day" and point["slice_value"] == estimates.REST]
    assert day["population"] == 10_000 - 2_000 - (SLICE_VALUES - 1)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A day of 10,000 answers: 2,000 of one variant, each other one of a variant of its own."""
    made = World(tmp_path_factory.mktemp("crowded"))
    day = MONDAYS[0]
    with connection(made.file) as warehouse:
        warehouse.execute(
            f"""
            delete from marts.response_facts;
            insert into marts.response_facts by name
            select date '{day}' as day, date '{day}'::timestamptz + to_seconds(n * 8) as occurred_at,
                'r' || n as response_id,
                'production' as environment, 'shop' as app, 'user:u' || n % 700 as user_key, false as is_error,
                n % 3 = 0 as copy_seen, (100 + n % 900)::double as latency_ms,
                case when n % 5 = 0 then 'common' else 'v' || n end as variant
            from range(10000) as numbers(n)
            """
        )
    made.build([day])
    estimate_points(made.file, made.lake, CATALOG)
    return made
