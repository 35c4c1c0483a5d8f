"""The reader: every line is an event or a bad line with a reason that helps."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.errors import LogError
from onlineeval_dagster.log.reader import LINE_LIMIT, TEXT_LIMIT, BadLine, parse_line, read_lines

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def event(**changes: object) -> dict:
    said = {
        "kind": "label",
        "event_id": "e",
        "occurred_at": "2026-11-22T08:00:00Z",
        "received_at": "2026-11-22T08:00:01Z",
    }
    return said | {"response_id": "r", "axis": "a", "score": 2, "reviewer": "w"} | changes


def said(line: bytes | dict) -> LogEvent | BadLine:
    return parse_line(line if isinstance(line, bytes) else orjson.dumps(line), now=NOW, retention_days=30)


def reason(line: bytes | dict) -> str:
    bad = said(line)
    assert isinstance(bad, BadLine)
    return bad.reason


def test_times_are_read_as_utc_with_microseconds_and_numbers_as_they_are() -> None:
    label = said(event(occurred_at="2026-11-22T10:00:00.123456789+02:00"))
    assert isinstance(label, LogEvent)
    assert label.occurred_at == datetime(2026, 11, 22, 8, 0, 0, 123456, tzinfo=UTC)


def test_unknown_fields_are_kept() -> None:
    label = said(event(tenant="x", attributes={"a": None}))
    assert isinstance(label, LogEvent)
    assert label.attributes == {"tenant": "x", "a": None}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "line: not JSON"),
        (b"{", "line: not JSON"),
        (b'{"kind":"label"', "one JSON object a line"),
        (b"\x00\x01\x02\xff", "line: not JSON"),
        (b'{"kind":"label","event_id":"\xff"}', "UTF-8"),
        (b"[1]", "line: a JSON list"),
        (b"{}", "kind: missing; write one of response, action"),
        (b'{"kind":"labels"}', "kind: 'labels' is unknown"),
        (b'{"kind":["label"]}', "is unknown"),
        (event(score="2"), "score: Input should be a valid number"),
        (event(score=None), "score: "),
        (event(event_id=""), "event_id: String should have at least 1 character"),
        (event(event_id="x" * 257), "event_id: String should have at most 256"),
        (event(inclusion_probability=0), "inclusion_probability: Input should be greater than 0"),
        (event(occurred_at="yesterday"), "occurred_at: send ISO 8601 with a zone"),
        (event(occurred_at=1700000000), "occurred_at: send ISO 8601 with a zone"),
        (event(occurred_at="2026-11-22T08:00:00"), "occurred_at: Input should have timezone"),
        (event(occurred_at="9999-12-31T23:59:59-13:00"), "occurred_at: a time outside"),
        (event(received_at="2026-11-23T12:10:01Z"), "received_at: more than 10 minutes in the future"),
        (event(occurred_at="2026-11-22T08:10:02Z"), "occurred_at: more than 10 minutes after received_at"),
        (event(occurred_at="2026-10-24T11:59:59Z"), "occurred_at: older than 30 days; raise ONLINEEVAL_RETENTION_DAYS"),
        (event(response_at="2026-10-24T11:59:59Z"), "response_at: older than 30 days"),
        (event(response_at="2026-11-23T13:00:00Z"), "response_at: more than 10 minutes in the future"),
        (orjson.dumps(event())[:-1] + b',"value":NaN}', "line: not JSON"),
        (orjson.dumps(event())[:-1] + b',"x":18446744073709551616}', "attributes: Integer exceeds 64-bit range"),
        (orjson.dumps(event())[:-1] + b',"x":' + b"[" * 500 + b"]" * 500 + b"}", "recursion limit"),
        (orjson.dumps(event())[:-1] + b',"x":' + b"[" * 100_000, "line: not JSON"),
    ],
)
def test_a_bad_line_says_which_field_and_what_to_do(line: bytes | dict, words: str) -> None:
    assert words in reason(line)
    assert ";" in reason(line)


def test_ten_minutes_ahead_and_the_last_day_of_retention_are_taken() -> None:
    assert isinstance(said(event(received_at="2026-11-23T12:10:00Z", occurred_at="2026-11-23T12:10:00Z")), LogEvent)
    assert isinstance(said(event(occurred_at="2026-10-24T12:00:00Z")), LogEvent)


def test_a_field_said_twice_is_read_as_the_last_one() -> None:
    label = said(orjson.dumps(event())[:-1] + b',"score":1}')
    assert getattr(label, "score", None) == 1


def test_a_bad_line_keeps_its_first_64_kib_as_text() -> None:
    bad = said(b"\xff" + b"x" * 2**20)
    assert isinstance(bad, BadLine)
    assert bad.text == "�" + "x" * (TEXT_LIMIT - 1)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_fail(line: bytes) -> None:
    assert isinstance(said(line), BadLine | LogEvent)


def test_lines_carry_their_offsets_and_blank_ones_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "s.ndjson"
    path.write_bytes(b"one\n\ntwo\r\n\r\nthree")
    assert list(read_lines(path, 0, 17)) == [(0, b"one"), (5, b"two\r"), (12, b"three")]
    assert list(read_lines(path, 5, 12)) == [(5, b"two\r")]


def test_a_huge_line_is_one_bad_line_whose_rest_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "s.ndjson"
    with path.open("wb") as file:
        file.write(b"a\n")
        file.seek(3 * LINE_LIMIT)
        file.write(b"\nb\n")
    found = list(read_lines(path, 0, path.stat().st_size))
    assert [(offset, len(line)) for offset, line in found] == [(0, 1), (2, LINE_LIMIT + 1), (3 * LINE_LIMIT + 1, 1)]
    assert "longer than 16 MiB" in reason(found[1][1])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"s\.ndjson: No such file"):
        list(read_lines(tmp_path / "s.ndjson", 0, 1))


def test_a_time_from_before_the_retention_never_depends_on_the_zone_it_is_written_in() -> None:
    edge = NOW - timedelta(days=30)
    for hours in (-11, 0, 13):
        here = edge.astimezone(datetime.strptime(f"{hours:+03d}00", "%z").tzinfo)
        assert isinstance(said(event(occurred_at=here.isoformat())), LogEvent)


def test_a_row_that_an_import_refused_keeps_the_importers_reason():
    refused = b'{"source":"chats.jsonl","row":7,"reason":"answer: empty; send one","text":"{}"}\n'
    bad = parse_line(refused, now=NOW, retention_days=30)
    assert isinstance(bad, BadLine)
    assert bad.reason == "chats.jsonl row 7: answer: empty; send one"
