"""Doubt in words, in six languages, and in the probabilities a producer sent."""

import json
import math

import pytest

from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.signals.detectors.registry import DETECTORS
from tests.signals.batches import batch
from tests.worlds import NOON, answer

CONFIDENCE = DETECTORS["low_confidence"]


def row(response, attributes="{}"):
    return CONFIDENCE.score(batch(CONFIDENCE.needs, response=[response], attributes=[attributes])).to_pylist()[0]


@pytest.mark.parametrize(
    "doubting",
    [
        "I'm not sure, but returns take about 30 days.",
        "As far as I know, it holds two litres.",
        "I cannot verify that. Please ask the shop.",
        "Don’t quote me on that, it was 1998.",
        "Ich bin mir nicht ganz sicher, aber es dürften 30 Tage sein.",
        "Soweit ich weiß, fasst er zwei Liter.",
        "No estoy seguro, pero creo que son 30 días.",
        "Hasta donde sé, son dos litros.",
        "Je ne suis pas sûre, peut-être 30 jours.",
        "À ma connaissance, il contient deux litres.",
        "Non sono sicuro, forse trenta giorni.",
        "Per quanto ne so, contiene due litri.",
        "Não tenho certeza, talvez 30 dias.",
        "Até onde sei, são dois litros.",
    ],
)
def test_an_answer_that_doubts_itself_is_found_in_six_languages(doubting):
    found = row(doubting)
    assert (found["flagged"], found["score"], found["reason"]) == (True, -0.4, "doubts what it says")


@pytest.mark.parametrize(
    "sound",
    [
        "I think so too!",
        "Perhaps you would like the blue one.",
        "Make sure that the lid is closed, and if you are not sure, send us a photo.",
        "I'm not sure I agree with that.",
        "Ich denke, das passt gut zu Ihnen.",
        "Creo que le va a gustar.",
        "Surely. It is certain that the parcel arrives on Monday.",
        "",
    ],
)
def test_politeness_advice_and_a_manner_of_speaking_are_no_doubt(sound):
    assert not row(sound)["flagged"]


def test_the_raw_value_is_the_share_of_sentences_and_a_hedge_counts_less():
    plain = "It holds two litres. "
    assert row(plain * 3 + "I am not sure about the lid.")["raw_value"] == pytest.approx(1 / 4)
    assert row(plain + "Perhaps it is blue.")["raw_value"] == pytest.approx(0.3 / 2)
    assert row(plain * 4)["raw_value"] == 0.0
    # Twice in one sentence is one sentence, and a number's point ends none.
    assert row("I'm not sure, really not sure, I might be wrong: 2.5 litres. " + plain)["raw_value"] == pytest.approx(
        0.5
    )
    assert row("I'm not sure")["raw_value"] == 1.0
    assert row("- I am not sure\n- it is blue\n- it is big\n- it is new")["raw_value"] == pytest.approx(1 / 4)


@pytest.mark.parametrize("name", ["avg_logprob", "mean_logprob", "average_log_prob"])
@pytest.mark.parametrize(("logprob", "flagged"), [(-0.2, False), (-0.99, False), (-1.01, True), (-4, True), (0, False)])
def test_tokens_that_were_improbable_to_the_model_are_low_confidence(name, logprob, flagged):
    found = row("Two litres.", json.dumps({name: logprob, "other": 1}))
    assert found["flagged"] == flagged
    assert found["raw_value"] == pytest.approx(1 - math.exp(logprob))


@pytest.mark.parametrize(
    "attributes", ['{"avg_logprob": "low"}', '{"avg_logprob": 3.5}', '{"avg_logprob": null}', "{}", None]
)
def test_what_is_no_log_probability_says_nothing(attributes):
    assert (row("Two litres.", attributes)["raw_value"], row("Two litres.", attributes)["flagged"]) == (0.0, False)


def test_a_field_that_no_contract_knows_reaches_the_detector():
    sent = answer(1).model_dump(mode="json", exclude={"attributes"}) | {"avg_logprob": -2.5}
    event = Response.model_validate_json(json.dumps(sent))
    assert event.occurred_at == NOON
    table = to_table([event], Response).select(["response_id", *CONFIDENCE.needs])
    assert CONFIDENCE.score(table).column("reason").to_pylist() == ["improbable to the model itself"]
