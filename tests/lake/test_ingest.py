"""Ingest: exactly once, whoever is killed and whenever."""

import fcntl
import json
import multiprocessing
import os
import signal
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import orjson
import pytest

from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.errors import LakeError, LogError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import Ingested, ingest, prune
from onlineeval_dagster.lake.plan import Batch, PlannedPart, plan_batch, read_plan
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.log.segments import Segment, SegmentWriter
from onlineeval_dagster.settings import Settings, load_settings

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
WRITTEN = ("responses", "actions", "labels", "quarantine", "ingested_parts")
BAD = b"no json at all"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(home=tmp_path / "home", retention_days=30, warehouse_wait_seconds=0)


def lake_of(settings: Settings) -> Lake:
    return Lake(settings.lake_folder)


def event(number: int, *, day: int = 22, kind: str = "response", **changes: object) -> bytes:
    moment = f"2026-11-{day:02d}T08:00:00Z"
    said: dict[str, object] = {"kind": kind, "event_id": f"e{number}", "occurred_at": moment}
    said |= {"received_at": "2026-11-22T09:00:00Z", "response_id": f"r{number}"}
    said |= {"response": {"query": "q", "response": "a"}, "action": {"action": "copy"}}.get(
        kind, {"axis": "a", "score": 2, "reviewer": "w"}
    )
    return orjson.dumps(said | changes)


def put(settings: Settings, name: str, lines: list[bytes], *, torn: bytes = b"") -> Path:
    settings.log_folder.mkdir(parents=True, exist_ok=True)
    path = settings.log_folder / name
    with path.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines) + torn)
    return path


def mixed(settings: Settings) -> None:
    """Two segments, three kinds, two days, three bad lines of which one is torn."""
    put(settings, "a.ndjson", [event(i, day=21 + i % 2) for i in range(40)] + [BAD])
    put(settings, "b.ndjson", [event(i, kind="action") for i in range(30)] + [b"\xff\xfe"], torn=b'{"kind":"act')
    put(settings, "c.ndjson", [event(1, kind="label", response_at="2026-11-02T00:00:00Z")])


def stored(settings: Settings) -> dict[str, list[dict]]:
    lake = lake_of(settings)
    order = {"ingested_parts": "batch, log_segment"}
    return {
        name: rows(
            lake,
            f"select {', '.join(TABLES[name].schema.names)} from {name} "
            f"order by {order.get(name, 'log_segment, log_offset')}",
            {name: None},
        ).to_pylist()
        for name in WRITTEN
    }


def take(settings: Settings, **changes: object) -> Ingested:
    return ingest(settings, lake_of(settings), **({"now": NOW} | changes))


def test_every_line_is_accepted_or_quarantined_and_counted(settings: Settings) -> None:
    mixed(settings)
    done = take(settings)
    assert (done.batches, done.lines, done.bad) == ((1,), 74, 3)
    assert done.accepted == {"responses": 40, "actions": 30, "labels": 1}
    assert done.days["responses"] == {date(2026, 11, 21), date(2026, 11, 22)}
    found = stored(settings)
    assert [row["text"] for row in found["quarantine"]] == ["no json at all", "��", '{"kind":"act']
    assert all(row["reason"].startswith("line: not JSON") for row in found["quarantine"])
    parts = [(row["log_segment"], row["lines"], row["accepted"], row["bad"]) for row in found["ingested_parts"]]
    assert parts == [("a.ndjson", 41, 40, 1), ("b.ndjson", 32, 30, 2), ("c.ndjson", 1, 1, 0)]


def test_an_offset_leads_back_to_the_line(settings: Settings) -> None:
    mixed(settings)
    take(settings)
    content = (settings.log_folder / "a.ndjson").read_bytes()
    for row in stored(settings)["responses"]:
        assert orjson.loads(content[row["log_offset"] :].split(b"\n")[0])["event_id"] == row["event_id"]


def test_late_events_land_on_their_day_and_labels_on_their_responses_day(settings: Settings) -> None:
    put(settings, "a.ndjson", [event(1, day=3)])
    put(settings, "b.ndjson", [event(1, kind="label", response_at="2026-11-02T00:00:00Z"), event(2, kind="label")])
    take(settings)
    found = stored(settings)
    assert [row["day"] for row in found["responses"]] == [date(2026, 11, 3)]
    assert [row["day"] for row in found["labels"]] == [date(2026, 11, 2), date(2026, 11, 22)]


def test_nothing_new_changes_nothing(settings: Settings) -> None:
    mixed(settings)
    take(settings)
    lake = lake_of(settings)
    versions = {name: lake.version(name) for name in WRITTEN}
    assert take(settings) == Ingested()
    assert {name: lake.version(name) for name in WRITTEN} == versions


def test_an_empty_log_is_no_batch(settings: Settings) -> None:
    assert take(settings) == Ingested()
    put(settings, "a.ndjson", [])
    assert take(settings) == Ingested()


def test_a_segment_is_resumed_where_it_was_left_though_it_was_sealed_meanwhile(settings: Settings) -> None:
    with SegmentWriter(settings.log_folder, door="test", rotate_bytes=2**30, rotate_seconds=3600) as log:
        log.append(event(1) + b"\n")
        idle = datetime.now(UTC) + timedelta(hours=1)
        assert take(settings, now=idle).lines == 1
        log.append(event(2) + b"\n")
    assert take(settings, now=idle).lines == 1
    found = stored(settings)
    assert [row["event_id"] for row in found["responses"]] == ["e1", "e2"]
    assert len({row["log_segment"] for row in found["ingested_parts"]}) == 1
    assert [row["start_offset"] for row in found["ingested_parts"]] == [0, len(event(1)) + 1]


def test_many_batches_and_chunks_take_the_same_rows_as_one(settings: Settings, tmp_path: Path) -> None:
    mixed(settings)
    done = take(settings, limit_bytes=1, chunk_bytes=500)
    assert done.batches == (1, 2, 3)
    other = load_settings(home=tmp_path / "other", retention_days=30)
    mixed(other)
    assert take(other).accepted == done.accepted
    for name in WRITTEN[:-1]:
        assert stored(settings)[name] == stored(other)[name]


def _ingest_until(settings: Settings, step: str) -> None:
    take(settings, checkpoint=lambda done: os.kill(os.getpid(), signal.SIGKILL) if done == step else None)


def killed_at(settings: Settings, step: str) -> bool:
    """Ingest in a process that is killed at a step. Whether it came so far."""
    # A plain fork would inherit the threads of the Delta library, which refuses that.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    child = context.Process(target=_ingest_until, args=(settings, step))
    child.start()
    child.join()
    return child.exitcode == -signal.SIGKILL


def steps_of(settings: Settings) -> list[str]:
    steps: list[str] = []
    mixed(settings)
    take(settings, checkpoint=steps.append)
    return steps


STEPS = [
    "planned",
    "sifted",
    "written",
    "committed actions",
    "committed labels",
    "committed quarantine",
    "committed responses",
    "done",
]


def test_the_steps_at_which_it_can_be_killed_are_known(settings: Settings) -> None:
    assert steps_of(settings) == STEPS


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict]]:
    settings = load_settings(home=tmp_path_factory.mktemp("undisturbed"), retention_days=30)
    mixed(settings)
    take(settings)
    return stored(settings)


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_and_run_again_the_tables_are_the_same(
    step: str, settings: Settings, undisturbed: dict[str, list[dict]]
) -> None:
    mixed(settings)
    assert killed_at(settings, step)
    # What came meanwhile, and a later clock, do not change the batch that was begun.
    put(settings, "z.ndjson", [event(99)])
    done = take(settings, now=NOW + timedelta(days=20))
    assert done.batches == ((2,) if step == "done" else (1, 2))
    found, wanted = stored(settings), undisturbed
    assert [row for row in found["responses"] if row["event_id"] != "e99"] == wanted["responses"]
    for name in ("actions", "labels", "quarantine"):
        assert found[name] == wanted[name]
    assert found["ingested_parts"][:3] == wanted["ingested_parts"]
    assert len(found["ingested_parts"]) == 4


def test_files_of_a_killed_run_are_never_read_and_are_swept(settings: Settings) -> None:
    mixed(settings)
    assert killed_at(settings, "written")
    take(settings)
    folder = settings.lake_folder / "responses"
    assert len(list(folder.glob("day=*/*.parquet"))) == 4
    assert len(lake_of(settings).files("responses")) == 2
    lake_of(settings).vacuum("responses", hours=0)
    assert len(list(folder.glob("day=*/*.parquet"))) == 2


def test_a_lake_that_was_deleted_is_filled_again_from_the_log(settings: Settings) -> None:
    mixed(settings)
    take(settings)
    before = stored(settings)
    for path in sorted(settings.lake_folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    take(settings)
    assert stored(settings) == before


def test_a_lost_plan_is_read_back_from_the_lake(settings: Settings) -> None:
    mixed(settings)
    take(settings)
    (settings.home / "ingest" / "batch.json").unlink()
    put(settings, "a.ndjson", [event(77)])
    assert take(settings).batches == (2,)
    assert len(stored(settings)["responses"]) == 41


def test_a_damaged_plan_is_named(settings: Settings) -> None:
    mixed(settings)
    take(settings)
    (settings.home / "ingest" / "batch.json").write_text("{")
    with pytest.raises(LakeError, match=r"batch\.json cannot be read .*delete it"):
        take(settings)


def test_two_ingests_at_once_are_impossible_and_the_second_names_the_first(settings: Settings) -> None:
    lock = settings.home / "locks" / "ingest.lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write('{"pid": 4711, "purpose": "ingest"}')
        file.flush()
        with pytest.raises(LakeError, match="is held by process 4711"):
            take(settings)
    assert take(settings) == Ingested()


def test_a_segment_that_became_shorter_is_named(settings: Settings) -> None:
    path = put(settings, "a.ndjson", [event(1), event(2)])
    take(settings)
    path.write_bytes(event(3) + b"\n")
    with pytest.raises(LogError, match=r"a\.ndjson: \d+ bytes, but \d+ were ingested"):
        take(settings)


def test_a_segment_that_is_gone_before_its_batch_is_done_is_named(settings: Settings) -> None:
    path = put(settings, "a.ndjson", [event(1)])
    assert killed_at(settings, "planned")
    path.rename(path.with_suffix(".away"))
    with pytest.raises(LogError, match=r"segment a\.ndjson is gone before it was ingested; put it back"):
        take(settings)
    path.with_suffix(".away").rename(path)
    assert take(settings).lines == 1


def test_a_lake_that_cannot_be_written_is_named_and_the_batch_waits(settings: Settings) -> None:
    mixed(settings)
    settings.lake_folder.mkdir(parents=True)
    (settings.lake_folder / "responses").write_text("a file in the way")
    with pytest.raises(LakeError, match=r"run again"):
        take(settings)
    (settings.lake_folder / "responses").unlink()
    assert take(settings).lines == 74
    assert len(stored(settings)["responses"]) == 40


def test_only_whole_old_segments_are_pruned(settings: Settings) -> None:
    old, fresh, unread = (put(settings, f"{name}.ndjson", [event(1)]) for name in ("old", "fresh", "unread"))
    unread.rename(unread.with_suffix(".away"))
    take(settings)
    unread.with_suffix(".away").rename(unread)
    past = (NOW - timedelta(days=8)).timestamp()
    os.utime(old, (past, past))
    os.utime(unread, (past, past))
    os.utime(fresh, (NOW.timestamp(), NOW.timestamp()))
    assert prune(settings, lake_of(settings), now=NOW) == ["old.ndjson"]
    assert {path.name for path in settings.log_folder.iterdir()} == {"fresh.ndjson", "unread.ndjson"}
    assert take(settings).lines == 1
    assert take(settings) == Ingested()


def segment(name: str, size: int) -> Segment:
    return Segment(name=name, path=Path(name), size=size, complete=True, modified_at=NOW)


def plan(ready: list[Segment], committed: dict[str, int], limit_bytes: int = 2**30) -> Batch | None:
    return plan_batch(ready, committed, number=7, now=NOW, retention_days=30, limit_bytes=limit_bytes)


def test_a_plan_takes_whole_segments_up_to_the_limit_and_forgets_segments_that_are_gone() -> None:
    batch = plan([segment("a", 10), segment("b", 10), segment("c", 10)], {"a": 4, "gone": 9}, limit_bytes=10)
    assert batch is not None
    assert batch.parts == (
        PlannedPart(segment="a", start=4, end=10),
        PlannedPart(segment="b", start=0, end=10),
    )
    assert batch.offsets_after == {"a": 10, "b": 10}
    assert plan([segment("a", 10)], {"a": 10}) is None


def test_a_plan_is_read_as_it_was_written(settings: Settings) -> None:
    mixed(settings)
    assert killed_at(settings, "planned")
    batch = read_plan(settings.home / "ingest" / "batch.json")
    assert batch is not None
    assert batch.planned_at == NOW
    assert json.loads((settings.home / "ingest" / "batch.json").read_text())["number"] == batch.number == 1
    assert [part.segment for part in batch.parts] == ["a.ndjson", "b.ndjson", "c.ndjson"]
