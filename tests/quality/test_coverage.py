"""Loss accounting: a lost line is found with hour, source and number; what is done on purpose is no loss."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import Event
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.rewrite import drop_days, take_out
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.lake.tombstones import Doomed, bury
from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.quality.closing import Closing, close
from onlineeval_dagster.quality.coverage import COUNTS, count_coverage, uncounted
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from onlineeval_dagster.signals.stage import derive_signals
from tests.worlds import NOON, action, answer, deploy, settings_at

CATALOG = load_catalog(PACKAGED_CATALOG)
QUIET = replace(CATALOG, signals=CATALOG.signals.model_copy(update={"derived": {}}))
"""Without what turns say of each other: the implicit signals here are those that were sent."""
TAKEN = datetime(2026, 11, 10, 13, 20, tzinfo=UTC)
HOUR = TAKEN.replace(minute=0)
YESTERDAY = NOON - timedelta(days=1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path)


def told(settings: Settings, door: str, events: Iterable[LogEvent], *, bad: int = 0) -> None:
    with open_log(settings, door=door) as log:
        log.append(b"".join(encode(event) for event in events) + b"no json\n" * bad)


def taken(settings: Settings, *, at: datetime = TAKEN) -> Lake:
    lake = Lake(settings.lake_folder)
    ingest(settings, lake, now=at)
    derive_signals(lake, QUIET, now=TAKEN)
    return lake


def a_day(settings: Settings) -> Lake:
    """Two doors, two days, a duplicate and two bad lines; counted."""
    told(settings, "sdk", [*(answer(i) for i in range(6)), answer(1), answer("old", at=YESTERDAY)], bad=2)
    told(settings, "collector", [action(1, "copy"), action(2, "thumbs_up"), action(2, "copy")])
    lake = taken(settings)
    count_coverage(lake)
    return lake


def accounts(lake: Lake) -> dict[tuple[datetime, str], dict[str, int]]:
    sums = ", ".join(f"sum({name})::bigint as {name}" for name in COUNTS)
    found = rows(lake, f"select hour, source, {sums} from coverage group by all", {"coverage": None}).to_pylist()
    return {(row.pop("hour"), row.pop("source")): {k: v for k, v in row.items() if v} for row in found}


def recounted(settings: Settings, lake: Lake) -> Closing:
    """As the nightly tick does."""
    count_coverage(lake, full=True)
    return close(settings, lake)


def gaps(outcome: Closing) -> list[tuple[datetime, str, int]]:
    return [(gap.hour, gap.source, gap.missing) for gap in outcome.gaps]


def test_each_line_is_counted_once_in_the_hour_and_under_the_door_it_came_in_by(settings):
    lake = a_day(settings)
    assert accounts(lake) == {
        (HOUR, "sdk"): {"received": 10, "ingested": 8, "duplicate": 1, "quarantined": 2}
        | {"responses": 7, "with_implicit": 2, "with_explicit": 1, "with_automated": 7},
        (HOUR, "collector"): {"received": 3, "ingested": 3},
    }
    outcome = close(settings, lake)
    assert outcome.closes
    assert str(outcome) == "All 13 lines that came in are accounted for."


def test_a_line_received_more_than_an_hour_after_it_happened_is_late(settings):
    late, timely = answer("late"), answer("timely")
    arrived = {"received_at": NOON + timedelta(minutes=61)}
    told(settings, "sdk", [late.model_copy(update=arrived), timely])
    lake = taken(settings)
    count_coverage(lake)
    assert accounts(lake)[HOUR, "sdk"]["late"] == 1


def test_what_a_sender_says_it_lost_is_counted_once_under_its_door_and_is_no_gap(settings):
    def loss(key: str, name: str, value: float | None) -> Event:
        return Event(event_id=key, name=name, value=value, occurred_at=NOON, received_at=NOON)

    told(settings, "sdk", [loss("1", "onlineeval.sdk_loss", 7), loss("1", "onlineeval.sdk_loss", 7)])
    told(settings, "kafka", [loss("2", "onlineeval.queue_gap", 30), loss("3", "campaign", 99)])
    told(settings, "otlp", [loss("4", "onlineeval.sdk_loss", None), loss("5", "onlineeval.sdk_loss", -3)])
    lake = taken(settings)
    count_coverage(lake)
    lost = {source: row.get("lost_by_sender", 0) for (_, source), row in accounts(lake).items()}
    assert lost == {"sdk": 7, "kafka": 30, "otlp": 0}
    assert close(settings, lake).closes


def test_hours_are_those_in_which_lines_were_taken_in_and_a_new_batch_adds_to_them(settings):
    a_day(settings)
    again = answer(1).model_copy(update={"received_at": NOON + timedelta(minutes=5)})
    told(settings, "sdk", [again, answer("new")])
    lake = taken(settings, at=TAKEN + timedelta(hours=1))
    assert {day.day for day in count_coverage(lake).days} == {10}
    found = accounts(lake)
    assert found[HOUR, "sdk"]["responses"] == 7
    assert found[HOUR + timedelta(hours=1), "sdk"] == {
        **{"received": 2, "ingested": 2, "duplicate": 1, "responses": 1, "with_automated": 1}
    }
    assert close(settings, lake).closes


def test_a_tick_counts_what_changed_and_the_night_counts_the_same(settings):
    lake = a_day(settings)
    told(settings, "sdk", [answer("later"), action("old", "thumbs_up", at=NOON)])
    taken(settings, at=TAKEN + timedelta(days=2))
    count_coverage(lake)
    counted = accounts(lake)
    assert uncounted(lake).days == frozenset()
    version = lake.version("coverage")
    assert count_coverage(lake).days == ()
    assert lake.version("coverage") == version
    assert len(count_coverage(lake, full=True).days) == 3
    assert accounts(lake) == counted


def rewritten(lake: Lake, name: str, change: Any) -> None:
    """Change the rows in a Parquet file without telling anybody: a disk that lies, a hand that slipped."""
    file = max(lake.files(name, [NOON.date()]), key=lambda path: pq.read_metadata(path).num_rows)
    table = pq.ParquetFile(file).read()
    pq.write_table(change(table), file)


def test_a_row_that_vanished_from_a_file_is_missing(settings):
    lake = a_day(settings)
    rewritten(lake, "responses", lambda table: table.slice(0, table.num_rows - 1))
    outcome = recounted(settings, lake)
    assert gaps(outcome) == [(HOUR, "sdk", 1)]
    assert str(outcome) == "1 of 13 lines that came in are missing."
    assert "2026-11-10 13:00, sdk: 1 lines are missing" in outcome.failures


def test_a_row_that_stands_twice_is_one_too_many(settings):
    lake = a_day(settings)
    rewritten(lake, "actions", lambda table: pa.concat_tables([table, table.slice(0, 1)]))
    outcome = recounted(settings, lake)
    assert gaps(outcome) == [(HOUR, "collector", -1)]
    assert "collector: 1 lines are there that nobody received" in str(outcome)


def test_a_file_that_vanished_is_missing_with_all_its_rows(settings):
    lake = a_day(settings)
    (file,) = lake.files("actions", [NOON.date()])
    Path(file).unlink()
    assert gaps(recounted(settings, lake)) == [(HOUR, "collector", 3)]


def test_a_quarantined_line_that_vanished_is_missing(settings):
    lake = a_day(settings)
    lake.open("quarantine").delete(f"log_offset = {max(row['log_offset'] for row in bad_lines(lake))}")
    count_coverage(lake)
    assert gaps(close(settings, lake)) == [(HOUR, "sdk", 1)]


def bad_lines(lake: Lake) -> list[dict[str, Any]]:
    return rows(lake, "select * from quarantine", {"quarantine": None}).to_pylist()


def test_rows_removed_by_a_commit_that_says_nothing_of_it_are_missing_at_the_next_tick(settings):
    lake = a_day(settings)
    assert lake.open("responses").delete("response_id in ('r3', 'r4', 'rold')")["num_deleted_rows"] == 3
    count_coverage(lake)
    assert gaps(close(settings, lake)) == [(HOUR, "sdk", 3)]


def test_a_part_that_vanished_leaves_rows_that_nobody_received(settings):
    lake = a_day(settings)
    lake.open("ingested_parts").delete("log_segment like 'collector.%'")
    count_coverage(lake)
    assert gaps(close(settings, lake)) == [(NOON, "collector", -3)]


def test_a_segment_that_was_cut_after_it_was_taken_in_is_named_with_its_lines(settings):
    lake = a_day(settings)
    (path,) = settings.log_folder.glob("sdk.*")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-4]))
    outcome = close(settings, lake)
    assert not outcome.closes
    assert outcome.gaps == ()
    assert [(cut.lines, cut.bytes) for cut in outcome.cut] == [(4, sum(map(len, lines[-4:])))]


def test_coverage_rows_that_vanished_are_seen_against_the_lakes_own_counts(settings):
    lake = a_day(settings)
    lake.open("coverage").delete("day = DATE '2026-11-10'")
    outcome = close(settings, lake)
    assert [(day.day, more) for day, more in outcome.uncounted] == [(10, 12)]


def test_rows_that_came_since_it_was_counted_wait_and_are_no_gap(settings):
    lake = a_day(settings)
    told(settings, "sdk", [answer("new")])
    taken(settings)
    assert uncounted(lake).days
    assert close(settings, lake).closes


def test_compaction_and_rescoring_leave_the_accounts_closed_and_the_same(settings):
    lake = a_day(settings)
    told(settings, "sdk", [answer("new")])
    taken(settings)
    count_coverage(lake)
    before = accounts(lake)
    for table in ("responses", "actions", "quarantine", "ingested_parts", "signals", "coverage"):
        lake.compact(table)
    assert uncounted(lake).days == frozenset()
    derive_signals(lake, QUIET, now=TAKEN, days=lake.days("responses"))
    count_coverage(lake)
    assert accounts(lake) == before
    assert recounted(settings, lake).closes
    assert accounts(lake) == before


def test_an_erasure_is_booked_as_taken_out_and_stays_so_when_days_are_counted_again(settings):
    lake = a_day(settings)
    assert take_out(lake, "responses", "response_id in ('r3', 'r4', 'rold')", now=TAKEN)
    assert take_out(lake, "quarantine", "log_offset >= 0", now=TAKEN) == {NOON.date(): 2}
    assert close(settings, lake).closes
    count_coverage(lake)
    assert accounts(lake)[HOUR, "sdk"]["taken_out"] == 5
    told(settings, "sdk", [answer("new")])
    taken(settings)
    assert recounted(settings, lake).closes
    found = accounts(lake)[HOUR, "sdk"]
    assert (found["received"], found["ingested"], found["taken_out"]) == (11, 6, 5)


def test_a_loss_beside_an_erasure_on_another_day_is_found(settings):
    lake = a_day(settings)
    take_out(lake, "responses", "response_id = 'rold'", now=TAKEN)
    rewritten(lake, "responses", lambda table: table.slice(1))
    assert gaps(recounted(settings, lake)) == [(HOUR, "sdk", 1)]


def test_days_dropped_by_retention_are_booked_as_taken_out(settings):
    lake = a_day(settings)
    assert drop_days(lake, "responses", before=NOON.date(), now=TAKEN) == {YESTERDAY.date(): 1}
    assert recounted(settings, lake).closes
    assert accounts(lake)[HOUR, "sdk"]["taken_out"] == 1


def test_lines_refused_because_of_a_tombstone_are_erased(settings):
    lake = Lake(settings.lake_folder)
    bury(settings, lake, Doomed(before={("user", "u1"): TAKEN}), now=TAKEN)
    told(settings, "sdk", [answer(1), answer(2)])
    taken(settings)
    assert recounted(settings, lake).closes
    assert accounts(lake)[HOUR, "sdk"]["erased"] == 1


def test_a_lake_without_rows_closes(settings):
    lake = Lake(settings.lake_folder)
    assert count_coverage(lake).days == ()
    assert str(close(settings, lake)) == "All 0 lines that came in are accounted for."


def test_every_kind_of_event_is_counted(settings):
    told(settings, "sdk", [answer(1), action(1, "copy"), deploy("d")])
    lake = taken(settings)
    count_coverage(lake)
    assert accounts(lake)[HOUR, "sdk"]["ingested"] == 3
