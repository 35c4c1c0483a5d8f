"""What a log file is seen to hold, and what follows from what is missing."""

import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest

from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.newcomer.limits import can, cannot
from onlineeval_dagster.newcomer.survey import TEXTS, Survey, survey, traffic
from onlineeval_dagster.sources.registry import read_source
from tests.newcomer.files import START, flat, lines, own, pair
from tests.worlds import answer

NOW = datetime(2026, 11, 20, tzinfo=UTC)


def read(file: Path, **more) -> Survey:
    return survey(read_source("jsonl", [file], now=NOW, **more), place=str(file))


def missing(found: Survey) -> str:
    return "\n".join(cannot(found))


def test_flat_rows_without_ids_can_be_measured_by_answer_only(tmp_path: Path) -> None:
    found = read(lines(tmp_path / "chats.jsonl", [flat(n) for n in range(48)]))
    assert (found.answers, found.opinions, found.bad) == (48, 0, 0)
    said = missing(found)
    for words in ("no user id", "no session", "no version", "no ratings", "no user actions", "no context"):
        assert words in said
    assert "without user ids not even that" in said


def test_pairs_of_request_and_response_bring_their_users(tmp_path: Path) -> None:
    found = read(lines(tmp_path / "proxy.jsonl", [pair(n) for n in range(30)]))
    assert found.answers == 30
    assert found.share("user_id") == 1
    assert "user id" not in missing(found)
    assert "without user ids" not in missing(found)


def test_our_own_lines_with_actions_and_versions_leave_little_to_add(tmp_path: Path) -> None:
    at = START.isoformat()
    acted = [
        {"kind": "action", "event_id": "a1", "response_id": "r1", "action": "thumbs_up", "occurred_at": at},
        {"kind": "action", "event_id": "a2", "response_id": "r1", "action": "copy", "occurred_at": at},
    ]
    rows = [own(n, user_id=f"u{n}", context="c", latency_ms=5) for n in range(24)] + acted
    found = read(lines(tmp_path / "own.jsonl", rows))
    assert missing(found) == ""
    assert "what users say of answers: 1 ratings and thumbs" in can(found)


def test_a_field_that_only_some_answers_have_is_said_with_its_share(tmp_path: Path) -> None:
    rows = [flat(n, user="u1") for n in range(6)] + [flat(n) for n in range(6, 10)]
    assert "40 % of answers without user id" in missing(read(lines(tmp_path / "chats.jsonl", rows)))


def test_broken_rows_are_counted_and_the_first_are_kept_with_their_place(tmp_path: Path) -> None:
    found = read(lines(tmp_path / "chats.jsonl", [flat(0), "{broken", flat(1, question=None), flat(2)]))
    assert (found.answers, found.bad) == (2, 2)
    assert [row.place for row in found.bad_shown] == ["chats.jsonl:2", "chats.jsonl:3"]


def test_a_file_of_actions_alone_is_refused(tmp_path: Path) -> None:
    row = {"kind": "action", "event_id": "a1", "response_id": "r1", "action": "copy", "occurred_at": START.isoformat()}
    with pytest.raises(SourceError, match=r"own\.jsonl: it holds no answer; give the log of questions"):
        read(lines(tmp_path / "own.jsonl", [row]))


def test_a_file_whose_rows_are_all_unusable_says_why_with_the_first(tmp_path: Path) -> None:
    rows = [flat(n, created_at="2026-11-09 08:00:00") for n in range(3)]
    with pytest.raises(SourceError, match=r"none of its 3 rows could be read; the first: x\.jsonl:1: .*--zone"):
        read(lines(tmp_path / "x.jsonl", rows))


def test_traffic_is_answers_over_the_files_span_and_users_over_its_days(tmp_path: Path) -> None:
    found = read(lines(tmp_path / "chats.jsonl", [flat(n, user=f"u{n % 5}") for n in range(97)]))
    about = traffic(found)
    assert about.answers_a_day == pytest.approx(97 / 4)
    assert about.answers_how == "97 answers in 4.0 days"
    assert (about.users_a_day, about.users_known, about.profile) == (5, True, "weekly")


def test_a_file_of_some_hours_is_taken_for_a_day_and_says_so(tmp_path: Path) -> None:
    about = traffic(read(lines(tmp_path / "chats.jsonl", [flat(n) for n in range(4)])))
    assert about.answers_a_day == 4
    assert "covers 3.0 hours" in about.answers_how and "--answers-per-day" in about.answers_how


def test_without_user_ids_every_answer_may_be_somebody_elses(tmp_path: Path) -> None:
    found = read(lines(tmp_path / "chats.jsonl", [flat(n) for n in range(49)]))
    assert traffic(found).users_a_day == traffic(found).answers_a_day
    assert not traffic(found).users_known
    assert traffic(found, answers_a_day=50_000).profile == "standard"
    assert traffic(found, answers_a_day=50_000, users_a_day=9_999).profile == "weekly"


def test_users_grow_with_the_traffic_that_the_file_is_a_part_of(tmp_path: Path) -> None:
    found = read(lines(tmp_path / "chats.jsonl", [flat(n, user=f"u{n % 5}") for n in range(97)]))
    assert traffic(found, answers_a_day=10 * 97 / 4).users_a_day == pytest.approx(50)


def test_the_texts_looked_at_are_spread_over_the_whole_file() -> None:
    found = survey((answer(n) for n in range(3 * TEXTS)), place="x")
    taken = [int(said.response_id[1:]) for said in found.texts]
    assert TEXTS / 2 <= len(taken) < TEXTS
    assert len({after - before for before, after in itertools.pairwise(taken)}) == 1
    assert taken[-1] > 3 * TEXTS - 10
