"""Traces that MLflow and Opik export, with what was said of them, in the shapes that each writes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from onlineeval_dagster.catalog.source_file import Source
from onlineeval_dagster.contracts.events import Action, Label, Response, Verdict
from onlineeval_dagster.sources.place import Reached, opened
from onlineeval_dagster.sources.registry import read_items
from onlineeval_dagster.sources.rows import BadRow

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def read(dialect: str, *files: Path, **options: Any) -> list:
    source = Source(dialect=dialect, path=tuple(map(str, files)), **options)
    items = read_items(opened(source, place="sources.x", now=NOW), {})
    return [item for item in items if not isinstance(item, Reached)]


def lines(file: Path, *rows: Any) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def assessment(name: str, value: Any, source_type: str = "LLM_JUDGE", **more: Any) -> dict[str, Any]:
    found = {"assessment_id": f"a-{name}", "trace_id": "tr-1", "assessment_name": name, "rationale": "why"}
    found |= {"source": {"source_type": source_type, "source_id": "j1"}, "create_time": "2026-11-20T13:00:00Z"}
    return found | {"feedback": {"value": value}, "valid": True} | more


def mlflow_trace(*assessments: dict[str, Any]) -> dict[str, Any]:
    root = {"span_id": "1", "parent_span_id": None, "status": {"code": "STATUS_CODE_OK"}}
    root["attributes"] = {
        "mlflow.spanInputs": json.dumps({"question": "Where is it?"}),
        "mlflow.spanOutputs": json.dumps("On its way."),
        "mlflow.spanType": '"AGENT"',
    }
    found = {"span_id": "2", "parent_span_id": "1", "attributes": {"mlflow.spanType": '"RETRIEVER"'}}
    found["attributes"]["mlflow.spanOutputs"] = json.dumps([{"page_content": "It left on Monday.", "id": "d"}])
    call = {"span_id": "3", "parent_span_id": "1", "attributes": {"mlflow.llm.model": '"gpt-x"'}}
    usage = json.dumps({"input_tokens": 11, "output_tokens": 3, "total_tokens": 14})
    metadata = {"mlflow.trace.user": "u1", "mlflow.trace.session": "s1", "mlflow.trace.tokenUsage": usage}
    info = {"trace_id": "tr-1", "request_time": "2026-11-20T12:00:00Z", "state": "OK", "execution_duration": "1.5s"}
    info |= {"request_preview": "Whe…", "response_preview": "On…", "trace_metadata": metadata}
    info |= {"tags": {"plan": "pro", "mlflow.traceName": "chat"}, "assessments": list(assessments)}
    return {"info": info, "data": {"spans": [found, call, root]}}


class TestMLflow:
    def test_a_trace_is_an_answer_with_what_its_root_was_asked_and_said(self, tmp_path):
        (answer,) = read("mlflow", lines(tmp_path / "t.jsonl", mlflow_trace()))
        assert isinstance(answer, Response)
        assert (answer.response_id, answer.query, answer.response) == ("tr-1", "Where is it?", "On its way.")
        assert (answer.user_id, answer.session_id, answer.model) == ("u1", "s1", "gpt-x")
        assert (answer.input_tokens, answer.output_tokens, answer.latency_ms) == (11, 3, 1500.0)
        assert (answer.context, answer.occurred_at) == ("It left on Monday.", NOON)
        assert answer.attributes == {"tags": {"plan": "pro"}}

    def test_assessments_become_actions_labels_and_verdicts_and_expectations_stay_with_the_answer(self, tmp_path):
        said = [
            assessment("relevant", "yes"),
            assessment("tone", "rude"),
            assessment("safe", True, "CODE"),
            assessment("Quality", 2, "HUMAN"),
            assessment("user_feedback", False, "HUMAN"),
            assessment("slow", None, error={"error_code": "TIMEOUT", "error_message": "30 s"}),
            assessment("old", 1, valid=False),
            assessment("expected", None, "HUMAN", feedback=None, expectation={"value": "Tomorrow."}),
            assessment("", 1),
        ]
        file = lines(tmp_path / "t.jsonl", mlflow_trace(*said))
        answer, relevant, tone, safe, label, thumb, words, slow, bad = read("mlflow", file, axes={"Quality": "quality"})
        assert answer.attributes["expectations"] == {"expected": "Tomorrow."}
        assert isinstance(relevant, Verdict) and (relevant.score, relevant.score_label) == (1.0, "yes")
        assert (relevant.judge, relevant.judge_version, relevant.rationale) == ("j1", "imported", "why")
        assert (tone.score, tone.error_kind, tone.score_label) == (None, "unreadable", "rude")
        assert (safe.score, safe.response_at) == (1.0, NOON)
        assert isinstance(label, Label) and (label.axis, label.score, label.reviewer) == ("quality", 2.0, "j1")
        assert isinstance(thumb, Action) and (thumb.action, words.text) == ("thumbs_down", "why")
        assert (slow.error_kind, slow.error) == ("endpoint", "TIMEOUT: 30 s")
        assert isinstance(bad, BadRow) and bad.reason == "assessments.8: name: empty; an assessment needs one"
        assert {event.inclusion_probability for event in (relevant, tone, safe, label)} == {None}

    def test_a_file_of_one_trace_a_list_a_page_of_the_search_and_a_frames_rows_say_the_same(self, tmp_path):
        trace = mlflow_trace(assessment("relevant", "yes"))
        frame = {**trace["info"], "trace": json.dumps(trace), "spans": trace["data"]["spans"]}
        files = [tmp_path / name for name in ("one.json", "list.json", "page.json", "frame.jsonl")]
        files[0].write_text(json.dumps(trace, indent=2))
        files[1].write_text(json.dumps([trace]))
        files[2].write_text(json.dumps({"traces": [trace]}))
        lines(files[3], frame)
        found = [read("mlflow", file) for file in files]
        assert all(len(events) == 2 for events in found)
        assert all([e.event_id for e in events] == [e.event_id for e in found[0]] for events in found)

    def test_older_names_are_understood_and_a_failed_trace_is_an_answer_with_its_error(self, tmp_path):
        info = {"request_id": "tr-2", "timestamp_ms": NOON.timestamp() * 1000, "execution_time_ms": 40, "status": "OK"}
        older = {"info": info, "data": {"spans": [], "request": '{"query": "Hi?"}', "response": '"Hello."'}}
        failed = mlflow_trace()
        failed["info"]["state"] = "ERROR"
        failed["data"]["spans"][2] |= {"status": {"message": "boom"}}
        del failed["data"]["spans"][2]["attributes"]["mlflow.spanOutputs"], failed["info"]["response_preview"]
        old, broken = read("mlflow", lines(tmp_path / "t.jsonl", older, failed))
        assert (old.response_id, old.query, old.response, old.latency_ms) == ("tr-2", "Hi?", "Hello.", 40.0)
        assert old.occurred_at == NOON and (broken.response, broken.error) == ("", "boom")

    def test_what_is_no_trace_is_bad_and_the_others_come(self, tmp_path):
        running = mlflow_trace()
        running["info"] |= {"state": "IN_PROGRESS", "response_preview": None}
        del running["data"]["spans"][2]["attributes"]["mlflow.spanOutputs"]
        other, none, good = read(
            "mlflow", lines(tmp_path / "t.jsonl", {"request": "a", "response": "b"}, running, mlflow_trace())
        )
        assert "it has no trace_id; the columns are request, response" in other.reason
        assert none.reason == "response: none, and the state is IN_PROGRESS" and isinstance(good, Response)


def opik_trace(*scores: dict[str, Any], **more: Any) -> dict[str, Any]:
    found = {"id": "0193", "project_id": "p", "name": "chat", "start_time": "2026-11-20T12:00:00Z", "thread_id": "s1"}
    found |= {"end_time": "2026-11-20T12:00:02Z", "duration": 9.0, "input": {"question": "Where is it?"}}
    found |= {"output": {"answer": "On its way."}, "usage": {"prompt_tokens": 11, "completion_tokens": 3}}
    found |= {"metadata": {"user_id": "u1", "model": "gpt-x"}, "tags": ["a"], "total_estimated_cost": 0.002}
    return found | {"feedback_scores": list(scores), "span_count": 2, "environment": "default"} | more


def given(name: str, value: float, source: str, **more: Any) -> dict[str, Any]:
    found = {"name": name, "value": value, "source": source, "reason": None, "category_name": None}
    return found | {"created_by": "ann", "last_updated_at": "2026-11-20T13:00:00Z"} | more


class TestOpik:
    def test_a_trace_is_an_answer(self, tmp_path):
        (answer,) = read("opik", lines(tmp_path / "t.jsonl", opik_trace()))
        assert isinstance(answer, Response)
        assert (answer.response_id, answer.query, answer.response) == ("0193", "Where is it?", "On its way.")
        assert (answer.user_id, answer.session_id, answer.model) == ("u1", "s1", "gpt-x")
        assert (answer.input_tokens, answer.cost_usd, answer.latency_ms) == (11, 0.002, 2000.0)
        assert answer.environment == "production" and answer.attributes["metadata"] == {"model": "gpt-x"}

    def test_scores_become_labels_verdicts_and_actions_one_for_each_author(self, tmp_path):
        two = {"ann": {"value": 1, "source": "ui"}, "bob": {"value": 3, "source": "ui", "reason": "fine"}}
        scores = [
            given("quality", 2, "ui", value_by_author=two),
            given("hallucination", 0.1, "online_scoring", reason="calm", category_name="low"),
            given("user_feedback", 1, "sdk"),
            given("", 1, "sdk"),
        ]
        _, ann, bob, verdict, thumb, bad = read("opik", lines(tmp_path / "t.jsonl", opik_trace(*scores)))
        assert isinstance(ann, Label) and [(e.reviewer, e.score, e.note) for e in (ann, bob)] == [
            ("ann", 1.0, None),
            ("bob", 3.0, "fine"),
        ]
        assert isinstance(verdict, Verdict) and (verdict.judge, verdict.score) == ("hallucination", 0.1)
        assert (verdict.score_label, verdict.rationale, verdict.inclusion_probability) == ("low", "calm", None)
        assert verdict.occurred_at == NOON + timedelta(hours=1)
        assert isinstance(thumb, Action) and thumb.action == "thumbs_up"
        assert bad.reason.startswith("feedback_scores.3: name: empty")

    def test_a_failed_trace_is_an_answer_with_its_error_and_a_span_is_bad(self, tmp_path):
        failed = opik_trace(output=None, error_info={"exception_type": "ValueError", "message": "boom"})
        broken, span = read("opik", lines(tmp_path / "t.jsonl", failed, opik_trace(trace_id="0193")))
        assert (broken.response, broken.error) == ("", "boom")
        assert span.reason == "trace_id: a span, not a trace; export the traces"

    def test_a_file_a_trace_beside_its_spans_is_read_too(self, tmp_path):
        file = tmp_path / "trace.json"
        file.write_text(json.dumps({"trace": opik_trace(), "spans": []}, indent=2))
        (answer,) = read("opik", file)
        assert answer.response_id == "0193"


@pytest.mark.parametrize("text", ['{"a": 1}\n{torn\n', "hello\n", '{"traces": [1]}'])
def test_a_json_file_that_is_none_gives_bad_rows_and_never_a_crash(tmp_path, text):
    file = tmp_path / "x.json"
    file.write_text(text)
    assert read("mlflow", file) and all(isinstance(row, BadRow) for row in read("mlflow", file))
