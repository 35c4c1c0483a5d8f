"""The lake: atomic commits by day, what changed since, compaction, erasure, new columns."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from deltalake import DeltaTable

from onlineeval_dagster.contracts import tables
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.rows import Signal
from onlineeval_dagster.errors import LakeError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows

ONE, TWO = date(2026, 11, 1), date(2026, 11, 2)


def signals(day: date, *names: str) -> pa.Table:
    at = datetime(day.year, day.month, day.day, 5, tzinfo=UTC)
    said = [
        Signal(
            response_id=name,
            response_at=at,
            signal="copy",
            kind="implicit",
            version="1",
            occurred_at=at,
            arrived_at=at,
        )
        for name in names
    ]
    return to_table(list(said), Signal).append_column("day", pa.array([day] * len(names), pa.date32()))


def ids(lake: Lake, days: list[date] | None = None) -> list[str]:
    return sorted(rows(lake, "select response_id from signals", {"signals": days}).column(0).to_pylist())


@pytest.fixture
def lake(tmp_path):
    return Lake(tmp_path / "lake")


def test_a_table_that_nobody_wrote_has_no_rows_and_all_its_columns(lake):
    answer = rows(lake, "select * from signals", {"signals": None})
    assert answer.num_rows == 0
    assert set(tables.TABLES["signals"].schema.names) <= set(answer.column_names)
    assert lake.version("signals") == -1
    assert lake.days("signals") == frozenset()


def test_replacing_a_day_leaves_the_others_and_an_empty_day_is_gone(lake):
    lake.append("signals", pa.concat_tables([signals(ONE, "a"), signals(TWO, "b")]))
    lake.replace_days("signals", [TWO], signals(TWO, "c", "d"))
    assert ids(lake) == ["a", "c", "d"]
    lake.replace_days("signals", [TWO], signals(TWO))
    assert ids(lake) == ["a"]
    assert lake.days("signals") == {ONE}


def test_rows_of_another_day_are_refused_and_nothing_is_written(lake):
    with pytest.raises(LakeError, match="rows of 2026-11-02"):
        lake.replace_days("signals", [ONE], signals(TWO, "x"))
    assert ids(lake) == []


def test_a_reader_of_some_days_sees_those_only(lake):
    lake.append("signals", pa.concat_tables([signals(ONE, "a"), signals(TWO, "b")]))
    assert ids(lake, [TWO]) == ["b"]
    assert ids(lake, []) == []


def test_what_changed_since_a_version_is_days_and_files_and_compaction_changes_nothing(lake):
    lake.append("signals", signals(ONE, "a"))
    lake.append("signals", signals(TWO, "b"))
    start = lake.version("signals")
    assert lake.changes("signals", None).days == {ONE, TWO}
    assert lake.changes("signals", start).days == frozenset()
    lake.append("signals", signals(TWO, "c"))
    change = lake.changes("signals", start)
    assert change.days == {TWO}
    assert len(change.files) == 1
    assert lake.compact("signals") == 1
    merged = lake.changes("signals", start)
    assert merged.days == {TWO}
    assert merged.files == tuple(lake.files("signals", [TWO])), "merged parts hold the new rows, and older ones too"
    assert lake.changes("signals", change.version).days == frozenset()
    assert ids(lake) == ["a", "b", "c"]


def test_where_commits_are_no_longer_kept_every_day_counts_as_changed(lake):
    lake.append("signals", signals(ONE, "a"))
    lake.append("signals", signals(TWO, "b"))
    DeltaTable(lake.folder / "signals").create_checkpoint()
    for commit in sorted((lake.folder / "signals" / "_delta_log").glob("*.json"))[:-1]:
        commit.unlink()
    assert lake.changes("signals", 0).days == {ONE, TWO}
    assert lake.changes("signals", 1).days == {TWO}


def test_the_place_of_a_reader_is_committed_with_its_rows(lake):
    assert lake.read_through("signals", "responses") is None
    lake.append("signals", signals(ONE, "a"), reads={"responses": 7})
    lake.replace_days("signals", [TWO], signals(TWO, "b"), reads={"actions": 3})
    assert lake.read_through("signals", "responses") == 7
    assert lake.read_through("signals", "actions") == 3
    lake.compact("signals")
    assert lake.read_through("signals", "responses") == 7


def test_vacuum_removes_what_a_killed_writer_left(lake):
    lake.append("signals", signals(ONE, "a"))
    orphan = lake.folder / "signals" / "day=2026-11-01" / "orphan.parquet"
    orphan.write_bytes(b"half a file")
    lake.vacuum("signals", hours=0)
    assert not orphan.exists()
    assert ids(lake) == ["a"]


def test_a_new_nullable_column_is_added_and_old_rows_have_null(lake, monkeypatch):
    lake.append("signals", signals(ONE, "a"))
    now = tables.TABLES["signals"].schema

    class Grown:
        schema = now.append(pa.field("mood", pa.string()))
        description = "grown"

    monkeypatch.setitem(tables.TABLES, "signals", Grown())
    lake.append("signals", signals(TWO, "b").append_column("mood", pa.array(["calm"])))
    answer = rows(lake, "select response_id, mood from signals order by 1", {"signals": None}).to_pylist()
    assert answer == [{"response_id": "a", "mood": None}, {"response_id": "b", "mood": "calm"}]


def test_an_unknown_table_is_named_with_those_there_are(lake):
    with pytest.raises(LakeError, match="no table 'signal'; there are responses"):
        lake.files("signal")
