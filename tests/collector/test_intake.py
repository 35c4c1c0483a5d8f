"""What the intake takes, ingest takes: no event is acknowledged and then put into quarantine."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from onlineeval_dagster.catalog.privacy_file import PrivacyFile
from onlineeval_dagster.collector.intake import QUICK, Taken, Terms, judge, take
from onlineeval_dagster.collector.quick import DEEPEST, is_shallow
from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import EVENTS
from onlineeval_dagster.errors import RequestRefused
from onlineeval_dagster.log.reader import BadLine, parse_line
from onlineeval_dagster.privacy.policy import make_privacy
from tests.collector.collectors import RESPONSE, AsItIs
from tests.collector.events import GOOD, MOMENTS, NOW, VALUES, as_json, events

TERMS = Terms(event_bytes=2**20, batch_events=1_000, retention_days=90)
PRIVACY = make_privacy(PrivacyFile(), salt=b"a salt for tests only")


def taken(body: bytes, **more: Any) -> Taken:
    return take(body, "application/json", terms=TERMS, cleaner=more.get("cleaner", AsItIs()), now=NOW)


def read(line: bytes) -> LogEvent | BadLine:
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    return parse_line(line[:-1], now=NOW, retention_days=TERMS.retention_days)


def is_sure(kind: str, said: dict[str, Any], *, earliest: datetime) -> bool:
    return QUICK[kind].is_sure([said], tuple(said), earliest=earliest, latest=NOW)


def is_json(said: dict[str, Any]) -> bool:
    try:
        orjson.dumps(said)
    except orjson.JSONEncodeError:
        return False
    return True


def same(stored: Any, said: Any) -> bool:
    if isinstance(stored, datetime):
        return stored == datetime.fromisoformat(said.replace("t", "T").replace("z", "Z"))
    return stored == (float(said) if isinstance(stored, float) else said)


@settings(max_examples=600, deadline=None)
@given(events())
def test_what_is_taken_is_an_event_for_ingest_with_all_its_fields(said: dict[str, Any]) -> None:
    (result,) = taken(as_json(said)).lines or (None,)
    assume(result is not None)
    event = read(result)
    assert not isinstance(event, BadLine), event.reason
    known = type(event).model_fields
    attributes = event.attributes
    for name, value in orjson.loads(as_json(said)).items():
        if name in known and value is not None:
            stored = attributes if name == "attributes" else {name: getattr(event, name)}
            wanted = value if name == "attributes" else {name: value}
            assert all(same(stored[key], inner) for key, inner in wanted.items()), name
        elif name not in known and name not in (said.get("attributes") or {}):  # what is there already stays
            assert same(attributes[name], value), name


@settings(max_examples=600, deadline=None)
@given(events())
def test_taken_or_refused_is_what_the_contract_says(said: dict[str, Any]) -> None:
    done = taken(as_json(said))
    assert len(done.lines) + len(done.refused) == 1
    try:
        whole = orjson.loads(as_json(said))
    except orjson.JSONDecodeError:
        assert done.refused
        return
    whole["received_at"] = NOW.isoformat()
    for name, default in {"occurred_at": NOW.isoformat(), "event_id": "e1"}.items():
        if whole.get(name) is None:
            whole[name] = default
    slow = parse_line(orjson.dumps(whole), now=NOW, retention_days=TERMS.retention_days)
    assert bool(done.refused) == isinstance(slow, BadLine), (done.refused, slow)


@settings(max_examples=300, deadline=None)
@given(st.lists(events(), min_size=1, max_size=5))
def test_an_event_is_judged_alike_alone_and_among_others(several: list[dict[str, Any]]) -> None:
    alone = [bool(taken(as_json(said)).lines) for said in several]
    bodies = [as_json(several), b"\n".join(map(as_json, several))]
    for body in bodies:
        done = taken(body)
        refused = {index for index, _ in done.refused}
        assert [index not in refused for index in range(len(several))] == alone


@settings(max_examples=300, deadline=None)
@given(events())
def test_cleaned_events_are_events_too(said: dict[str, Any]) -> None:
    done = taken(as_json(said), cleaner=PRIVACY)
    assert len(done.lines) == len(taken(as_json(said)).lines)
    for line in done.lines:
        event = read(line)
        assert not isinstance(event, BadLine), event.reason


def test_lines_keep_the_order_of_the_body_whatever_kinds_and_fields_take_turns_in_it() -> None:
    told = {"kind": "action", "response_id": "r1", "action": "copy"}
    sent = [RESPONSE, told, RESPONSE | {"latency_ms": -1}, told | {"text": "x"}, RESPONSE, told]
    done = taken(as_json([said | {"event_id": f"e{place}"} for place, said in enumerate(sent)]))
    assert [orjson.loads(line)["event_id"] for line in done.lines] == ["e0", "e1", "e3", "e4", "e5"]
    assert [event["event_id"] for event in done.events] == ["e0", "e1", "e3", "e4", "e5"]
    assert [index for index, _ in done.refused] == [2]


class Stumbling(AsItIs):
    """A cleaner with a defect that one event in the middle of a batch meets."""

    def clean_alike(self, events: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        if any(event["response_id"] == "odd" for event in events):
            raise RuntimeError("a defect")
        return events


def test_an_event_that_cannot_be_cleaned_is_refused_and_those_beside_it_are_kept() -> None:
    sent = [RESPONSE | {"response_id": name} for name in ("r1", "odd", "r2")]
    done = taken(as_json([*sent, 7]), cleaner=Stumbling())
    assert [event["response_id"] for event in done.events] == ["r1", "r2"]
    assert [index for index, _ in done.refused] == [1, 3]
    assert "RuntimeError" in done.refused[0][1] and "a defect" not in done.refused[0][1]


@settings(max_examples=200, deadline=None)
@given(st.lists(events() | st.none() | st.integers() | st.text(), max_size=4))
def test_values_that_json_cannot_hold_are_refused_by_themselves(values: list[Any]) -> None:
    done = judge([*values, dict(RESPONSE)], terms=TERMS, cleaner=AsItIs(), now=NOW)
    assert len(done.lines) + len(done.refused) == len(values) + 1
    assert orjson.loads(done.lines[-1])["response_id"] == "r1"
    assert all(not isinstance(read(line), BadLine) for line in done.lines)


@pytest.mark.parametrize("kind", EVENTS)
def test_a_good_event_of_each_kind_needs_no_slow_look(kind: str) -> None:
    times = {"event_id": "e1", "occurred_at": NOW.isoformat(), "received_at": NOW.isoformat()}
    said = {"kind": kind, **GOOD[kind], **times}
    assert is_sure(kind, said, earliest=NOW) == ("response_at" not in said)
    long_ago = datetime.fromisoformat("2026-11-01T00:00:00Z")
    assert is_sure(kind, said, earliest=long_ago)


def test_one_bad_value_makes_events_unsure_wherever_it_stands_among_good_ones() -> None:
    times = {"event_id": "e1", "occurred_at": NOW.isoformat(), "received_at": NOW.isoformat()}
    good = {**RESPONSE, **times, "latency_ms": 1.5, "input_tokens": 7, "model": None}
    for bad in ({"latency_ms": -1}, {"input_tokens": 1.5}, {"model": ""}, {"query": None}, {"response": 7}):
        for place in range(3):
            some = [dict(good) for _ in range(3)]
            assert QUICK["response"].is_sure(some, tuple(good), earliest=NOW, latest=NOW)
            some[place] |= bad
            assert not QUICK["response"].is_sure(some, tuple(good), earliest=NOW, latest=NOW), bad


@pytest.mark.parametrize("kind", EVENTS)
def test_a_quick_yes_is_a_yes_of_the_contract_for_any_value_of_any_field(kind: str) -> None:
    times = {"event_id": "e1", "occurred_at": "2026-11-24T07:00:00Z", "received_at": NOW.isoformat()}
    yes = 0
    for name in [*EVENTS[kind].model_fields, "tenant"]:
        for value in (*VALUES, *MOMENTS):
            said = {"kind": kind, **GOOD[kind], **times, name: value}
            if is_sure(kind, said, earliest=NOW - timedelta(days=9)) and is_json(said):
                yes += 1
                event = read(orjson.dumps(said) + b"\n") if name not in ("kind", "received_at") else None
                assert not isinstance(event, BadLine), (name, value, event.reason)
    assert yes > 100


def test_every_refusal_names_field_and_remedy() -> None:
    for bad in (
        {"latency_ms": -1},
        {"latency_ms": "fast"},
        {"occurred_at": "0001-01-01T00:00:00Z"},
        {"occurred_at": "9999-12-31T23:59:59Z"},
        {"query": None},
        {"response_id": "x" * 257},
        {"attributes": {"deep": nested(DEEPEST + 2)}},
    ):
        ((_, reason),) = taken(orjson.dumps(RESPONSE | bad)).refused
        place, _, rest = reason.partition(": ")
        name = next(iter(bad))
        assert (place in (name, "event") or rest.startswith(name)) and "; " in rest, reason


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused_by_the_name_of_its_field(number: str) -> None:
    body = orjson.dumps(RESPONSE)[:-1] + f',"latency_ms": {number}}}'.encode()
    ((_, reason),) = taken(b"[" + orjson.dumps(RESPONSE) + b"," + body + b"]").refused
    assert reason == f"latency_ms: {number} is no JSON number; leave the field out, or send null"
    ((_, reason),) = taken(number.encode()).refused
    assert reason.startswith("event: ")


def test_a_line_that_is_none_loses_no_other_though_nobody_said_that_they_are_lines() -> None:
    found = taken(orjson.dumps(RESPONSE) + b"\nno json at all\n" + orjson.dumps(RESPONSE) + b"\n")
    assert (len(found.lines), [place for place, _ in found.refused]) == (2, [1])


def test_long_texts_are_taken_up_to_the_size_of_an_event() -> None:
    for length, fits in ((2**18, True), (2**18 + 1, True), (2**20 - 500, True), (2**20, False)):
        assert bool(taken(orjson.dumps(RESPONSE | {"query": "x" * length})).lines) == fits


@pytest.mark.parametrize("depth", [DEEPEST - 2, DEEPEST, DEEPEST + 1, DEEPEST + 2, 150, 1_000])
def test_depth_is_refused_before_ingest_would(depth: int) -> None:
    for name in ("attributes", "tenant"):
        said = RESPONSE | {name: {"deep": nested(depth)}}
        lines = taken(orjson.dumps(RESPONSE)[:-1] + f',"{name}":{{"deep":{"[" * depth}{"]" * depth}}}}}'.encode()).lines
        assert bool(lines) <= is_shallow(said, DEEPEST + 1)
        assert all(not isinstance(read(line), BadLine) for line in lines)


def test_a_batch_has_an_end() -> None:
    with pytest.raises(RequestRefused, match="1,001 events, more than the 1,000"):
        taken(orjson.dumps([RESPONSE] * 1_001))


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value
