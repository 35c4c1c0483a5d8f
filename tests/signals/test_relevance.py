from collections import Counter
from datetime import UTC, datetime

import pytest

from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.signals.detectors.relevance import DETECTOR, LOOKED_AT
from onlineeval_dagster.simulate.traffic import simulate
from tests.signals.batches import batch

KETTLE = "How do I clean the kettle when the water is hard?"
DESCALE = "Fill the kettle with vinegar and water, leave it for an hour, then clean it with fresh water."
HARBOUR = (
    "Our tour of the harbour takes you to the old fishing villages, past the lighthouse and on to the rocky islands, "
    "where we stop for lunch on a quiet beach and look for seals with the guide."
)


def said(answer: str | None, query: str | None = KETTLE, context: str | None = None) -> dict:
    return DETECTOR.score(batch(DETECTOR.needs, response=[answer], query=[query], context=[context])).to_pylist()[0]


def value(answer: str | None, query: str | None = KETTLE) -> float:
    return said(answer, query)["raw_value"]


def test_an_answer_with_more_of_the_questions_words_is_more_relevant():
    rather = "It is best to use vinegar for the water kettle, and then some patience."
    assert value(KETTLE) == 1
    assert 1 > value(DESCALE) > value(rather) > value(HARBOUR) == 0


def test_words_are_compared_without_case_and_ending():
    assert value("CLEANING KETTLES: harder waters") == 1
    assert value("Batterien nehmen wir zurück.", "Nehmen Sie eine alte Batterie?") > 0.4


def test_a_short_answer_of_the_kind_that_was_asked_for_is_more_relevant_than_one_of_another():
    for question, right, wrong in (
        ("When was the lighthouse built?", "In 1872.", "Bobby Scott"),
        ("How many islands are there?", "Twelve islands.", "Yes, islands."),
        ("Who wrote the song?", "Bobby Scott", "1972"),
        ("Wie viele Inseln gibt es?", "Es sind 12.", "Nein."),
    ):
        assert value(right, question) > value(wrong, question)
    assert value("Yes.", "Is the harbour open?") > 0
    assert value("A sponge.", KETTLE) is None, "the 'when' in the middle asks for no time"


@pytest.mark.parametrize(
    ("answer", "query"),
    [
        ("The kettle.", None),
        ("The kettle.", ""),
        ("The kettle.", "🎉 ?!"),
        ("The kettle.", "And what is that?"),
        (None, KETTLE),
        ("", KETTLE),
        ("… 🎉", KETTLE),
        ("Bobby Scott", "Name the writer of the song"),
    ],
)
def test_where_it_cannot_tell_it_says_so(answer, query):
    row = said(answer, query)
    assert (row["raw_value"], row["flagged"], row["score"], row["reason"]) == (None, False, None, None)


def test_prose_about_something_else_is_flagged():
    row = said(HARBOUR)
    assert (row["flagged"], row["score"], row["reason"]) == (True, -0.5, "none of the question's words")


def test_what_may_be_an_answer_in_other_words_is_not_flagged():
    assert not said(HARBOUR, "Write a lovely text for our kettle shop.")["flagged"], "a request, no question"
    assert not said(HARBOUR, "And then?")["flagged"], "the conversation before says what is asked"
    assert not said(" ".join(f"{place}. Armani" for place in "abcdefghijklmnopqrst"))["flagged"], "a list"
    assert not said("It is closed on Sundays, sorry about that.")["flagged"], "short"
    tour = "Tours. We visit fishing villages and the lighthouse and stop for lunch on a beach of the rocky islands."
    assert not said(HARBOUR, "What does the excursion include?", tour)["flagged"], "taken from the context"
    assert said(HARBOUR, KETTLE, "Kettles. Use vinegar against lime.")["flagged"]


def test_scripts_without_spaces_are_compared_by_letters():
    question = "未使用の商品は返品できますか？"
    assert value("はい、未使用の商品は返品可能です。", question) > value(
        "港まで歩いて魚を買うのが好きな人です。", question
    )


def test_only_the_beginning_of_a_long_answer_is_looked_at():
    assert value("The old harbour is closed today. " * (LOOKED_AT["response"] // 30) + KETTLE) == 0


def test_on_simulated_truth_answers_about_something_else_are_found_and_good_ones_left_alone():
    simulation = simulate(days=2, start=datetime(2026, 11, 9, tzinfo=UTC), seed=3)
    answers = [e for e in simulation.events if isinstance(e, Response) and e.response_id in simulation.truth.qualities]
    columns = {name: [getattr(answer, name) for answer in answers] for name in DETECTOR.needs}
    flagged = DETECTOR.score(batch(DETECTOR.needs, **columns)).column("flagged").to_pylist()
    kinds = [simulation.truth.qualities[answer.response_id] for answer in answers]
    seen, all_of = Counter(kind for kind, hit in zip(kinds, flagged, strict=True) if hit), Counter(kinds)
    assert all_of["off_topic"] > 200 and all_of["good"] > 5_000
    assert seen["off_topic"] / all_of["off_topic"] > 0.5
    assert seen["good"] / all_of["good"] < 0.005
