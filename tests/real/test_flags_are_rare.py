"""On public answers of chatbots, most of them without these faults, hardly any is flagged."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from onlineeval_dagster.signals.detectors.registry import DETECTORS
from tests.signals.batches import batch

DATA = Path(__file__).parents[3] / "shared" / "data"
SETS = {
    "conture_turns": (DATA / "judge" / "conture_turns.parquet", "user", "chatbot"),
    "halueval_general": (DATA / "grounding" / "halueval_general.parquet", "query", "response"),
    "halueval_qa": (DATA / "grounding" / "halueval_qa.parquet", "question", "answer"),
}
missing = [str(file) for file, _, _ in SETS.values() if not file.exists()]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"real data is not there: {', '.join(missing)}")


def flagged(detector, name):
    file, question, answer = SETS[name]
    table = pq.read_table(file)
    columns = {"query": table.column(question).to_pylist(), "response": table.column(answer).to_pylist()}
    lengths = np.log([len(text or "") or 1 for text in columns["response"]])
    middle = np.median(lengths)
    columns["typical_length"] = [float(np.exp(middle))] * len(lengths)
    columns["spread_length"] = [float(1.4826 * np.median(np.abs(lengths - middle)))] * len(lengths)
    columns["attributes"] = ["{}"] * len(lengths)
    columns["language"] = ["en"] * len(lengths)
    rows = detector.score(batch(detector.needs, **{each: columns[each] for each in detector.needs if each in columns}))
    return sum(rows.column("flagged").to_pylist()) / rows.num_rows


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("detector", ["language_mismatch", "leakage", "low_confidence", "length_outlier"])
def test_fewer_than_one_in_a_hundred_answers_is_flagged(detector, name):
    assert flagged(DETECTORS[detector], name) < 0.01
