"""Opik: exported traces with their feedback scores, JSON or JSONL, with the names of its API."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.sources.files import rows_of
from onlineeval_dagster.sources.flat import events
from onlineeval_dagster.sources.place import Opened
from onlineeval_dagster.sources.rows import BadRow, Row, Unusable, bad, plain
from onlineeval_dagster.sources.scores import Score, said_by, score_events
from onlineeval_dagster.sources.spoken import answered, asked, decoded
from onlineeval_dagster.sources.values import count, key, moment, number

_KEPT = ("name", "project_id", "project_name", "tags", "metadata", "providers", "source", "guardrails_validations")
_DEFAULT = "default"


def read_traces(paths: Sequence[Path], opened: Opened) -> Iterator[LogEvent | BadRow]:
    """Events of every trace: its answer and its scores. What cannot be read of it is bad by itself."""
    for path in paths:
        for row in rows_of(path):
            if isinstance(row, BadRow):
                yield row
                continue
            whole = row.value.get("trace")
            value = whole if isinstance(whole, dict) else row.value
            try:
                yield from list(_answer(row, value, opened))
            except Unusable as error:
                yield bad(row, str(error))
            for place, author, said in _scores(value):
                try:
                    yield from list(_opinion(author, said, value, opened))
                except Unusable as error:
                    yield bad(row, f"feedback_scores.{place}: {error}")


def _answer(row: Row, value: Mapping[str, Any], opened: Opened) -> Iterator[LogEvent]:
    question, answer = asked(value.get("input")), answered(value.get("output"))
    failed = decoded(value.get("error_info"))
    error = None if not isinstance(failed, dict) else failed.get("message") or failed.get("exception_type") or "error"
    if not question:
        raise Unusable("input: empty; a response needs its question")
    if answer is None and error is None:
        raise Unusable("output: empty, and no error_info says why")
    usage, metadata = _map(value.get("usage")), _map(value.get("metadata"))
    environment = key(value.get("environment"), "environment")
    fields = {
        **question,
        "response": answer or "",
        "error": error,
        "response_id": _trace_id(value),
        "session_id": key(value.get("thread_id"), "thread_id"),
        "user_id": _text(metadata.get("user_id")),
        "model": _text(metadata.get("model")),
        "prompt_version": _text(metadata.get("prompt_version")),
        "input_tokens": count(usage.get("prompt_tokens"), "usage.prompt_tokens"),
        "output_tokens": count(usage.get("completion_tokens"), "usage.completion_tokens"),
        "cost_usd": number(value.get("total_estimated_cost"), "total_estimated_cost"),
        "latency_ms": _latency(value),
        "environment": None if environment == _DEFAULT else environment,
    }
    fields = {name: said for name, said in fields.items() if said is not None}
    rest = {name: said for name in _KEPT if (said := decoded(value.get(name))) not in (None, "", [], {})}
    if isinstance(metadata := rest.get("metadata"), dict):
        rest["metadata"] = {name: said for name, said in metadata.items() if name != "user_id"}
    yield from events(row, fields, _time(value), [], plain(rest), opened.defaults)


def _scores(value: Mapping[str, Any]) -> Iterator[tuple[int, str | None, dict[str, Any]]]:
    """Place, author and score, one for each author where several gave it: what stands above them is only their mean."""
    found = decoded(value.get("feedback_scores"))
    for place, said in enumerate(found if isinstance(found, list) else []):
        if not isinstance(said, dict):
            continue
        authors = said.get("value_by_author")
        if isinstance(authors, dict) and authors:
            for author, own in authors.items():
                yield place, author, {**said, **(own if isinstance(own, dict) else {})}
        else:
            yield place, said.get("last_updated_by") or said.get("created_by") or said.get("author"), said


def _opinion(
    author: str | None, said: Mapping[str, Any], value: Mapping[str, Any], opened: Opened
) -> Iterator[LogEvent]:
    name = key(said.get("name"), "name")
    if name is None:
        raise Unusable("name: empty; a score needs one")
    source = str(said.get("source") or "").lower()
    written = said.get("last_updated_at") or said.get("created_at") or value.get("end_time")
    is_person = source == "ui"
    score = Score(
        identity=f"opik:{_trace_id(value)}:{name}:{author}",
        name=name,
        response_id=_trace_id(value),
        response_at=_time(value),
        said_at=moment(written, "last_updated_at", UTC) or _time(value),
        value=number(said.get("value"), "value"),
        words=said.get("category_name"),
        comment=said.get("reason"),
        said_by=said_by(opened, name, is_person=is_person),
        who=author if is_person else None,  # a program's author is only whose key it used
        more={n: said[n] for n in ("source", "source_queue_id") if said.get(n)},
    )
    yield from score_events(score, opened)


def _trace_id(value: Mapping[str, Any]) -> str:
    if "trace_id" in value:
        raise Unusable("trace_id: a span, not a trace; export the traces")
    found = key(value.get("id"), "id")
    if found is None:
        raise Unusable(f"no trace of Opik: it has no id; the columns are {', '.join(value)}")
    return found


def _time(value: Mapping[str, Any]) -> datetime:
    found = moment(value.get("start_time"), "start_time", UTC)
    if found is None:
        raise Unusable("start_time: empty; a trace needs its time")
    return found


def _latency(value: Mapping[str, Any]) -> float | None:
    """By the clock, else the duration it gives, in milliseconds."""
    ended = moment(value.get("end_time"), "end_time", UTC)
    if ended is not None and ended >= _time(value):
        return (ended - _time(value)).total_seconds() * 1000
    return number(value.get("duration"), "duration")


def _map(said: Any) -> dict[str, Any]:
    said = decoded(said)
    return said if isinstance(said, dict) else {}


def _text(said: Any) -> str | None:
    return str(said) if isinstance(said, str | int) and not isinstance(said, bool) and said != "" else None
