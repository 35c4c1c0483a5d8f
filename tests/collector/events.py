"""Events as clients send them, good and bad, made from the contracts; for property tests."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from onlineeval_dagster.contracts.events import EVENTS

NOW = datetime(2026, 11, 24, 8, tzinfo=UTC)
GOOD: dict[str, dict[str, Any]] = {
    "response": {"response_id": "r1", "query": "Where is it?", "response": "On its way.", "latency_ms": 700},
    "action": {"response_id": "r1", "action": "star_rating", "value": 4, "text": "fine"},
    "deploy": {"deploy_id": "d1", "prompt_version": "v3", "traffic_share": 0.5},
    "event": {"name": "campaign", "ended_at": "2026-11-24T09:00:00Z", "value": -1.5},
    "exposure": {"experiment": "e1", "variant": "b", "unit_id": "u1", "propensity": 0.5},
    "label": {"response_id": "r1", "axis": "tone", "score": 3, "reviewer": "p1", "response_at": "2026-11-24T07:00:00Z"},
    "verdict": {
        "response_id": "r1",
        "response_at": "2026-11-24T07:00:00+02:00",
        "axis": "tone",
        "judge": "j",
        "judge_version": "1",
        "score": 2,
    },
    "span": {
        "trace_id": "1" * 32,
        "span_id": "2" * 16,
        "name": "chat",
        "ended_at": "2026-11-24T07:00:01.5Z",
        "status": "ok",
        "events": [{"name": "x", "attributes": {}}],
    },
}
"""A good event of each kind, without its kind and times."""

_NUMBERS = [0, 1, 2, 3, -1, 0.5, 1.0, 1.5, -0.0, 1e308, 5e-324, 2**53, 2**63 - 1, 2**63, 2**64 - 1, 2**64, 10**30]
_NO_NUMBERS = [float("nan"), float("inf"), float("-inf"), None, True, False]
_TEXTS = ["", " ", "x", "1", "ok", "span", "log", "audit", "user", "x" * 256, "x" * 257, "é" * 256, "\U0001f600" * 256]
_ODD_TEXTS = ["\x00", "\u2028", "\ud800", "a\udfffb"]
_NESTED = [{}, [], {"a": None}, [1, [{"b": 3}]], {"": ""}, {"x": {"x": 2**70}}, ["\ud800"], {"\udc00": 1}]
VALUES: list[Any] = [*_NUMBERS, *_NO_NUMBERS, *_TEXTS, *_ODD_TEXTS, *_NESTED]
"""What a field may be sent as, rightly or wrongly."""

MOMENTS = [
    *["2026-11-24T07:59:59Z", "2026-11-24t07:00:00z", "2026-11-24T07:00:00", "2026-11-24 07:00:00+00:00"],
    *["2026-11-24T07:00:00-00:00", "2026-11-24T07:00:00+14:00", "2026-11-24T24:00:00Z", "2026-11-24T07:00:60Z"],
    *["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+13:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-13:00"],
    *["1999-12-31T23:00:00Z", "2000-01-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-11-24T07:00:00.1234567Z"],
    *["2026-11-24", "20261124T070000Z", "2026-W48-2T07:00:00Z", "\uff12\uff1026-11-24T07:00:00Z", "1700000000", "now"],
]
_TIMES = st.sampled_from(MOMENTS) | st.integers(-400 * 86_400, 3_600).map(
    lambda seconds: (NOW + timedelta(seconds=seconds)).isoformat()
)
_ANY = st.sampled_from(VALUES) | _TIMES | st.text(max_size=12) | st.floats() | st.integers()
_NAMES = st.sampled_from(["tenant", "value ", "", "Kind", "\U0001f600", "\x00", "a.b"]) | st.text(max_size=6)


@st.composite
def events(draw: st.DrawFn, kind: str | None = None) -> dict[str, Any]:
    """A good event of some kind, with a few fields changed, taken out, or added."""
    kind = kind or draw(st.sampled_from(list(EVENTS)))
    said: dict[str, Any] = {"kind": kind, **GOOD[kind]}
    names = [name for name in EVENTS[kind].model_fields if name != "received_at"]
    for name in draw(st.lists(st.sampled_from(names), max_size=3)):
        said[name] = draw(_TIMES | _ANY if name.endswith("_at") else _ANY)
    for name in draw(st.lists(st.sampled_from(names), max_size=1)):
        said.pop(name, None)
    said.update(draw(st.dictionaries(_NAMES, _ANY, max_size=2)))
    return said


def as_json(said: Any) -> bytes:
    """JSON as careless clients write it: with NaN and Infinity, numbers of any size, halves of surrogate pairs."""
    return json.dumps(said).encode()
