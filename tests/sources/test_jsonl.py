import gzip
import json
import tempfile
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlineeval_dagster.contracts.events import Action, Label, Response
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.log.segments import encode
from onlineeval_dagster.simulate.traffic import simulate
from onlineeval_dagster.sources.columns import ALIASES
from onlineeval_dagster.sources.registry import DIALECTS, read_source
from onlineeval_dagster.sources.rows import BadRow

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
FLAT = {"question": "Where is my kettle?", "answer": "On its way.", "created_at": "2026-11-20T10:00:00+01:00", "id": 7}


def lines(file: Path, *rows: object) -> Path:
    file.write_text("".join(row + "\n" if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return file


def read(*files: Path, **options) -> list:
    return list(read_source("jsonl", list(files), now=NOW, **options))


def one(file: Path, *rows: object, **options) -> list:
    return read(lines(file, *rows), **options)


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "log.jsonl"


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


REQUEST = {
    "model": "gpt-x",
    "temperature": 0.2,
    "user": "u1",
    "metadata": {"session_id": "s1"},
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "tool", "content": "page 3"},
        {"role": "user", "content": [{"type": "text", "text": "And now?"}]},
    ],
}
RESPONSE = {
    "id": "chatcmpl-1",
    "created": 1763900000,
    "model": "gpt-x-0301",
    "choices": [{"message": {"role": "assistant", "content": "Now this."}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 11, "completion_tokens": 3},
}


class TestPairs:
    def test_request_and_response_bodies_become_one_response(self, file):
        (response,) = one(file, {"request": REQUEST, "response": RESPONSE, "latency_ms": 812})
        assert (response.query, response.response) == ("And now?", "Now this.")
        assert (response.conversation, response.context) == ("User: Hi\nAssistant: Hello", "page 3")
        assert (response.response_id, response.user_id, response.session_id) == ("chatcmpl-1", "u1", "s1")
        assert (response.model, response.input_tokens, response.output_tokens) == ("gpt-x-0301", 11, 3)
        assert (response.finish_reason, response.latency_ms) == ("stop", 812.0)
        assert response.occurred_at == datetime(2025, 11, 23, 12, 13, 20, tzinfo=UTC)
        assert response.attributes["system"] == "Be brief." and response.attributes["request"]["temperature"] == 0.2

    def test_batch_files_and_the_newer_api_are_understood(self, file):
        output = [{"type": "message", "content": [{"type": "output_text", "text": "Four."}]}]
        newer = {"id": "resp_1", "created_at": 1763900000, "output": output, "usage": {"input_tokens": 5}}
        batch, new = one(
            file,
            {"request": {"body": REQUEST}, "response": {"status_code": 200, "body": RESPONSE}},
            {"request": {"input": "2+2?", "instructions": "Count."}, "response": newer},
        )
        assert batch.response == "Now this."
        assert (new.query, new.response, new.input_tokens) == ("2+2?", "Four.", 5)

    def test_a_failed_call_is_a_response_with_its_error(self, file):
        row = {
            "request": REQUEST,
            "response": None,
            "error": {"message": "rate limit"},
            "time": "2026-11-20T00:00:00Z",
        }
        (response,) = one(file, row)
        assert (response.response, response.error) == ("", "rate limit")

    def test_a_rating_beside_the_bodies_becomes_an_action(self, file):
        _, done = one(file, {"request": REQUEST, "response": RESPONSE, "rating": 2})
        assert (done.action, done.value) == ("star_rating", 2.0)


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


class TestBadRows:
    def test_are_yielded_in_their_place_with_reason_and_text_and_none_is_lost(self, file):
        file.write_bytes(
            json.dumps(FLAT).encode() + b"\n\n{torn\n[1]\n\xff\xfe\n" + json.dumps(FLAT | {"id": [1]}).encode() + b"\n"
        )
        good, torn, listed, binary, last = read(file, column_map={"response_id": "id"})
        assert isinstance(good, Response)
        assert [bad.number for bad in (torn, listed, binary, last)] == [3, 4, 5, 6]
        assert torn.text == "{torn" and torn.reason.startswith("not JSON")
        assert "got list" in listed.reason and "not JSON" in binary.reason
        assert last.reason.startswith("response_id:") and json.loads(last.text)["id"] == [1]

    def test_become_a_log_line_that_is_no_event(self, file):
        _, bad = one(file, FLAT, "{torn")
        line = bad.as_log_line()
        assert line.endswith(b"\n") and line.count(b"\n") == 1
        said = json.loads(line)
        assert said == {"source": "log.jsonl", "row": 2, "reason": bad.reason, "text": "{torn"} and "kind" not in said

    def test_never_show_a_users_text_in_the_reason(self, file):
        secret = "my private question, which is longer than forty characters"
        (bad,) = one(file, FLAT | {"created_at": secret})
        assert secret not in bad.reason and secret in bad.text


class TestFiles:
    def test_gzip_is_read_whatever_its_name(self, tmp_path):
        file = tmp_path / "log.jsonl"
        file.write_bytes(gzip.compress(json.dumps(FLAT).encode() + b"\n"))
        assert len(read(file)) == 1

    def test_parquet_is_read_with_the_same_map(self, tmp_path):
        file = tmp_path / "log.parquet"
        times = pa.array([datetime(2026, 11, 20, tzinfo=UTC)] * 2, pa.timestamp("us", tz="UTC"))
        pq.write_table(pa.table({"frage": ["q1", "q2"], "answer": ["a", None], "time": times}), file)
        good, bad = read(file, column_map={"query": "frage"})
        assert good.query == "q1" and isinstance(bad, BadRow) and bad.number == 2

    def test_gaps_that_parquet_writes_as_nan_are_gaps(self, tmp_path):
        file = tmp_path / "log.parquet"
        gaps = [4.0, float("nan")]
        columns = {"query": ["q"] * 2, "answer": ["a"] * 2, "time": [1.7639e9] * 2}
        pq.write_table(
            pa.table(columns | dict.fromkeys(("user_id", "input_tokens", "latency_ms", "stars"), gaps)), file
        )
        full, stars, empty = read(file)
        assert (full.user_id, full.input_tokens, full.latency_ms, stars.value) == ("4", 4, 4.0, 4.0)
        assert (empty.user_id, empty.input_tokens, empty.latency_ms) == (None, None, None)

    def test_a_missing_file_a_folder_and_a_torn_archive_are_named(self, tmp_path):
        with pytest.raises(SourceError, match=r"nowhere\.jsonl: no such file"):
            read(tmp_path / "nowhere.jsonl")
        torn = tmp_path / "torn.gz"
        torn.write_bytes(gzip.compress(json.dumps(FLAT).encode() * 1000)[:-20])
        with pytest.raises(SourceError, match=r"torn\.gz: cannot be read"):
            read(torn)
        no_parquet = tmp_path / "x.parquet"
        no_parquet.write_bytes(b"not parquet")
        with pytest.raises(SourceError, match=r"x\.parquet: not a readable Parquet"):
            read(no_parquet)

    def test_a_file_without_rows_or_without_json_is_refused(self, file):
        file.write_bytes(b"\n\n")
        with pytest.raises(SourceError, match="has no rows"):
            read(file)
        file.write_bytes(b"hello\nworld\n")
        with pytest.raises(SourceError, match="none of its 2 rows is a JSON object"):
            read(file)


class TestWrongColumns:
    def test_a_mapped_column_that_no_row_has_is_named_with_the_nearest_first(self, file):
        with pytest.raises(SourceError, match=r"no row has 'questoin'; the columns are question, ") as caught:
            one(file, FLAT, column_map={"query": "questoin"})
        assert "--map query=questoin" in str(caught.value) and str(file) in str(caught.value)

    def test_a_column_that_only_a_late_row_has_is_fine(self, file):
        rows = [*[FLAT] * 50, FLAT | {"who": "u9"}]
        assert one(file, *rows, column_map={"user_id": "who"})[-1].user_id == "u9"

    def test_a_needed_column_that_cannot_be_guessed_is_asked_for(self, file):
        with pytest.raises(SourceError, match=r"no column for 'response'; say which with --map response=COLUMN"):
            one(file, {"question": "q", "text": "a", "time": 1763900000})

    def test_a_field_we_do_not_have_is_refused_with_the_nearest(self, file):
        with pytest.raises(SourceError, match=r"no field 'qurey'; did you mean 'query'"):
            one(file, FLAT, column_map={"qurey": "question"})

    def test_nothing_is_imported_when_a_later_file_is_wrong(self, tmp_path):
        good, bad = lines(tmp_path / "a.jsonl", FLAT), lines(tmp_path / "b.jsonl", {"x": 1})
        with pytest.raises(SourceError, match=r"b\.jsonl"):
            next(read_source("jsonl", [good, bad], now=NOW))


def test_an_unknown_dialect_and_no_file_are_refused(file):
    with pytest.raises(SourceError, match="--source langsmith: unknown; there are jsonl"):
        list(read_source("langsmith", [file], now=NOW))
    with pytest.raises(SourceError, match="no file was named"):
        read()


def test_every_dialect_is_registered_under_its_name_and_every_field_is_one_of_ours():
    assert all(name == dialect.name and dialect.description for name, dialect in DIALECTS.items())
    assert set(ALIASES) - {"rating", "thumbs", "comment", "feedback_at"} <= set(Response.model_fields)
    assert all(names[0] == field for field, names in ALIASES.items())
