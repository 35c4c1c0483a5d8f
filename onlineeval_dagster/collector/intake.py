"""A request's body → events, and lines of the log: what is good is kept, what is not is refused with its reason.

bytes ──split──▶ values ──judge──▶ lines   (the good ones, in order)
                      └──────────▶ refused (index, "field: …; remedy")
"""

import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any, Protocol

import orjson

from onlineeval_dagster.collector.encoding import response_event_id
from onlineeval_dagster.collector.quick import DEEPEST, QuickLook, is_shallow
from onlineeval_dagster.contracts.events import DAY_OF, EVENTS
from onlineeval_dagster.errors import RequestRefused
from onlineeval_dagster.log.reader import AHEAD, BadLine, is_blank, parse_line

QUICK: dict[str, QuickLook] = {kind: QuickLook(contract, DAY_OF[kind]) for kind, contract in EVENTS.items()}
_MARGIN = timedelta(days=2)  # an event near the end of the retention is asked for by the contract

_BLANK = b" \t\r\n"
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)
_DEPTH = {b"[": 1, b"{": 1, b"]": -1, b"}": -1}
_NO_NUMBER = re.compile(
    rb'(?:"(?P<field>[A-Za-z0-9_.-]{1,64})"\s*:|[:,\[{\s])\s*(?P<number>-?(?:NaN|Infinity))\s*[,\]}]'
)


class Cleaner(Protocol):
    """Takes out of events what must not reach the disk; one for each, in order.

    They are of one kind and have the same fields, and are the cleaner's: it may change them.
    """

    def clean_alike(self, events: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the collector asks of a request.

    environment  set on every event, whatever it says itself; None leaves it to the event
    """

    event_bytes: int
    batch_events: int
    retention_days: int
    environment: str | None = None


@dataclass(slots=True, kw_only=True)
class Taken:
    """What became of a body: the events as they are written, their lines, and (index, reason) of those refused."""

    events: list[dict[str, Any]] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)


_Kept = tuple[int, dict[str, Any], bytes]  # place in the body, event, line


@dataclass(slots=True, kw_only=True)
class _Alike:
    """Events of one kind with the same fields, each with its place in the body. They are looked at together."""

    kind: str
    fields: tuple[str, ...]
    places: list[int] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def part(self, start: int, end: int) -> "_Alike":
        return _Alike(kind=self.kind, fields=self.fields, places=self.places[start:end], events=self.events[start:end])


@dataclass(frozen=True, slots=True)
class Broken:
    """A piece of a body that is no JSON, and what is wrong with it."""

    reason: str


def take(body: bytes, content_type: str, *, terms: Terms, cleaner: Cleaner, now: datetime) -> Taken:
    """Every event of a body, judged by itself. Raises RequestRefused where the body as a whole cannot be read."""
    values = split(body, content_type)
    if len(values) > terms.batch_events:
        most = f"more than the {terms.batch_events:,} of one request"
        raise RequestRefused(f"body: {len(values):,} events, {most}; send them in several", status=413)
    return judge(values, terms=terms, cleaner=cleaner, now=now)


def split(body: bytes, content_type: str) -> list[Any]:
    """The values of a body: one JSON object, the elements of an array, or NDJSON by content type or by its looks.

    A piece that is no JSON is a `Broken`; the pieces beside it are not touched by that.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not kind.endswith(("ndjson", "jsonl", "jsonlines", "json-lines")):
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return _pieces(body, error)
        return said if type(said) is list else [said]
    return [_parsed(line) for line in body.split(b"\n") if not is_blank(line)]


def judge(values: list[Any], *, terms: Terms, cleaner: Cleaner, now: datetime) -> Taken:
    """Lines of the log for what are events. `received_at` is `now`; an event without a time of its own occurred then.

    A response's event id comes from its response id; any other event without one gets a random one.
    """
    taken = Taken()
    kept: list[_Kept] = []
    for alike in _alike(values, taken, now.isoformat().replace("+00:00", "Z"), terms.environment):
        for wanted in _wanted(alike, taken, terms, now):
            kept += _written(wanted, taken, terms, cleaner)
    kept.sort(key=itemgetter(0))
    taken.events, taken.lines = [event for _, event, _ in kept], [line for _, _, line in kept]
    taken.refused.sort(key=itemgetter(0))
    return taken


def _alike(values: list[Any], taken: Taken, received_at: str, environment: str | None) -> Iterable[_Alike]:
    """The events by their kind and fields, completed; what is no object is refused."""
    groups: dict[tuple[str, tuple[str, ...]], _Alike] = {}
    group = _Alike(kind="", fields=())
    for index, said in enumerate(values):
        if type(said) is not dict:
            reason = said.reason if type(said) is Broken else f"event: a JSON {_word(said)}; write it as an object"
            taken.refused.append((index, reason))
            continue
        _complete(said, received_at, environment)
        kind, fields = said.get("kind"), tuple(said)
        if kind != group.kind or fields != group.fields:
            if type(kind) is not str:
                kind = ""
            group = groups.setdefault((kind, fields), _Alike(kind=kind, fields=fields))
        group.places.append(index)
        group.events.append(said)
    return groups.values()


def _wanted(alike: _Alike, taken: Taken, terms: Terms, now: datetime) -> Iterator[_Alike]:
    """Those that the contract wants; the others are refused."""
    earliest, latest = now - timedelta(days=terms.retention_days) + _MARGIN, now + AHEAD
    look, count = QUICK.get(alike.kind), len(alike.events)
    if look is not None and look.is_sure(alike.events, alike.fields, earliest=earliest, latest=latest):
        yield alike
    elif count > 1:  # by halves: one bad event among a hundred leaves most of them to the quick look
        yield from _wanted(alike.part(0, count // 2), taken, terms, now)
        yield from _wanted(alike.part(count // 2, count), taken, terms, now)
    elif (reason := _reason(alike.events[0], terms, now)) is None:
        yield alike
    else:
        taken.refused.append((alike.places[0], reason))


def _written(alike: _Alike, taken: Taken, terms: Terms, cleaner: Cleaner) -> list[_Kept]:
    """Their lines, cleaned."""
    kept: list[_Kept] = []
    for place, event in zip(alike.places, _cleaned(alike.events, cleaner), strict=True):
        if isinstance(event, Broken):
            taken.refused.append((place, event.reason))
            continue
        try:
            line = orjson.dumps(event, None, orjson.OPT_APPEND_NEWLINE)
        except orjson.JSONEncodeError as error:  # of what was not JSON when it came
            taken.refused.append((place, _no_json(error)))
            continue
        if len(line) > terms.event_bytes:
            taken.refused.append((place, _too_long(len(line), terms)))
            continue
        kept.append((place, event, line))
    return kept


def _cleaned(events: list[dict[str, Any]], cleaner: Cleaner) -> Sequence[dict[str, Any] | Broken]:
    try:
        return cleaner.clean_alike(events)
    except Exception as error:  # noqa: BLE001 - the front door: what cannot be cleaned is not written, and said so
        if len(events) == 1:
            return [Broken(f"event: its texts could not be cleaned ({type(error).__name__}); tell us")]
    return [cleaned for event in events for cleaned in _cleaned([event], cleaner)]


def _complete(said: dict[str, Any], received_at: str, environment: str | None) -> None:
    said["received_at"] = received_at
    if said.get("occurred_at") is None:
        said["occurred_at"] = received_at
    if environment is not None:
        said["environment"] = environment
    if said.get("event_id") is None:
        response_id = said.get("response_id")
        if said.get("kind") == "response" and isinstance(response_id, str):
            said["event_id"] = response_event_id(response_id)
        else:
            said["event_id"] = secrets.token_hex(16)


def _reason(said: dict[str, Any], terms: Terms, now: datetime) -> str | None:
    """Why the contract does not want an event, or None."""
    if not is_shallow(said, DEEPEST):
        return f"event: more than {DEEPEST} lists and objects within each other; send the inner ones as text"
    try:
        line = orjson.dumps(said)
    except orjson.JSONEncodeError as error:
        return _no_json(error)
    if len(line) > terms.event_bytes:
        return _too_long(len(line), terms)
    if type(said.get("kind")) is not str:
        found = "missing" if said.get("kind") is None else "no text"
        return f"kind: {found}; write one of {', '.join(EVENTS)}"
    parsed = parse_line(line, now=now, retention_days=terms.retention_days)
    return parsed.reason if isinstance(parsed, BadLine) else None


def _no_json(error: orjson.JSONEncodeError) -> str:
    return f"event: {error}; send such a value as text"


def _too_long(size: int, terms: Terms) -> str:
    most = f"more than {terms.event_bytes:,}"
    return f"event: {size:,} bytes, {most}; shorten its texts, or raise ONLINEEVAL_SERVE_EVENT_BYTES"


def _pieces(body: bytes, error: orjson.JSONDecodeError) -> list[Any]:
    """The values of a body that is no JSON as a whole: an array with a bad element, NDJSON, or nothing of the kind."""
    text = body.strip(_BLANK)
    if not text:
        return [Broken("body: empty; send a JSON event, an array of events, or one event a line")]
    if text[:1] == b"[":
        return [_parsed(piece) for piece in _elements(text)] or [Broken(_not_json(text, error))]
    if text[:1] == b"{" and b"\n" in text:
        lines = [line for line in text.split(b"\n") if not is_blank(line)]
        if all(line.lstrip(_BLANK)[:1] == b"{" for line in lines) or not isinstance(_parsed(lines[0]), Broken):
            return [_parsed(line) for line in lines]
    return [Broken(_not_json(text, error))]


def _elements(text: bytes) -> Iterator[bytes]:
    """The elements of an array that is no JSON, cut at its commas. What follows its end is one more, to be refused."""
    depth, start = 0, 1
    for token in _TOKEN.finditer(text):
        sign = token[0]
        if depth == 1 and sign == b",":
            yield text[start : token.start()]
            start = token.end()
        depth += _DEPTH.get(sign, 0)
        if depth == 0:
            last, rest = text[start : token.start()], text[token.end() :].strip(_BLANK)
            if last.strip(_BLANK) or start > 1:
                yield last
            if rest:
                yield rest
            return
    yield text[start:]  # it ends in the middle of an element


def _parsed(piece: bytes) -> Any:
    try:
        return orjson.loads(piece)
    except orjson.JSONDecodeError as error:
        return Broken(_not_json(piece, error))


def _not_json(piece: bytes, error: orjson.JSONDecodeError) -> str:
    number = _NO_NUMBER.search(piece)
    if number is not None:
        field = (number["field"] or b"event").decode()
        return f"{field}: {number['number'].decode()} is no JSON number; leave the field out, or send null"
    if "depth" in error.msg:
        return f"event: more than {DEEPEST} lists and objects within each other; send the inner ones as text"
    return f"event: not JSON ({error}); write a JSON object, UTF-8"


def _word(said: Any) -> str:
    return {list: "array", str: "string", bool: "boolean", type(None): "null"}.get(type(said), "number")
