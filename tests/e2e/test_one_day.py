"""Two simulated days through the front door and the real `tick`: what must hold of every table, and of a second run."""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.log.segments import open_log
from onlineeval_dagster.metrics.moments import CELL_COLUMNS, GROUP_COLUMNS, moments_from_rows
from onlineeval_dagster.progress import waiting
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from onlineeval_dagster.simulate.traffic import simulate
from onlineeval_dagster.simulate.write import Written, write_traffic
from onlineeval_dagster.warehouse.dry_run import fact_columns
from onlineeval_dagster.warehouse.duckdb import query
from tests.pipeline import instance_at, run_in, table
from tests.worlds import answer, log_events, settings_at

NOW = datetime.now(UTC)
START = NOW.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
LAST = (START + timedelta(days=1)).date()
STAGING, TWICE = 7, 3
OURS = STAGING + TWICE


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What went in, and where it came out."""

    settings: Settings
    catalog: Catalog
    written: Written
    steps: tuple[dg.EventLogRecord, ...]
    versions: dict[str, int]

    def ask(self, sql: str) -> list[dict]:
        return query(self.settings.warehouse_file, sql).to_pylist()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    settings = settings_at(tmp_path_factory.mktemp("one_day") / "home")
    traffic = simulate(days=2, start=START, seed=3, daily_users=60, population=180, responses_per_day=240)
    with open_log(settings, door="test") as log:
        written = write_traffic(log.append, traffic, bad_lines=0.01)
    log_events(settings, [answer(f"staging{n}", at=START, environment="staging") for n in range(STAGING)])
    log_events(settings, [answer(f"staging{n}", at=START, environment="staging") for n in range(TWICE)])
    outcome = run_in(settings.home, "full_tick")  # a tick, with every check
    assert outcome.success, outcome
    assert run_in(settings.home, "report", partition=str(LAST)).success
    with instance_at(settings) as instance:
        steps = instance.get_records_for_run(outcome.run_id, limit=5_000).records
    return World(
        settings=settings,
        catalog=load_catalog(PACKAGED_CATALOG),
        written=written,
        steps=tuple(steps),
        versions=lake_versions(settings),
    )


def lake_versions(settings: Settings) -> dict[str, int]:
    return {name: Lake(settings.lake_folder).version(name) for name in TABLES}


def events(world: World, kind: dg.DagsterEventType) -> list[dg.DagsterEvent]:
    found = [record.event_log_entry.dagster_event for record in world.steps]
    return [event for event in found if event is not None and event.event_type == kind]


def test_every_line_of_the_log_is_accepted_or_in_quarantine(world: World) -> None:
    parts = table(world.settings, "ingested_parts")
    good = sum(world.written.events.values()) + OURS
    verdicts = len(table(world.settings, "verdicts"))
    assert all(part["lines"] == part["accepted"] + part["bad"] for part in parts)
    assert sum(part["bad"] for part in parts) == world.written.bad_lines > 0
    assert sum(part["accepted"] for part in parts) == good + verdicts
    assert len(table(world.settings, "quarantine")) == world.written.bad_lines


def test_every_kind_of_event_stands_in_its_own_table(world: World) -> None:
    for kind, count in world.written.events.items():
        extra = OURS if kind == "response" else 0
        assert len(table(world.settings, f"{kind}s")) == count + extra, kind


def test_a_response_that_was_sent_twice_is_one_row_of_the_facts(world: World) -> None:
    arrived = [row["response_id"] for row in table(world.settings, "responses")]
    facts = [row["response_id"] for row in world.ask("select response_id from marts.response_facts")]
    assert len(arrived) >= len(set(arrived)) + TWICE
    assert sorted(facts) == sorted(set(arrived))
    doubles = world.ask("select sum(duplicates)::int as n from marts.arrivals where table_name = 'responses'")
    assert doubles == [{"n": len(arrived) - len(set(arrived))}]


def test_every_production_response_has_one_selection_and_no_other_has_any(world: World) -> None:
    eligible = {row["response_id"] for row in table(world.settings, "responses") if row["environment"] == "production"}
    for judge in world.catalog.live_judges:
        rows = [row for row in table(world.settings, "selections") if row["judge"] == judge.name]
        assert Counter(row["response_id"] for row in rows) == dict.fromkeys(eligible, 1)


def test_every_selected_response_ends_done_or_failed(world: World) -> None:
    selected = sum(row["state"] == "selected" for row in table(world.settings, "selections"))
    states = Counter(row["state"] for row in world.ask("select state from marts.selection_outcomes"))
    assert selected > 20
    assert states["done"] + states["failed"] == selected
    assert set(states) <= {"done", "failed", "not_selected", "filtered"}


def test_every_verdict_carries_the_chance_of_its_selection(world: World) -> None:
    chances = {
        (row["response_id"], row["judge"]): (row["inclusion_probability"], row["stratum"])
        for row in table(world.settings, "selections")
        if row["state"] == "selected"
    }
    verdicts = table(world.settings, "verdicts")
    assert {(v["response_id"], v["judge"]): (v["inclusion_probability"], v["stratum"]) for v in verdicts} == chances


def test_every_point_has_a_value_or_a_reason_and_every_metric_has_points(world: World) -> None:
    points = table(world.settings, "metric_points")
    assert {point["metric"] for point in points} == set(world.catalog.metrics.metrics)
    assert all((point["value"] is None) == (point["reason"] is not None) for point in points)
    answered = [point for point in points if point["value"] is not None]
    assert answered
    assert all(point["low"] <= point["value"] <= point["high"] for point in answered)


def test_staging_counts_in_no_metric(world: World) -> None:
    production = {
        row["response_id"]
        for row in table(world.settings, "responses")
        if row["environment"] == "production" and row["day"] == START.date()
    }
    points = [
        point
        for point in table(world.settings, "metric_points")
        if (point["metric"], point["grain"], point["slice"], point["day"]) == ("errors", "day", "all", START.date())
    ]
    assert [point["population"] for point in points] == [len(production)]
    staging = world.ask("select count(*) as n from marts.response_facts where environment = 'staging'")
    assert staging[0]["n"] >= STAGING, "it is there to look at all the same"


def test_the_report_is_there_in_both_forms_and_says_that_it_is_simulated(world: World) -> None:
    folder = world.settings.report_folder / "daily"
    for suffix in (".html", ".md"):
        assert "simulated" in (folder / f"{LAST}{suffix}").read_text(encoding="utf-8").lower()
    assert [file.name for file in folder.glob("*.part")] == []


def test_the_facts_have_the_columns_that_a_catalog_check_believes_in(world: World) -> None:
    found = world.ask("select column_name, data_type from duckdb_columns() where table_name = 'response_facts'")
    kinds = {row["column_name"]: row["data_type"].lower() for row in found}
    aliases = {"timestamp with time zone": "timestamptz"}
    assert {name: aliases.get(kind, kind) for name, kind in kinds.items()} == fact_columns(world.catalog)


@pytest.mark.parametrize("grain", ["hour", "day"])
@pytest.mark.parametrize(
    ("metric", "value", "chance", "slice_"),
    [
        ("good_answers", "relevance_good::int", "relevance_probability", "all"),
        ("relevance_score", "relevance_score", "relevance_probability", "prompt_version"),
        ("copied", "copy_seen::int", None, "all"),
        ("latency", "latency_ms", None, "model"),
    ],
)
def test_dbts_moments_are_those_of_the_reference_on_the_same_rows(
    world: World, metric: str, value: str, chance: str | None, slice_: str, grain: str
) -> None:
    slice_value = "'all'" if slice_ == "all" else slice_
    stratum = f"{chance.removesuffix('_probability')}_stratum || ' at ' || {chance}" if chance else "'all'"
    there = f"{chance} is not null" if chance else f"{value} is not null"
    facts = query(
        world.settings.warehouse_file,
        f"""
        select epoch_us(date_trunc('{grain}', occurred_at)) || ' ' || {slice_value} as place, {stratum} as stratum,
            user_key, ({value})::double as value
        from marts.response_facts
        where environment = 'production' and {there} and {slice_value} is not null
        """,
    ).to_pydict()
    values = np.array([np.nan if found is None else found for found in facts["value"]])
    wanted = moments_from_rows(facts["place"], facts["stratum"], facts["user_key"], values)
    got = query(
        world.settings.warehouse_file,
        f"""
        select epoch_us(window_start) || ' ' || slice_value as place, * from marts.metric_moments
        where metric = '{metric}' and grain = '{grain}' and slice = '{slice_}' order by place, stratum
        """,
    )
    assert got.column("place").to_pylist() == [sorted(set(facts["place"]))[at] for at in wanted.cell_group]
    for name in CELL_COLUMNS:
        assert np.allclose(_floats(got, name), getattr(wanted, name)), name
    for name in GROUP_COLUMNS:
        assert np.allclose(_floats(got, name), getattr(wanted, name)[wanted.cell_group]), name


def _floats(rows: pa.Table, name: str) -> np.ndarray:
    return rows.column(name).cast(pa.float64()).to_numpy()


def test_every_check_ran_and_passed(world: World) -> None:
    found = [event.asset_check_evaluation_data for event in events(world, dg.DagsterEventType.ASSET_CHECK_EVALUATION)]
    assert {check.asset_key.to_user_string() for check in found if check.check_name == "contract"} == set(TABLES)
    from_dbt = [check for check in found if check.check_name != "contract"]
    assert {"no_response_is_lost", "moments_are_possible"} <= {check.check_name for check in from_dbt}
    errors = [check for check in found if check.severity == dg.AssetCheckSeverity.ERROR]
    assert [check.asset_check_key for check in errors if not check.passed] == []


def test_every_table_tells_its_rows_and_columns(world: World) -> None:
    told: dict[str, dict] = {}
    for event in events(world, dg.DagsterEventType.ASSET_MATERIALIZATION):
        seen = event.step_materialization_data.materialization
        told.setdefault(seen.asset_key.to_user_string(), {}).update(seen.metadata)
    facts = world.ask("select count(*) as n from marts.response_facts")[0]["n"]
    assert told["response_facts"]["dagster/row_count"].value == facts
    columns = told["response_facts"]["dagster/column_schema"].schema.columns
    assert {column.name for column in columns} == set(fact_columns(world.catalog))
    for name in ("responses", "signals", "selections", "verdicts", "metric_points"):
        assert told[name]["dagster/row_count"].value == len(table(world.settings, name)), name


def test_a_run_with_nothing_new_changes_no_table(world: World) -> None:
    assert waiting(world.settings, world.catalog, now=datetime.now(UTC)) == []
    builds = world.ask("select number from tick.builds")
    assert run_in(world.settings.home).success
    assert lake_versions(world.settings) == world.versions
    assert world.ask("select number from tick.builds") == builds
    assert waiting(world.settings, world.catalog, now=datetime.now(UTC)) == []


def test_the_days_of_the_lake_are_the_days_of_the_traffic(world: World) -> None:
    lake = Lake(world.settings.lake_folder)
    days: set[date] = {START.date(), LAST}
    for name in ("responses", "signals", "selections", "verdicts"):
        assert lake.days(name) == days, name
    mondays = {day - timedelta(days=day.weekday()) for day in days}
    assert lake.days("metric_points") == days | mondays, "a week's point stands on its Monday"
