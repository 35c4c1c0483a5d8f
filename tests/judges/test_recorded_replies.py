"""Replies that GPT-4 and text-davinci-003 really gave, read by our reader: the published accuracy must come out."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.judges.rubric import read_reply

DATA = Path(__file__).parents[2].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data is not there: {DATA}")
JUDGE = Judge(
    name="openqa-correctness",
    axis="correctness",
    prompt="Question: {query}\nAnswer: {context}\nCandidate: {response}\n\nIs candidate correct?",
    scale={0: "the candidate is not correct", 1: "the candidate is correct, in part at least"},
    good_from=1,
    model="gpt-4",
    labels={"yes": 1, "no": 0, "the candidate is partially correct": 1, "candidate is partially correct": 1},
)


def recorded(judge: str) -> list[dict]:
    columns = ["judge", "reply", "verdict", "human_label"]
    rows = pq.read_table(DATA / "judge" / "openqa_replies.parquet", columns=columns).to_pylist()
    return [row for row in rows if row["judge"] == judge]


def published(judge: str) -> float:
    figures = json.loads((DATA / "published_figures.json").read_text())
    return next(figure["computed"] for figure in figures if f"accuracy of {judge}'s verdict" in figure["what"])


@pytest.mark.parametrize(("judge", "name"), [("gpt-4", "GPT-4"), ("text-davinci-003", "text-davinci-003")])
def test_accuracy_against_people_equals_the_published_figure(judge: str, name: str) -> None:
    """A reply that takes no side is an error verdict with us; the recording counts it as No, and so does this sum."""
    rows = recorded(judge)
    readings = [read_reply(JUDGE, row["reply"], "stop") for row in rows]
    said = ["Yes" if reading.score == 1 else "No" for reading in readings]
    assert said == [row["verdict"] for row in rows]
    right = sum(one == row["human_label"] for one, row in zip(said, rows, strict=True))
    assert round(right / len(rows), 4) == published(name)
    assert sum(reading.error_kind is not None for reading in readings) <= 1
