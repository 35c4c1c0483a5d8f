"""The door to the warehouse: one holder, and builds of exactly the days that changed."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.errors import CatalogError, WarehouseBusy, WarehouseError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.lock import holder
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from onlineeval_dagster.signals.stage import derive_signals
from onlineeval_dagster.warehouse import duckdb as door
from onlineeval_dagster.warehouse.dry_run import check_metrics
from onlineeval_dagster.warehouse.duckdb import (
    built_since,
    column_of,
    dbt_vars,
    finish,
    in_chunks,
    lock_file,
    plan_build,
    prepare,
    query,
    table_shapes,
    warehouse_held,
)
from tests.worlds import NOON, NOW, action, answer, deploy, lake_of, settings_at

CATALOG = load_catalog(PACKAGED_CATALOG)
NEXT = NOON + timedelta(days=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = settings_at(tmp_path)
    found.warehouse_file.parent.mkdir(parents=True)
    return found


@pytest.fixture
def file(settings: Settings) -> Path:
    return settings.warehouse_file


def build(file: Path, lake: Lake, catalog: Catalog = CATALOG) -> int:
    plan = plan_build(file, lake, catalog)
    assert plan is not None
    prepare(file, lake, plan.days)
    return finish(file, plan)


def with_metric(catalog: Catalog, **change: str) -> Catalog:
    metrics = catalog.metrics.metrics
    copied = metrics["copied"].model_copy(update=change)
    return Catalog(
        folder=catalog.folder,
        judges=catalog.judges,
        signals=catalog.signals,
        sampling=catalog.sampling,
        metrics=catalog.metrics.model_copy(update={"metrics": {**metrics, "copied": copied}}),
    )


def test_a_second_process_is_told_who_holds_the_warehouse_and_for_what(file: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from onlineeval_dagster.warehouse.duckdb import warehouse_held\n"
        "with warehouse_held(Path(sys.argv[1]), wait_seconds=0, purpose='building'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        said = rf"warehouse {file} is held by process {other.pid} \(building\)"
        with pytest.raises(WarehouseBusy, match=said), warehouse_held(file, wait_seconds=0.2, purpose="testing"):
            pass
        assert holder(lock_file(file)) == f"process {other.pid} (building)"
        other.kill()
    with warehouse_held(file, wait_seconds=5, purpose="testing"):
        pass
    assert holder(lock_file(file)) is None


def test_a_new_warehouse_builds_every_day(settings: Settings, file: Path) -> None:
    lake = lake_of(settings, [answer(1, at=NOON), answer(2, at=NEXT)])
    plan = plan_build(file, lake, CATALOG)
    assert plan is not None
    assert plan.days == (NOON.date(), NEXT.date())


def test_an_empty_lake_needs_no_build(settings: Settings, file: Path) -> None:
    assert plan_build(file, Lake(settings.lake_folder), CATALOG) is None
    assert built_since(file, None) == (0, frozenset())


def test_only_the_days_that_changed_are_built_again(settings: Settings, file: Path) -> None:
    lake = lake_of(settings, [answer(1, at=NOON), answer(2, at=NEXT)])
    assert build(file, lake) == 1
    assert plan_build(file, lake, CATALOG) is None
    lake_of(settings, [answer(3, at=NEXT)])
    plan = plan_build(file, lake, CATALOG)
    assert plan is not None and plan.days == (NEXT.date(),)


def test_new_signals_of_an_old_day_build_that_day(settings: Settings, file: Path) -> None:
    lake = lake_of(settings, [answer(1, at=NOON), answer(2, at=NEXT)])
    derive_signals(lake, CATALOG, now=NOW)
    build(file, lake)
    lake_of(settings, [action(1, "copy", at=NOON)])
    derive_signals(lake, CATALOG, now=NOW)
    plan = plan_build(file, lake, CATALOG)
    assert plan is not None and plan.days == (NOON.date(),)


def test_a_changed_catalog_builds_every_day(settings: Settings, file: Path) -> None:
    lake = lake_of(settings, [answer(1, at=NOON), answer(2, at=NEXT)])
    build(file, lake)
    changed = with_metric(CATALOG, numerator="copy_seen or thumbs_up_seen")
    plan = plan_build(file, lake, changed)
    assert plan is not None and plan.days == (NOON.date(), NEXT.date())
    assert build(file, lake, changed) == 2
    assert plan_build(file, lake, changed) is None


def test_a_build_that_was_not_finished_is_planned_again(settings: Settings, file: Path) -> None:
    lake = lake_of(settings, [answer(1, at=NOON)])
    plan = plan_build(file, lake, CATALOG)
    assert plan is not None
    prepare(file, lake, plan.days)
    assert plan_build(file, lake, CATALOG) == plan


def test_what_arrives_while_dbt_works_is_left_for_the_next_build(settings: Settings, file: Path) -> None:
    lake = lake_of(settings, [answer(1, at=NOON)])
    plan = plan_build(file, lake, CATALOG)
    assert plan is not None
    prepare(file, lake, plan.days)
    lake_of(settings, [answer(2, at=NOON)])
    finish(file, plan)
    again = plan_build(file, lake, CATALOG)
    assert again is not None and again.days == (NOON.date(),)


def test_readers_learn_which_days_were_built_since_they_looked(settings: Settings, file: Path) -> None:
    lake = lake_of(settings, [answer(1, at=NOON)])
    build(file, lake)
    lake_of(settings, [answer(2, at=NEXT)])
    build(file, lake)
    assert built_since(file, None) == (2, {NOON.date(), NEXT.date()})
    assert built_since(file, 1) == (2, {NEXT.date()})
    assert built_since(file, 2) == (2, frozenset())


def test_readers_who_remember_a_build_of_a_deleted_warehouse_learn_of_every_day(settings: Settings, file: Path) -> None:
    lake = lake_of(settings, [answer(1), answer(2, at=NEXT)])
    assert build(file, lake) == 1
    assert built_since(file, 7) == (1, {NOON.date(), NEXT.date()})


def test_dbt_sees_the_touched_days_and_every_deploy(settings: Settings, file: Path) -> None:
    lake = lake_of(settings, [answer(1, at=NOON), answer(2, at=NEXT), deploy("p1", at=NOON)])
    prepare(file, lake, [NEXT.date()])
    assert query(file, "select response_id from tick.responses").to_pylist() == [{"response_id": "r2"}]
    assert query(file, "select deploy_id from tick.deploys").to_pylist() == [{"deploy_id": "p1"}]
    assert query(file, "select day from tick.days").to_pylist() == [{"day": NEXT.date()}]
    assert query(file, "select count(*) as n from tick.labels").to_pylist() == [{"n": 0}]


def test_a_view_follows_the_files_of_its_own_build(settings: Settings, file: Path) -> None:
    lake = lake_of(settings, [answer(1, at=NOON)])
    prepare(file, lake, [NOON.date()])
    lake_of(settings, [answer(2, at=NOON)])
    assert query(file, "select count(*) as n from tick.responses").to_pylist() == [{"n": 1}]


def test_many_days_are_built_in_parts_that_fit_in_memory(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    days = [NOON + timedelta(days=shift) for shift in range(4)]
    lake = lake_of(settings, [answer(f"{d}-{n}", at=at) for d, at in enumerate(days) for n in range(3)])
    monkeypatch.setattr(door, "RESPONSES_A_BUILD", 7)
    chunks = in_chunks(lake, [at.date() for at in days])
    assert chunks == [[at.date() for at in days[:2]], [at.date() for at in days[2:]]]
    monkeypatch.setattr(door, "RESPONSES_A_BUILD", 1)
    assert len(in_chunks(lake, [at.date() for at in days])) == 4, "a day is never split"
    assert in_chunks(lake, []) == [[]]


def test_a_damaged_file_says_that_it_can_be_deleted(file: Path) -> None:
    file.write_bytes(b"not a database" * 1_000)
    with pytest.raises(WarehouseError, match="delete it"):
        query(file, "select 1")


def test_times_are_utc_whatever_the_machine_says(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    sql = "select date_trunc('day', timestamptz '2026-11-10 02:00+00')::varchar as day"
    assert query(file, sql).to_pylist() == [{"day": "2026-11-10 00:00:00+00"}]


def test_shapes_tell_columns_and_rows_of_tables_and_no_rows_of_views(file: Path) -> None:
    with door.connection(file) as warehouse:
        warehouse.execute("create schema marts; create table marts.t as select 1 as a, 'x' as b from range(5)")
        warehouse.execute("create schema staging; create view staging.v as select 2.0::double as c")
    shapes = table_shapes(file)
    assert (dict(shapes["t"].columns), shapes["t"].rows) == ({"a": "INTEGER", "b": "VARCHAR"}, 5)
    assert (dict(shapes["v"].columns), shapes["v"].rows) == ({"c": "DOUBLE"}, None)


def test_dbt_is_told_the_catalog(file: Path) -> None:
    told = dbt_vars(file, CATALOG)
    assert told["warehouse"] == str(file)
    added_up = [name for name, one in CATALOG.metrics.metrics.items() if one.kind != "quantile"]
    assert [metric["name"] for metric in told["metrics"]] == added_up
    assert set(told["signals"]) == {*CATALOG.signals.actions, *CATALOG.signals.derived, *CATALOG.signals.detectors}
    assert told["judges"][0]["version"] == CATALOG.live_judges[0].version
    assert column_of("tone-strict") == "tone_strict"


def test_a_metric_over_an_unknown_column_names_those_near_it() -> None:
    with pytest.raises(CatalogError, match=r"metrics\.copied\.numerator 'coppy_seen'.*copy_seen"):
        check_metrics(with_metric(CATALOG, numerator="coppy_seen"))


def test_a_metric_of_the_wrong_type_is_refused() -> None:
    with pytest.raises(CatalogError, match=r"metrics\.copied\.filter"):
        check_metrics(with_metric(CATALOG, filter="occurred_at"))
