"""What a person is shown of the accounts: tables, one sentence, and an exit code."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from onlineeval_dagster.cli import app
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.waiting import untaken_by_door
from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.quality.coverage import count_coverage
from onlineeval_dagster.quality.shown import hours_shown, sources_shown
from onlineeval_dagster.settings import Settings
from tests.worlds import answer, settings_at

NOW = datetime.now(UTC)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path)


def counted(settings: Settings) -> Lake:
    with open_log(settings, door="sdk") as log:
        log.append(b"".join(encode(answer(i, at=NOW - timedelta(minutes=1))) for i in range(1200)) + b"no json\n")
    lake = Lake(settings.lake_folder)
    ingest(settings, lake, now=NOW)
    count_coverage(lake)
    return lake


def printed(table: Any) -> list[list[str]]:
    console = Console(width=200)
    with console.capture() as shown:
        console.print(table)
    return [line.replace("│", " ").split() for line in shown.get().splitlines()]


def run(settings: Settings, *arguments: str) -> tuple[int, str]:
    outcome = CliRunner().invoke(app, ["coverage", *arguments], env={"ONLINEEVAL_HOME": str(settings.home)})
    return outcome.exit_code, outcome.output


def test_each_source_has_a_row_and_what_is_still_in_the_log_waits(settings):
    lake = counted(settings)
    with open_log(settings, door="collector") as log:
        log.append(encode(answer("w", at=NOW)))
        size = len(encode(answer("w", at=NOW)))
        assert untaken_by_door(settings) == {"collector": size}
        table = sources_shown(lake, since=NOW - timedelta(days=1), waiting=untaken_by_door(settings))
    lines = printed(table)
    assert ["sdk", "1,201", "1,200", "0", "1", "0", "0", "0"] in lines
    assert ["collector", *["0"] * 7, str(size), "bytes"] in lines


def test_a_batch_that_was_begun_waits(settings):
    with open_log(settings, door="sdk") as log:
        log.append(encode(answer(1, at=NOW)))

    def stop(step: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(settings, Lake(settings.lake_folder), now=NOW, checkpoint=stop)
    assert untaken_by_door(settings) == {"sdk": len(encode(answer(1, at=NOW)))}


def test_hours_without_traffic_are_no_rows_and_nothing_is_no_table(settings):
    lake = counted(settings)
    assert hours_shown(lake, since=NOW + timedelta(hours=2)) is None
    assert sources_shown(lake, since=NOW + timedelta(hours=2), waiting={}) is None
    table = hours_shown(lake, since=NOW - timedelta(days=1))
    assert table is not None and table.row_count == 1


def test_the_verb_says_that_all_is_accounted_for(settings):
    counted(settings)
    code, told = run(settings)
    assert code == 0
    assert "All 1,201 lines that came in are accounted for." in told


def test_the_verb_names_what_is_missing_and_fails(settings):
    counted(settings).open("responses").delete("response_id in ('r1', 'r2')")
    count_coverage(Lake(settings.lake_folder))
    code, told = run(settings, "--days", "3")
    assert code == 1
    assert "2 of 1,201 lines that came in are missing." in told
    assert f"! {NOW:%Y-%m-%d %H}:00, sdk: 2 lines are missing" in told


def test_a_home_without_a_lake_is_told_so(settings):
    code, told = run(settings)
    assert code == 0
    assert "Nothing came in during these days" in told
