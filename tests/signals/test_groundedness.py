from collections import Counter
from datetime import UTC, datetime

import pytest

from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.signals.detectors.groundedness import CONTEXT, DETECTOR, LOOKED_AT
from onlineeval_dagster.simulate.traffic import simulate
from tests.signals.batches import batch

RETURNS = (
    "Returns. Unused goods may be returned within 30 days of delivery. The refund of up to 1,200 euros is paid "
    "within five days. Batteries and food are excluded. Large parcels are collected by Hansen Logistik."
)


def said(answer: str | None, context: str | None = RETURNS, query: str | None = "How do returns work?") -> dict:
    return DETECTOR.score(batch(DETECTOR.needs, response=[answer], context=[context], query=[query])).to_pylist()[0]


def value(answer: str | None, context: str | None = RETURNS, query: str | None = "How do returns work?") -> float:
    return said(answer, context, query)["raw_value"]


def test_a_sentence_of_the_context_is_wholly_grounded_whatever_its_case_endings_and_marks():
    assert value("Unused goods may be returned within 30 days of delivery.") == 1
    assert value("unused good may be returned, within 30 days of delivery!") == 1


def test_the_more_of_an_answer_is_in_the_context_the_more_grounded_it_is():
    answers = (
        "Unused goods may be returned within 30 days of delivery.",
        "You can send unused goods back within 30 days of delivery.",
        "You can send goods back, and then we refund what you paid.",
        "Please drive to the harbour and ask a fisherman for advice.",
    )
    values = [value(answer) for answer in answers]
    assert values == sorted(values, reverse=True) and len(set(values)) == 4
    assert values[0] == 1 and values[-1] == 0


def test_the_words_of_the_context_in_another_order_are_another_claim():
    assert value("Batteries and food are excluded.") == 1
    assert value("Refund excluded delivery; food collected batteries.") == 0.5


def test_what_the_question_says_already_is_no_support():
    question = "Who directed the musical that was filmed in Howth?"
    context = "Sing Street, filmed in Howth, is a musical. It was directed by John Carney."
    assert value("The musical that was filmed in Howth was directed by Steven Spielberg.", context, question) == 0
    assert value("The musical that was filmed in Howth was directed by John Carney.", context, question) == 1


@pytest.mark.parametrize(
    ("answer", "context", "query"),
    [
        ("It takes 30 days.", None, "How long?"),
        ("It takes 30 days.", "", "How long?"),
        ("It takes 30 days.", " \n … ", "How long?"),
        ("", RETURNS, "How long?"),
        (None, RETURNS, "How long?"),
        ("Yes.", RETURNS, "Is that so?"),
        ("🎉 !!!", RETURNS, "Is that so?"),
        (
            "Unbenutzte Ware kann man innerhalb von 99 Tagen zurückgeben, und das Geld ist dann bald da.",
            RETURNS,
            "Wie?",
        ),
        ("It takes 99 days.", "word " * (CONTEXT // 5) + "and more", "How long?"),
    ],
    ids=["no context", "empty", "marks", "empty answer", "no answer", "yes", "emoji", "other language", "too long"],
)
def test_where_it_cannot_tell_it_says_so(answer, context, query):
    row = said(answer, context, query)
    assert (row["raw_value"], row["flagged"], row["score"], row["reason"]) == (None, False, None, None)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("You can return goods within 45 days.", "1 number not in the context"),
        ("You get up to 2,500 euros within 6 days.", "2 numbers not in the context"),
        ("The parcels are collected by Nordic Freight every day.", "a name that is not in the context"),
    ],
)
def test_numbers_and_names_that_nobody_gave_are_flagged_by_kind(answer, reason):
    row = said(answer)
    assert (row["flagged"], row["reason"]) == (True, reason)
    assert row["score"] == min(row["raw_value"] - 1, -0.5)


def test_numbers_are_compared_by_value_in_figures_and_words():
    for answer in (
        "The refund of up to 1200 euros is paid within 5 days.",
        "The refund of up to 1.200 euros is paid within five days.",
        "The refund of up to €1,200.00 is paid within 5 days.",
    ):
        assert not said(answer)["flagged"]
    for given, told in (("1.5 km", "1,5 km"), ("5 kg", "5kg"), ("a 5% fee", "a fee of 5 %"), ("12 steps", "zwölf")):
        assert not said(f"It says: {told}", f"The paper says {given} there.", "What does it say?")["flagged"]
    assert said("It says 1.5 there.", "The paper says 15 there.")["flagged"]


def test_numbers_of_the_question_list_marks_and_little_ones_are_no_claims():
    assert not said("For 75 euros you are covered.", query="I paid 75 euros, may I return it?")["flagged"]
    steps = "4. Unused goods may be returned.\n5. The refund is paid.\n6. Batteries are excluded."
    assert not said(steps)["flagged"]
    assert not said("There are 2 ways: unused goods may be returned, batteries are excluded.")["flagged"]


def test_headings_and_german_nouns_are_no_names():
    assert not said("## Our Friendly Overview\nUnused goods may be returned within 30 days.")["flagged"]
    german = "Rückgabe. Unbenutzte Ware kann innerhalb von 30 Tagen zurückgegeben werden."
    answer = "Innerhalb von 30 Tagen kann die Ware in jeder Filiale oder beim Paketdienst abgegeben werden."
    assert not said(answer, german, "Wie geht das?")["flagged"]


def test_a_long_answer_about_something_else_is_flagged_a_short_one_may_be_small_talk():
    elsewhere = "Our harbour tour visits old fishing villages, a lighthouse, rocky islands and quiet sandy beaches. "
    assert said(elsewhere)["flagged"] is False
    assert said(elsewhere * 3)["reason"] == "most of its words are not in the context"


def test_scripts_without_spaces_are_compared_by_neighbouring_letters():
    context = "未使用の商品は三十日以内に返品できます。電池は対象外です。"
    assert value("三十日以内に返品できます。", context, "返品は？") == 1
    assert value("電池は対象外です。", context, "返品は？") == 1
    assert value("港まで歩いて魚を買います。", context, "返品は？") < 0.3


def test_only_the_beginning_of_a_long_answer_is_looked_at():
    filler = "Unused goods may be returned. " * (LOOKED_AT["response"] // 30 + 1)
    assert not said(filler + "It takes 99 days.")["flagged"]


def test_rows_of_many_pieces_come_back_in_order():
    count = 300
    contexts = [f"Parcel {place} weighs {place + 1_000} grams. " + "Filler text. " * 2_000 for place in range(count)]
    answers = [f"It weighs {place + 1_000 + place % 2} grams." for place in range(count)]
    table = batch(DETECTOR.needs, response=answers, context=contexts, query=["How heavy?"] * count)
    assert DETECTOR.score(table).column("flagged").to_pylist() == [place % 2 == 1 for place in range(count)]


def test_on_simulated_truth_invented_facts_are_found_and_good_answers_left_alone():
    simulation = simulate(days=2, start=datetime(2026, 11, 9, tzinfo=UTC), seed=3)
    answers = [e for e in simulation.events if isinstance(e, Response) and e.response_id in simulation.truth.qualities]
    columns = {name: [getattr(answer, name) for answer in answers] for name in DETECTOR.needs}
    flagged = DETECTOR.score(batch(DETECTOR.needs, **columns)).column("flagged").to_pylist()
    kinds = [simulation.truth.qualities[answer.response_id] for answer in answers]
    seen, all_of = Counter(kind for kind, hit in zip(kinds, flagged, strict=True) if hit), Counter(kinds)
    assert all_of["unsupported"] > 200 and all_of["good"] > 5_000
    assert seen["unsupported"] / all_of["unsupported"] > 0.9
    assert seen["good"] / all_of["good"] < 0.005
