"""An erasure takes a person out of everything below the home, survives a kill at any step, and stays."""

import orjson
import pytest

from onlineeval_dagster.keeping.erasure import ask, resume, unfinished, work
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.tombstones import load_tombstones
from onlineeval_dagster.log.segments import open_log
from tests.keeping.homes import (
    MARK,
    PERSONAL,
    USER,
    counted,
    holding_files,
    home_with_a_person,
    tables,
    task_names,
    their_events,
    verdict,
    warehouse_with,
)
from tests.worlds import NOON, NOW, answer, lake_of, log_events, settings_at


class Killed(BaseException):
    """A kill, as far as one process can play it."""


def erase(settings, kind="user", name=USER, now=NOW):
    return work(settings, ask(settings, kind, [name], now=now), now=now)


def test_nothing_of_the_person_is_left_in_any_file_and_everything_of_others_is(tmp_path):
    settings = home_with_a_person(tmp_path / "home")
    warehouse_with(settings)
    held = holding_files(settings.home)
    assert len(held) > 10 and "published/review.sqlite" in {file.removesuffix("-wal") for file in held}
    aggregates, before = counted(settings), tables(settings)
    in_hand = [file for name in task_names() for file in holding_files(settings.home, name)]
    assert {file.removesuffix("-wal") for file in in_hand} == {"published/review.sqlite", "state/review.sqlite"}
    done = erase(settings)
    assert holding_files(settings.home) == []
    assert not [file for name in task_names() for file in holding_files(settings.home, name)]
    assert done.rows.keys() == set(PERSONAL), "a new table that speaks of somebody needs its row in homes.py"
    assert (done.rows["responses"], done.rows["spans"], done.rows["quarantine"], done.warehouse_rows) == (2, 2, 1, 2)
    left = tables(settings)
    for name, rows in before.items():
        others = [row for row in rows if MARK not in repr(row)]
        assert others
        assert left[name] == others, name
    assert counted(settings) == aggregates


def test_what_was_counted_is_not_counted_again(tmp_path):
    settings = home_with_a_person(tmp_path / "home")
    lake = Lake(settings.lake_folder)
    versions = {name: lake.version(name) for name in ("responses", "actions", "verdicts", "labels", "signals")}
    erase(settings)
    for name, version in versions.items():
        assert lake.version(name) > version
        assert lake.changes(name, version).days == frozenset(), name


@pytest.mark.slow
@pytest.mark.parametrize("step", range(24))
def test_a_kill_between_any_two_steps_leaves_a_request_that_is_done_later(tmp_path, step):
    settings = home_with_a_person(tmp_path / "home", derived=False)
    warehouse_with(settings)
    request = ask(settings, "user", [USER], now=NOW)
    told: list[str] = []

    def kill(name: str) -> None:
        told.append(name)
        if len(told) > step:
            raise Killed

    with pytest.raises(Killed):
        work(settings, request, now=NOW, step=kill)
    assert unfinished(settings)
    resume(settings, now=NOW)
    assert holding_files(settings.home) == []
    assert not unfinished(settings)
    assert len(tables(settings)["responses"]) == 7


def test_the_same_lines_do_not_come_back(tmp_path):
    settings = home_with_a_person(tmp_path / "home", derived=False)
    erase(settings)
    log_events(settings, [*their_events(), verdict(f"{MARK}-guest"), answer("other")])
    with open_log(settings, door="import") as log:
        log.append(f'{{"kind": "response", "user_id": "{USER}", "query": "{MARK}"\n'.encode())
    done = ingest(settings, Lake(settings.lake_folder), now=NOW)
    assert (done.lines, done.accepted, done.bad, done.erased) == (11, {"responses": 1}, 0, 10)
    part = tables(settings, ("ingested_parts",))["ingested_parts"]
    assert all(row["lines"] == row["accepted"] + row["bad"] + (row["erased"] or 0) for row in part)
    assert sum(row["erased"] for row in part) == 10


def test_who_comes_back_is_a_new_user(tmp_path):
    settings = home_with_a_person(tmp_path / "home", derived=False)
    erase(settings)
    later = NOW.replace(hour=1)
    log_events(settings, [answer("back", user_id=USER, session_id="new", at=later)])
    done = ingest(settings, Lake(settings.lake_folder), now=NOW.replace(hour=2))
    assert (done.accepted, done.erased) == ({"responses": 1}, 0)
    resume(settings, now=NOW.replace(hour=3))
    assert [row["response_id"] for row in tables(settings)["responses"] if row["user_id"] == USER] == ["rback"]


def test_lines_in_segments_that_are_being_written_go_too_and_their_writer_goes_on(tmp_path):
    settings = settings_at(tmp_path / "home", warehouse_wait_seconds=1)
    lake = lake_of(settings, [answer("before")])
    with open_log(settings, door="sdk") as log:
        lines = [orjson.dumps(event.model_dump(mode="json")) + b"\n" for event in [answer("1"), *their_events()]]
        log.append(b"".join(lines))
        assert erase(settings).lines == 8
        assert holding_files(settings.home) == []
        log.append(orjson.dumps(answer("2").model_dump(mode="json")) + b"\n")
    done = ingest(settings, lake, now=NOW)
    assert (done.lines, done.bad, done.erased, done.accepted) == (2, 0, 0, {"responses": 2})


def test_a_session_that_two_people_share_takes_only_the_persons_rows(tmp_path):
    settings = settings_at(tmp_path / "home", warehouse_wait_seconds=1)
    lake_of(
        settings,
        [
            answer("1", user_id="anna", session_id="shared"),
            answer("2", user_id="ben", session_id="shared"),
            answer("3", user_id=None, session_id="shared"),
        ],
    )
    erase(settings, name="anna")
    assert [row["user_id"] for row in tables(settings)["responses"]] == ["ben"]


def test_a_session_or_one_answer_can_be_erased_alone(tmp_path):
    settings = settings_at(tmp_path / "home", warehouse_wait_seconds=1)
    lake_of(
        settings, [answer(n, user_id="anna", session_id=f"s{n}") for n in range(4)] + [verdict(n) for n in range(4)]
    )
    erase(settings, "session", "s1")
    erase(settings, "response", "r2")
    left = tables(settings)
    assert [row["response_id"] for row in left["responses"]] == ["r0", "r3"]
    assert [row["response_id"] for row in left["verdicts"]] == ["r0", "r3"]


def test_an_unknown_user_gets_a_tombstone_without_the_id(tmp_path):
    settings = settings_at(tmp_path / "home", warehouse_wait_seconds=1)
    lake_of(settings, [answer("1")])
    assert not erase(settings, name="nobody-17").found_something
    assert len(load_tombstones(settings, Lake(settings.lake_folder))) == 1
    assert holding_files(settings.home, "nobody-17") == []
    log_events(settings, [answer("2", user_id="nobody-17", at=NOON)])
    assert ingest(settings, Lake(settings.lake_folder), now=NOW).erased == 1


def test_an_id_is_matched_whole(tmp_path):
    settings = settings_at(tmp_path / "home", warehouse_wait_seconds=1)
    lake_of(settings, [answer("1", user_id="u1"), answer("2", user_id="u11"), answer("3", user_id="o'hara")])
    (settings.log_folder / "sdk.bad.ndjson").write_text('{"user_id": "u11"\n{"user_id": "u1"\n')
    ingest(settings, Lake(settings.lake_folder), now=NOW)
    erase(settings, name="u1")
    erase(settings, name="o'hara")
    left = tables(settings)
    assert [row["user_id"] for row in left["responses"]] == ["u11"]
    assert [row["text"] for row in left["quarantine"]] == ['{"user_id": "u11"']
