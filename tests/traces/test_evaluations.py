"""A person's evaluation becomes a label, all others verdicts; none gets a chance of inclusion that nobody stated."""

import json
from datetime import timedelta
from typing import Any

import pytest

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import Action, Label, Verdict
from onlineeval_dagster.traces.evaluations import as_event, evaluations_of
from onlineeval_dagster.traces.said import Step
from tests.traces.steps import NOON, a_record, a_step, an_event

RESULT = "gen_ai.evaluation.result"
HELPFUL = {"gen_ai.evaluation.name": "helpful", "gen_ai.evaluation.score.value": 0.5}


def made(step: Step) -> list[LogEvent]:
    return [as_event(found, response_id="r", response_at=NOON) for found in evaluations_of(step)]


def only(step: Step) -> Any:
    (event,) = made(step)
    return event


def annotation(prefix: str = "annotations", part: str = "annotation", **said: Any) -> dict[str, Any]:
    return {f"{prefix}.0.{part}.{name}": value for name, value in ({"name": "helpful", "score": 0.5} | said).items()}


CARRIERS = {
    "record of the log": a_record(RESULT, HELPFUL),
    "record with a body": a_record(RESULT, {"body": HELPFUL}),
    "event of a span": a_step(events=[{"name": RESULT, "time": NOON.isoformat(), "attributes": HELPFUL}]),
    "annotations": a_step(attributes=annotation()),
    "evaluations": a_step(attributes=annotation("evaluations", "evaluation")),
    "annotations of the trace": a_step(attributes=annotation("trace.annotations")),
    "evaluations of the trace": a_step(attributes=annotation("trace.evaluations", "evaluation")),
}


@pytest.mark.parametrize("carrier", CARRIERS)
def test_whatever_carries_it_an_evaluation_becomes_a_verdict_without_a_chance(carrier: str) -> None:
    verdict = only(CARRIERS[carrier])
    assert isinstance(verdict, Verdict)
    assert (verdict.response_id, verdict.axis, verdict.score, verdict.response_at) == ("r", "helpful", 0.5, NOON)
    assert (verdict.judge, verdict.judge_version, verdict.inclusion_probability) == ("helpful", "imported", None)


def test_only_evaluations_of_the_whole_trace_name_no_span() -> None:
    spans = {name: [found.span_id for found in evaluations_of(step)] for name, step in CARRIERS.items()}
    assert {name for name, of in spans.items() if of == [None]} == {
        "annotations of the trace",
        "evaluations of the trace",
    }


@pytest.mark.parametrize("kind", ["LLM", "CODE", "my own", None])
def test_what_no_person_said_is_a_verdict(kind: str | None) -> None:
    said = {} if kind is None else {"annotator_kind": kind}
    assert isinstance(only(a_step(attributes=annotation(**said))), Verdict)


@pytest.mark.parametrize("kind", ["HUMAN", "human"])
def test_what_a_person_said_is_a_label(kind: str) -> None:
    more = {"annotator_kind": kind, "label": "good", "explanation": "Right.", "identifier": "anna"}
    of_span = only(a_step(attributes=annotation(**more)))
    of_event = only(a_record(RESULT, HELPFUL | {"onlineeval.annotator_kind": kind}))
    assert isinstance(of_span, Label)
    assert isinstance(of_event, Label)
    assert (of_span.score, of_span.reviewer, of_span.note) == (0.5, "anna", "Right.")
    assert (of_span.inclusion_probability, of_span.stream) == (None, None)
    assert of_span.attributes["score_label"] == "good"


def test_a_person_who_gave_no_number_left_an_action() -> None:
    said = annotation(annotator_kind="HUMAN", label="good")
    del said["annotations.0.annotation.score"]
    action = only(a_step(attributes=said))
    assert isinstance(action, Action)
    assert (action.action, action.text, action.response_id) == ("annotation", "helpful: good", "r")


@pytest.mark.parametrize(
    ("said", "kind"), [("timeout", "timeout"), ("ReadTimeoutError", "timeout"), ("content_filter", "filtered")]
)
def test_an_evaluation_that_failed_is_an_error_and_never_a_score(said: str, kind: str) -> None:
    verdict = only(a_record(RESULT, HELPFUL | {"error.type": said}))
    assert (verdict.score, verdict.error_kind, verdict.error) == (None, kind, said)
    assert only(a_record(RESULT, {"gen_ai.evaluation.name": "x", "error.type": "500"})).error_kind == "endpoint"


def test_a_label_alone_is_no_score() -> None:
    verdict = only(a_record(RESULT, {"gen_ai.evaluation.name": "x", "gen_ai.evaluation.score.label": "good"}))
    assert (verdict.score, verdict.score_label, verdict.error_kind) == (None, "good", "unreadable")


@pytest.mark.parametrize(
    ("stated", "kept"), [(0.25, 0.25), (1, 1), (0, None), (1.5, None), (-1, None), ("0.5", None), (True, None)]
)
def test_a_chance_of_inclusion_is_kept_only_where_a_possible_one_is_stated(stated: Any, kept: float | None) -> None:
    of_event = only(a_record(RESULT, HELPFUL | {"onlineeval.inclusion_probability": stated}))
    metadata = json.dumps({"onlineeval.inclusion_probability": stated})
    of_span = only(a_step(attributes=annotation(metadata=metadata, annotator_kind="HUMAN")))
    assert (of_event.inclusion_probability, of_span.inclusion_probability) == (kept, kept)


def test_a_judge_and_its_version_are_taken_where_they_are_stated() -> None:
    named = {"onlineeval.judge": "j", "onlineeval.judge_version": "3"}
    of_event = only(a_record(RESULT, HELPFUL | named))
    of_span = only(a_step(attributes=annotation(metadata='{"evaluator_name": "j", "evaluator_version": 3}')))
    assert (of_event.judge, of_event.judge_version) == (of_span.judge, of_span.judge_version) == ("j", "3")


def test_what_has_no_name_or_says_nothing_is_no_evaluation() -> None:
    nameless = {"gen_ai.evaluation.score.value": 1}
    assert made(a_record(RESULT, nameless)) == made(a_record(RESULT, {"gen_ai.evaluation.name": "x"})) == []
    assert made(a_step(events=[an_event(RESULT, gen_ai__evaluation__name=3), "junk", {"name": RESULT}])) == []


def test_the_opinion_of_a_session_is_no_opinion_of_an_answer() -> None:
    step = a_step(attributes=annotation("session.annotations", "annotation", annotator_kind="HUMAN"), session_id="s")
    assert made(step) == []


def test_the_same_evaluation_is_the_same_event_and_another_is_another() -> None:
    one, again = (only(a_record(RESULT, HELPFUL)) for _ in range(2))
    other = only(a_record(RESULT, HELPFUL | {"gen_ai.evaluation.score.value": 0.6}))
    assert one.event_id == again.event_id != other.event_id
    several = {f"annotations.{n}.annotation.{k}": v for n in range(3) for k, v in (("name", "x"), ("score", n))}
    assert len({event.event_id for event in made(a_step(attributes=several))}) == 3


def test_an_evaluation_keeps_its_own_time_but_never_one_after_its_arrival() -> None:
    later = (NOON + timedelta(days=1)).isoformat()
    held = [{"name": RESULT, "time": time, "attributes": HELPFUL} for time in (NOON.isoformat(), later, "1970-01-01")]
    arrived = NOON + timedelta(seconds=2)
    events = [event for each in held for event in made(a_step(after_s=0, events=[each]))]
    assert [event.occurred_at for event in events] == [NOON, arrived, NOON]
