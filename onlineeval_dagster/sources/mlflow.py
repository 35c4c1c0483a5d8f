"""MLflow: exported traces with their assessments, JSON or JSONL (Trace.to_dict, search_traces, `mlflow traces get`).

A trace is an answer, known by the trace's id; what was asked and shown is its root span's. Feedback becomes actions,
labels and verdicts; an expectation says what should have been answered, and is kept as an attribute of the answer.
"""

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
from onlineeval_dagster.sources.values import count, key, moment

YES_NO = {"yes": 1.0, "no": 0.0}
"""What its own judges say, as numbers; the word is kept beside."""


def read_traces(paths: Sequence[Path], opened: Opened) -> Iterator[LogEvent | BadRow]:
    """Events of every trace: its answer and what was said of it. What cannot be read of it is bad by itself."""
    for path in paths:
        for row in rows_of(path):
            if isinstance(row, BadRow):
                yield row
                continue
            info = _info(row.value)
            try:
                yield from list(_answer(row, info, opened))
            except Unusable as error:
                yield bad(row, str(error))
            for number, said in enumerate(_list(info.get("assessments"))):
                try:
                    yield from list(_opinion(said, info, opened))
                except Unusable as error:
                    yield bad(row, f"assessments.{number}: {error}")


def _info(value: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a trace as one map: newer and older names, nested (`info`, `data`) or as columns of a frame."""
    whole = decoded(value.get("trace"))
    value = {**value, **whole} if isinstance(whole, dict) else dict(value)
    info, data = decoded(value.get("info")), decoded(value.get("data"))
    found = {name: said for name, said in value.items() if name not in ("trace", "info", "data")}
    for part in (data, info):
        found |= part if isinstance(part, dict) else {}
    return found


def _answer(row: Row, info: Mapping[str, Any], opened: Opened) -> Iterator[LogEvent]:
    spans = [{**span, "attributes": _attributes(span)} for span in _list(decoded(info.get("spans")))]
    root = next((span for span in spans if not (span.get("parent_span_id") or span.get("parent_id"))), {})
    said = root.get("attributes", {})
    question = asked(said.get("mlflow.spanInputs")) or asked(info.get("request") or info.get("request_preview"))
    answer = answered(said.get("mlflow.spanOutputs"))
    answer = answered(info.get("response") or info.get("response_preview")) if answer is None else answer
    error = _error(info, root)
    if not question:
        raise Unusable("request: neither the trace nor its root span has one; export traces with their data")
    if answer is None and error is None:
        raise Unusable(f"response: none, and the state is {info.get('state') or info.get('status')}")
    metadata = _map(info.get("trace_metadata") or info.get("request_metadata"))
    usage = _map(metadata.get("mlflow.trace.tokenUsage"))
    fields = {
        **question,
        "response": answer or "",
        "error": error,
        "response_id": _trace_id(info),
        "user_id": key(metadata.get("mlflow.trace.user"), "mlflow.trace.user"),
        "session_id": key(metadata.get("mlflow.trace.session"), "mlflow.trace.session"),
        "input_tokens": count(usage.get("input_tokens"), "mlflow.trace.tokenUsage"),
        "output_tokens": count(usage.get("output_tokens"), "mlflow.trace.tokenUsage"),
        "latency_ms": _duration_ms(info),
        "model": next(
            (key(model, "model") for span in spans if (model := span["attributes"].get("mlflow.llm.model"))), None
        ),
        "context": _context(spans),
    }
    fields = {name: found for name, found in fields.items() if found is not None}
    tags = {name: found for name, found in _map(info.get("tags")).items() if not name.startswith("mlflow.")}
    rest = {"tags": tags, "metadata": {n: v for n, v in metadata.items() if not n.startswith("mlflow.trace")}}
    rest["expectations"] = {
        str(each.get("assessment_name") or each.get("name")): _map(each.get("expectation")).get("value")
        for each in _list(info.get("assessments"))
        if each.get("expectation") is not None
    }
    rest = plain({name: found for name, found in rest.items() if found})
    yield from events(row, fields, _time(info), [], rest, opened.defaults)


def _opinion(said: Mapping[str, Any], info: Mapping[str, Any], opened: Opened) -> Iterator[LogEvent]:
    """The events of one assessment; none of an expectation, nor of one that a later one overrides."""
    if said.get("expectation") is not None or said.get("valid") is False:
        return
    name = key(said.get("assessment_name") or said.get("name"), "name")
    if name is None:
        raise Unusable("name: empty; an assessment needs one")
    feedback, source = _map(said.get("feedback")), _map(said.get("source"))
    error = _map(said.get("error") or feedback.get("error"))
    value = feedback.get("value")
    words = value if isinstance(value, str) else None
    if words is not None:
        value = YES_NO.get(words.strip().lower())
    if not isinstance(value, bool | int | float | None):
        words, value = str(plain(value))[:256], None
    is_person = str(source.get("source_type")).upper() == "HUMAN"
    said_at = moment(said.get("create_time_ms") or said.get("create_time"), "create_time", UTC) or _time(info)
    score = Score(
        identity=f"mlflow:{said.get('assessment_id') or f'{_trace_id(info)}:{name}'}",
        name=name,
        response_id=_trace_id(info),
        response_at=_time(info),
        said_at=said_at,
        value=value,
        words=words,
        comment=said.get("rationale"),
        said_by=said_by(opened, name, is_person=is_person),
        who=key(source.get("source_id"), "source_id"),
        error=": ".join(str(part) for part in error.values() if part) or None if error else None,
        more={n: said[n] for n in ("span_id", "metadata") if said.get(n)} | {"source_type": source.get("source_type")},
    )
    yield from score_events(score, opened)


def _trace_id(info: Mapping[str, Any]) -> str:
    found = key(info.get("trace_id") or info.get("request_id"), "trace_id")
    if found is None:
        raise Unusable(f"no trace of MLflow: it has no trace_id; the columns are {', '.join(info)}")
    return found


def _time(info: Mapping[str, Any]) -> datetime:
    found = moment(info.get("request_time") or info.get("timestamp_ms"), "request_time", UTC)
    if found is None:
        raise Unusable("request_time: empty; a trace needs its time")
    return found


def _duration_ms(info: Mapping[str, Any]) -> float | None:
    """Milliseconds; protobuf's JSON writes a duration as `1.5s`."""
    for name in ("execution_duration_ms", "execution_duration", "execution_time_ms"):
        said = info.get(name)
        if isinstance(said, int | float) and not isinstance(said, bool) and said >= 0:
            return float(said)
        if isinstance(said, str) and said.endswith("s") and said[:-1].replace(".", "", 1).isdigit():
            return float(said[:-1]) * 1000
    return None


def _error(info: Mapping[str, Any], root: Mapping[str, Any]) -> str | None:
    if str(info.get("state") or info.get("status")).upper() != "ERROR":
        return None
    status = root.get("status")
    return str((status.get("message") if isinstance(status, dict) else None) or root.get("status_message") or "error")


def _context(spans: Sequence[Mapping[str, Any]]) -> str | None:
    """The documents that retrieving spans found, each once."""
    found: dict[str, None] = {}
    for span in spans:
        if span["attributes"].get("mlflow.spanType") == "RETRIEVER":
            documents = _list(span["attributes"].get("mlflow.spanOutputs"))
            found |= dict.fromkeys(str(one["page_content"]) for one in documents if one.get("page_content"))
    return "\n\n".join(found) or None


def _attributes(span: Mapping[str, Any]) -> dict[str, Any]:
    """A span's attributes: MLflow writes each value as JSON."""
    return {name: decoded(said) for name, said in _map(span.get("attributes")).items()}


def _map(said: Any) -> dict[str, Any]:
    said = decoded(said)
    return said if isinstance(said, dict) else {}


def _list(said: Any) -> list[dict[str, Any]]:
    said = decoded(said)
    return [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
