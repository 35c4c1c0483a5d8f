"""Input as production sends it: strange texts, actions of nobody's answer, clocks that disagree. Nothing is lost."""

import dataclasses
from datetime import timedelta

import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.catalog.signals_file import DetectorUse
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.quality.run import check_table
from onlineeval_dagster.quality.unjoined import recent_days, unjoined_actions
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.signals.detectors.registry import DETECTORS
from onlineeval_dagster.signals.stage import derive_signals
from tests.pipeline import run_assets
from tests.worlds import NOON, NOW, action, answer, lake_of, settings_at

PACKAGED = load_catalog(PACKAGED_CATALOG)
EVERY_DETECTOR = PACKAGED.signals.model_copy(update={"detectors": {name: DetectorUse(flag=True) for name in DETECTORS}})
CATALOG = dataclasses.replace(PACKAGED, signals=EVERY_DETECTOR)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)

MEGABYTE = 2**20
STRANGE = {
    "empty": "",
    "blank": " \n\t\u00a0\u2003 ",
    "one letter": "a",
    "a megabyte of one letter": "a" * MEGABYTE,
    "a megabyte of words": "the parcel is late. " * (MEGABYTE // 20),
    "a megabyte without a word": "。" * (MEGABYTE // 3),
    "mixed scripts": "Hello привет مرحبا 你好 こんにちは नमस्ते สวัสดี",
    "right to left": "\u202eתשובה\u202c and back",
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈👍🏽" * 20,
    "combining marks": "Z̷̡̛a̵l̶g̷o̸ " * 50,
    "control characters": "a\x00b\x07c\x1b[31md",
    "looks like SQL": "'; drop table responses; --",
    "looks like JSON": '{"a": [1, 2, {"b": null}]}',
    "a pattern": "(((((a+)+)+)+)+$ \\p{L} [[[",
}


@pytest.fixture
def settings(tmp_path):
    return settings_at(tmp_path)


def signals(lake):
    derive_signals(lake, CATALOG, now=NOW)
    table = rows(lake, "select * from signals", {"signals": None})
    return {(row["response_id"], row["signal"]): row for row in table.to_pylist()}


def unjoined(lake, now=NOW):
    return unjoined_actions(lake, now=now)


def test_every_strange_text_gets_one_row_of_every_detector_and_breaks_no_contract(settings):
    """As an answer, as a question, as a context and as all three, with the turns of one person after each other."""
    places = ({"response"}, {"query"}, {"context"}, {"query", "response", "context"})
    events = [
        answer(f"{kind} {at}", at=NOON + at * MINUTE, user_id="u", **dict.fromkeys(names, text))
        for at, (kind, text, names) in enumerate((k, t, n) for k, t in STRANGE.items() for n in places)
    ]
    found = signals(lake_of(settings, events))
    ids = [event.response_id for event in events]
    assert {key for key, row in found.items() if row["kind"] == "automated"} == {
        (name, detector) for name in ids for detector in DETECTORS
    }
    outcome = check_table(lake_of(settings, []), "signals")
    assert outcome.failures == ()
    assert outcome.rows == len(found)


def test_an_empty_answer_is_found_and_a_null_context_is_no_fault(settings):
    found = signals(lake_of(settings, [answer(1, response="", context=None), answer(2, context=None)]))
    assert found["r1", "refusal_or_empty"]["score"] == -1
    assert found["r2", "refusal_or_empty"]["score"] is None
    assert found["r2", "lexical_groundedness"]["raw_value"] is None, "without a context it cannot tell"


def test_what_a_user_kept_of_a_megabyte_is_a_share(settings):
    found = signals(lake_of(settings, [answer(1, response="a" * MEGABYTE), action(1, "edited", text="b" * MEGABYTE)]))
    assert found["r1", "kept_share"]["raw_value"] == 0


def test_actions_of_an_unknown_answer_are_kept_and_counted_and_joined_when_it_comes(settings):
    events = [answer(1), action(1, "copy"), action(2, "copy"), action(2, "thumbs_down", at=NOON + 5 * MINUTE)]
    lake = lake_of(settings, events)
    assert {name for name, _ in signals(lake)} == {"r1"}
    assert rows(lake, "select * from actions", {"actions": None}).num_rows == 3
    found = unjoined(lake)
    assert (found.actions, found.count, found.oldest) == (3, 2, NOON)
    lake_of(settings, [answer(2)])
    assert ("r2", "thumbs_down") in signals(lake)
    assert (unjoined(lake).count, unjoined(lake).oldest) == (0, None)


@pytest.mark.parametrize(
    ("late", "joined"),
    [
        (-2 * DAY, False),
        (-DAY, True),
        (-7 * MINUTE, True),
        (-MINUTE, True),
        (30 * DAY, True),
        (31 * DAY, False),
    ],
)
def test_an_action_may_be_a_day_before_its_answer_and_thirty_after_it_else_it_is_kept_and_counted(
    settings, late, joined
):
    lake = lake_of(settings, [answer(1, at=NOON), action(1, "copy", at=NOON + late)], now=NOON + 40 * DAY)
    assert (("r1", "copy") in signals(lake)) == joined
    assert (unjoined(lake).count == 0) == joined
    assert rows(lake, "select * from actions", {"actions": None}).num_rows == 1


def test_an_action_that_arrives_before_its_answer_waits_for_it(settings):
    early = action(1, "regenerate", at=NOON + MINUTE)
    lake = lake_of(settings, [early])
    assert signals(lake) == {}
    waiting = unjoined(lake, now=NOON + 10 * MINUTE)
    assert (waiting.count, waiting.waiting, waiting.passed) == (1, 1, True)
    assert not unjoined(lake, now=NOON + 3 * 60 * MINUTE).passed
    lake_of(settings, [answer(1)])
    assert signals(lake)["r1", "regenerate"]["occurred_at"] == NOON + MINUTE
    assert unjoined(lake).passed


def test_the_check_warns_where_more_than_a_twentieth_of_the_actions_speak_of_nothing(settings):
    known = [answer(1), *(action(1, "copy", key=str(place)) for place in range(19))]
    lake = lake_of(settings, [*known, action(2, "copy")])
    assert unjoined(lake).share == pytest.approx(0.05)
    assert unjoined(lake).passed
    lake_of(settings, [action(3, "copy")])
    assert not unjoined(lake).passed


def test_young_actions_without_an_answer_neither_warn_nor_hide_old_ones(settings):
    old = [answer(1), *(action(1, "copy", key=str(place)) for place in range(9)), action(2, "copy")]
    young = [action(3, "copy", key=str(place), at=NOON + 300 * MINUTE) for place in range(30)]
    found = unjoined(lake_of(settings, [*old, *young]), now=NOON + 330 * MINUTE)
    assert (found.actions, found.count, found.waiting) == (40, 31, 30)
    assert found.share == pytest.approx(0.1)
    assert not found.passed


def test_an_action_sent_twice_is_counted_once_among_those_without_an_answer(settings):
    lake = lake_of(settings, [action(2, "copy")])
    lake_of(settings, [action(2, "copy")])
    assert (unjoined(lake).actions, unjoined(lake).count) == (1, 1)


def test_actions_before_their_answer_and_events_told_again_are_counted(settings):
    early = [answer(1), action(1, "copy", at=NOON - MINUTE), action(1, "thumbs_up", at=NOON + MINUTE)]
    over_midnight = [answer(2, at=NOON + DAY / 2), action(2, "copy", at=NOON + DAY / 2 - MINUTE)]
    found = unjoined(lake_of(settings, early + over_midnight))
    assert (found.actions, found.count, found.early, found.repeated) == (3, 0, 2, 0)
    lake = lake_of(settings, early[1:])
    assert (unjoined(lake).actions, unjoined(lake).early, unjoined(lake).repeated) == (3, 2, 2)


def test_a_tick_looks_at_the_last_two_days_of_actions_and_the_night_at_all(settings):
    lake = lake_of(settings, [action(1, "copy", key=f" {day}", at=NOON + day * DAY) for day in (0, 3, 5)])
    assert recent_days(lake) == [(NOON + day * DAY).date() for day in (3, 5)]
    assert unjoined_actions(lake, recent_days(lake), now=NOW).count == 2
    assert unjoined(lake).count == 3


def test_without_actions_nothing_is_counted_and_nothing_fails(settings):
    found = unjoined(lake_of(settings, [answer(1)]))
    assert (found.actions, found.count, found.oldest, found.share, found.passed) == (0, 0, None, 0.0, True)


def test_dagster_shows_how_many_actions_wait_and_since_when_and_blocks_nothing(settings):
    lake_of(settings, [answer(1), action(1, "copy"), action(2, "copy", at=NOON + MINUTE)])
    result = run_assets(settings.home, ["signals"])
    assert result.success
    (shown,) = [check for check in result.get_asset_check_evaluations() if check.check_name == "actions_joined"]
    told = {name: value.value for name, value in shown.metadata.items()}
    assert not shown.passed
    assert told["that speak of no known response"] == 1
    assert told["oldest"] == "2026-11-10 12:01 UTC"
