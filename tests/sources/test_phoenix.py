"""Phoenix's frames, in the shapes in which it gives and takes them: spans become traces, annotations what they say."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.catalog.source_file import Source
from onlineeval_dagster.contracts.events import Span
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.sources.importing import import_items
from onlineeval_dagster.sources.place import Reached, opened
from onlineeval_dagster.sources.registry import read_items
from onlineeval_dagster.sources.rows import BadRow
from onlineeval_dagster.traces.stage import assemble_settled
from tests.worlds import settings_at

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
TRACE, ROOT, SEARCH = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174", "ABC19b7ec3c1b175"


def spans() -> pd.DataFrame:
    """As get_spans_dataframe gives them: one column an attribute, NaN where a span has none."""
    question = [{"message.role": "system", "message.content": "Be brief."}]
    question += [{"message.role": "user", "message.content": "Where is my kettle?"}]
    root = {"context.span_id": ROOT, "context.trace_id": TRACE, "name": "chat", "span_kind": "LLM", "parent_id": None}
    root |= {
        "start_time": pd.Timestamp(NOON).as_unit("ns"),
        "end_time": NOON + timedelta(seconds=2),
        "status_code": "OK",
        "status_message": "",
    }
    root |= {"attributes.llm.input_messages": question, "attributes.llm.token_count.prompt": 11.0}
    root |= {"attributes.llm.output_messages": [{"message.role": "assistant", "message.content": "On its way."}]}
    root |= {"attributes.llm.model_name": "gpt-x", "attributes.user.id": "u1", "attributes.session.id": "s1"}
    root |= {"attributes.metadata": {"plan": "pro"}, "attributes.input.value": "ignored", "events": []}
    found = root | {"context.span_id": SEARCH, "parent_id": ROOT, "span_kind": "RETRIEVER", "name": "search"}
    found |= {name: None for name in root if name.startswith("attributes.")}
    found |= {"attributes.retrieval.documents": [{"document.id": "d1", "document.content": "It left on Monday."}]}
    return pd.DataFrame([root, found]).set_index("context.span_id")


def downloaded() -> pd.DataFrame:
    said = {"span_id": ROOT, "created_at": NOON + timedelta(hours=1), "updated_at": NOON, "source": "API"}
    said |= {"metadata": {}, "identifier": "", "user_id": None, "result.label": None}
    person = said | {"id": "a1", "annotation_name": "Helpful", "annotator_kind": "HUMAN", "result.score": 3.0}
    judge = said | {"id": "a2", "annotation_name": "toxicity", "annotator_kind": "LLM", "result.score": 0.1}
    judge |= {"result.explanation": "calm", "metadata": {"judge": "tox", "judge_version": "7"}}
    return pd.DataFrame([person, judge]).set_index("span_id")


def for_upload() -> pd.DataFrame:
    said = {"span_id": ROOT, "name": "tone", "annotator_kind": "CODE", "label": "polite", "score": 1, "identifier": "x"}
    return pd.DataFrame([said])


def write(frame: pd.DataFrame, file: Path) -> Path:
    """The frame as its owner would write it down; pandas keeps a named index as a column."""
    if file.suffix == ".parquet":
        frame.to_parquet(file)
    elif file.suffix == ".csv":
        frame.to_csv(file)
    else:
        frame.reset_index().to_json(file, orient="records", lines=True, date_format="iso")
    return file


def source_of(*files: Path, **options: Any) -> Source:
    return Source(dialect="phoenix", path=tuple(map(str, files)), **options)


def read(*files: Path, cursor: dict | None = None, **options: Any) -> list:
    items = read_items(opened(source_of(*files, **options), place="sources.phoenix", now=NOW), cursor or {})
    return [item for item in items if not isinstance(item, Reached)]


@pytest.mark.parametrize("suffix", [".parquet", ".jsonl", ".csv"])
def test_a_frame_of_spans_gives_the_spans_as_they_were_sent_whatever_the_files_form(tmp_path, suffix):
    root, search = read(write(spans(), tmp_path / f"spans{suffix}"))
    assert isinstance(root, Span) and (root.event_id, root.parent_span_id) == (f"{TRACE}:{ROOT}", None)
    assert (root.occurred_at, root.ended_at, root.status) == (NOON, NOON + timedelta(seconds=2), "ok")
    assert (root.user_id, root.session_id, root.received_at) == ("u1", "s1", NOW)
    said = root.attributes
    assert said["llm.input_messages.1.message.content"] == "Where is my kettle?"
    assert (said["openinference.span.kind"], said["llm.token_count.prompt"]) == ("LLM", 11)
    assert "user.id" not in said and "retrieval.documents" not in said
    assert (search.span_id, search.parent_span_id) == (SEARCH.lower(), ROOT)
    assert search.attributes["retrieval.documents.0.document.content"] == "It left on Monday."
    assert "llm.model_name" not in search.attributes


def test_frames_become_a_response_a_label_and_verdicts_that_claim_no_chance(tmp_path):
    settings = settings_at(tmp_path / "home")
    files = [write(spans(), tmp_path / "s.parquet"), write(downloaded(), tmp_path / "a.parquet")]
    files.append(write(for_upload(), tmp_path / "u.csv"))
    lake = Lake(settings.lake_folder)

    def record(events: Any) -> None:
        with open_log(settings, door="traces") as log:
            log.append(b"".join(encode(event) for event in events))

    for _ in range(2):  # the second import adds nothing
        ready = opened(source_of(*files, axes={"Helpful": "helpfulness"}), place="sources.phoenix", now=NOW)
        assert import_items(settings, read_items(ready, {}), door="import").events == 5
        ingest(settings, lake, now=NOW + timedelta(hours=1))
        assemble_settled(lake, load_catalog(PACKAGED_CATALOG), now=NOW + timedelta(hours=1), record=record)
        ingest(settings, lake, now=NOW + timedelta(hours=1))

    def stored(name: str) -> list[dict[str, Any]]:
        return rows(lake, f"select distinct on (event_id) * from {name} order by event_id", {name: None}).to_pylist()

    (answer,) = stored("responses")
    assert (answer["query"], answer["response"], answer["response_id"]) == ("Where is my kettle?", "On its way.", TRACE)
    assert (answer["context"], answer["latency_ms"], answer["model"]) == ("It left on Monday.", 2000, "gpt-x")
    assert answer["user_id"].startswith("u_")
    (label,) = stored("labels")
    assert (label["axis"], label["score"], label["response_id"]) == ("helpfulness", 3.0, TRACE)
    verdicts = {row["axis"]: row for row in stored("verdicts")}
    toxic, tone = verdicts["toxicity"], verdicts["tone"]
    assert (toxic["score"], toxic["judge"], toxic["judge_version"]) == (0.1, "tox", "7")
    assert (toxic["rationale"], toxic["response_at"]) == ("calm", NOON)
    assert (tone["score"], tone["score_label"], tone["judge"]) == (1.0, "polite", "tone")
    assert {row["inclusion_probability"] for row in (label, *verdicts.values())} == {None}


def test_an_annotation_that_comes_later_finds_its_span_in_a_file_that_was_read_before(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    write(spans(), folder / "s.parquet")
    ready = opened(source_of(folder), place="sources.phoenix", now=NOW)
    *first, reached = read_items(ready, {})
    assert len(first) == 2
    write(downloaded(), folder / "a.jsonl")
    found = read(folder, cursor=reached.cursor)
    assert [(event.record, event.trace_id, event.span_id) for event in found] == [("log", TRACE, ROOT)] * 2


def test_one_thing_said_twice_is_one_event_and_a_changed_score_is_another(tmp_path):
    file = write(spans(), tmp_path / "s.parquet")
    once = read(file, write(downloaded(), tmp_path / "a.parquet"))
    again = read(file, write(downloaded(), tmp_path / "a.jsonl"))
    assert {event.event_id for event in once} == {event.event_id for event in again}
    changed = downloaded().assign(**{"result.score": [1.0, 0.1]})
    ids = {event.event_id for event in read(file, write(changed, tmp_path / "c.parquet"))}
    assert len(ids - {event.event_id for event in once}) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"span_id": "no", "name": "x", "annotator_kind": "LLM", "score": 1}, "span_id: no span 'no' is in the source"),
        ({"session_id": "s", "name": "x", "annotator_kind": "LLM", "score": 1}, "an annotation of a session names no"),
        ({"span_id": ROOT, "name": "x", "annotator_kind": "LLM"}, "result: neither label, score nor explanation"),
        ({"span_id": ROOT, "annotator_kind": "LLM", "score": 1}, "name: empty"),
        ({"span_id": ROOT, "name": "x", "score": 1, "document_position": 0}, "document_position: it speaks of one"),
        ({"question": "q"}, "neither a span nor an annotation of Phoenix"),
        ({"span_id": "s", "trace_id": "t", "start_time": None}, "start_time: empty"),
        (
            {"span_id": "s", "trace_id": "t", "start_time": "2026-11-20T12:00:00Z", "end_time": "2026-11-20T11:00:00Z"},
            "end_time: before start_time",
        ),
    ],
)
def test_a_row_that_cannot_be_used_is_bad_by_field_and_the_others_come(tmp_path, row, reason):
    file = tmp_path / "a.jsonl"
    file.write_text(json.dumps(row) + "\n")
    *good, found = read(file.with_name("a.jsonl"), write(spans(), tmp_path / "s.parquet"))[::-1]
    assert len(good) == 2
    assert isinstance(found, BadRow) and reason in found.reason
