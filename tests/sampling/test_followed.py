"""A flag that comes after the decision opens a targeted selection beside the row, which stays as it is."""

from datetime import timedelta

import pytest

from onlineeval_dagster.judges.stage import pending_work
from onlineeval_dagster.progress import waiting
from tests.sampling.worlds import catalog_with, decisions, drawn, judge, select
from tests.worlds import NOON, action, answer, lake_of, log_events, settings_at

CATALOG = catalog_with()
SOON = NOON + timedelta(minutes=5)
LATER = NOON + timedelta(hours=3)


@pytest.fixture
def settings(tmp_path):
    return settings_at(tmp_path)


def decided_then_flagged(settings, names, *, catalog=CATALOG, flagged_at=LATER):
    """Forty answers decided soon after noon; some of them get a thumbs-down hours later."""
    lake = lake_of(settings, [answer(n) for n in range(40)], now=SOON)
    select(lake, catalog, now=SOON)
    log_events(settings, [action(name[1:], "thumbs_down", at=flagged_at) for name in names])
    lake_of(settings, [], now=flagged_at)
    return lake


def of_state(lake, state):
    return sorted(name for name, row in decisions(lake).items() if row["state"] == state)


def test_an_answer_that_was_not_drawn_is_followed_up_and_its_row_stays(settings):
    lake = decided_then_flagged(settings, ["r1", "r2", "r3"])
    before = decisions(lake)
    quiet = {name for name in ("r1", "r2", "r3") if before[name]["state"] == "not_selected"}
    assert quiet
    assert any("select from" in line for line in waiting(settings, CATALOG, now=LATER)) is False
    done = select(lake, CATALOG, now=LATER)
    assert (done.decided, done.targeted) == (0, len(quiet))
    assert decisions(lake) == before
    opened = decisions(lake, targeted=True)
    assert set(opened) == quiet
    assert {row["inclusion_probability"] for row in opened.values()} == {None}


def test_the_judges_are_asked_for_it_without_a_chance(settings):
    lake = decided_then_flagged(settings, ["r1"])
    select(lake, CATALOG, now=LATER)
    work = {row["response_id"]: row for row in pending_work(lake, CATALOG).work.to_pylist()}
    assert work["r1"]["stratum"] == "targeted" and work["r1"]["inclusion_probability"] is None


def test_it_is_opened_once_however_many_flags_follow(settings):
    lake = decided_then_flagged(settings, ["r1"])
    select(lake, CATALOG, now=LATER)
    for hours in (4, 5):
        log_events(settings, [action(1, "regenerate", at=NOON + timedelta(hours=hours), key=str(hours))])
        lake_of(settings, [], now=NOON + timedelta(hours=hours))
        assert select(lake, CATALOG, now=NOON + timedelta(hours=hours)).targeted == 0
    assert list(decisions(lake, targeted=True)) == ["r1"]


def test_what_was_drawn_filtered_or_flagged_before_is_not_opened_again(settings):
    events = [*(answer(n) for n in range(40)), answer("bad"), action("bad", "thumbs_down"), answer("e", error="500")]
    lake = lake_of(settings, events, now=SOON)
    select(lake, CATALOG, now=SOON)
    selected = drawn(decisions(lake)) - {"rbad"}
    assert selected
    names = [*selected, "re", "rbad"]
    log_events(settings, [action(name[1:], "thumbs_down", at=LATER, key="2") for name in names])
    lake_of(settings, [], now=LATER)
    assert select(lake, CATALOG, now=LATER).targeted == 0


def test_flags_on_old_answers_open_nothing_and_0_days_switch_it_off(tmp_path):
    late = NOON + timedelta(days=8)
    lake = decided_then_flagged(settings_at(tmp_path / "old"), ["r1"], flagged_at=late)
    assert select(lake, CATALOG, now=late).targeted == 0
    off = catalog_with(flagged={"rate": 1.0, "follow_up_days": 0})
    lake = decided_then_flagged(settings_at(tmp_path / "off"), ["r1"], catalog=off)
    assert select(lake, off, now=LATER).targeted == 0


def test_late_flags_are_followed_up_at_the_flagged_rate_and_by_each_judge(settings):
    half = catalog_with(judges=(judge("one"), judge("two")), flagged={"rate": 0.5})
    lake = decided_then_flagged(settings, [f"r{n}" for n in range(40)], catalog=half)
    select(lake, half, now=LATER)
    one, two = decisions(lake, judge="one", targeted=True), decisions(lake, judge="two", targeted=True)
    assert set(one) == set(two) and 5 < len(one) < 30, "the cohort is theirs in common"


def test_a_day_whose_budget_is_gone_sheds_them(settings):
    poor = catalog_with(normal={"size": 5}, pace={"calls_a_day": 5})
    lake = lake_of(settings, [answer(n) for n in range(40)], now=LATER)
    select(lake, poor, now=LATER)
    assert len(drawn(decisions(lake))) == 5
    names = of_state(lake, "not_selected")[:3]
    log_events(settings, [action(name[1:], "thumbs_down", at=LATER) for name in names])
    lake_of(settings, [], now=LATER)
    select(lake, poor, now=LATER)
    assert {row["state"] for row in decisions(lake, targeted=True).values()} == {"shed"}
