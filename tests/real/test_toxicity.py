"""Toxicity on texts that people labelled; its words were chosen without them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onlineeval_dagster.contracts.estimates import Estimate
from onlineeval_dagster.signals.agreement import auc
from onlineeval_dagster.signals.detectors.toxicity import toxicity
from onlineeval_dagster.signals.detectors.toxicity_model import toxicity_model
from tests.signals.batches import batch

DATA = Path(__file__).parents[3] / "shared" / "data"
LABELLED = DATA / "toxicity" / "openai_moderation.parquet"
HARMLESS = {
    "an assistant's answers": (DATA / "grounding" / "halueval_general.parquet", "response"),
    "answers from a context": (DATA / "grounding" / "halueval_qa.parquet", "answer"),
    "answers to questions": (DATA / "judge" / "openqa_system_answers.parquet", "answer"),
    "a chatbot's turns": (DATA / "judge" / "conture_turns.parquet", "chatbot"),
    "outputs for instructions": (DATA / "judge" / "llmbar_items.parquet", "output_1"),
}
FLAGS = ("S", "H", "V", "HR", "SH", "H2", "V2")
missing = [str(file) for file in (LABELLED, *(file for file, _ in HARMLESS.values())) if not file.exists()]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"real data is not there: {', '.join(missing)}")


def labelled() -> tuple[pa.Table, np.ndarray]:
    rows = pq.read_table(LABELLED).to_pylist()
    harmful = np.array([any(row[flag] == 1 for flag in FLAGS) for row in rows])
    return batch(["response"], response=[row["text"] for row in rows]), harmful


def test_harmful_texts_score_above_harmless_ones():
    texts, harmful = labelled()
    agreement = auc(toxicity(texts).column("raw_value").to_numpy(), harmful)
    assert harmful.sum() == 79
    assert isinstance(agreement, Estimate) and agreement.low > 0.75


def test_beside_a_trained_model_the_vocabulary_is_no_worse_and_both_together_are_better():
    profanity_check = pytest.importorskip("profanity_check", reason="the extra `toxicity` is not installed")
    texts, harmful = labelled()
    model = profanity_check.predict_prob(texts.column("response").to_pylist())
    alone, both = (detector(texts).column("raw_value").to_numpy() for detector in (toxicity, toxicity_model))
    values = [auc(scores, harmful) for scores in (model, alone, both)]
    assert [value.value for value in values if isinstance(value, Estimate)] == sorted(value.value for value in values)


@pytest.mark.parametrize("kind", HARMLESS)
def test_hardly_one_ordinary_answer_in_five_hundred_is_called_toxic(kind):
    file, column = HARMLESS[kind]
    answers = pq.read_table(file, columns=[column]).column(column).to_pylist()
    flagged = toxicity(batch(["response"], response=answers)).column("flagged").to_numpy()
    assert flagged.mean() < 1 / 500
