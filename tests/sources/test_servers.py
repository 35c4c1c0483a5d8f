"""Langfuse's scores and Phoenix's project over a real socket: page by page, each thing once, whatever comes late."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from onlineeval_dagster.catalog.source_file import Source
from onlineeval_dagster.contracts.events import Label, Verdict
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.sources.incremental import pull
from onlineeval_dagster.sources.place import Reached, opened
from onlineeval_dagster.sources.registry import read_items
from onlineeval_dagster.sources.rows import BadRow
from tests.sources.scripted import Asked, Say, answering
from tests.worlds import settings_at

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def read(url: str, dialect: str, cursor: dict | None = None, **options: Any) -> tuple[list, dict]:
    """What one pull brings, and the cursor it ends with."""
    items = list(
        read_items(opened(Source(dialect=dialect, url=url, **options), place="sources.x", now=NOW), cursor or {})
    )
    reached = [item.cursor for item in items if isinstance(item, Reached)]
    return [item for item in items if not isinstance(item, Reached)], reached[-1] if reached else (cursor or {})


def score(number: int, **more: Any) -> dict[str, Any]:
    found = {"id": f"c{number}", "projectId": "p", "name": "relevance", "value": 0.5, "dataType": "NUMERIC"}
    found |= {"source": "EVAL", "environment": "production", "createdAt": NOON.isoformat()}
    found |= {"timestamp": (NOON + timedelta(minutes=number)).isoformat(), "subject": {"kind": "trace", "id": "t1"}}
    return found | {"comment": "why", "configId": None, "metadata": {"evaluator_version_id": "3"}} | more


def langfuse(scores: list[dict[str, Any]]) -> Callable[[int, Asked], Say]:
    """Two scores a page, those in the asked window, newest first; it asks for its keys."""

    def answer(_: int, asked: Asked) -> Say:
        if asked.headers.get("authorization") != "Basic " + base64.b64encode(b"pk:geheim/1").decode():
            return Say(status=401, body={"message": "Invalid credentials"})
        if asked.path != "/api/public/v3/scores" or asked.query["fields"] != ["details,subject,annotation"]:
            return Say(status=404)
        since = asked.query.get("fromTimestamp", [""])[0]
        found = sorted((one for one in scores if one["timestamp"] >= since), key=lambda one: one["timestamp"])[::-1]
        start = int(asked.query.get("cursor", ["0"])[0])
        meta = {"limit": 2} | ({"cursor": str(start + 2)} if start + 2 < len(found) else {})
        return Say(body={"data": found[start : start + 2], "meta": meta})

    return answer


class TestLangfuse:
    def test_scores_of_all_pages_become_verdicts_labels_and_bad_rows(self):
        person = score(2, source="ANNOTATION", authorUserId="ann", queueId="q", value=3)
        of_step = score(3, subject={"kind": "observation", "id": "o1", "traceId": "t2"}, dataType="BOOLEAN", value=True)
        session = score(4, subject={"kind": "session", "id": "s1"})
        with answering(langfuse([score(1), person, of_step, session])) as (host, calls):
            (bad, step, label, verdict), _ = read(f"http://pk:geheim%2F1@{host}", "langfuse")
        assert len(calls) == 2
        assert isinstance(verdict, Verdict) and (verdict.response_id, verdict.score) == ("t1", 0.5)
        assert (verdict.judge_version, verdict.rationale, verdict.inclusion_probability) == ("3", "why", None)
        assert isinstance(label, Label) and (label.reviewer, label.score) == ("ann", 3.0)
        assert (step.response_id, step.score, step.attributes["observation_id"]) == ("t2", 1.0, "o1")
        assert isinstance(bad, BadRow) and "names no answer" in bad.reason

    def test_the_next_pull_asks_from_a_little_before_the_last_and_brings_only_what_is_new(self):
        scores = [score(number) for number in range(3)]
        with answering(langfuse(scores)) as (host, calls):
            url = f"http://pk:geheim%2F1@{host}"
            first, cursor = read(url, "langfuse")
            late, changed, new = score(1, id="late"), score(2, value=0.9), score(9)
            scores[2:] = [late, changed, new]
            second, cursor = read(url, "langfuse", cursor)
            third, _ = read(url, "langfuse", cursor)
        assert len(first) == 3 and third == []
        assert {event.score for event in second} == {0.5, 0.9} and len(second) == 3
        assert "fromTimestamp" not in calls[0].query
        assert calls[-1].query["fromTimestamp"] == [(NOON + timedelta(minutes=9 - 30)).isoformat()]

    def test_a_row_that_is_bad_is_told_once_whether_it_has_a_time_or_not(self):
        rows = [score(1), score(2, timestamp="soon"), score(3, subject={"kind": "session", "id": "s"})]
        rows.append(score(4, dataType="CORRECTION", value="Better so."))
        with answering(langfuse(rows)) as (host, _):
            first, cursor = read(f"http://pk:geheim%2F1@{host}", "langfuse")
            second, _ = read(f"http://pk:geheim%2F1@{host}", "langfuse", cursor)
        reasons = sorted(row.reason.split(":")[0] for row in first if isinstance(row, BadRow))
        assert reasons == ["data_type", "timestamp", "trace_id"] and second == []

    def test_the_first_pull_begins_where_it_is_told_to(self):
        with answering(langfuse([score(1), score(5)])) as (host, _):
            found, _ = read(f"http://pk:geheim%2F1@{host}", "langfuse", start="2026-11-20T12:03:00Z")
            assert len(found) == 1
            with pytest.raises(SourceError, match="start: expected a time"):
                read(f"http://pk:geheim%2F1@{host}", "langfuse", start="soon")

    def test_the_keys_may_come_from_the_environment_and_a_missing_one_is_named(self, monkeypatch):
        with answering(langfuse([score(1)])) as (host, _):
            monkeypatch.delenv("LANGFUSE_SECRET_KEY", raising=False)
            monkeypatch.setenv("LANGFUSE_PUBLIC_KEY", "pk")
            with pytest.raises(SourceError, match="LANGFUSE_SECRET_KEY is not set"):
                read(f"http://{host}", "langfuse")
            monkeypatch.setenv("LANGFUSE_SECRET_KEY", "geheim/1")
            assert len(read(f"http://{host}", "langfuse")[0]) == 1

    def test_a_wrong_key_is_a_row_of_imports_that_does_not_tell_it(self, tmp_path):
        with answering(langfuse([])) as (host, _):
            source = Source(dialect="langfuse", url=f"http://pk:geheim-9@{host}")
            done = pull(settings_at(tmp_path), "lf", source, now=NOW)
        assert "status 401 (Invalid credentials); check the key" in str(done.error)
        assert "geheim-9" not in str(done.error) and done.events == 0


TRACE = "5b8efff798038103d269b633813fc60c"


def span(number: int, *, at: datetime = NOON) -> dict[str, Any]:
    found = {"id": f"g{number}", "name": "chat", "context": {"trace_id": TRACE, "span_id": f"{number:016x}"}}
    found |= {"span_kind": "LLM", "parent_id": None, "status_code": "OK", "status_message": "", "events": []}
    found |= {"start_time": at.isoformat(), "end_time": (at + timedelta(seconds=1)).isoformat()}
    return found | {"attributes": {"input.value": "Where?", "llm.input_messages": [{"message": {"role": "user"}}]}}


def annotation(number: int, **more: Any) -> dict[str, Any]:
    found = {"id": f"n{number}", "created_at": (NOON + timedelta(hours=3)).isoformat(), "source": "APP"}
    found |= {"updated_at": NOON.isoformat(), "user_id": "u", "name": "good", "annotator_kind": "HUMAN"}
    found |= {"result": {"label": "yes", "score": 1, "explanation": None}, "metadata": {}, "identifier": ""}
    return found | {"span_id": f"{number:016x}"} | more


def phoenix(spans: list[dict], annotations: list[dict]) -> Callable[[int, Asked], Say]:
    def answer(_: int, asked: Asked) -> Say:
        start = int(asked.query.get("cursor", ["0"])[0])
        if asked.path == "/v1/projects/my%20shop/spans":
            since = asked.query.get("start_time", [""])[0]
            found = [one for one in spans if one["start_time"] >= since]
        elif asked.path == "/v1/projects/my%20shop/span_annotations":
            found = [one for one in annotations if one["span_id"] in asked.query["span_ids"]]
        else:
            return Say(status=404)
        more = str(start + 2) if start + 2 < len(found) else None
        return Say(body={"data": found[start : start + 2], "next_cursor": more})

    return answer


class TestPhoenix:
    def test_spans_of_all_pages_come_with_what_is_said_of_them(self):
        with answering(phoenix([span(n) for n in range(3)], [annotation(2), annotation(0)])) as (host, calls):
            found, _ = read(f"http://:geheim-5@{host}/projects/my%20shop", "phoenix")
        spans = [event for event in found if event.record == "span"]
        said = [event for event in found if event.record == "log"]
        assert [event.span_id for event in spans] == [f"{n:016x}" for n in range(3)]
        assert spans[0].attributes["llm.input_messages.0.message.role"] == "user"
        assert sorted(event.span_id or "" for event in said) == [f"{n:016x}" for n in (0, 2)]
        assert {event.trace_id for event in said} == {TRACE}
        assert said[0].attributes["onlineeval.annotator_kind"] == "HUMAN"
        assert {call.headers["authorization"] for call in calls} == {"Bearer geheim-5"}

    def test_an_annotation_that_comes_hours_later_is_the_only_thing_that_the_next_pull_brings(self):
        days_later = (NOON + timedelta(days=2)).isoformat()
        spans, annotations = [span(n) for n in range(2)], [annotation(1, created_at=days_later)]
        with answering(phoenix(spans, annotations)) as (host, calls):
            url = f"http://{host}/projects/my%20shop"
            first, cursor = read(url, "phoenix")
            annotations += [annotation(0), annotation(1, name="worse")]
            spans.append(span(7, at=NOON + timedelta(hours=5)))
            second, cursor = read(url, "phoenix", cursor)
            annotations.append(annotation(0, name="late"))
            third, cursor = read(url, "phoenix", cursor)
            fourth, _ = read(url, "phoenix", cursor)
        assert len(first) == 3 and fourth == []
        assert [event.attributes["gen_ai.evaluation.name"] for event in third] == ["late"]
        assert sorted((event.record, event.span_id) for event in second) == [
            ("log", f"{0:016x}"),
            ("log", f"{1:016x}"),
            ("span", f"{7:016x}"),
        ]
        assert calls[-1].path.endswith("spans") or calls[-1].query["span_ids"]
        assert "authorization" not in calls[0].headers

    def test_a_project_that_is_not_there_is_named(self):
        with (
            answering(phoenix([], [])) as (host, _),
            pytest.raises(SourceError, match=r"projects/default/spans: status 404"),
        ):
            read(f"http://{host}", "phoenix")
