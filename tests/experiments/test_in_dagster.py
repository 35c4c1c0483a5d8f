"""A Monday's run as the schedule asks for it: rows, checks, a page, and a gate that a pipeline can ask."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from typer.testing import CliRunner

from onlineeval_dagster.cli import app
from onlineeval_dagster.contracts.events import Exposure
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.experiments.facts import START, midnight, write_facts
from tests.pipeline import definitions, living_at, run_in, table
from tests.worlds import lake_of, settings_at

TOML = f"""
[experiments.tone]
hypothesis = "Warm answers are copied more often"
starts_on = {START}
weeks = 1
primary = "copied"
covariates = ["copied"]
[experiments.tone.variants]
control = 0.5
warm = 0.5
"""


def test_a_mondays_run_writes_rows_and_a_page_and_opens_the_gate(tmp_path: Path) -> None:
    catalog = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, catalog, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (catalog / "experiments.toml").write_text(TOML, encoding="utf-8")
    settings = settings_at(tmp_path / "home")
    exposures = write_facts(settings.warehouse_file, users=900, weeks=1, lift=0.15).to_pylist()
    told = [
        Exposure(event_id=f"e{n}", propensity=0.5, received_at=row["occurred_at"], **row)
        for n, row in enumerate(exposures)
    ]
    lake_of(settings, told, now=midnight(START) + timedelta(weeks=2))
    where = {"ONLINEEVAL_CATALOG": str(catalog)}
    with living_at(settings.home, **where):
        closed = CliRunner().invoke(app, ["experiment", "gate", "tone"])
        assert (closed.exit_code, "no whole week" in closed.output) == (1, True)
    assert run_in(settings.home, "analyse_experiments", partition=str(START), **where).success
    rows = table(settings, "experiment_results")
    assert {(row["metric"], row["outcome"]) for row in rows} == {("copied", "ship")}
    page = settings.report_folder / "experiments" / f"tone-{START + timedelta(weeks=1)}.html"
    assert "Ship warm" in page.read_text(encoding="utf-8")
    everything = (page.parent / "index.html").read_text(encoding="utf-8")
    assert "100 % of 1 ended comparisons taught something" in everything and "sound" in everything
    with living_at(settings.home, **where):
        opened = CliRunner().invoke(app, ["experiment", "gate", "tone"])
        assert (opened.exit_code, "ship" in opened.output) == (0, True)


def test_the_schedule_asks_for_the_week_that_ended() -> None:
    context = dg.build_schedule_context(
        scheduled_execution_time=datetime(2026, 11, 30, 6, tzinfo=UTC),
        repository_def=definitions().get_repository_def(),
    )
    said = definitions().resolve_schedule_def("mondays").evaluate_tick(context)  # pyright: ignore
    assert [asked.partition_key for asked in said.run_requests] == ["2026-11-23"]
