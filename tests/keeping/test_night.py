"""The night finishes erasures, applies retention, merges the lake's parts and forgets old runs; all behind one lock."""

import os
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    TickData,
    TickStatus,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

from onlineeval_dagster.defs.keeping import erasures_finished, forget_runs, forget_ticks
from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.keeping.erasure import ask, unfinished
from onlineeval_dagster.keeping.quiet import keeping
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from tests.keeping.homes import holding_files, tables
from tests.pipeline import instance_at, run_in
from tests.worlds import answer, lake_of, settings_at

NOW = datetime.now(UTC)
YESTERDAY = NOW.replace(microsecond=0) - timedelta(days=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = settings_at(tmp_path / "home", warehouse_wait_seconds=1)
    lake_of(settings, [answer("a", at=YESTERDAY, user_id="anna-q7"), answer("b", at=YESTERDAY)], now=NOW)
    lake_of(settings, [answer("old", at=YESTERDAY - timedelta(days=50))], now=NOW)
    lake_of(settings, [answer("c", at=YESTERDAY)], now=NOW)
    return settings


ORIGIN = RemoteInstigatorOrigin(
    repository_origin=RemoteRepositoryOrigin(
        code_location_origin=InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="m")), repository_name="r"
    ),
    instigator_name="log",
)


@dg.job
def nothing() -> None:
    pass


def test_the_night_does_all_that_is_due(settings, tmp_path):
    catalog = a_catalog(tmp_path, "[responses]\ndays = 30\n[runs]\ndays = 30\n")
    ask(settings, "user", ["anna-q7"], now=NOW)
    details = settings.home / "runs" / "old.log"
    details.parent.mkdir()
    details.write_text("dbt")
    os.utime(details, (0, 0))
    outcome = run_in(settings.home, "tidy_lake", ONLINEEVAL_CATALOG=str(catalog))
    assert outcome.success, outcome.failures
    assert unfinished(settings) == []
    assert holding_files(settings.home, "anna-q7") == []
    assert [row["response_id"] for row in tables(settings, ("responses",))["responses"]] == ["rb", "rc"]
    assert len(Lake(settings.lake_folder).files("responses")) == 1
    assert not details.exists()


def test_while_somebody_erases_the_night_neither_merges_nor_removes(settings):
    lake = Lake(settings.lake_folder)
    files = lake.files("responses")
    with keeping(settings, "erasing"):
        outcome = run_in(settings.home, "tidy_lake", ONLINEEVAL_WAREHOUSE_WAIT_SECONDS="0")
    assert not outcome.success
    assert "lake: the keeping of this home is held by process" in outcome.failures[0]
    assert lake.files("responses") == files


def test_old_runs_that_ended_are_forgotten_oldest_first_and_no_more_than_a_nights_worth(settings):
    with instance_at(settings) as instance:
        ended = [nothing.execute_in_process(instance=instance).run_id for _ in range(3)]
        running = instance.create_run_for_job(nothing, status=dg.DagsterRunStatus.STARTED).run_id
        folder = settings.home / "runs"
        assert forget_runs(instance, folder, before=NOW - timedelta(days=30)) == 0
        assert forget_runs(instance, folder, before=NOW + timedelta(days=30), limit=2) == 2
        assert {run.run_id for run in instance.get_runs()} == {ended[2], running}


def test_ticks_of_sensors_go_with_the_runs_of_their_time(settings):
    with instance_at(settings) as instance:
        state = InstigatorState(ORIGIN, InstigatorType.SENSOR, InstigatorStatus.RUNNING)
        name = {"instigator_origin_id": state.instigator_origin_id, "selector_id": state.selector_id}
        instance.add_instigator_state(state)
        for days in (31, 29, 0):
            at = (NOW - timedelta(days=days)).timestamp()
            instance.create_tick(
                TickData(
                    **name,
                    instigator_name="log",
                    instigator_type=InstigatorType.SENSOR,
                    status=TickStatus.SKIPPED,
                    timestamp=at,
                )
            )
        assert forget_ticks(instance, before=NOW - timedelta(days=30)) == 1
        left = instance.get_ticks(state.instigator_origin_id, state.selector_id)
        assert [round((NOW.timestamp() - tick.timestamp) / 86_400) for tick in left] == [0, 29]


def test_an_erasure_that_is_not_finished_is_warned_of_without_the_id(settings):
    place = Place(home=str(settings.home))
    assert check(place).passed
    request = ask(settings, "user", ["anna-q7"], now=NOW)
    found = check(place)
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert request.name in str(found.metadata)
    assert "anna-q7" not in str(found.metadata) + str(found.description)


def check(place: Place) -> dg.AssetCheckResult:
    found = erasures_finished(place=place)
    assert isinstance(found, dg.AssetCheckResult)
    return found


def a_catalog(folder: Path, retention: str) -> Path:
    catalog = folder / "catalog"
    shutil.copytree(PACKAGED_CATALOG, catalog, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (catalog / "retention.toml").write_text(retention)
    return catalog
