"""What real models replied to recorded requests, served again over HTTP: judged as it was, item by item."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.judge_reading import load_judge
from onlineeval_dagster.contracts.events import Verdict
from onlineeval_dagster.judges.client import Endpoint
from onlineeval_dagster.judges.runner import judge_all
from onlineeval_dagster.judges.work import WorkItem
from tests.fake_endpoint import asked, completion, replaying, serving

DATA = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data is not there: {DATA}")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
OPENQA = load_judge(Path(__file__).parent / "openqa-correctness.md")

Row = dict[str, Any]


def rows(name: str, **wanted: str | bool) -> list[Row]:
    filters = [(column, "=", value) for column, value in wanted.items()] or None
    return pq.read_table(DATA / "judge" / f"{name}.parquet", filters=filters).to_pylist()


def published(*words: str) -> float:
    figures = json.loads((DATA / "published_figures.json").read_text())
    (figure,) = [figure for figure in figures if all(word in figure["what"] for word in words)]
    return figure["computed"] if figure["published"] is None else figure["published"]


def judged(judge: Judge, recorded: list[Row], work: Iterator[WorkItem]) -> list[Verdict]:
    """A verdict for each recorded reply, in their order, as the pipeline makes them."""
    replies = {
        asked(json.loads(row["messages"])): completion(
            row["reply"] or "", finish_reason=row.get("finish_reason") or "stop"
        )
        for row in recorded
    }
    verdicts: list[Verdict] = []
    with serving(replaying(replies)) as fake:
        judge_all(
            [(judge, work)],
            endpoint=lambda judge: Endpoint(base_url=fake.base_url, api_key="k"),
            record=verdicts.extend,
            now=lambda: NOW,
        )
    assert len(fake.calls) == len(recorded), "each is asked for once"
    assert Counter(verdict.response_id for verdict in verdicts).most_common(1)[0][1] == 1
    assert "endpoint" not in {verdict.error_kind for verdict in verdicts}, "a prompt was not the recorded one"
    return sorted(verdicts, key=lambda verdict: int(verdict.response_id))


@pytest.mark.parametrize(("judge", "name"), [("gpt-4", "GPT-4"), ("text-davinci-003", "text-davinci-003")])
def test_openqa_verdicts_and_their_accuracy_against_people_are_the_published_ones(judge: str, name: str) -> None:
    """A reply that takes no side is an error verdict with us; the recording counts it as No, and so does this sum."""
    items = {item["item_id"]: item for item in rows("openqa_items")}
    recorded = rows("openqa_replies", judge=judge)
    work = (
        WorkItem(
            response_id=str(number),
            response_at=NOW,
            query=items[row["item_id"]]["question"],
            response=items[row["item_id"]]["answer"],
            context=" or ".join(items[row["item_id"]]["gold_answers"]),
        )
        for number, row in enumerate(recorded)
    )
    verdicts = judged(replace(OPENQA, model=judge), recorded, work)
    said = ["Yes" if verdict.score == 1 else "No" for verdict in verdicts]
    assert said == [row["verdict"] for row in recorded]
    right = sum(one == row["human_label"] for one, row in zip(said, recorded, strict=True))
    assert round(right / len(recorded), 4) == published(f"accuracy of {name}'s verdict")
    assert sum(verdict.error_kind is not None for verdict in verdicts) <= 1
    assert all(verdict.cost_usd for verdict in verdicts)


def pairwise(row: Row, item: Row) -> WorkItem:
    """Both outputs, in the order of the recording; what the judge was told besides stands as the conversation."""
    first, second = ("output_2", "output_1") if row["variant"] == "swap=True" else ("output_1", "output_2")
    told = json.loads(row["messages"])[-1]["content"].partition(f"# Output (b):\n{item[second]}")[2]
    return WorkItem(
        response_id="",
        response_at=NOW,
        query=item["instruction"],
        response=item[first],
        context=item[second],
        conversation=told,
    )


def llmbar_judge(row: Row, work: WorkItem, **more: Any) -> Judge:
    """The judge of a recorded request: its prompt with the item's texts taken out."""
    system, user = json.loads(row["messages"])
    prompt = user["content"]
    parts = [("query", "# Instruction:\n"), ("response", "# Output (a):\n"), ("context", "# Output (b):\n")]
    for name, head in parts:
        before, _, after = prompt.partition(f"{head}{getattr(work, name)}")
        prompt = f"{before}{head}{{{name}}}{after}"
    prompt = prompt.removesuffix(work.conversation or "") + "{conversation}"
    return Judge(
        name="llmbar",
        axis="instruction-following",
        prompt=prompt,
        bare=True,
        system=system["content"],
        model=row["model_name"],
        scale={1: "the first is better", 2: "the second is better"},
        labels={"output (a)": 1, "output (b)": 2},
        good_from=2,
        **more,
    )


def verdict_of(row: Row, verdict: Verdict) -> str | None:
    if verdict.score is None:
        return None
    return str(int(3 - verdict.score if row["variant"] == "swap=True" else verdict.score))


SUBSETS = ("Natural", "Adversarial/Manual", "Adversarial/GPTOut")


@pytest.mark.parametrize(
    ("judge", "strategy"),
    [
        ("GPT-4", "Vanilla"),
        ("ChatGPT", "Vanilla"),
        ("PaLM2", "Metrics_Reference"),
        ("LLaMA2", "Vanilla"),
        ("Falcon", "Reference"),
    ],
)
def test_llmbar_verdicts_and_accuracies_are_the_published_ones(judge: str, strategy: str) -> None:
    """Both orders of each pair; a reply without a choice is an error verdict, and counted as wrong when published."""
    items = {item["item_id"]: item for item in rows("llmbar_items")}
    recorded = rows("llmbar_replies", judge=judge, strategy=strategy, is_final=True)
    recorded = [row for row in recorded if row["subset"].removeprefix("LLMBar/") in SUBSETS]
    work = [pairwise(row, items[row["item_id"]]) for row in recorded]
    numbered = (replace(one, response_id=str(number)) for number, one in enumerate(work))
    verdicts = judged(llmbar_judge(recorded[0], work[0]), recorded, numbered)
    said = [verdict_of(row, verdict) for row, verdict in zip(recorded, verdicts, strict=True)]
    assert said == [row["verdict"] for row in recorded]
    empty = [verdict.error_kind for row, verdict in zip(recorded, verdicts, strict=True) if not row["reply"]]
    assert set(empty) <= {"empty"}
    if (judge, strategy) in {("LLaMA2", "Vanilla"), ("Falcon", "Reference")}:
        return  # no figure was published for them in this folder
    for subset in SUBSETS:
        of_it = [
            one == str(row["human_label"])
            for one, row in zip(said, recorded, strict=True)
            if row["subset"] == f"LLMBar/{subset}"
        ]
        figure = published(f"{judge} {strategy} mean accuracy", f"LLMBar/{subset}")
        assert round(100 * sum(of_it) / len(of_it), 3) == figure


@pytest.mark.parametrize("judge", ["GPT-4", "ChatGPT"])
def test_llmbar_ratings_from_0_to_9_are_read_as_they_were(judge: str) -> None:
    """A scale of ten, each output by itself. One reply was a 10, which the recording kept: with us it is unreadable."""
    items = {item["item_id"]: item for item in rows("llmbar_items")}
    recorded = rows("llmbar_replies", judge=judge, strategy="Rating", is_final=True)
    first = items[recorded[0]["item_id"]]
    system, user = json.loads(recorded[0]["messages"])
    prompt = user["content"].replace(first["instruction"], "{query}")
    rating = Judge(
        name="llmbar-rating",
        axis="instruction-following",
        prompt=prompt.replace(f"# Output:\n{first[recorded[0]['variant']]}", "# Output:\n{response}"),
        bare=True,
        system=system["content"],
        model=recorded[0]["model_name"],
        scale={score: f"{score} of 9" for score in range(10)},
        good_from=5,
    )
    work = (
        WorkItem(
            response_id=str(number),
            response_at=NOW,
            query=items[row["item_id"]]["instruction"],
            response=items[row["item_id"]][row["variant"]],
        )
        for number, row in enumerate(recorded)
    )
    verdicts = judged(rating, recorded, work)
    said = [None if verdict.score is None else int(verdict.score) for verdict in verdicts]
    assert said == [int(row["verdict"]) if int(row["verdict"]) in rating.scale else None for row in recorded]
    assert sum(score is None for score in said) <= 1
