"""Phoenix: its spans and its annotations, as files of its data frames (Parquet, JSONL, CSV) or rows of its API.

A span becomes a span of the log, an annotation an event of the log that speaks of it, both as OpenTelemetry would have
sent them. Answers, labels and verdicts are made of them where all traces are assembled.
"""

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import Span
from onlineeval_dagster.sources.files import rows_of
from onlineeval_dagster.sources.flat import valid
from onlineeval_dagster.sources.folder import files_of
from onlineeval_dagster.sources.place import Opened
from onlineeval_dagster.sources.rows import BadRow, Row, Unusable, bad, plain
from onlineeval_dagster.sources.spoken import decoded
from onlineeval_dagster.sources.values import digest, key, moment

EVENT = "gen_ai.evaluation.result"
_PREFIX = "attributes."
_USER, _SESSION = ("user.id", "enduser.id"), ("session.id", "gen_ai.conversation.id")
_WHOLE = ("metadata",)
_LISTS = ("llm.input_messages", "llm.output_messages", "retrieval.documents", "reranker.output_documents", "llm.tools")
_VERSIONS = ("judge_version", "evaluator_version", "evaluator_version_id", "version")
_JUDGES = ("judge", "evaluator", "evaluator_name", "model")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a span stands: an annotation names its span only, and may have no time of its own."""

    trace_id: str
    began_at: datetime
    ended_at: datetime


Find = Callable[[str], Place | None]


def read_frames(paths: Sequence[Path], opened: Opened) -> Iterator[LogEvent | BadRow]:
    """Events of files that hold spans, annotations or both; a row's columns say which it is.

    The span of an annotation may stand in any file of the source, also one that was read long ago.
    """
    wanted = {str(row.value.get("span_id")).lower() for row in _rows(paths) if isinstance(row, Row) and _speaks(row)}
    places = _places(sorted({*paths, *files_of(opened)}), wanted) if wanted else {}
    for row in _rows(paths):
        yield row if isinstance(row, BadRow) else event_of(row, opened, places.get)


def event_of(row: Row, opened: Opened, find: Find) -> LogEvent | BadRow:
    """The span or the annotation that a row is; bad where it is neither, or speaks of no span that `find` knows."""
    try:
        if _speaks(row):
            return annotation_event(row, opened, find)
        return span_event(row, opened)
    except Unusable as error:
        return bad(row, str(error))


def span_event(row: Row, opened: Opened) -> LogEvent:
    """A row of the spans' frame, or a span of the API. Raises Unusable."""
    value = row.value
    trace_id, span_id = _ids(value)
    began, ended = moment(value.get("start_time"), "start_time", UTC), moment(value.get("end_time"), "end_time", UTC)
    if began is None:
        raise Unusable("start_time: empty; a span needs the time it began")
    if ended is not None and ended < began:
        raise Unusable("end_time: before start_time; export both from one clock")
    attributes = _attributes(value)
    if kind := value.get("span_kind"):
        attributes.setdefault("openinference.span.kind", str(kind))
    user, session = _first(attributes, _USER), _first(attributes, _SESSION)
    for name in _USER:
        attributes.pop(name, None)  # one place names a user, where privacy and erasure find it
    status = str(value.get("status_code") or "").lower()
    fields = _shared(opened) | {
        "event_id": f"{trace_id}:{span_id}",
        "occurred_at": began,
        "ended_at": ended,
        "trace_id": trace_id,
        "span_id": span_id,
        "parent_span_id": _lower(key(value.get("parent_id"), "parent_id")),
        "name": str(value.get("name") or ""),
        "status": status if status in ("ok", "error") else None,
        "status_message": value.get("status_message") or None,
        "user_id": user,
        "session_id": session,
        "events": _events(decoded(value.get("events"))),
        "attributes": attributes,
    }
    return valid(Span, fields)


def annotation_event(row: Row, opened: Opened, find: Find) -> LogEvent:
    """A row of the annotations' frame, downloaded or made for upload, or an annotation of the API. Raises Unusable."""
    value, result = row.value, decoded(row.value.get("result"))
    result = result if isinstance(result, dict) else {}
    span_id, trace_id, there = _target(value, find)
    name = key(value.get("annotation_name") or value.get("name"), "name")
    if name is None:
        raise Unusable("name: empty; an annotation needs one")
    label, score, words = (_part(value, result, part) for part in ("label", "score", "explanation"))
    score = _number(score)
    if label is None and score is None and words is None:
        raise Unusable("result: neither label, score nor explanation; an annotation says one of them")
    said_at = moment(value.get("created_at"), "created_at", UTC) or (there.ended_at if there else None)
    said_at = said_at or opened.defaults.occurred_at
    if said_at is None:
        raise Unusable("created_at: empty, and its span is not here; date such rows with --at")
    metadata = decoded(value.get("metadata"))
    metadata = {name: said for name, said in metadata.items() if said is not None} if isinstance(metadata, dict) else {}
    kind = str(value.get("annotator_kind") or "").upper() or None
    attributes = {
        "gen_ai.evaluation.name": opened.source.axes.get(name, name),
        "gen_ai.evaluation.score.value": score,
        "gen_ai.evaluation.score.label": label,
        "gen_ai.evaluation.explanation": words,
        "onlineeval.annotator_kind": kind,
        "onlineeval.reviewer": key(value.get("user_id"), "user_id") if kind == "HUMAN" else None,
        "onlineeval.judge": None if kind == "HUMAN" else _first(metadata, _JUDGES),
        "onlineeval.judge_version": None if kind == "HUMAN" else _first(metadata, _VERSIONS),
        "phoenix.identifier": value.get("identifier") or None,
        "phoenix.metadata": plain(metadata) or None,
    }
    attributes = {name: said for name, said in attributes.items() if said is not None}
    # An annotation that was changed is another event: the id covers what it says.
    fields = _shared(opened) | {
        "event_id": f"{trace_id}:{digest('phoenix', span_id, said_at, attributes)}",
        "occurred_at": said_at,
        "record": "log",
        "trace_id": trace_id,
        "span_id": span_id,
        "name": EVENT,
        "attributes": attributes,
    }
    return valid(Span, fields)


def place_of(value: Mapping[str, Any]) -> tuple[str, Place] | None:
    """A span's id and where it stands; None for a row that is no whole span."""
    try:
        trace_id, span_id = _ids(value)
        began, ended = moment(value.get("start_time"), "", UTC), moment(value.get("end_time"), "", UTC)
    except Unusable:
        return None
    return None if began is None else (span_id, Place(trace_id=trace_id, began_at=began, ended_at=ended or began))


def _rows(paths: Iterable[Path]) -> Iterator[Row | BadRow]:
    for path in paths:
        yield from rows_of(path)


def _places(paths: Iterable[Path], wanted: set[str]) -> dict[str, Place]:
    found = (place_of(row.value) for row in _rows(paths) if isinstance(row, Row) and not _speaks(row))
    return {each[0]: each[1] for each in found if each is not None and each[0] in wanted}


def _speaks(row: Row) -> bool:
    """Whether it is an annotation: what speaks of a span, not a span."""
    marks = ("annotation_name", "annotator_kind", "label", "score", "explanation", "result")
    return "start_time" not in row.value and any(name in marks or name.startswith("result.") for name in row.value)


def _ids(value: Mapping[str, Any]) -> tuple[str, str]:
    context = decoded(value.get("context"))
    context = context if isinstance(context, dict) else {}
    trace_id = key(value.get("context.trace_id") or context.get("trace_id") or value.get("trace_id"), "trace_id")
    span_id = key(value.get("context.span_id") or context.get("span_id") or value.get("span_id"), "span_id")
    if trace_id is None or span_id is None:
        known = "context.span_id and context.trace_id of a span, or annotator_kind and span_id of an annotation"
        raise Unusable(
            f"neither a span nor an annotation of Phoenix: needs {known}; the columns are {', '.join(value)}"
        )
    return trace_id.lower(), span_id.lower()


def _target(value: Mapping[str, Any], find: Find) -> tuple[str | None, str, Place | None]:
    """The span (None for a whole trace), the trace, and where the span stands if it is known."""
    if value.get("document_position") is not None:
        raise Unusable("document_position: it speaks of one retrieved document, not of an answer; leave those out")
    span_id = _lower(key(value.get("span_id") or value.get("context.span_id"), "span_id"))
    trace_id = _lower(key(value.get("trace_id") or value.get("context.trace_id"), "trace_id"))
    if span_id is None and trace_id is None:
        raise Unusable("span_id: empty; an annotation of a session names no answer, those of spans and traces are read")
    there = find(span_id) if span_id else None
    trace_id = trace_id or (there.trace_id if there else None)
    if trace_id is None:
        raise Unusable(f"span_id: no span {span_id!r} is in the source; give its spans beside its annotations")
    return span_id, trace_id, there


def _attributes(value: Mapping[str, Any]) -> dict[str, Any]:
    """`attributes.<dotted>` columns, and the API's one map, as attributes by their names."""
    found: dict[str, Any] = {}
    whole = decoded(value.get("attributes"))
    for name, said in whole.items() if isinstance(whole, dict) else ():
        _flatten(str(name), said, found)
    for name, said in value.items():
        if name.startswith(_PREFIX):
            _flatten(name.removeprefix(_PREFIX), said, found)
    return {name: plain(said) for name, said in found.items()}


def _flatten(name: str, said: Any, found: dict[str, Any]) -> None:
    """Frames hold lists of maps where a span has `llm.input_messages.0.message.role`; CSV holds them as text."""
    if isinstance(said, str) and name in _LISTS:
        said = _written(said)
    elif isinstance(said, str) and name.startswith(("llm.token_count.", "llm.cost.")):
        said = _number(said)
    if said is None or said != said:
        return
    if isinstance(said, float) and said.is_integer() and name.startswith("llm.token_count."):
        said = int(said)
    if isinstance(said, dict) and name not in _WHOLE:
        for inner, value in said.items():
            _flatten(f"{name}.{inner}", value, found)
    elif isinstance(said, list) and said and all(isinstance(one, dict) for one in said):
        for place, one in enumerate(said):
            _flatten(f"{name}.{place}", one, found)
    else:
        found[name] = said


def _written(said: str) -> Any:
    """A list that was written as text: JSON, or as Python shows it, which is what pandas puts into a CSV."""
    value = decoded(said)
    if isinstance(value, str) and value[:1] == "[":
        try:
            return ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return value
    return value


def _events(said: Any) -> list[dict[str, Any]]:
    found = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    return [
        {
            "name": str(one.get("name") or ""),
            "time": plain(one.get("timestamp") or one.get("time")),
            "attributes": plain(
                {name: told for name, told in (one.get("attributes") or {}).items() if told is not None}
            ),
        }
        for one in found
    ]


def _part(value: Mapping[str, Any], result: Mapping[str, Any], name: str) -> Any:
    for said in (value.get(f"result.{name}"), value.get(name), result.get(name)):
        if said is not None and said == said and said != "":
            return said
    return None


def _number(said: Any) -> float | None:
    try:
        number = None if said is None or said == "" else float(said)
    except (TypeError, ValueError):
        return None
    return None if number is None or number != number else number


def _shared(opened: Opened) -> dict[str, Any]:
    defaults = opened.defaults
    return {"environment": defaults.environment, "app": defaults.app, "received_at": defaults.now}


def _first(said: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((str(said[name]) for name in names if said.get(name) not in (None, "")), None)


def _lower(said: str | None) -> str | None:
    return None if said is None else said.lower()
