"""Groundedness on answers made to be false, beside what needs no detector; relevance on answers to other questions."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onlineeval_dagster.contracts.estimates import Estimate
from onlineeval_dagster.sampling.chance import unit_interval
from onlineeval_dagster.signals.agreement import auc, stratified_auc
from onlineeval_dagster.signals.detectors.registry import DETECTORS
from onlineeval_dagster.signals.evaluate import LENGTH, OVERLAP, baselines, detected, length_strata

DATA = Path(__file__).parents[3] / "shared" / "data"
QA, GENERAL = DATA / "grounding" / "halueval_qa.parquet", DATA / "grounding" / "halueval_general.parquet"
missing = [str(file) for file in (QA, GENERAL) if not file.exists()]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"real data is not there: {', '.join(missing)}")

DEVELOPED_ON = 1 / 3


@pytest.fixture(scope="module")
def reported() -> pa.Table:
    """The questions that the detector was not developed on: about two thirds, by their hash."""
    table = pq.read_table(QA)
    asked = table.column("question").to_pylist()
    held_out = table.filter(pa.array([unit_interval(text, "halueval_qa") >= DEVELOPED_ON for text in asked]))
    held_out = held_out.rename_columns({"question": "query", "answer": "response"})
    ids = pa.array([f"r{place}" for place in range(held_out.num_rows)])
    return held_out.append_column("response_id", ids)


def alike_in_length(table: pa.Table, value: np.ndarray) -> Estimate:
    known = ~np.isnan(value)
    hallucinated = table.column("hallucination").to_numpy(zero_copy_only=False)
    found = stratified_auc(value[known], hallucinated[known], length_strata(table)[known])
    assert isinstance(found, Estimate)
    return found


def test_among_answers_of_one_length_it_tells_invented_ones_better_than_word_overlap_does(reported):
    grounded = detected(DETECTORS["lexical_groundedness"], reported)
    beside = {each.name: each.value for each in baselines(reported, against="context")}
    assert np.mean(~np.isnan(grounded.value)) > 0.9
    known = ~np.isnan(grounded.value) & ~np.isnan(beside[OVERLAP])
    same_rows = reported.filter(pa.array(known))
    ours, words, length = (
        alike_in_length(same_rows, value[known]) for value in (grounded.value, beside[OVERLAP], beside[LENGTH])
    )
    assert length.value < 0.6
    assert ours.value > words.value
    assert ours.low > 0.8


def test_it_flags_hardly_any_answer_that_is_the_contexts_own(reported):
    flagged = detected(DETECTORS["lexical_groundedness"], reported).flagged
    assert flagged is not None
    invented = reported.column("hallucination").to_numpy(zero_copy_only=False)
    assert flagged[~invented].mean() < 0.02
    assert flagged[invented].mean() > 0.1


def test_without_a_context_it_says_nothing():
    table = pq.read_table(GENERAL, columns=["query", "response"])
    ids = pa.array([f"r{place}" for place in range(table.num_rows)])
    told = detected(DETECTORS["lexical_groundedness"], table.append_column("response_id", ids))
    assert np.isnan(told.value).all()
    assert told.flagged is not None and not told.flagged.any()


def test_answers_of_other_questions_are_less_relevant():
    table = pq.read_table(GENERAL, columns=["query", "response"])
    kept = [unit_interval(text, "relevance") >= 0.5 for text in table.column("query").to_pylist()]
    queries, answers = (table.filter(pa.array(kept)).column(name).to_pylist() for name in ("query", "response"))
    count = len(queries)
    ids = [f"r{place}" for place in range(2 * count)]
    both = pa.table({"response_id": ids, "query": queries * 2, "response": answers + answers[1:] + answers[:1]})
    told = detected(DETECTORS["lexical_relevance"], both)
    known = ~np.isnan(told.value)
    of_another = np.arange(2 * count) >= count
    found = auc(told.value[known], of_another[known])
    assert known.mean() > 0.95
    assert isinstance(found, Estimate) and found.low > 0.85
    assert told.flagged is not None and told.flagged[:count].mean() < 0.01
