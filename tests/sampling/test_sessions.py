"""Judges of sessions: the last answer of a conversation carries its row, decided once and only when it is over."""

import dataclasses
from datetime import datetime, timedelta
from typing import Any

import pytest

from onlineeval_dagster.catalog.judge_file import Judge, Price
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.sampling.chance import unit_interval
from onlineeval_dagster.sampling.select import select_responses, something_to_decide
from onlineeval_dagster.settings import Settings
from tests.sampling.worlds import catalog_with, decisions, drawn, judge, select
from tests.worlds import NOON, NOW, action, answer, lake_of, log_events, settings_at

AGREED = {"monthly_cap_usd": 5, "confirmed_at": NOON - timedelta(days=300)}
OVER = timedelta(minutes=40)
"""30 minutes of silence end a conversation, and 10 more are for what is on its way."""


def of_sessions(name: str = "whole", **more: Any) -> Judge:
    fields = {"axis": "resolution", "model": "m", "unit": "session", "prompt": "{conversation}"} | more
    return judge(name, price=Price(input_usd_per_million=0, output_usd_per_million=0), **fields)


def catalog(**sampling: Any) -> Catalog:
    return catalog_with(judges=(of_sessions(),), budget=AGREED, **sampling)


def turn(session: str | None, number: int, *, minutes: float, **more: Any) -> Any:
    """Turn `number` of a session, so many minutes after noon."""
    fields = {"session_id": session, "user_id": f"u{session}"} | more
    return answer(f"{session}-{number}", at=NOON + timedelta(minutes=minutes), **fields)


def states(decided: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {name: row["state"] for name, row in decided.items()}


@pytest.fixture
def settings(tmp_path: Any) -> Settings:
    return settings_at(tmp_path)


def test_the_last_answer_carries_the_one_row_of_its_session_with_the_sessions_chance(settings: Settings) -> None:
    events = [turn(f"s{n}", k, minutes=n / 10 + 5 * k) for n in range(200) for k in range(3)]
    lake = lake_of(settings, events)
    select(lake, catalog(), now=NOW)
    decided = decisions(lake, judge="whole")
    assert len(decided) == 600, "one row an eligible answer"
    for n in range(200):
        assert [decided[f"rs{n}-{k}"]["state"] for k in (0, 1)] == ["filtered"] * 2
        assert decided[f"rs{n}-0"]["inclusion_probability"] is None
        last = decided[f"rs{n}-2"]
        assert last["inclusion_probability"] == 0.1
        assert (last["state"] == "selected") == (unit_interval(f"session s{n}", "cohort-1") < 0.1)
    assert 0 < len(drawn(decided)) < 60


def test_an_answer_waits_until_its_session_is_over_and_time_alone_decides_it(settings: Settings) -> None:
    always = catalog(normal={"rate": 1.0})
    lake = lake_of(settings, [turn("s", 0, minutes=0), turn("s", 1, minutes=20)])
    select(lake, always, now=NOON + timedelta(minutes=25))
    assert states(decisions(lake, judge="whole")) == {"rs-0": "filtered"}
    assert not something_to_decide(lake, always, now=NOON + timedelta(minutes=25))
    over = NOON + timedelta(minutes=20) + OVER
    select(lake, always, now=over - timedelta(minutes=1))
    assert states(decisions(lake, judge="whole")) == {"rs-0": "filtered"}
    assert something_to_decide(lake, always, now=over)
    select(lake, always, now=over)
    assert states(decisions(lake, judge="whole")) == {"rs-0": "filtered", "rs-1": "selected"}
    for hours in (1, 5, 50):
        assert not something_to_decide(lake, always, now=over + timedelta(hours=hours)), (
            "a product at rest is left alone"
        )


def test_a_turn_that_comes_after_the_decision_is_filtered_and_one_after_a_silence_is_a_session_of_its_own(
    settings: Settings,
) -> None:
    always = catalog(normal={"rate": 1.0})
    lake = lake_of(settings, [turn("s", 0, minutes=0)])
    select(lake, always, now=NOON + timedelta(hours=2))
    log_events(settings, [turn("s", 1, minutes=10), turn("s", 2, minutes=100)])
    lake_of(settings, [])
    select(lake, always, now=NOON + timedelta(hours=5))
    assert states(decisions(lake, judge="whole")) == {"rs-0": "selected", "rs-1": "filtered", "rs-2": "selected"}


@pytest.mark.parametrize("cut", [0, 7, 20, 41])
def test_the_same_sessions_are_drawn_in_whatever_order_turns_arrive(tmp_path: Any, cut: int) -> None:
    events = [turn(f"s{n}", k, minutes=3 * k) for n in range(30) for k in range(2)]
    half = catalog(normal={"rate": 0.5})
    lake = lake_of(settings_at(tmp_path / "a"), events)
    select(lake, half, now=NOW)
    other = settings_at(tmp_path / "b")
    lake_of(other, events[cut:])
    late = lake_of(other, events[:cut])
    select(late, half, now=NOW)
    assert states(decisions(late, judge="whole")) == states(decisions(lake, judge="whole"))


def test_sessions_cross_midnight_belong_to_users_where_none_is_named_and_end_in_answers_that_failed(
    settings: Settings,
) -> None:
    night = 12 * 60
    events = [
        turn("m", 0, minutes=night - 10),
        turn("m", 1, minutes=night + 10),
        answer("guest1", at=NOON, user_id="g", session_id=None),
        answer("guest2", at=NOON + timedelta(minutes=5), user_id="g", session_id=None),
        answer("alone", at=NOON, user_id=None, session_id=None),
        turn("e", 0, minutes=0),
        turn("e", 1, minutes=5, error="HTTP 500", response=""),
    ]
    lake = lake_of(settings, events)
    select(lake, catalog(normal={"rate": 1.0}), now=NOW)
    said = states(decisions(lake, judge="whole"))
    selected = {name for name, state in said.items() if state == "selected"}
    assert selected == {"rm-1", "rguest2", "ralone", "re-0"}
    assert len(said) == 7
    assert {state for name, state in said.items() if name not in selected} == {"filtered"}


def test_one_flag_makes_the_whole_session_a_flagged_one(settings: Settings) -> None:
    events = [turn("s", k, minutes=5 * k) for k in range(3)]
    lake = lake_of(settings, [*events, action("s-0", "thumbs_down"), turn("q", 0, minutes=0)])
    select(lake, catalog(normal={"rate": 0.001}), now=NOW)
    decided = decisions(lake, judge="whole")
    assert (decided["rs-2"]["stratum"], decided["rs-2"]["state"]) == ("flagged", "selected")
    assert decided["rq-0"]["stratum"] == "normal"


def test_a_fixed_size_is_drawn_among_sessions_when_the_last_of_the_window_can_be_over(settings: Settings) -> None:
    sized = catalog(normal={"size": 5})
    lake = lake_of(settings, [turn(f"s{n}", k, minutes=n / 2 + k) for n in range(40) for k in range(2)])
    select(lake, sized, now=NOON + timedelta(minutes=75))
    assert decisions(lake, judge="whole") == {}, "the window of answers is over, that of their sessions is not"
    select_responses(lake, sized, now=NOON + timedelta(minutes=60) + OVER)
    decided = decisions(lake, judge="whole")
    lasts = {name: row for name, row in decided.items() if name.endswith("-1")}
    chances = {f"rs{n}-1": unit_interval(f"session s{n}", "cohort-1") for n in range(40)}
    assert drawn(decided) == set(sorted(chances, key=chances.__getitem__)[:5])
    assert {row["inclusion_probability"] for row in lasts.values()} == {sorted(chances.values())[5]}


def test_the_weighted_share_of_sessions_is_the_true_one(tmp_path: Any) -> None:
    """Long sessions go wrong; weighed by answers they would count threefold. 40 salts, 300 sessions, 60 flagged."""
    events = []
    for n in range(300):
        turns = 3 if n % 3 == 0 else 1
        events += [turn(f"s{n}", k, minutes=n + 2 * k) for k in range(turns)]
        events += [action(f"s{n}-0", "thumbs_down", at=NOON + timedelta(minutes=n))] if n % 5 == 0 else []
    lake = lake_of(settings_at(tmp_path), events)
    judges = tuple(of_sessions(f"j{n}") for n in range(40))
    salts = {one.name: f"salt {one.name}" for one in judges}
    many = dataclasses.replace(catalog(normal={"rate": 0.2}, salts=salts), judges=judges)
    select(lake, many, now=NOW)
    sql = """
        select judge,
            count(*) filter (where inclusion_probability is not null) as sessions,
            sum(1 / inclusion_probability) filter (where state = 'selected') as weight,
            sum(1 / inclusion_probability) filter (where state = 'selected' and response_id like '%-2') as long_ones
        from selections group by judge
    """
    found = rows(lake, sql, {"selections": None}).to_pylist()
    assert {row["sessions"] for row in found} == {300}
    shares = [row["long_ones"] / row["weight"] for row in found]
    # 240 sessions at 0.2: the share's standard error is .054, of the mean of 40 salts .0086.
    assert abs(sum(shares) / len(shares) - 1 / 3) < 3 * 0.0086


def test_the_review_of_people_stays_one_of_answers(settings: Settings) -> None:
    reviewed = catalog(normal={"rate": 1.0}, new_version={"rate": 1.0, "hours": 1}, review={"rate": 1.0})
    lake = lake_of(settings, [turn("s", k, minutes=5 * k) for k in range(3)])
    select(lake, reviewed, now=NOW)
    assert drawn(decisions(lake, judge="review")) == {"rs-0", "rs-1", "rs-2"}


def test_a_second_call_decides_nothing(settings: Settings) -> None:
    lake = lake_of(settings, [turn("s", k, minutes=5 * k) for k in range(3)])
    select(lake, catalog(), now=NOW)
    before = decisions(lake, judge="whole")
    again: datetime = NOW + timedelta(hours=1)
    assert select_responses(lake, catalog(), now=again).decided == 0
    assert decisions(lake, judge="whole") == before
