"""What the embedded judge sees, and that it sees the same thing every time."""

import hashlib
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlineeval_dagster.catalog.judge_file import LOCAL_ALGORITHMS
from onlineeval_dagster.catalog.judge_reading import load_judge
from onlineeval_dagster.judges import local
from onlineeval_dagster.judges.work import WorkItem
from onlineeval_dagster.settings import PACKAGED_CATALOG

JUDGE = load_judge(PACKAGED_CATALOG / "judges" / "relevance.md")
RETURNS = "Unused articles can be returned within 30 days of delivery. We do not refund opened software."
QUESTION = "How long do I have to return the kettle?"
ANSWER = "You can return the kettle within 30 days of delivery. Print the label from your account."
CASES: list[tuple[int | None, dict[str, Any]]] = [
    (3, {"query": QUESTION, "response": ANSWER}),
    (3, {"query": QUESTION, "response": ANSWER, "context": RETURNS}),
    (3, {"query": "When did the war end?", "response": "1945"}),
    (3, {"query": "who wrote hamlet", "response": "William Shakespeare"}),
    (
        3,
        {
            "query": "How do I reset my password?",
            "response": "Resetting passwords is easy: open Settings, then Security.",
        },
    ),
    (1, {"query": QUESTION, "response": "Our shops open at nine every morning from Monday to Saturday."}),
    (
        1,
        {
            "query": QUESTION,
            "response": "I'm sorry, but I can't help with that. Ask about returning a kettle elsewhere.",
        },
    ),
    (1, {"query": QUESTION, "response": "I am not able to answer questions about returning the kettle."}),
    (1, {"query": QUESTION, "response": "Es tut mir leid, dabei kann ich Ihnen nicht helfen."}),
    (1, {"query": QUESTION, "response": ""}),
    (1, {"query": QUESTION, "response": " \n…"}),
    (2, {"query": QUESTION, "response": "You can return the kettle within 30 days of delivery. Print the label from"}),
    (2, {"query": QUESTION, "response": "No problem. You can return the kettle"}),
    (2, {"query": QUESTION, "response": ANSWER.replace("30", "90"), "context": RETURNS}),
    (2, {"query": "Do you refund opened software?", "response": "We refund opened software.", "context": RETURNS}),
    (
        3,
        {
            "query": "Do you refund opened software?",
            "response": "We do not refund opened software.",
            "context": RETURNS,
        },
    ),
    (None, {"query": "Why?", "response": ANSWER}),
    (3, {"query": "Why?", "response": ANSWER, "conversation": "user: can I return the kettle after 30 days?"}),
    (None, {"query": "", "response": ANSWER}),
]


def item(**texts: Any) -> WorkItem:
    return WorkItem(response_id="r1", response_at=datetime(2026, 11, 23, tzinfo=UTC), **texts)


@pytest.mark.parametrize(("score", "texts"), CASES)
def test_the_embedded_judge_scores_what_words_can_show(score: int | None, texts: dict[str, Any]) -> None:
    reading = local.score(JUDGE, item(**texts))
    assert reading.score == score, reading
    assert reading.error_kind == ("unreadable" if score is None else None)


def test_a_changed_score_is_a_new_algorithm_version() -> None:
    """When this fails: raise LOCAL_ALGORITHMS["overlap"], then put the new fingerprint here."""
    mixed = [
        item(query=one["query"], response=other["response"], context=one.get("context"))
        for _, one in CASES
        for _, other in CASES
    ]
    scores = "".join(str(local.score(JUDGE, work).score or "-") for work in mixed)
    fingerprint = hashlib.sha256(scores.encode()).hexdigest()[:12]
    assert (LOCAL_ALGORITHMS["overlap"], fingerprint) == ("1", "3979ecf83059")


@given(st.text(), st.text(), st.none() | st.text(), st.none() | st.text())
def test_no_text_makes_it_raise_and_it_repeats_itself(
    query: str, response: str, context: str | None, conversation: str | None
) -> None:
    work = item(query=query, response=response, context=context, conversation=conversation)
    reading = local.score(JUDGE, work)
    assert (reading.score is None) == (reading.error_kind is not None)
    assert reading.score in (None, 1, 2, 3)
    assert local.score(JUDGE, work) == reading


def test_it_scores_on_the_scale_of_its_file() -> None:
    binary = replace(JUDGE, scale={0: "no", 1: "yes"}, good_from=1)
    of_five = replace(JUDGE, scale={step: str(step) for step in range(1, 6)}, good_from=4)
    levels = [work for score, work in CASES if score is not None]
    expected = [score for score, _ in CASES if score is not None]
    assert [local.score(binary, item(**work)).score for work in levels] == [int(score == 3) for score in expected]
    assert [local.score(of_five, item(**work)).score for work in levels] == [2 * score - 1 for score in expected]


def test_long_texts_do_not_hold_up_the_rest() -> None:
    for text in (
        "word " * 200_000,
        "a" * 10**6,
        "." * 10**6,
        "\n" * 10**6,
        "1." * 10**6,
        "sorry " * 200_000,
        "the cat sat down. " * 9_000,
    ):
        started = time.process_time()  # what others do on the machine does not count
        local.score(JUDGE, item(query=text, response=text, context=text))
        assert time.process_time() - started < 4.0
