"""Langfuse's blob export: traces become answers, scores what users, people and judges said."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path

from onlineeval_dagster.catalog.source_file import Source
from onlineeval_dagster.contracts.events import Action, Label, Response, Verdict
from onlineeval_dagster.sources.place import Reached, opened
from onlineeval_dagster.sources.registry import read_items
from onlineeval_dagster.sources.rows import BadRow

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TRACE = {"id": "t1", "timestamp": "2026-11-20 12:00:00.000000", "name": "chat", "environment": "default"}
TRACE |= {"project_id": "p", "user_id": "u1", "session_id": "s1", "release": "r7", "version": "v2", "tags": ["a"]}
TRACE |= {"input": {"messages": [{"role": "user", "content": "Where is it?"}]}, "output": '{"answer": "On its way."}'}
STEP = {"id": "o1", "trace_id": "t1", "type": "GENERATION", "parent_observation_id": "o0", "latency": 1.5}
STEP |= {"start_time": "2026-11-20T12:00:00Z", "end_time": "2026-11-20T12:00:01.500Z", "provided_model_name": "gpt-x"}
STEP |= {"usage_details": {"input": 11, "output": 3}, "total_cost": 0.002, "level": "DEFAULT"}
FOUND = STEP | {"id": "o2", "type": "RETRIEVER", "output": "It left on Monday.", "latency": 1500}
SCORE = {"id": "c1", "timestamp": "2026-11-20T13:00:00Z", "trace_id": "t1", "source": "API", "data_type": "NUMERIC"}
SCORE |= {"name": "user-feedback", "value": 1.0, "comment": None, "string_value": None}


def lines(file: Path, *rows: dict) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def read(*files: Path, **options) -> list:
    source = Source(dialect="langfuse", path=tuple(map(str, files)), **options)
    items = read_items(opened(source, place="sources.langfuse", now=NOW), {})
    return [item for item in items if not isinstance(item, Reached)]


def test_a_trace_with_its_observations_becomes_one_response_by_the_clock_not_the_latency_column(tmp_path):
    scores, traces = lines(tmp_path / "a.jsonl", STEP, FOUND), lines(tmp_path / "b.jsonl", TRACE)
    (answer,) = read(scores, traces)
    assert isinstance(answer, Response)
    assert (answer.response_id, answer.query, answer.response) == ("t1", "Where is it?", "On its way.")
    assert (answer.user_id, answer.session_id, answer.prompt_version) == ("u1", "s1", "v2")
    assert (answer.model, answer.input_tokens, answer.output_tokens, answer.cost_usd) == ("gpt-x", 11, 3, 0.002)
    assert (answer.latency_ms, answer.context, answer.occurred_at) == (1500.0, "It left on Monday.", NOON)
    assert answer.environment == "production" and answer.attributes["release"] == "r7"


def test_scores_become_actions_labels_and_verdicts_and_none_claims_a_chance(tmp_path):
    person = SCORE | {"id": "c2", "source": "ANNOTATION", "name": "Relevance", "value": 2}
    judge = SCORE | {"id": "c3", "source": "EVAL", "name": "toxicity", "value": 0.1, "comment": "calm"}
    judge |= {"metadata": {"evaluator_id": "e1", "evaluator_version_id": "7"}}
    unread = SCORE | {"id": "c4", "source": "EVAL", "name": "tone", "value": None, "string_value": "rude"}
    down = SCORE | {"id": "c5", "data_type": "BOOLEAN", "value": 0, "comment": "wrong"}
    file = lines(tmp_path / "x.jsonl", TRACE, SCORE, person, judge, unread, down)
    _, up, label, verdict, error, thumb, words = read(file, axes={"Relevance": "relevance"})
    assert isinstance(up, Action) and up.action == "thumbs_up" and up.response_id == "t1"
    assert isinstance(label, Label) and (label.axis, label.score, label.response_at) == ("relevance", 2.0, NOON)
    assert isinstance(verdict, Verdict) and (verdict.judge, verdict.judge_version, verdict.score) == ("e1", "7", 0.1)
    assert verdict.rationale == "calm"
    assert label.inclusion_probability is None and verdict.inclusion_probability is None
    assert (error.error_kind, error.score_label) == ("unreadable", "rude")
    assert (thumb.action, words.action, words.text) == ("thumbs_down", "comment", "wrong")


def test_csv_and_a_json_list_give_the_same_ids_as_lines(tmp_path):
    whole, table = tmp_path / "x.json", tmp_path / "x.csv"
    whole.write_text(json.dumps([SCORE]))
    with table.open("w", newline="") as file:
        cells = csv.DictWriter(file, list(SCORE))
        cells.writeheader()
        cells.writerow(SCORE)
    ids = {read(file)[0].event_id for file in (lines(tmp_path / "x.jsonl", SCORE), whole, table)}
    assert len(ids) == 1


def test_a_text_is_the_rationale_and_no_category_however_long(tmp_path):
    words = SCORE | {"name": "tone", "data_type": "TEXT", "value": None, "string_value": "long " * 90}
    (verdict,) = read(lines(tmp_path / "x.jsonl", words))
    assert (verdict.rationale, verdict.score_label) == ("long " * 90, None)


def test_a_score_of_a_session_and_a_row_of_another_kind_are_bad(tmp_path):
    session, other = read(lines(tmp_path / "x.jsonl", SCORE | {"trace_id": None}, {"a": 1}))
    assert isinstance(session, BadRow) and "names no answer" in session.reason
    assert isinstance(other, BadRow) and "the columns are a" in other.reason
