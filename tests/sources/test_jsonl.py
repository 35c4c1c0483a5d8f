"""Flat rows of any names, our own events, and ids that come from what a row holds."""

import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlineeval_dagster.contracts.events import Action, Label, Response
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.log.segments import encode
from onlineeval_dagster.simulate.traffic import simulate
from onlineeval_dagster.sources.registry import read_source
from onlineeval_dagster.sources.rows import BadRow
from tests.sources.foreign import FLAT, NOW, lines, one, read


class TestFlatRows:
    def test_common_column_names_are_known(self, file):
        row = FLAT | {
            "conversation_id": "c1",
            "user": 12,
            "model_name": "m",
            "usage": {"prompt_tokens": 9},
            "lang": "en",
        }
        (response,) = one(file, row)
        assert isinstance(response, Response)
        assert (response.query, response.response) == ("Where is my kettle?", "On its way.")
        assert response.occurred_at == datetime(2026, 11, 20, 9, tzinfo=UTC) and response.received_at == NOW
        assert (response.response_id, response.session_id, response.user_id) == ("7", "c1", "12")
        assert (response.model, response.input_tokens, response.language) == ("m", 9, "en")

    def test_what_has_no_field_is_kept_as_an_attribute(self, file):
        (response,) = one(file, FLAT | {"tier": "gold", "scores": [1, 2], "empty": None})
        assert response.attributes == {"tier": "gold", "scores": [1, 2]}

    def test_a_map_goes_before_the_names_and_reaches_into_nested_values(self, file):
        row = {"user": "Hi?", "meta": {"reply": ["Hello."], "at": 1763900000}, "question": "not this one"}
        options = {"column_map": {"query": "user", "response": "meta.reply.0", "occurred_at": "meta.at"}}
        (response,) = one(file, row, **options)
        assert (response.query, response.response, response.user_id) == ("Hi?", "Hello.", None)
        assert response.attributes["question"] == "not this one"

    @pytest.mark.parametrize(
        "stamp", [1763900000, 1763900000.0, 1763900000000, 1763900000000000, "1763900000", "2025-11-23T12:13:20Z"]
    )
    def test_a_time_may_be_iso_or_an_epoch_of_any_unit(self, file, stamp):
        (response,) = one(file, FLAT | {"created_at": stamp})
        assert response.occurred_at == datetime(2025, 11, 23, 12, 13, 20, tzinfo=UTC)

    def test_a_time_without_a_zone_is_bad_until_the_zone_is_named(self, file):
        row = FLAT | {"created_at": "2026-11-20 10:00:00"}
        (bad,) = one(file, row)
        assert isinstance(bad, BadRow) and "time zone" in bad.reason and "--zone" in bad.reason
        (response,) = one(file, row, zone=timezone(timedelta(hours=2)))
        assert response.occurred_at == datetime(2026, 11, 20, 8, tzinfo=UTC)

    def test_rows_without_a_time_take_the_one_that_is_given(self, file):
        row = {"question": "q", "answer": "a"}
        with pytest.raises(SourceError, match=r"occurred_at.*--at"):
            one(file, row)
        (response,) = one(file, row, occurred_at=NOW)
        assert response.occurred_at == NOW

    def test_an_empty_answer_is_an_answer_and_a_missing_one_is_not(self, file):
        empty, missing, failed = one(
            file, FLAT | {"answer": ""}, FLAT | {"answer": None}, FLAT | {"answer": None, "error": "timeout"}
        )
        assert empty.response == "" and failed.response == "" and failed.error == "timeout"
        assert isinstance(missing, BadRow) and missing.reason.startswith("response: null or absent")

    def test_chat_messages_as_the_question_become_question_and_earlier_turns(self, file):
        turns = [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello"},
            {"role": "user", "content": "2+2?"},
        ]
        (response,) = one(file, FLAT | {"question": turns})
        assert (response.query, response.conversation) == ("2+2?", "User: Hi\nAssistant: Hello")

    def test_a_column_that_only_shares_a_name_stays_an_attribute(self, file):
        (response,) = one(file, FLAT | {"user": {"plan": "pro"}, "rating": "PG-13!", "location": {"lat": 1}})
        assert response.user_id is None and response.location is None
        assert response.attributes["user"] == {"plan": "pro"}

    def test_environment_and_app_come_from_the_row_or_from_the_caller(self, file):
        ours, theirs = one(file, FLAT, FLAT | {"env": "staging", "app": "bot"}, environment="beta", app="shop")
        assert (ours.environment, ours.app, theirs.environment, theirs.app) == ("beta", "shop", "staging", "bot")


class TestOpinions:
    @pytest.mark.parametrize(
        ("column", "value", "action", "number", "words"),
        [
            ("rating", 4, "star_rating", 4.0, None),
            ("stars", 5.0, "star_rating", 5.0, None),
            ("feedback", "up", "thumbs_up", None, None),
            ("feedback", "👎", "thumbs_down", None, None),
            ("thumbs", 1, "thumbs_up", None, None),
            ("thumbs", -1, "thumbs_down", None, None),
            ("liked", False, "thumbs_down", None, None),
            ("feedback", "It was too long.", "comment", None, "It was too long."),
            ("comment", "Good!", "comment", None, "Good!"),
        ],
    )
    def test_a_rating_beside_an_answer_becomes_an_action(self, file, column, value, action, number, words):
        response, done = one(file, FLAT | {column: value, "user_id": "u"})
        assert isinstance(done, Action) and done.response_id == response.response_id and done.user_id == "u"
        assert (done.action, done.value, done.text) == (action, number, words)
        assert column not in response.attributes

    def test_a_mapped_rating_that_is_none_makes_the_whole_row_bad(self, file):
        (bad,) = one(file, FLAT | {"rating": 17}, column_map={"rating": "rating"})
        assert isinstance(bad, BadRow) and "1 to 5 stars, got 17" in bad.reason

    def test_the_time_of_the_feedback_is_the_time_of_the_action(self, file):
        response, done = one(file, FLAT | {"rating": 1, "feedback_at": "2026-11-21T00:00:00Z"})
        assert response.occurred_at < done.occurred_at == datetime(2026, 11, 21, tzinfo=UTC)


def test_our_own_events_are_taken_as_they_stand(file):
    simulation = simulate(
        days=1, start=datetime(2026, 11, 9, tzinfo=UTC), daily_users=20, population=60, responses_per_day=60
    )
    events = list(simulation.events)
    file.write_bytes(b"".join(encode(event) for event in events))
    assert read(file) == events


def test_an_own_event_that_breaks_its_contract_is_bad_by_field(file):
    own = {"kind": "label", "event_id": "e", "occurred_at": "2026-11-20T00:00:00Z", "response_id": "r", "axis": "x"}
    good, bad = one(file, own | {"score": 2, "reviewer": "me"}, own | {"score": "two", "reviewer": "me"})
    assert isinstance(good, Label) and good.received_at == NOW
    assert isinstance(bad, BadRow) and bad.reason.startswith("score:")


class TestImportingTwice:
    def test_gives_the_same_ids_from_any_file_name_order_or_spelling(self, tmp_path):
        rows = [{"question": f"q{i}", "answer": "a", "time": 1763900000 + i, "rating": 3} for i in range(5)]
        first = one(tmp_path / "a.jsonl", *rows)
        again = one(tmp_path / "b.jsonl", *({k: row[k] for k in reversed(row)} for row in reversed(rows)))
        assert {event.event_id for event in first} == {event.event_id for event in again}
        assert len({event.event_id for event in first}) == 10

    def test_a_later_import_differs_in_the_time_of_receipt_only(self, file):
        lines(file, FLAT)
        (first,) = read(file)
        (later,) = read_source("jsonl", [file], now=NOW + timedelta(days=1))
        assert later.model_copy(update={"received_at": NOW}) == first

    def test_one_id_at_two_times_is_two_events_since_an_event_id_implies_its_day(self, file):
        first, second = one(file, FLAT, FLAT | {"created_at": "2026-11-21T10:00:00Z"})
        assert first.event_id != second.event_id and first.response_id == second.response_id

    @given(
        st.dictionaries(st.text(max_size=5), st.none() | st.integers(-(2**53), 2**53) | st.text(max_size=5), max_size=4)
    )
    def test_rows_that_differ_have_ids_that_differ(self, extra):
        with tempfile.TemporaryDirectory() as folder:
            row = {"question": "q", "answer": "a", "time": 1763900000}
            plain, other = one(Path(folder) / "x.jsonl", row, row | {"mark": extra})
        assert plain.response_id != other.response_id
