"""Where a home may lie: a path with spaces or foreign letters is one like any other; what Delta cannot is refused."""

from pathlib import Path

import pytest

from onlineeval_dagster.errors import SettingsError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.rewrite import scrub, take_out
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.quality.coverage import count_coverage
from onlineeval_dagster.settings import Settings, load_settings
from tests.worlds import NOON, answer, settings_at


def take_in(settings: Settings, *numbers: int) -> Lake:
    with open_log(settings, door="sdk") as log:
        log.append(b"".join(encode(answer(number)) for number in numbers))
    lake = Lake(settings.lake_folder)
    ingest(settings, lake, now=NOON)
    return lake


def counted(lake: Lake, what: str, table: str) -> int:
    return rows(lake, f"select {what}::bigint as n from {table}", {table: None}).column("n").to_pylist()[0]


@pytest.mark.parametrize("name", ["my home", "Büro – 家", "100 %", "it's #1; {x} & y"])
def test_a_lake_is_read_where_it_lies(tmp_path: Path, name: str) -> None:
    settings = settings_at(tmp_path / name)
    lake = take_in(settings, 1, 2)
    before = lake.version("responses")
    take_in(settings, 3)
    change = lake.changes("responses", before)
    assert len(change.files) == 1
    assert all(Path(file).exists() for file in lake.files("responses"))
    lake.compact("responses")
    assert lake.changes("responses", before).files == tuple(lake.files("responses"))
    count_coverage(lake)
    assert counted(lake, "count(*)", "responses") == counted(lake, "sum(ingested)", "coverage") == 3
    take_out(lake, "responses", "response_id = 'r1'", now=NOON)
    scrub(lake, "responses")
    assert counted(lake, "count(*)", "responses") == 2


@pytest.mark.parametrize("name", ["[old]", "a|b", "a^b", "a\\b", "a\nb", "a%20b"])
def test_a_home_where_no_table_can_lie_is_refused_by_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"ONLINEEVAL_HOME: .* holds .* rename it"):
        load_settings(home=tmp_path / name)
