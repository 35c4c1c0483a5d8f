"""Langfuse: the files of its blob export (traces, observations, scores).

A trace is an answer: its id becomes the `response_id`, so that scores find it whenever they arrive. What its
generations and retrievals say (model, tokens, price, context) is added where they are read in the same pull.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.sources.files import rows_of
from onlineeval_dagster.sources.flat import events
from onlineeval_dagster.sources.place import Opened
from onlineeval_dagster.sources.rows import BadRow, Row, Unusable, bad
from onlineeval_dagster.sources.scores import Score, said_by, score_events
from onlineeval_dagster.sources.spoken import answered, asked, decoded
from onlineeval_dagster.sources.values import count, key, moment

_VERSIONS = ("evaluator_version_id", "job_configuration_id", "evaluation_rule_id")
_TRACE_FIELDS = ("id", "timestamp", "input", "output", "user_id", "session_id", "environment", "created_at")


@dataclass(slots=True)
class _Steps:
    """What the observations of one trace say, as far as a response has a place for it."""

    began: datetime | None = None
    ended: datetime | None = None
    fields: dict[str, Any] = field(default_factory=dict)
    context: list[str] = field(default_factory=list)
    root: Mapping[str, Any] = field(default_factory=dict)


def read_export(paths: Sequence[Path], opened: Opened) -> Iterator[LogEvent | BadRow]:
    """Events of export files of all three kinds, JSON, JSONL, CSV or Parquet; a row's columns say which it is."""
    steps: dict[str, _Steps] = {}
    times: dict[str, datetime] = {}
    for row in _rows(paths):
        # Looked at first, in whatever order the files come; a bad one is told of below.
        if isinstance(row, Row):
            try:
                _look(row.value, steps, times)
            except Unusable:
                continue
    for row in _rows(paths):
        if isinstance(row, BadRow):
            yield row
            continue
        try:
            yield from list(_events(row, steps, times, opened))
        except Unusable as error:
            yield bad(row, str(error))


def export_score(row: Row, opened: Opened, response_at: datetime | None) -> Iterator[LogEvent]:
    """The events of one row of scores, with the export's names."""
    value = row.value
    trace_id, name = key(value.get("trace_id"), "trace_id"), key(value.get("name"), "name")
    if trace_id is None:
        raise Unusable("trace_id: a score of a session or a dataset names no answer; scores of traces are read")
    if name is None:
        raise Unusable("name: empty; a score needs one")
    source, metadata = str(value.get("source") or "API").upper(), decoded(value.get("metadata"))
    metadata = metadata if isinstance(metadata, dict) else {}
    data_type = str(value.get("data_type") or "").upper()
    number, words = _number(value.get("value")), value.get("string_value")
    if isinstance(value.get("value"), str) and number is None:
        words = words or value["value"]
    said = words
    if data_type == "CORRECTION":
        raise Unusable("data_type: a correction is a better answer, not a score; scores are read")
    if data_type == "TEXT":  # its words are no category
        words = None
    kept = ("observation_id", "config_id", "queue_id", "data_type", "source")
    score = Score(
        identity=f"langfuse:{value.get('id')}",
        name=name,
        response_id=trace_id,
        response_at=response_at,
        said_at=_time(value, "timestamp"),
        value=bool(number) if data_type == "BOOLEAN" and number is not None else number,
        words=words,
        comment=value.get("comment") or (said if data_type == "TEXT" else None),
        said_by=said_by(opened, name, is_person=source == "ANNOTATION"),
        who=_who(value, metadata, source),
        version=next((str(metadata[version]) for version in _VERSIONS if metadata.get(version)), None),
        more={name: value[name] for name in kept if value.get(name)} | ({"metadata": metadata} if metadata else {}),
    )
    yield from score_events(score, opened)


def _rows(paths: Sequence[Path]) -> Iterator[Row | BadRow]:
    for path in paths:
        yield from rows_of(path)


def _kind(value: Mapping[str, Any]) -> str:
    if "start_time" in value and "trace_id" in value:
        return "observation"
    if "value" in value or "string_value" in value:
        return "score"
    if "timestamp" in value and "id" in value:
        return "trace"
    raise Unusable(f"neither a trace, an observation nor a score of Langfuse; the columns are {', '.join(value)}")


def _look(value: Mapping[str, Any], steps: dict[str, _Steps], times: dict[str, datetime]) -> None:
    kind = _kind(value)
    if kind == "trace":
        times[str(value["id"])] = _time(value, "timestamp")
    elif kind == "observation" and value.get("trace_id"):
        _add(steps.setdefault(str(value["trace_id"]), _Steps()), value)


def _add(found: _Steps, value: Mapping[str, Any]) -> None:
    began, ended = moment(value.get("start_time"), "start_time", UTC), moment(value.get("end_time"), "end_time", UTC)
    found.began = min(filter(None, (found.began, began)), default=None)
    found.ended = max(filter(None, (found.ended, ended)), default=None)
    kind = str(value.get("type") or "").upper()
    if not value.get("parent_observation_id"):
        found.root = value
    if kind == "RETRIEVER" and (text := answered(value.get("output"))):
        found.context.append(text)
    if kind != "GENERATION":
        return
    usage = decoded(value.get("usage_details"))
    usage = usage if isinstance(usage, dict) else {}
    for name, more in (
        ("input_tokens", _number(usage.get("input"))),
        ("output_tokens", _number(usage.get("output"))),
        ("cost_usd", _number(value.get("total_cost"))),
    ):
        if more is not None:  # a trace of several calls costs what they cost together
            found.fields[name] = found.fields.get(name, 0) + more
    found.fields["model"] = value.get("provided_model_name") or found.fields.get("model")
    if value.get("prompt_name") and value.get("prompt_version") is not None:
        found.fields["prompt_version"] = f"{value['prompt_name']}@{value['prompt_version']}"


def _events(row: Row, steps: Mapping[str, _Steps], times: Mapping[str, datetime], opened: Opened) -> Iterator[LogEvent]:
    kind = _kind(row.value)
    if kind == "score":
        yield from export_score(row, opened, times.get(str(row.value.get("trace_id"))))
    elif kind == "trace":
        yield from _answer(row, steps.get(str(row.value["id"]), _Steps()), opened)


def _answer(row: Row, found: _Steps, opened: Opened) -> Iterator[LogEvent]:
    value = row.value
    question = asked(value.get("input")) or asked(found.root.get("input"))
    answer = answered(value.get("output"))
    answer = answered(found.root.get("output")) if answer is None else answer
    error = found.root.get("status_message") if str(found.root.get("level")).upper() == "ERROR" else None
    if not question:
        raise Unusable("input: neither the trace nor its first observation has one; a response needs its question")
    if answer is None and error is None:
        raise Unusable("output: neither the trace nor its first observation has one")
    version = value.get("version") or found.fields.get("prompt_version") or value.get("release")
    fields: dict[str, Any] = {**question, "response": answer or "", "error": error, **found.fields}
    fields |= {"response_id": key(value.get("id"), "id"), "prompt_version": key(version, "version")}
    fields |= {name: key(value.get(name), name) for name in ("user_id", "session_id", "environment")}
    for name in ("input_tokens", "output_tokens"):
        fields[name] = count(fields.get(name), name)
    # By the clock, not by the column: one path of the export gives it in seconds, another in milliseconds.
    if found.began and found.ended:
        fields["latency_ms"] = (found.ended - found.began).total_seconds() * 1000
    if found.context:
        fields["context"] = "\n\n".join(found.context)
    if fields["environment"] in (None, "default"):  # Langfuse's word for: nobody said
        fields["environment"] = opened.defaults.environment
    fields = {name: said for name, said in fields.items() if said is not None}
    rest = {name: decoded(said) for name, said in value.items() if name not in _TRACE_FIELDS and said is not None}
    yield from events(row, fields, _time(value, "timestamp"), [], rest, opened.defaults)


def _who(value: Mapping[str, Any], metadata: Mapping[str, Any], source: str) -> str | None:
    names = (value.get("author_user_id"),) if source == "ANNOTATION" else (metadata.get("evaluator_id"),)
    return next((str(name) for name in names if name), None)


def _time(value: Mapping[str, Any], name: str) -> datetime:
    found = moment(value.get(name), name, UTC)  # its exports write UTC, some without saying so
    if found is None:
        raise Unusable(f"{name}: empty; a row needs its time")
    return found


def _number(value: Any) -> float | None:
    """A number, also one that a CSV writes as text; truths count 1 and 0."""
    if value is None or value == "":
        return None
    try:
        found = float(value)
    except (TypeError, ValueError):
        return None
    return found if found == found else None
