"""Agreement on real labels: the figures of published_figures.json by the project's own functions."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from onlineeval_dagster.contracts.estimates import Estimate
from onlineeval_dagster.review.agreement import Measure, agreement, cohens_kappa, pearson, raw_agreement, tables_of

DATA = Path(__file__).parents[3] / "shared" / "data"
if not (DATA / "published_figures.json").exists():
    pytest.skip(f"real data is not there: {DATA}", allow_module_level=True)
FIGURES = {said["what"]: said["computed"] for said in json.loads((DATA / "published_figures.json").read_text())}


def figure(*words: str) -> float:
    (found,) = [value for what, value in FIGURES.items() if all(word in what for word in words)]
    return found


def values(measure: Measure, first: object, second: object) -> float:
    found = agreement(tables_of(np.asarray(first, float), np.asarray(second, float)), measure)
    assert isinstance(found, Estimate) and found.low < found.value < found.high
    return found.value


@pytest.mark.parametrize("judge", ["GPT-4", "text-davinci-003"])
def test_openqa_judges_against_people(judge):
    items = pd.read_parquet(DATA / "judge" / "openqa_items.parquet").set_index("item_id")
    replies = pd.read_parquet(DATA / "judge" / "openqa_replies.parquet")
    name = {"GPT-4": "gpt-4", "text-davinci-003": "text-davinci-003"}[judge]
    of_judge = replies[replies["judge"].str.contains(name)].set_index("item_id")["verdict"]
    both = items.join(of_judge, how="inner")
    said, people = both["verdict"].eq("Yes"), both["human_label"].eq("Yes")
    assert values(raw_agreement, said, people) == pytest.approx(figure("accuracy", f"{judge}'s"), abs=5e-5)
    assert values(cohens_kappa, said, people) == pytest.approx(figure("kappa", f"{judge}'s"), abs=5e-5)


def test_openqa_people_against_people():
    items = pd.read_parquet(DATA / "judge" / "openqa_items.parquet")
    both = items[["annotator_1", "annotator_2"]].dropna()
    found = values(cohens_kappa, both["annotator_1"].eq("Yes"), both["annotator_2"].eq("Yes"))
    assert len(both) == 714 and found == pytest.approx(figure("annotator_1 and annotator_2"), abs=5e-5)


@pytest.mark.parametrize("dimension", ["relevance", "coherence", "consistency", "fluency"])
def test_summeval_experts_agree_with_each_other_and_not_with_the_crowd(dimension):
    rated = pd.read_parquet(DATA / "judge" / "summeval_human.parquet")
    rated = rated[rated["dimension"] == dimension]
    wide = rated.pivot_table(index=["doc_id", "system"], columns=["rater_kind", "rater"], values="score")
    experts, crowd = wide["expert"], wide["turker"]
    pairs = [values(pearson, experts[one], experts[two]) for one, two in combinations(experts.columns, 2)]
    assert np.mean(pairs) == pytest.approx(figure(dimension, "expert pairs"), abs=5e-5)
    found = values(pearson, experts.mean(axis=1), crowd.mean(axis=1))
    assert found == pytest.approx(figure(dimension, "mean crowd"), abs=5e-5)


def test_conture_scores():
    turns = pd.read_parquet(DATA / "judge" / "conture_turns.parquet")["score_1to3"]
    *shares, mean = figure("score_1to3")  # type: ignore[misc]
    assert [round(float(turns.eq(score).mean()), 4) for score in (1, 2, 3)] == shares
    assert round(float(turns.mean()), 4) == mean
