"""Configured sources: each is pulled from its own cursor, a failing one alone fails, a kill loses nothing."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from onlineeval_dagster.catalog.load import load_sources
from onlineeval_dagster.catalog.source_file import Source
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.sources.incremental import pull, pull_all
from tests.worlds import settings_at

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)


def put(file: Path, number: int, *, age: float = 3600) -> None:
    row = {"question": f"q{number}", "answer": "a", "id": number, "time": "2026-11-20T10:00:00Z"}
    file.write_text(json.dumps(row) + "\n")
    os.utime(file, (NOW.timestamp() - age,) * 2)


@pytest.fixture
def settings(tmp_path: Path):
    (tmp_path / "in").mkdir()
    return settings_at(tmp_path / "home")


@pytest.fixture
def source(tmp_path: Path, settings) -> Source:
    put(tmp_path / "in" / "a.jsonl", 1)
    return Source(dialect="jsonl", path=str(tmp_path / "in" / "*.jsonl"))


def test_only_new_files_are_read_and_the_segment_names_the_source(settings, source, tmp_path):
    first = pull(settings, "chats", source, now=NOW)
    assert (first.events, first.error, first.cursor_to) == (1, None, "1 files, the newest a.jsonl")
    assert [file.name.split(".")[0] for file in settings.log_folder.iterdir()] == ["import_chats"]
    assert pull(settings, "chats", source, now=NOW).events == 0
    put(tmp_path / "in" / "b.jsonl", 2)
    assert pull(settings, "chats", source, now=NOW).events == 1


def test_a_file_that_is_still_written_to_waits(settings, source, tmp_path):
    put(tmp_path / "in" / "b.jsonl", 2, age=5)
    assert pull(settings, "chats", source, now=NOW).events == 1


def test_a_source_that_fails_does_not_stop_the_others(settings, source):
    broken = Source(dialect="sql", url="sqlite:////no/x.db", table="t", cursor_column="id")
    wrong, good = pull_all(settings, {"shop": broken, "chats": source}, now=NOW)
    assert "sources.shop: url" in (wrong.error or "") and wrong.events == 0
    assert (good.error, good.events) == (None, 1)


def test_a_kill_before_the_cursor_is_written_reads_again_with_the_same_ids(settings, source):
    pull(settings, "chats", source, now=NOW)
    (settings.home / "state" / "sources" / "chats.json").unlink()
    assert pull(settings, "chats", source, now=NOW).events == 1
    lines = [json.loads(line) for file in settings.log_folder.iterdir() for line in file.read_text().splitlines()]
    assert len(lines) == 2 and len({line["event_id"] for line in lines}) == 1


def test_a_secret_that_is_not_in_the_environment_is_named(settings):
    source = Source(dialect="sql", url="sqlite:///${NO_SUCH_THING_7}", table="t", cursor_column="id")
    assert "NO_SUCH_THING_7 is not set" in (pull(settings, "shop", source, now=NOW).error or "")


def test_the_packaged_catalog_reads_nothing_and_a_wrong_key_is_named(tmp_path):
    assert load_sources(PACKAGED_CATALOG) == {} and load_sources(tmp_path) == {}
    (tmp_path / "sources.toml").write_text('[sources.shop]\ndialect = "sql"\nurl = "x"\ntabel = "t"\n')
    with pytest.raises(
        CatalogError, match=r"sources\.toml: sources\.shop\.tabel is not a known key; did you mean 'tab"
    ):
        load_sources(tmp_path)
