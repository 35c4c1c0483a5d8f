"""The score that a model would give on average, from the chances of its tokens."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlineeval_dagster.judges.expected import expected_score
from onlineeval_dagster.judges.rubric import read_reply
from onlineeval_dagster.judges.work import Token
from tests.judges.test_rubric import JUDGE, YES_NO


def tokens(*texts: str, chances: dict[str, float]) -> list[Token]:
    """A reply whose token at the score, the one in `chances`, has these probabilities."""
    logarithms = {text: math.log(chance) for text, chance in chances.items()}
    return [Token(text=text, chances=logarithms if text in chances else {text: 0.0}) for text in texts]


@pytest.mark.parametrize(
    ("parts", "chances", "expected"),
    [
        (["3"], {"3": 0.6, "2": 0.3, "1": 0.1}, 2.5),
        (['{"', "score", '":', " ", "3", ', "reason": "2 of 3"}'], {"3": 0.5, "1": 0.5}, 2.0),
        (["Score", ":", " 2"], {" 2": 0.5, " 3": 0.25, "2": 0.25}, 2.25),
        (["3"], {"3": 0.6, "three": 0.2, "7": 0.2}, 3.0),
        (["**", "2", "**"], {"2": 1.0}, 2.0),
    ],
)
def test_the_expected_score_weighs_each_score_by_its_chance(
    parts: list[str], chances: dict[str, float], expected: float
) -> None:
    """Worked by hand: the sum of score times chance over that of the chances, over tokens that are scores."""
    reading = read_reply(JUDGE, "".join(parts), "stop", tokens(*parts, chances=chances))
    assert reading.error_kind is None
    assert reading.expected_score == pytest.approx(expected)


def test_labels_have_an_expected_score_too() -> None:
    parts = ["Yes", ",", " it is"]
    reading = read_reply(YES_NO, "".join(parts), "stop", tokens(*parts, chances={"Yes": 0.8, "yes": 0.1, "Never": 0.1}))
    assert (reading.score, reading.expected_score) == (1, 1.0)
    reading = read_reply(YES_NO, "Yes", "stop", tokens("Yes", chances={"Yes": 0.75, "Wrong": 0.25}))
    assert reading.expected_score == 1.0


@pytest.mark.parametrize(
    ("parts", "chances"),
    [
        (["2"], {"2": 0.1, "the": 0.8}),
        (["about ", "2"], {"2": 1.0}),
    ],
)
def test_where_the_place_of_the_score_is_not_sure_there_is_no_expected_score(
    parts: list[str], chances: dict[str, float]
) -> None:
    assert expected_score(JUDGE, tokens(*parts, chances=chances), said="2") is None


@given(
    st.lists(st.tuples(st.text(), st.dictionaries(st.text(), st.floats(-50, 0)))),
    st.sampled_from(["1", "2", "yes", "no"]),
)
def test_an_expected_score_lies_within_the_scale_whatever_the_tokens(
    told: list[tuple[str, dict[str, float]]], said: str
) -> None:
    for judge in (JUDGE, YES_NO):
        found = expected_score(judge, [Token(text=text, chances=chances) for text, chances in told], said=said)
        assert found is None or min(judge.scale) - 1e-9 <= found <= max(judge.scale) + 1e-9
