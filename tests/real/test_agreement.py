"""Agreement on real labels: the figures of published_figures.json by the project's own functions."""

import json
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from onlineeval_dagster.contracts.estimates import Estimate
from onlineeval_dagster.review.agreement import (
    Measure,
    agreement,
    cohens_kappa,
    coincidences_of,
    nominal_alpha,
    pearson,
    raw_agreement,
    tables_of,
)

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


LLMBAR = [name for name in FIGURES if "LLMBar/" in name]


@pytest.mark.parametrize("what", LLMBAR)
def test_llmbar_judges_against_experts(what):
    """Both orders of the outputs count; a reply that names none is not right."""
    judge, strategy, _, _, _, subset = what.split()
    replies = pd.read_parquet(DATA / "judge" / "llmbar_replies.parquet")
    these = replies["judge"].eq(judge) & replies["strategy"].eq(strategy) & replies["subset"].eq(subset)
    said = replies[these & replies["is_final"].astype(str).eq("True")]
    tables = tables_of(said["verdict"].astype(float).fillna(0), said["human_label"].astype(float))
    right = float(raw_agreement(tables.whole, tables.scale))
    assert 100 * right == pytest.approx(FIGURES[what], abs=5e-3)


def test_every_figure_of_these_sets_is_reproduced_here():
    of_these = {"LLMBar", "OpenQA-eval", "SummEval", "ConTurE"}
    said = json.loads((DATA / "published_figures.json").read_text())
    counts = pd.Series([one["dataset"] for one in said if one["dataset"] in of_these]).value_counts()
    assert dict(counts) == {"LLMBar": len(LLMBAR), "OpenQA-eval": 5, "SummEval": 8, "ConTurE": 1} and len(LLMBAR) == 9


def test_dices_experts_with_the_crowd_and_the_crowd_with_itself():
    rated = pd.read_parquet(DATA / "judge" / "dices_safety.parquet").set_index(["source", "item_id"])
    safe = rated["majority_safe"].eq("Yes").unstack("source")
    found = agreement(
        tables_of(safe["dices_350_expert"].astype(float), safe["dices_350_crowdsourced"].astype(float)), cohens_kappa
    )
    assert isinstance(found, Estimate) and len(safe) == 350
    votes = [list(one) for one in rated.loc["dices_350_crowdsourced", "rater_labels"]]
    scores = np.full((len(votes), max(map(len, votes))), np.nan)
    for row, given in enumerate(votes):
        scores[row, : len(given)] = [{"Yes": 1, "No": 0}.get(vote, np.nan) for vote in given]
    alpha = agreement(coincidences_of(scores), nominal_alpha)
    assert isinstance(alpha, Estimate)
    # No published value: people are far from one mind about what is safe.
    assert 0 < alpha.low < alpha.value < alpha.high < 0.5 and found.low < found.value < found.high
