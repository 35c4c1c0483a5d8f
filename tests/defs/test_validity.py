"""What signals are worth, in Dagster: measured once a day, shown as a table, and said where one points backwards."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.cli import app
from onlineeval_dagster.contracts.events import Label
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.settings import load_settings
from onlineeval_dagster.signals.stage import derive_signals
from tests.pipeline import definitions, instance_at, living_at, table
from tests.worlds import action, answer, lake_of

NOW = datetime.now(UTC)
YESTERDAY = NOW - timedelta(days=1)


def judged(number: int, *, good: bool) -> Label:
    return Label(
        event_id=f"l{number}",
        response_id=f"r{number}",
        axis="relevance",
        score=3.0 if good else 1.0,
        reviewer="ann",
        response_at=YESTERDAY,
        inclusion_probability=1.0,
        stream="audit",
        occurred_at=YESTERDAY + timedelta(hours=1),
        received_at=YESTERDAY + timedelta(hours=1),
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A hundred answers: the good ones are regenerated, which the catalog takes for a bad sign."""
    folder = tmp_path_factory.mktemp("home")
    with living_at(folder) as settings:
        said = [answer(number, at=YESTERDAY + timedelta(seconds=number)) for number in range(100)]
        did = [
            action(number, "regenerate" if number % 2 else "follow_up", at=YESTERDAY + timedelta(minutes=5))
            for number in range(100)
            if number % 5
        ]
        labels = [judged(number, good=number % 2 == 1) for number in range(100)]
        lake = lake_of(settings, [*said, *did, *labels], now=NOW)
        derive_signals(lake, load_catalog(settings.catalog), now=NOW)
    return folder


def measured(home: Path) -> dg.ExecuteInProcessResult:
    with living_at(home) as settings, instance_at(settings) as instance:
        job = definitions().resolve_job_def("measure_signals")
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        return job.execute_in_process(instance=instance, raise_on_error=False, run_config=quiet)


def test_a_run_writes_both_tables_shows_the_best_first_and_names_what_points_backwards(home) -> None:
    done = measured(home)
    assert done.success
    shown = {
        event.asset_key.to_user_string(): event.step_materialization_data.materialization.metadata
        for event in done.get_asset_materialization_events()
        if event.asset_key
    }
    lines = str(shown["signal_validity"]["best first"].value).splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith("| ---")) + 1
    assert lines[first].startswith("| follow up | implicit | 0.9")
    assert "fitting needs 100 and 20" not in str(shown["quality_weights"])
    checks = {
        (check.asset_key.to_user_string(), check.check_name): check for check in done.get_asset_check_evaluations()
    }
    assert checks["signal_validity", "contract"].passed and checks["quality_weights", "contract"].passed
    backwards = checks["signal_validity", "signals_point_the_right_way"]
    assert not backwards.passed and backwards.severity == dg.AssetCheckSeverity.WARN
    assert backwards.description == "regenerate point the wrong way"


def test_running_it_again_the_same_day_replaces_the_rows(home) -> None:
    assert measured(home).success
    with living_at(home):
        settings = load_settings()
        once = len(table(settings, "signal_validity"))
        assert measured(home).success
        assert len(table(settings, "signal_validity")) == once > 20
        assert Lake(settings.lake_folder).days("quality_weights")


def test_the_tick_leaves_it_to_its_own_job() -> None:
    ticked = definitions().resolve_job_def("tick").asset_layer.executable_asset_keys
    assert not {dg.AssetKey("signal_validity"), dg.AssetKey("quality_weights")} & set(ticked)


def test_the_same_table_is_printed_by_onlineeval_signals_validity(home) -> None:
    with living_at(home, COLUMNS="200"):
        said = CliRunner().invoke(app, ["signals", "validity"])
    assert said.exit_code == 0, said.output
    assert "follow up" in said.output and "All signals in one index" in said.output
    assert "signals.toml does not say which way it points" in said.output
