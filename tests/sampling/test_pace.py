"""A day's calls last until its evening: rates go down in time, and hours are shed only when nothing is left."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onlineeval_dagster.sampling.pace import LEAST, Wanted, pace_day
from tests.sampling.worlds import catalog_with, decisions, drawn, select
from tests.worlds import answer, lake_of, log_events, settings_at

MIDNIGHT = datetime(2026, 11, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
PACED = catalog_with(normal={"rate": 0.5}, pace={"calls_a_day": 120})


@pytest.fixture
def settings(tmp_path):
    return settings_at(tmp_path)


def busy(hour, count, *, day=0, start=0):
    begin = MIDNIGHT + timedelta(days=day, hours=hour)
    return [answer(f"{day}-{hour}-{start + n}", at=begin + n * HOUR / count) for n in range(count)]


def by_hour(lake, key):
    return Counter(row["response_at"].hour for row in decisions(lake).values() if row["state"] == key)


def test_a_day_known_in_advance_gets_the_same_lowered_rate_all_along(settings):
    events = [event for hour in range(24) for event in busy(hour, 40)]
    lake = lake_of(settings, events)
    select(lake, PACED, now=MIDNIGHT + timedelta(days=2))
    decided = decisions(lake)
    chances = [row["inclusion_probability"] for row in decided.values()]
    assert chances == pytest.approx([120 / 960] * 960), "24 hours of 40 at 50 % want 480 calls"
    assert abs(len(drawn(decided)) - 120) < 4 * (960 * 0.125 * 0.875) ** 0.5


def test_decided_every_two_hours_the_budget_lasts_until_the_evening(settings):
    lake = lake_of(settings, [], now=MIDNIGHT)
    for hour in range(0, 24, 2):
        now = MIDNIGHT + (hour + 2) * HOUR
        lake_of(settings, busy(hour, 40) + busy(hour + 1, 40), now=now)
        select(lake, PACED, now=now)
    hours = by_hour(lake, "selected")
    assert len(hours) >= 20 and max(hours) >= 21, "5 an hour on average, by chance now and then none"
    assert abs(len(drawn(decisions(lake))) - 120) <= 10


def test_a_surge_lowers_later_hours_and_never_what_was_decided(settings):
    lake = lake_of(settings, busy(0, 40), now=MIDNIGHT + HOUR)
    select(lake, PACED, now=MIDNIGHT + HOUR)
    first = decisions(lake)
    log_events(settings, busy(1, 800))
    lake_of(settings, [], now=MIDNIGHT + 2 * HOUR)
    select(lake, PACED, now=MIDNIGHT + 2 * HOUR)
    after = decisions(lake)
    assert {name: after[name] for name in first} == first
    calm, surge = first["r0-0-0"]["inclusion_probability"], after["r0-1-0"]["inclusion_probability"]
    assert surge < calm / 3
    late = busy(0, 40, start=1000)
    log_events(settings, late)
    lake_of(settings, [], now=MIDNIGHT + 3 * HOUR)
    select(lake, PACED, now=MIDNIGHT + 3 * HOUR)
    assert {decisions(lake)[event.response_id]["inclusion_probability"] for event in late} == {calm}


def test_when_nothing_is_left_the_hour_is_shed_and_says_so(settings):
    poor = catalog_with(normal={"rate": 0.5}, pace={"calls_a_day": 2})
    lake = lake_of(settings, [], now=MIDNIGHT)
    for hour in range(3):
        lake_of(settings, busy(hour, 200), now=MIDNIGHT + (hour + 1) * HOUR)
        select(lake, poor, now=MIDNIGHT + (hour + 1) * HOUR)
    assert by_hour(lake, "selected").keys() == {0}
    assert by_hour(lake, "shed").keys() == {1, 2}


def test_what_earlier_days_were_like_decides_how_much_is_kept_for_the_evening(settings):
    """Mornings are quiet and evenings busy: without the days before, the morning would take what the evening needs."""
    events = [event for day in range(3) for hour, count in ((8, 20), (20, 400)) for event in busy(hour, count, day=day)]
    lake = lake_of(settings, events)
    select(lake, catalog_with(normal={"rate": 0.5}), now=MIDNIGHT + timedelta(days=3))
    today = MIDNIGHT + timedelta(days=3, hours=9)
    log_events(settings, busy(8, 20, day=3))
    lake_of(settings, [], now=today)
    select(lake, PACED, now=today)
    assert decisions(lake)["r3-8-0"]["inclusion_probability"] == pytest.approx(0.5 * 120 / 210)


wanted = st.builds(
    Wanted, flagged=st.floats(0, 500), others=st.floats(0, 5_000), fixed=st.floats(0, 50).filter(lambda n: n < 20)
)


@given(st.dictionaries(st.integers(0, 23), wanted, min_size=1), st.integers(1, 5_000), st.floats(0, 6_000))
@example({0: Wanted(others=5e-324, fixed=1.0)}, 1, 0.0)
def test_the_paced_day_never_plans_beyond_its_calls_but_for_the_lowest_rates(hours, calls, spent):
    opening = {MIDNIGHT + hour * HOUR: want for hour, want in hours.items()}
    paced = pace_day(
        opening, forecast=opening, spent=spent, calls=calls, window_minutes=60, now=MIDNIGHT + timedelta(days=1)
    )
    planned = sum(
        0 if paced[at].shed else want.fixed + want.flagged * paced[at].flagged + want.others * paced[at].others
        for at, want in opening.items()
    )
    at_least = sum(want.fixed + LEAST * (want.flagged + want.others) for want in opening.values())
    assert planned <= max(calls - spent, 0) + at_least + 1e-6
    assert all(LEAST <= factor <= 1 for p in paced.values() for factor in (p.flagged, p.others))


def test_answers_that_look_wrong_keep_their_rate_as_long_as_others_can_make_room():
    day = {"forecast": {}, "spent": 0, "window_minutes": 1440, "now": MIDNIGHT + timedelta(days=1)}
    opening = {MIDNIGHT: Wanted(flagged=100, others=1_000)}
    roomy, tight = (pace_day(opening, calls=calls, **day)[MIDNIGHT] for calls in (300, 100))
    assert (roomy.flagged, roomy.others) == (1, 0.2)
    assert (tight.flagged, tight.others) == (0.5, LEAST)
