"""Evaluations that traces carry: gen_ai.evaluation.result, as an event of a span or of the log, and OpenInference's
annotations. A person's become labels, all others verdicts; what states no sampling design has no inclusion probability.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import Action, Label, Verdict
from onlineeval_dagster.traces.said import Step, a_number, a_text, indexed, parsed

EVENT = "gen_ai.evaluation.result"
IMPORTED = "imported"
"""The judge_version of a verdict that does not say which version spoke."""

_VERSIONS = ("judge_version", "evaluator_version", "evaluator_version_id", "version")
_JUDGES = ("judge", "evaluator", "evaluator_name", "evaluator_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One evaluation as a trace carries it.

    source       event_id of the span or log record that carries it
    span_id      the span that it speaks of; None for the whole trace
    response_id  the response that it names itself, if any
    """

    source: str
    span_id: str | None
    response_id: str | None
    said_at: datetime
    received_at: datetime
    environment: str
    app: str
    name: str
    score: float | None
    label: str | None
    explanation: str | None
    is_human: bool
    identifier: str | None
    metadata: Mapping[str, Any]
    error: str | None
    inclusion_probability: float | None


def evaluations_of(step: Step) -> Iterator[Evaluation]:
    """Every evaluation that a span or log record carries, of itself or of its trace.

    Those of a session (`session.annotations.*`, `session.evaluations.*`) make nothing: a label or a verdict is of one
    response, and nobody looked at one. They stay among the span's attributes in the table `spans`, to be shown.
    """
    if step.record == "log":
        body = step.attributes.get("body")
        said = {**body, **step.attributes} if isinstance(body, dict) else step.attributes
        if step.name == EVENT and (found := _from_event(step, said, step.occurred_at)):
            yield found
        return
    for event in step.events:
        said = event.get("attributes") if isinstance(event, dict) and event.get("name") == EVENT else None
        said_at = _time(event.get("time")) if isinstance(said, dict) else None
        if isinstance(said, dict) and (found := _from_event(step, said, said_at or step.occurred_at)):
            yield found
    for prefix, part, whole in (
        ("annotations", "annotation", False),
        ("evaluations", "evaluation", False),
        ("trace.annotations", "annotation", True),
        ("trace.evaluations", "evaluation", True),
    ):
        for said in indexed(step.attributes, prefix):
            plain = {key.removeprefix(f"{part}."): value for key, value in said.items()}
            if found := _from_annotation(step, plain, whole):
                yield found


def as_event(found: Evaluation, *, response_id: str, response_at: datetime | None) -> LogEvent:
    """The label or verdict. A person's opinion without a score becomes an action `annotation`: a label has a score.

    A verdict without a score is `unreadable` (or says which error it met); its label is kept beside it.
    """
    identity = [found.source, found.span_id, found.name, found.identifier, found.score, found.label, found.explanation]
    # Without the response: the same evaluation stays the same event when its response is found later.
    digest = hashlib.sha256(orjson.dumps([*identity, found.is_human])).hexdigest()[:32]
    head: dict[str, Any] = {
        "event_id": f"evaluation:{digest}",
        "occurred_at": min(found.said_at, found.received_at),
        "received_at": found.received_at,
        "environment": found.environment,
        "app": found.app,
        "response_id": response_id[:256],
    }
    kept = {"identifier": found.identifier, "metadata": dict(found.metadata), "source": found.source}
    kept = {name: value for name, value in kept.items() if value not in (None, {})}
    score = found.score
    if found.is_human and score is None:
        text = f"{found.name}: {found.label or found.explanation or ''}"
        return Action(**head, action="annotation", text=text, attributes=kept)
    if found.is_human and score is not None:
        reviewer = a_text(found.metadata, "reviewer", "author", "user_id") or found.identifier or IMPORTED
        kept |= {"score_label": found.label} if found.label else {}
        return Label(
            **head,
            response_at=response_at,
            axis=found.name,
            score=score,
            reviewer=reviewer[:256],
            inclusion_probability=found.inclusion_probability,
            note=found.explanation,
            attributes=kept,
        )
    return Verdict(
        **head,
        response_at=response_at,
        axis=found.name,
        judge=(a_text(found.metadata, *_JUDGES) or found.name)[:256],
        judge_version=(a_text(found.metadata, *_VERSIONS) or IMPORTED)[:256],
        score=None if found.error else score,
        score_label=found.label[:256] if found.label else None,
        error_kind=_error_kind(found),
        error=found.error or (None if score is not None else "no score"),
        rationale=found.explanation,
        inclusion_probability=found.inclusion_probability,
        model=a_text(found.metadata, "model"),
        attributes=kept,
    )


def _from_event(step: Step, said: Mapping[str, Any], said_at: datetime) -> Evaluation | None:
    metadata = {
        name: said[key]
        for name, key in (("judge", "onlineeval.judge"), ("judge_version", "onlineeval.judge_version"))
        if isinstance(said.get(key), str)
    }
    return _evaluation(
        step,
        span_id=step.span_id,
        response_id=a_text(said, "gen_ai.response.id"),
        said_at=said_at,
        name=a_text(said, "gen_ai.evaluation.name"),
        score=a_number(said, "gen_ai.evaluation.score.value"),
        label=a_text(said, "gen_ai.evaluation.score.label"),
        explanation=a_text(said, "gen_ai.evaluation.explanation"),
        is_human=_is_human(said.get("onlineeval.annotator_kind")),
        identifier=None,
        metadata=metadata,
        error=a_text(said, "error.type"),
        inclusion_probability=_chance(said),
    )


def _from_annotation(step: Step, said: Mapping[str, Any], whole: bool) -> Evaluation | None:
    metadata = parsed(said.get("metadata"))
    metadata = metadata if isinstance(metadata, dict) else {}
    return _evaluation(
        step,
        span_id=None if whole else step.span_id,
        response_id=None,
        said_at=step.ended_at or step.occurred_at,
        name=a_text(said, "name"),
        score=a_number(said, "score"),
        label=a_text(said, "label"),
        explanation=a_text(said, "explanation"),
        is_human=_is_human(said.get("annotator_kind")),
        identifier=a_text(said, "identifier"),
        metadata=metadata,
        error=None,
        inclusion_probability=_chance(metadata),
    )


def _evaluation(step: Step, *, name: str | None, said_at: datetime, **said: Any) -> Evaluation | None:
    """None where it has no name, or says nothing: neither score, label, explanation nor error."""
    if not name or all(said[key] is None for key in ("score", "label", "explanation", "error")):
        return None
    return Evaluation(
        source=step.event_id,
        received_at=step.received_at,
        environment=step.environment,
        app=step.app,
        name=name[:256],
        said_at=said_at,
        **said,
    )


def _is_human(annotator_kind: Any) -> bool:
    return str(annotator_kind).upper() == "HUMAN"


def _error_kind(found: Evaluation) -> Any:
    if found.error is None:
        return None if found.score is not None else "unreadable"
    said = found.error.lower()
    return "timeout" if "timeout" in said else "filtered" if "filter" in said else "endpoint"


def _chance(said: Mapping[str, Any]) -> float | None:
    stated = a_number(said, "onlineeval.inclusion_probability")
    return stated if stated is not None and 0 < stated <= 1 else None


def _time(said: Any) -> datetime | None:
    """An event's own time. None where it has none, or one of another age: the span's stands for it."""
    try:
        moment = datetime.fromisoformat(said)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo is not None and 2000 <= moment.year < 2100 else None
