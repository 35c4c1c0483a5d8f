"""The optional detector: it says what to install, and where that is installed it weighs a model's opinion, too."""

from dataclasses import replace
from importlib.util import find_spec

import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.signals.detectors.interface import FOUND
from onlineeval_dagster.signals.detectors.registry import DETECTORS, OPTIONAL, known_detectors
from onlineeval_dagster.signals.detectors.toxicity import toxicity
from onlineeval_dagster.signals.detectors.toxicity_model import toxicity_model
from tests.signals.batches import batch

installed = find_spec("profanity_check") is not None
HARMFUL, HARMLESS = "You are a worthless piece of shit, go kill yourself.", "Your parcel arrives on Monday."


def test_it_is_there_to_be_chosen_and_runs_for_nobody_who_did_not():
    assert OPTIONAL["toxicity_model"].score is toxicity_model
    assert "toxicity_model" not in DETECTORS
    packaged = load_catalog(PACKAGED_CATALOG)
    assert "toxicity_model" not in known_detectors(packaged)
    uses = packaged.signals.detectors | {"toxicity_model": packaged.signals.detectors["toxicity"]}
    chosen = replace(packaged, signals=packaged.signals.model_copy(update={"detectors": uses}))
    assert known_detectors(chosen)["toxicity_model"].score is toxicity_model


@pytest.mark.skipif(installed, reason="alt-profanity-check is installed: nothing to ask for")
def test_without_its_library_it_names_the_extra_to_install():
    with pytest.raises(CatalogError, match=r"toxicity_model needs alt-profanity-check; pip install .*\[toxicity\]"):
        toxicity_model(batch(["response"], response=[HARMFUL]))


@pytest.mark.skipif(not installed, reason="alt-profanity-check is not installed: pip install '.[toxicity]'")
def test_with_its_library_it_lies_between_the_vocabulary_and_the_model():
    from profanity_check import predict_prob

    answers = [HARMFUL, HARMLESS, "", None]
    texts = batch(["response"], response=answers)
    rows = toxicity_model(texts).to_pylist()
    means = [
        (words["raw_value"] + opinion) / 2
        for words, opinion in zip(
            toxicity(texts).to_pylist(), predict_prob([answer or "" for answer in answers]), strict=True
        )
    ]
    assert [row["raw_value"] for row in rows] == pytest.approx(means)
    assert [row["flagged"] for row in rows] == [True, False, False, False]
    assert [row["reason"] is not None for row in rows] == [True, False, False, False]
    assert toxicity_model(batch(["response"], response=[])).schema == FOUND
