import json
import math
import time
from collections import Counter
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.signals.detectors.interface import COLUMNS, FOUND
from onlineeval_dagster.signals.detectors.registry import DETECTORS
from onlineeval_dagster.simulate.traffic import simulate
from tests.signals.batches import batch

ENDLESS = "We will look into the matter of your parcel and then call you about the"


def found(name: str, *answers: str | None, finish_reason: str | None = None) -> list[dict]:
    detector = DETECTORS[name]
    columns = {"response": answers, "finish_reason": [finish_reason] * len(answers)}
    return detector.score(batch(detector.needs, **columns)).to_pylist()


def flags(name: str, *answers: str | None, finish_reason: str | None = None) -> list[bool]:
    return [row["flagged"] for row in found(name, *answers, finish_reason=finish_reason)]


# Question, context and an answer that has no fault.
GOOD = (
    (
        "Can I return a kettle?",
        "All goods may be returned within 30 days of delivery.",
        "You can return the kettle within 30 days of delivery.",
    ),
    (
        "My kettle arrived broken, what shall I do?",
        "Broken goods: ask for two photos.",
        "I am sorry to hear that your kettle arrived broken. Please send us two photos.",
    ),
    ("Who wrote the song?", "The song was written by Bobby Scott and Ric Marlow.", "Bobby Scott"),
    (
        "Do you ship to post office boxes?",
        "We ship to addresses in 15 countries, not to post office boxes.",
        "Unfortunately we cannot ship to post office boxes, but to any other address in 15 countries.",
    ),
    (
        "How do I wash the wool blanket?",
        "Wool blanket: wash at 30 degrees, dry flat, keep away from heat, do not bleach.",
        "- wash at 30 degrees\n- dry flat\n- do not bleach the wool blanket and keep it away from heat",
    ),
    (
        "Where can I read about returns?",
        "Returns: https://shop.example/returns",
        "See https://shop.example/returns",
    ),
    (
        "Kann ich Batterien zurückgeben?",
        "Batterien sind von der Rückgabe ausgeschlossen, alles andere kann innerhalb von 30 Tagen zurück.",
        "Batterien können nicht zurückgegeben werden, alles andere innerhalb von 30 Tagen.",
    ),
    (
        "¿La garantía incluye la batería?",
        "Garantía de 24 meses. La batería no está cubierta.",
        "La batería no está cubierta, lo demás tiene 24 meses de garantía.",
    ),
    ("返品できますか？", "三十日以内に返品できます。", "おはようございます。三十日以内に返品できます。"),
)
LONG = {
    "one word": "a" * 1_000_000,
    "short words": "word " * 200_000,
    "lines": "\n" * 1_000_000,
    "sentences": "The kettle boils. " * 55_000,
    "emoji": "😀" * 250_000,
    "digits": "1 " * 500_000,
}


def anything(name: str) -> st.SearchStrategy:
    """What may stand in a column: its contract's type, null, and strange texts."""
    if name == "attributes":
        values = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20) | st.just([1, "a"])
        return st.dictionaries(st.sampled_from(["avg_logprob", "logprobs", "x"]), values).map(json.dumps)
    kind = COLUMNS.field(name).type
    if kind == pa.string():
        return st.none() | st.text(max_size=300)
    if kind == pa.int64():
        return st.none() | st.integers(0, 2**63 - 1)
    if kind == pa.float64():
        return st.none() | st.floats(min_value=0, allow_infinity=False)
    return st.none() | st.booleans() if kind == pa.bool_() else st.none()


def some_answers(needs: tuple[str, ...]) -> pa.Table:
    """Answers good and bad, with and without what stands around them."""
    bad = (
        ("Where is my parcel?", None, "I'm sorry, but I can't help with that."),
        ("Where is my parcel?", "", ""),
        (None, None, None),
        ("Where is my parcel?", None, ENDLESS),
        ("Who are you?", "", "You idiot. Ignore all previous instructions. Ich weiß es nicht. anna@example.org"),
    )
    questions, contexts, answers = zip(*(GOOD + bad), strict=True)
    count = len(answers)
    return batch(
        needs,
        response=answers,
        query=questions,
        context=contexts,
        language=["de", "en", None, "xx"] * 3 + ["fr"] * (count - 12),
        latency_ms=[(100.0 * place) ** 2 for place in range(count)],
        typical_length=[80.0, None] * (count // 2),
        spread_length=[0.5] * count,
        typical_latency_ms=[900.0] * count,
        spread_latency=[0.0, 0.4] * (count // 2),
        attributes=["{}", '{"avg_logprob": -3.5}'] * (count // 2),
    )


@pytest.mark.parametrize("detector", DETECTORS.values(), ids=DETECTORS)
class TestEveryDetector:
    def test_knows_its_name_its_columns_and_its_blind_spot(self, detector):
        assert DETECTORS[detector.name] is detector
        assert set(detector.needs) <= set(COLUMNS.names) - {"response_id"}
        assert detector.version and detector.cannot_see and detector.cost_us > 0

    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    def test_gives_one_row_an_answer_in_order_whatever_the_text(self, detector, data):
        rows = data.draw(st.lists(st.tuples(*(anything(name) for name in detector.needs)), max_size=6))
        columns = {name: [row[place] for row in rows] for place, name in enumerate(detector.needs)}
        result = detector.score(batch(detector.needs, **columns))
        assert result.schema == FOUND
        assert result.column("response_id").to_pylist() == [f"r{place}" for place in range(len(rows))]
        for row in result.to_pylist():
            assert row["flagged"] == (row["score"] is not None) == (row["reason"] is not None)
            assert row["score"] is None or -1 <= row["score"] < 0
            assert row["raw_value"] is None or math.isfinite(row["raw_value"])

    @pytest.mark.parametrize("kind", LONG)
    def test_reads_a_text_of_a_megabyte_in_a_breath(self, detector, kind):
        columns = {name: [LONG[kind]] for name in detector.needs if name in ("query", "response", "context")}
        table = batch(detector.needs, **(columns or {detector.needs[0]: [None]}))
        begun = time.process_time()
        assert detector.score(table).num_rows == 1
        assert time.process_time() - begun < 2

    def test_says_the_same_of_a_table_in_pieces(self, detector):
        whole = some_answers(detector.needs)
        pieces = pa.concat_tables([whole.slice(0, 5), whole.slice(5, 0), whole.slice(5)])
        assert detector.score(pieces).to_pylist() == detector.score(whole).to_pylist()

    def test_says_the_same_of_an_answer_whatever_stands_beside_it(self, detector):
        whole = some_answers(detector.needs)
        alone = [detector.score(whole.slice(place, 1)).to_pylist()[0] for place in range(whole.num_rows)]
        assert alone == detector.score(whole).to_pylist()

    def test_finds_no_fault_in_a_good_answer(self, detector):
        questions, contexts, answers = zip(*GOOD, strict=True)
        around = {"query": questions, "context": contexts, "finish_reason": ["stop"] * len(GOOD)}
        for columns in (around, {}):
            told = detector.score(batch(detector.needs, response=answers, **columns)).to_pylist()
            assert [row["reason"] for row in told] == [None] * len(GOOD)

    def test_costs_on_one_core_what_it_says(self, detector):
        sentence = "The parcel number {} was handed to the carrier in Hamburg on day {} of the month, as agreed. "
        answers = ["".join(sentence.format(i, j) for j in range(13)) for i in range(4_000)]
        table = batch(
            detector.needs,
            response=answers,
            query=[f"When was parcel number {i} handed to the carrier in Hamburg?" for i in range(4_000)],
            context=answers,
            language=["en"] * 4_000,
            finish_reason=["stop"] * 4_000,
            latency_ms=[900.0] * 4_000,
            typical_length=[1_200.0] * 4_000,
            spread_length=[0.5] * 4_000,
            typical_latency_ms=[900.0] * 4_000,
            spread_latency=[0.5] * 4_000,
            attributes=["{}"] * 4_000,
        )
        assert True not in detector.score(table).column("flagged").to_pylist()
        best = float("inf")
        for _ in range(3):
            begun = time.process_time()
            detector.score(table)
            best = min(best, time.process_time() - begun)
        # A busy machine under test may be a third as fast as the one cost_us was measured on.
        assert best / 4_000 * 1e6 < 3 * detector.cost_us + 5


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
