import time
from collections import Counter
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.signals.detectors.interface import FOUND
from onlineeval_dagster.signals.detectors.registry import DETECTORS
from onlineeval_dagster.simulate.traffic import simulate

ENDLESS = "We will look into the matter of your parcel and then call you about the"


def found(name: str, *answers: str | None, finish_reason: str | None = None) -> list[dict]:
    table = pa.table(
        {
            "response_id": [f"r{place}" for place in range(len(answers))],
            "response": pa.array(answers, pa.string()),
            "finish_reason": pa.array([finish_reason] * len(answers), pa.string()),
        }
    )
    return DETECTORS[name].score(table).to_pylist()


def flags(name: str, *answers: str | None, finish_reason: str | None = None) -> list[bool]:
    return [row["flagged"] for row in found(name, *answers, finish_reason=finish_reason)]


@pytest.mark.parametrize("detector", DETECTORS.values(), ids=DETECTORS)
class TestEveryDetector:
    def test_knows_its_name_its_columns_and_its_blind_spot(self, detector):
        assert DETECTORS[detector.name] is detector
        assert set(detector.needs) <= set(Response.model_fields)
        assert detector.version and detector.cannot_see and detector.cost_us > 0

    @settings(max_examples=60, deadline=None)
    @given(answers=st.lists(st.none() | st.text(max_size=300), max_size=6))
    def test_gives_one_row_an_answer_in_order_whatever_the_text(self, detector, answers):
        ids = [f"r{place}" for place in range(len(answers))]
        nulls = pa.nulls(len(answers), pa.string())
        table = pa.table({"response_id": pa.array(ids, pa.string()), "response": pa.array(answers, pa.string())})
        result = detector.score(table.append_column("finish_reason", nulls))
        assert result.schema == FOUND
        assert result.column("response_id").to_pylist() == ids
        for row in result.to_pylist():
            assert row["flagged"] == (row["score"] is not None) == (row["reason"] is not None)
            assert row["score"] is None or -1 <= row["score"] < 0

    def test_says_the_same_of_a_table_in_pieces(self, detector):
        answers = ["I'm sorry, but I can't help with that.", "Yes, within 30 days.", "", ENDLESS] * 3
        whole = pa.table({"response_id": [str(i) for i in range(12)], "response": answers})
        whole = whole.append_column("finish_reason", pa.array(["stop"] * 12))
        pieces = pa.concat_tables([whole.slice(0, 5), whole.slice(5, 0), whole.slice(5)])
        assert detector.score(pieces).to_pylist() == detector.score(whole).to_pylist()

    def test_finds_no_fault_in_a_good_answer(self, detector):
        good = (
            "You can return the kettle within 30 days of delivery.",
            "I am sorry to hear that your kettle arrived broken. Please send us two photos.",
            "Bobby Scott",
            "Unfortunately we cannot ship to post office boxes, but to any other address in 15 countries.",
            "- wash at 30 degrees\n- dry flat\n- do not bleach the wool blanket and keep it away from heat",
            "See https://shop.example/returns",
            "Batterien können nicht zurückgegeben werden, alles andere innerhalb von 30 Tagen.",
            "La batería no está cubierta, lo demás tiene 24 meses de garantía.",
            "おはようございます。三十日以内に返品できます。",
        )
        assert flags(detector.name, *good, finish_reason="stop") == [False] * len(good)


def test_answers_that_decline_are_found_in_six_languages():
    declining = (
        "I'm sorry, but I can’t help with that.",
        "As an AI language model, I do not have access to real-time data. Please check a search engine.",
        "I am unable to answer this question.",
        "Unfortunately, I don't have any information about that.",
        "Dabei kann ich Ihnen leider nicht helfen.",
        "Leider habe ich dazu keine Informationen.",
        "Lo siento, no puedo ayudarle con eso.",
        "Je suis désolé, je ne peux pas répondre à cette question.",
        "Mi dispiace, non posso rispondere.",
        "Desculpe, não posso ajudar com isso.",
    )
    assert flags("refusal_or_empty", *declining) == [True] * len(declining)


def test_an_answer_that_declines_one_thing_and_delivers_another_is_no_refusal():
    helping = (
        "I'm sorry, as an AI language model, I cannot create charts. However, I can give you the figures: 2019: 96 %.",
        "As an AI language model, I don't have preferences, but here are two good colours: blue and green.",
        "I cannot convert currencies. However, as of today one dollar is about 0.92 euros.",
    )
    assert flags("refusal_or_empty", *helping) == [False] * 3
    elsewhere = "I do not have the ability to make images. However, you can use a drawing program."
    assert flags("refusal_or_empty", elsewhere) == [True]


def test_a_refusal_far_behind_the_opening_is_not_looked_for():
    long = "The kettle holds two litres and boils them in three minutes. " * 5 + "I cannot help with the toaster."
    assert flags("refusal_or_empty", long) == [False]


def test_empty_blank_and_missing_answers_are_empty():
    rows = found("refusal_or_empty", "", " \n\t ", None)
    assert [(row["flagged"], row["score"], row["reason"]) for row in rows] == [(True, -1.0, "empty")] * 3


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ENDLESS, "no end"),
        ("Here is the list of what we found in the warehouse: kettle, toaster,", "no end"),
        ("Sie können den Artikel innerhalb von 30 Tagen nach der Lieferung mit der", "no end"),
        ("```python\nprint('hello')", "open code block"),
    ],
)
def test_answers_that_break_off_are_found(answer, reason):
    assert [row["reason"] for row in found("truncated", answer, finish_reason="stop")] == [reason]


def test_an_answer_at_the_models_limit_is_cut_off_however_it_ends():
    assert flags("truncated", "A whole sentence.", finish_reason="length") == [True]
    assert flags("truncated", "A whole sentence.", finish_reason=None) == [False]


def test_verse_and_closed_code_need_no_full_stop():
    poem = (
        "In the deep blue sky so very high above the silent town\n"
        "the stars that we have counted twice are slowly falling down"
    )
    assert flags("truncated", poem, "Run this:\n```\nls\n```", "It is done, have a lovely day 🎉") == [False] * 3


def test_the_share_of_repeated_sentences_is_the_raw_value():
    same = "Please contact our support team. "
    rows = found("repetition", same * 4, same + "Returns are free within thirty days. " + same, "Short. Short. Short.")
    assert [row["raw_value"] for row in rows] == [pytest.approx(3 / 4), pytest.approx(1 / 3), 0.0]
    assert [row["flagged"] for row in rows] == [True, False, False]


def test_on_simulated_truth_the_detectors_find_their_kind_and_little_else():
    simulation = simulate(days=3, start=datetime(2026, 11, 9, tzinfo=UTC), seed=3)
    answers = [e for e in simulation.events if isinstance(e, Response) and e.response_id in simulation.truth.qualities]
    columns = ("response_id", "response", "finish_reason")
    table = pa.table({name: [getattr(answer, name) for answer in answers] for name in columns})
    for name, kind in (("refusal_or_empty", "refusal"), ("truncated", "cut_off")):
        flagged = DETECTORS[name].score(table).column("flagged").to_pylist()
        seen = Counter(
            (simulation.truth.qualities[answer.response_id] == kind, hit)
            for answer, hit in zip(answers, flagged, strict=True)
        )
        assert seen[True, True] / (seen[True, True] + seen[False, True]) > 0.95, "precision"
        assert seen[True, True] / (seen[True, True] + seen[True, False]) > 0.85, "recall"


@pytest.mark.parametrize("name", DETECTORS)
def test_a_core_reads_many_thousand_answers_a_second(name):
    sentence = "The parcel number {} was handed to the carrier in Hamburg on day {} of the month, as agreed. "
    answers = ["".join(sentence.format(i, j) for j in range(13)) for i in range(4_000)]
    table = pa.table({"response_id": [str(i) for i in range(4_000)], "response": answers})
    table = table.append_column("finish_reason", pa.array(["stop"] * 4_000))
    best = float("inf")
    for _ in range(3):
        begun = time.process_time()
        flagged = DETECTORS[name].score(table).column("flagged")
        best = min(best, time.process_time() - begun)
    assert pc.sum(flagged).as_py() == 0
    # 50,000 a second is what the benchmark shows; a busy machine under test may be half as fast.
    assert 4_000 / best > 25_000
