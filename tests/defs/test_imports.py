"""Configured sources in Dagster: the schedule skips where there are none; one that fails neither stops nor hides."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from onlineeval_dagster.defs.imports import defs, every_fifteen_minutes
from onlineeval_dagster.defs.place import Place
from tests.pipeline import instance_at, living_at, table

QUARTER = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """A folder of foreign rows, and a database that is not there."""
    row = {"question": "Where is it?", "answer": "Here.", "id": 1, "time": "2026-11-20T10:00:00Z"}
    file = tmp_path / "in" / "a.jsonl"
    file.parent.mkdir()
    file.write_text(json.dumps(row) + "\n" + "{torn\n")
    long_ago = (datetime.now(UTC) - timedelta(hours=1)).timestamp()
    os.utime(file, (long_ago, long_ago))
    folder = tmp_path / "catalog"
    folder.mkdir()
    (folder / "sources.toml").write_text(
        f'[sources.shop]\ndialect = "sql"\nurl = "sqlite:////no/x.db"\ntable = "t"\ncursor_column = "id"\n'
        f'[sources.chats]\ndialect = "jsonl"\npath = "{file.parent}/*.jsonl"\n'
    )
    return folder


def tick(home: Path) -> dg.RunRequest | dg.SkipReason:
    """What the schedule says at a quarter past eight."""
    context = dg.build_schedule_context(scheduled_execution_time=QUARTER)
    said = every_fifteen_minutes(context, place=Place(home=str(home)))
    assert isinstance(said, dg.RunRequest | dg.SkipReason)
    return said


def test_the_schedule_skips_where_no_source_is_configured_and_else_asks_for_one_run_a_quarter(tmp_path, catalog):
    with living_at(tmp_path / "home"):
        said = tick(tmp_path / "home")
        assert isinstance(said, dg.SkipReason) and "no source is configured" in str(said.skip_message)
    with living_at(tmp_path / "home", ONLINEEVAL_CATALOG=str(catalog)):
        first, again = tick(tmp_path / "home"), tick(tmp_path / "home")
    assert isinstance(first, dg.RunRequest) and isinstance(again, dg.RunRequest)
    assert first.run_key == again.run_key == QUARTER.isoformat()


def test_a_good_source_is_pulled_beside_a_broken_one_and_the_check_names_the_broken_one(tmp_path, catalog):
    resources = {"place": Place(home=str(tmp_path / "home"))}
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with living_at(tmp_path / "home", ONLINEEVAL_CATALOG=str(catalog)) as settings, instance_at(settings) as instance:
        # Dagster asks the instance that was made last for the state of definitions; an earlier one may be gone.
        job = dg.Definitions.merge(defs, dg.Definitions(resources=resources)).resolve_job_def("pull_sources")
        done = job.execute_in_process(instance=instance, raise_on_error=False, run_config=quiet)
        again = job.execute_in_process(instance=instance, raise_on_error=False, run_config=quiet)
    assert done.success and again.success
    (made,) = done.asset_materializations_for_node("imports")
    assert (made.metadata["events"].value, made.metadata["bad rows"].value) == (1, 1)
    pulls = table(settings, "imports", "select * exclude (day) from imports order by started_at, source")
    assert [(pull["source"], pull["events"], pull["bad"]) for pull in pulls] == [
        *[("chats", 1, 1), ("shop", 0, 0)],
        *[("chats", 0, 0), ("shop", 0, 0)],
    ]
    assert "no such database file" in pulls[1]["error"] and pulls[0]["error"] is None
    (check,) = done.get_asset_check_evaluations()
    assert not check.passed and check.severity == dg.AssetCheckSeverity.WARN
    assert set(check.metadata) == {"shop"}
    segments = {file.name.split(".")[0] for file in settings.log_folder.iterdir()}
    assert segments == {"import_chats"}
