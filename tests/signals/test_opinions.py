"""What people say of an answer: thumbs, stars, CSAT, NPS and comments on one scale, changed and withdrawn."""

from datetime import timedelta
from itertools import permutations

import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.signals.stage import derive_signals
from tests.worlds import NOON, NOW, action, answer, lake_of, settings_at

CATALOG = load_catalog(PACKAGED_CATALOG)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


@pytest.fixture
def settings(tmp_path):
    return settings_at(tmp_path)


def opinions(lake: Lake) -> dict[str, tuple[float | None, float | None]]:
    """Signal → (score, raw value) of the explicit signals of r1, derived again."""
    derive_signals(lake, CATALOG, now=NOW)
    table = rows(lake, "select * from signals where kind = 'explicit'", {"signals": None})
    return {row["signal"]: (row["score"], row["raw_value"]) for row in table.to_pylist()}


def history(lake: Lake) -> list[str]:
    return rows(lake, "select action from actions order by event_id", {"actions": None}).column("action").to_pylist()


RATINGS = [
    ("star_rating", 3, 0),
    ("star_rating", 0, -1),
    ("star_rating", -7, -1),
    ("star_rating", 6, 1),
    ("star_rating", 2.5, -0.25),
    ("csat", 1, -1),
    ("csat", 5, 1),
    ("nps", 0, -1),
    ("nps", 11, 1),
    ("nps", 7, 0.4),
    ("thumbs_up", 5, 1),
]


@pytest.fixture(scope="module")
def rated(tmp_path_factory):
    """Each rating on an answer of its own, by the number of the answer."""
    events = [
        event
        for number, (name, value, _) in enumerate(RATINGS)
        for event in (answer(number), action(number, name, value=value))
    ]
    lake = lake_of(settings_at(tmp_path_factory.mktemp("rated")), events)
    derive_signals(lake, CATALOG, now=NOW)
    told = rows(lake, "select * from signals where kind = 'explicit'", {"signals": None}).to_pylist()
    return {int(row["response_id"][1:]): (row["signal"], row["score"], row["raw_value"]) for row in told}


@pytest.mark.parametrize("number", range(len(RATINGS)), ids=[f"{name}-{value}" for name, value, _ in RATINGS])
def test_a_rating_lies_on_the_scale_and_off_its_range_at_the_nearer_end_with_the_number_as_given(rated, number):
    name, value, score = RATINGS[number]
    assert rated[number] == (name, pytest.approx(score), value)


def test_a_rating_without_a_number_is_kept_and_takes_back_no_number_given_before(settings):
    events = [answer(1), action(1, "nps", value=9), action(1, "nps", key="2", at=NOON + MINUTE)]
    lake = lake_of(settings, events)
    assert opinions(lake) == {"nps": (pytest.approx(0.8), 9)}
    assert history(lake) == ["nps", "nps"]


def test_a_thumb_sent_twice_counts_once(settings):
    lake = lake_of(settings, [answer(1), action(1, "thumbs_up"), action(1, "thumbs_up")])
    lake_of(settings, [action(1, "thumbs_up"), action(1, "thumbs_up", key="another event, the same thumb")])
    assert opinions(lake) == {"thumbs_up": (1, None)}
    sql = "select * from signals where signal = 'thumbs_up'"
    assert rows(lake, sql, {"signals": None}).num_rows == 1


def test_of_two_thumbs_in_one_second_the_one_that_came_last_counts(settings):
    up, down = action(1, "thumbs_up"), action(1, "thumbs_down")
    down = down.model_copy(update={"received_at": up.received_at + timedelta(milliseconds=1)})
    assert set(opinions(lake_of(settings, [answer(1), down, up]))) == {"thumbs_down"}


@pytest.mark.parametrize("last", ["thumbs_up", "thumbs_down"])
def test_of_two_thumbs_at_the_same_instant_the_one_later_in_the_log_counts(settings, last):
    first = "thumbs_down" if last == "thumbs_up" else "thumbs_up"
    assert set(opinions(lake_of(settings, [answer(1), action(1, first), action(1, last)]))) == {last}


@pytest.mark.parametrize("values", [(1, 5), (5, 1)])
def test_of_two_stars_at_the_same_instant_the_one_later_in_the_log_counts(settings, values):
    stars = [action(1, "star_rating", key=str(place), value=value) for place, value in enumerate(values)]
    assert opinions(lake_of(settings, [answer(1), *stars]))["star_rating"][1] == values[-1]


def test_an_opinion_withdrawn_and_given_again_stands(settings):
    events = [
        answer(1),
        action(1, "thumbs_up", at=NOON + MINUTE),
        action(1, "thumbs_withdrawn", at=NOON + 2 * MINUTE),
        action(1, "thumbs_up", key="again", at=NOON + 3 * MINUTE),
    ]
    lake = lake_of(settings, events)
    assert opinions(lake) == {"thumbs_up": (1, None)}
    assert history(lake) == ["thumbs_up", "thumbs_up", "thumbs_withdrawn"]


def test_with_a_clock_that_runs_ahead_the_times_of_the_product_decide_not_those_of_arrival(settings):
    """Withdrawn at 12:02 by one clock, given at 12:04 by another: it stands, though the withdrawal came last."""
    withdrawn = action(1, "thumbs_withdrawn", at=NOON + 2 * MINUTE)
    withdrawn = withdrawn.model_copy(update={"received_at": NOON + 9 * MINUTE})
    lake = lake_of(settings, [answer(1), action(1, "thumbs_up", at=NOON + 4 * MINUTE), withdrawn])
    assert opinions(lake) == {"thumbs_up": (1, None)}


def test_one_opinion_withdrawn_leaves_the_others(settings):
    events = [answer(1), action(1, "thumbs_up"), action(1, "star_rating", value=2)]
    lake = lake_of(settings, [*events, action(1, "thumbs_withdrawn", at=NOON + MINUTE)])
    assert opinions(lake) == {"star_rating": (pytest.approx(-0.5), 2)}


def test_the_order_of_arrival_changes_nothing(settings):
    """Each order has an answer of its own; what comes first of it is taken in a tick before the rest."""
    orders = [[said_of(number)[place] for place in order] for number, order in enumerate(permutations(range(4)))]
    for half in (slice(2), slice(2, None)):
        lake = lake_of(settings, [event for order in orders for event in order[half]])
        derive_signals(lake, CATALOG, now=NOW)
    sql = "select response_id, signal, score, raw_value from signals where kind = 'explicit' order by all"
    told = [tuple(row.values()) for row in rows(lake, sql, {"signals": None}).to_pylist()]
    standing = [("csat", pytest.approx(0.5), 4), ("thumbs_down", -1, None)]
    assert told == [(name, *row) for name in sorted(f"r{number}" for number in range(24)) for row in standing]


def said_of(number):
    """An answer, and three things said of it."""
    return [
        answer(number),
        action(number, "thumbs_up", at=NOON + MINUTE),
        action(number, "thumbs_down", at=NOON + 2 * MINUTE),
        action(number, "csat", value=4, at=NOON + MINUTE),
    ]


def test_an_opinion_that_comes_before_its_answer_counts_once_that_is_there(settings):
    lake = lake_of(settings, [action(1, "thumbs_down", at=NOON + MINUTE), action(1, "comment", text="bad")])
    assert opinions(lake) == {}
    lake_of(settings, [answer(1)])
    assert opinions(lake) == {"thumbs_down": (-1, None), "comment": (None, None)}


def test_a_comments_words_are_kept_as_written_and_have_no_score(settings):
    words = "Non, c'est faux 😠\nیہ غلط ہے"
    lake = lake_of(settings, [answer(1), action(1, "comment", text=words)])
    assert opinions(lake) == {"comment": (None, None)}
    assert rows(lake, "select text from actions", {"actions": None}).to_pylist() == [{"text": words}]


def test_a_thumb_down_flags_its_answer_and_a_thumb_up_or_a_bad_star_does_not(settings):
    events = [answer(number) for number in (1, 2, 3)]
    events += [action(1, "thumbs_down"), action(2, "thumbs_up"), action(3, "star_rating", value=1)]
    lake = lake_of(settings, events)
    derive_signals(lake, CATALOG, now=NOW)
    flagged = rows(lake, "select response_id from signals where flagged", {"signals": None}).to_pylist()
    assert flagged == [{"response_id": "r1"}]
