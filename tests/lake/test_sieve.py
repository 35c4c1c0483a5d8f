"""The sieve says what `parse_line` says, row for row and value for value."""

import json
import math
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.events import EVENTS
from onlineeval_dagster.contracts.tables import TABLE_OF, TABLES
from onlineeval_dagster.lake.lines import Piece, cut, lay_out
from onlineeval_dagster.lake.scan import scratch
from onlineeval_dagster.lake.sieve import Sieve, day_of
from onlineeval_dagster.lake.sieve_sql import sifted_rows
from onlineeval_dagster.log.reader import LINE_LIMIT, BadLine, is_blank, parse_line

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAYS = 30

GOOD = {
    "response": {
        "response_id": "r",
        "query": "q",
        "response": "a",
        "latency_ms": 3,
        "input_tokens": 4,
        "new_user": True,
        "cost_usd": 0.5,
        "context": None,
        "reference": "b",
    },
    "action": {"response_id": "r", "action": "copy", "value": 1.5, "text": "é\u0000\n"},
    "deploy": {"deploy_id": "d", "traffic_share": 0.5},
    "event": {"name": "n", "ended_at": "2026-11-22T10:00:00+02:00"},
    "exposure": {"experiment": "e", "variant": "v", "unit": "session", "unit_id": "u", "propensity": 0.5},
    "label": {"response_id": "r", "axis": "a", "score": 2, "reviewer": "w", "response_at": "2026-11-01T23:30:00-02:00"},
    "verdict": {"response_id": "r", "axis": "a", "judge": "j", "judge_version": "1", "score": 3.0, "replicate": 1},
    "span": {
        "trace_id": "t",
        "span_id": "s",
        "name": "chat",
        "ended_at": "2026-11-22T08:00:02Z",
        "events": [{"name": "e", "time": "2026-11-22T08:00:02Z", "attributes": {"a": [1, None]}}],
        "links": [],
        "attributes": {"resource": {"service.name": "x"}},
    },
}


def good(kind: str) -> dict:
    head = {"kind": kind, "event_id": "e1", "occurred_at": "2026-11-22T08:00:00.123456Z"}
    return head | {"received_at": "2026-11-22T08:00:01Z", "environment": "production"} | GOOD[kind]


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.sampled_from([0, 1, -1, 2**63 - 1, 2**63, 10**19, 10**30, 0.5, 1.0, -0.0, 1e300, 5e-324]),
    st.floats(allow_nan=True),
    st.text(max_size=20),
    st.sampled_from(
        ["", "3", "true", "null", "{}", "[1]", "session", "x" * 256, "x" * 257, "é" * 200, "NaN", "a,}", ":inf"]
    ),
    st.sampled_from(
        [
            "2026-11-22T08:00:00Z",
            "2026-11-22T08:00:00+05:30",
            "2026-11-22 08:00:00.1234567-07:00",
            "2026-11-22T08:00:00.123456789Z",
            "2026-11-22T08:00:00",
            "2026-11-22",
            "2026-02-30T08:00:00Z",
            "2026-11-22T24:00:00Z",
            "2026-11-22T23:59:60Z",
            "2026-11-23T12:10:00Z",
            "2026-11-23T12:10:00.000001Z",
            "2026-10-24T12:00:00Z",
            "2026-10-24T11:59:59.999999Z",
            "2000-01-01T00:00:00+13:59",
            "1999-12-31T23:59:59Z",
            "9999-12-31T23:59:59-13:00",
            "2026-11-22t08:00:00z",
            "2026-11-22T08:00:00+00",
            "2026-11-22T08:00:00 +0000",
        ]
    ),
    st.integers(0, 90 * 86_400 * 1_000_000).map(
        lambda us: (NOW - timedelta(days=60) + timedelta(microseconds=us)).isoformat()
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
names = st.one_of(
    st.sampled_from(sorted({name for contract in EVENTS.values() for name in contract.model_fields})),
    st.sampled_from(["tenant", "Query", "x.y", "a b", 'q"', "\\", "tenant2"]),
    st.text(max_size=6),
)


def spelled(value: object, *, ascii_only: bool, blanks: bool) -> str:
    return json.dumps(value, ensure_ascii=ascii_only, separators=(", ", ": ") if blanks else (",", ":"))


@st.composite
def changed_events(draw: st.DrawFn) -> bytes:
    """A good event of any kind with some fields set, dropped, moved or said twice."""
    event = good(draw(st.sampled_from(sorted(EVENTS))))
    for name, value in draw(st.lists(st.tuples(names, values), max_size=3)):
        event[name] = value
    for name in draw(st.lists(st.sampled_from(sorted(event)), max_size=1)):
        del event[name]
    if draw(st.booleans()):
        event["attributes"] = draw(st.dictionaries(st.text(max_size=5), values, max_size=3))
    if draw(st.booleans()):
        event = dict(reversed(event.items()))
    line = spelled(event, ascii_only=draw(st.booleans()), blanks=draw(st.booleans()))
    if draw(st.integers(0, 9)) == 0:
        twice = spelled(dict([draw(st.tuples(names, values))]), ascii_only=True, blanks=False)
        line = line[:-1] + "," + twice[1:]
    return line.encode("utf-8", errors="surrogatepass")


@st.composite
def spoilt_lines(draw: st.DrawFn) -> bytes:
    """A changed event whose bytes were damaged."""
    line = bytearray(draw(changed_events()))
    for place, byte in draw(st.lists(st.tuples(st.integers(0, len(line)), st.binary(max_size=3)), max_size=3)):
        line[place : place + draw(st.integers(0, 2))] = byte
    return bytes(line)


def reference(lines: bytes) -> tuple[dict[str, list], list]:
    """What `parse_line` makes of each line."""
    rows: dict[str, list] = {}
    refused, offset = [], 0
    for line in lines.split(b"\n"):
        said = None if is_blank(line) else parse_line(line, now=NOW, retention_days=DAYS)
        if isinstance(said, BadLine):
            refused.append((offset, said.reason, said.text))
        elif said is not None:
            table = TABLE_OF[said.kind]
            (row,) = to_table([said], table.contract).to_pylist()
            row |= {"log_segment": "s.ndjson", "log_offset": offset, "day": day_of(table, said)}
            rows.setdefault(table.name, []).append(row)
        offset += len(line) + 1
    return rows, refused


@cache
def sieve(second_look_at: int) -> Sieve:
    return Sieve(now=NOW, retention_days=DAYS, second_look_at=second_look_at)


def sifted(
    folder: Path, content: bytes, *, size: int = 2**30, second_look_at: int = 500
) -> tuple[dict[str, list], list]:
    path = folder / "s.ndjson"
    path.write_bytes(content)
    rows: dict[str, list] = {}
    refused = []
    for piece in cut(Piece(segment="s.ndjson", path=path, start=0, end=len(content)), size) if content else []:
        for some in sieve(second_look_at).sift(lay_out([piece])):
            for (name, day), table in some.rows.items():
                assert table.schema.equals(TABLES[name].arrived_schema)
                assert set(table.column("day").to_pylist()) == {day}
                rows.setdefault(name, []).extend(table.to_pylist())
            refused += [(line.offset, line.bad.reason, line.bad.text) for line in some.refused]
    return {name: sorted(found, key=lambda row: row["log_offset"]) for name, found in rows.items()}, refused


def comparable(rows: dict[str, list]) -> dict[str, list]:
    """Attributes as the values they mean; floats by their bits, so that -0.0 is not 0.0."""
    return {
        name: [
            {
                key: json.loads(value)
                if key in ("attributes", "events", "links") and isinstance(value, str)
                else (math.copysign(1, value), value)
                if isinstance(value, float)
                else value
                for key, value in row.items()
            }
            for row in found
        ]
        for name, found in rows.items()
    }


def same(folder: Path, content: bytes, *, second_look_at: int = 500) -> None:
    wanted_rows, wanted_refused = reference(content)
    rows, refused = sifted(folder, content, second_look_at=second_look_at)
    assert refused == wanted_refused
    assert comparable(rows) == comparable(wanted_rows)


@pytest.mark.parametrize("examples", [20, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("second_look_at", [0, 10**9])
def test_the_sieve_says_what_the_reader_says(examples: int, second_look_at: int, tmp_path: Path) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.one_of(changed_events(), changed_events(), spoilt_lines(), st.binary(max_size=9)), max_size=40))
    def holds(lines: list[bytes]) -> None:
        same(tmp_path, b"\n".join(lines), second_look_at=second_look_at)

    holds()


@pytest.mark.parametrize("kind", sorted(EVENTS))
def test_a_plain_event_of_each_kind_takes_the_fast_path(kind: str) -> None:
    """A new bound or validator without SQL would make its kind slow: here it is seen."""
    code = list(EVENTS).index(kind) + 1
    with scratch() as engine:
        engine.execute("create temp table coded (place bigint, line varchar, code tinyint)")
        engine.execute("insert into coded values (0, ?, ?)", [json.dumps(good(kind)), code])
        sql = sifted_rows(kind, "coded", now=NOW, retention_days=DAYS)
        assert engine.execute(f"select day is not null from ({sql})").fetchall() == [(True,)]


@pytest.mark.parametrize(
    "line",
    [
        '{"kind":"action","attributes":{"a":NaN}}',
        '{"a":1,}',
        '{"attributes":{"a":[1, ]}}',
        '{"attributes":{"a":1e999}}',
        '{"attributes":{"a":18446744073709551616}}',
        '{"attributes":' + '{"a":' * 300 + "1" + "}" * 301,
        '{"attributes":{"a":' + "[" * 150 + "]" * 150 + "}}",
        '{"value":NaN}',
        '{"value":-Infinity}',
        '{"value":"1"}',
        '{"text":3}',
        '{"text":{"a":1}}',
        '{"value":true}',
        '{"Value":3}',
        '{"text":"a","text":"b"}',
        '{"attributes":null}',
        '{"environment":null}',
        '{"tenant":"x","attributes":{"tenant":"y"}}',
        '{"text":"\\ud83d\\ude00 \\u0000"}',
        '{"text":"\\ud800"}',
        '{"\\u0074ext":"a"}',
        '{"\\u0074ext":4}',
        '{"event_id":""}',
        '{"event_id":"%s"}' % ("x" * 256),
        '{"event_id":"%s"}' % ("x" * 257),
        '{"event_id":"%s"}' % ("é" * 256),
        '{"event_id":null}',
        '{"occurred_at":"2026-11-22T07:59:60Z"}',
        '{"occurred_at":"2026-11-22T08:00:00.123456789+05:30"}',
        '{"occurred_at":"2026-02-30T08:00:00Z"}',
        '{"occurred_at":"2026-11-22T08:00:00"}',
        '{"occurred_at":"2026-10-24T11:59:59.999999Z"}',
        '{"occurred_at":"2026-10-24T12:00:00Z"}',
        '{"received_at":"2026-11-23T12:10:00Z"}',
        '{"received_at":"2026-11-23T12:10:00.000001Z"}',
        '{"occurred_at":"2026-11-22T08:10:01.000001Z"}',
        '{"kind":"Action"}',
        '{"attributes":{"kind":"action"},"kind":"event"}',
        '{"attributes":{"kind":"action"}}',
    ],
)
@pytest.mark.parametrize("second_look_at", [0, 500])
def test_what_duckdb_reads_leniently_is_read_strictly(line: str, second_look_at: int, tmp_path: Path) -> None:
    """The fields of `line` replace those of a good event, character for character."""
    kept = {name: value for name, value in good("action").items() if f'"{name}":' not in line}
    content = (json.dumps(kept)[:-1] + "," + line[1:] + "\n").encode("utf-8", errors="surrogatepass")
    same(tmp_path, content, second_look_at=second_look_at)


def test_unknown_fields_are_kept_on_the_fast_path_too(tmp_path: Path) -> None:
    lines = [good("action") | {"event_id": f"e{i}", "tenant": i, "x": None} for i in range(600)]
    content = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    same(tmp_path, content)
    rows, _ = sifted(tmp_path, content)
    assert json.loads(rows["actions"][7]["attributes"]) == {"tenant": 7, "x": None}


def test_a_name_that_attributes_has_too_is_kept_once(tmp_path: Path) -> None:
    line = good("action") | {"tenant": "outer", "attributes": {"tenant": "inner"}}
    rows, _ = sifted(tmp_path, orjson.dumps(line), second_look_at=0)
    assert rows["actions"][0]["attributes"] == '{"tenant":"inner"}'


def test_lines_in_several_chunks_are_the_lines_in_one(tmp_path: Path) -> None:
    lines = [orjson.dumps(good("action") | {"event_id": f"e{i}"}) for i in range(50)]
    content = b"\n".join([*lines, b"", b"\r", b"bad"])
    assert sifted(tmp_path, content, size=300) == sifted(tmp_path, content)
    same(tmp_path, content)


def test_a_line_beyond_the_limit_is_refused_and_its_neighbours_are_not(tmp_path: Path) -> None:
    one = orjson.dumps(good("event"))
    content = one + b"\n" + b'{"kind":"event","x":"' + b"y" * LINE_LIMIT + b'"}\n' + one + b"\n"
    rows, refused = sifted(tmp_path, content)
    assert [row["log_offset"] for row in rows["events"]] == [0, len(content) - len(one) - 1]
    assert [(offset, len(text)) for offset, _, text in refused] == [(len(one) + 1, 64 * 2**10)]
    assert "16 MiB" in refused[0][1]


def test_bytes_that_are_not_utf8_spoil_their_own_line_only(tmp_path: Path) -> None:
    one = orjson.dumps(good("event"))
    same(tmp_path, b"\n".join([one, one[:30] + b"\xff" + one[30:], b"\xff\xfe\x00", bytes(range(256)), one]))


@pytest.mark.parametrize("shift", range(4))
def test_a_line_in_braces_that_is_no_json_is_refused_and_its_neighbours_are_not(shift: int, tmp_path: Path) -> None:
    """Wherever DuckDB cuts the line that its message quotes."""
    one = orjson.dumps(good("event"))
    broken = b'{"description":"' + b"x" * shift + ("😀" * 30).encode() + b'\x00",' + one[1:]
    same(tmp_path, b"\n".join([one, broken, one]))
