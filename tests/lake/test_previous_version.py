"""A lake that the previous version wrote, without three columns of today: read, checked, appended to, lost nothing."""

import shutil
from pathlib import Path

import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.arrow import from_table
from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.rewrite import take_out
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.quality.run import check_table
from onlineeval_dagster.sampling.select import select_responses
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from onlineeval_dagster.signals.stage import derive_signals
from tests.worlds import NOON, NOW, action, answer, log_events, settings_at

PREVIOUS = Path(__file__).with_name("previous")
ROWS = {
    **{"responses": 5, "actions": 2, "deploys": 1, "events": 1, "exposures": 1, "labels": 1, "verdicts": 2},
    **{"quarantine": 1, "ingested_parts": 3, "signals": 17, "selections": 5, "metric_points": 1, "deploy_effects": 1},
}
NEW_COLUMNS = {"provider", "new_user", "reference"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    found = settings_at(tmp_path / "home")
    shutil.copytree(PREVIOUS, found.lake_folder)
    return found


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings.lake_folder)


def everything(lake: Lake, name: str) -> list[dict]:
    return rows(lake, f"select * exclude (file_name) from {name} order by all", {name: None}).to_pylist()


def test_the_committed_lake_has_every_table_of_its_time_and_is_small() -> None:
    assert {folder.name for folder in PREVIOUS.iterdir()} == set(ROWS) <= set(TABLES)
    assert sum(file.stat().st_size for file in PREVIOUS.rglob("*") if file.is_file()) < 200_000


@pytest.mark.parametrize("name", ROWS)
def test_every_row_is_read_with_the_columns_of_today(lake: Lake, name: str) -> None:
    found = everything(lake, name)
    assert len(found) == ROWS[name]
    assert list(found[0]) == TABLES[name].schema.names
    if name == "responses":
        assert {row[column] for row in found for column in NEW_COLUMNS} == {None}


@pytest.mark.parametrize("name", ROWS)
def test_every_row_passes_the_checks_of_today(lake: Lake, name: str) -> None:
    assert check_table(lake, name).failures == ()


def test_old_rows_are_contracts_of_today(lake: Lake) -> None:
    found = rows(lake, "select * exclude (file_name, day, log_segment, log_offset) from responses", {"responses": None})
    answers = from_table(found, Response)
    assert {answer.attributes.get("tier") for answer in answers} == {"gold", None}
    assert {answer.provider for answer in answers} == {None}


def test_opening_a_table_to_write_widens_it_and_changes_no_row(lake: Lake) -> None:
    before = everything(lake, "responses")
    names = {field.name for field in lake.open("responses").schema().fields}
    assert names >= NEW_COLUMNS
    assert everything(lake, "responses") == before


def test_todays_pipeline_goes_on_where_the_previous_stopped(settings: Settings, lake: Lake) -> None:
    old = {name: everything(lake, name) for name in ("responses", "selections", "signals")}
    log_events(settings, [answer("new", provider="openai", new_user=True), action(3, "copy")])
    assert ingest(settings, lake, now=NOW).accepted == {"responses": 1, "actions": 1}
    derive_signals(lake, load_catalog(PACKAGED_CATALOG), now=NOW)
    select_responses(lake, load_catalog(PACKAGED_CATALOG), now=NOW)
    answers = {row["response_id"]: row for row in everything(lake, "responses")}
    assert len(answers) == ROWS["responses"] + 1
    assert (answers["rnew"]["provider"], answers["rnew"]["new_user"]) == ("openai", True)
    assert {answers[row["response_id"]]["provider"] for row in old["responses"]} == {None}
    decided = everything(lake, "selections")
    assert all(row in decided for row in old["selections"]), "what was decided is never decided again"
    assert {row["response_id"] for row in decided} == set(answers)
    signals = {(row["response_id"], row["signal"]): row["score"] for row in everything(lake, "signals")}
    assert signals["r3", "copy"] == 0.8, "a late action reaches an answer of the previous version"
    assert {(row["response_id"], row["signal"]): row["score"] for row in old["signals"]}.items() <= signals.items()


def test_an_old_day_can_be_compacted_and_erased_from(settings: Settings, lake: Lake) -> None:
    log_events(settings, [answer("new", at=NOON, provider="openai")])
    ingest(settings, lake, now=NOW)
    lake.compact("responses")
    assert len(lake.files("responses", {NOON.date()})) == 1
    assert sum(take_out(lake, "responses", "user_id = 'u1'", now=NOW).values()) == 1
    assert len(everything(lake, "responses")) == ROWS["responses"]
