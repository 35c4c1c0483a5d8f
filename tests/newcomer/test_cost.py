"""Dollars and hours: what a month costs, and the rate that keeps within a cap."""

import dataclasses
from datetime import timedelta

import pytest

from onlineeval_dagster.catalog.judge_file import Judge, Price
from onlineeval_dagster.judges.canaries import CANARIES_A_DAY
from onlineeval_dagster.newcomer.conversations import Turns
from onlineeval_dagster.newcomer.cost import Audit, judge_cost, month_usd, rate_within
from tests.worlds import NOON, answer

LOCAL = Judge(
    name="near", axis="tone", prompt="{response}", scale={1: "no", 3: "yes"}, good_from=3, model="local/overlap"
)
PAID = dataclasses.replace(
    LOCAL, name="tone", model="m", price=Price(input_usd_per_million=1.0, output_usd_per_million=10.0)
)


def test_a_local_judge_costs_nothing() -> None:
    assert judge_cost(LOCAL, [answer(1)]).usd_a_call == 0


def test_tokens_are_a_quarter_of_the_characters_with_the_rubric() -> None:
    short, long = (judge_cost(PAID, [answer(1, response="x" * size)]) for size in (100, 4_100))
    assert long.input_tokens - short.input_tokens == 1_000
    assert long.usd_a_call - short.usd_a_call == pytest.approx(1_000 * 1.0 / 1e6)
    assert short.input_tokens > 100 / 4
    assert short.usd_a_call == pytest.approx((short.input_tokens * 1 + 80 * 10) / 1e6)


def test_what_a_judge_does_not_see_of_a_long_text_costs_nothing() -> None:
    assert judge_cost(PAID, [answer(1, response="x" * 10**6)]).input_tokens < 4_000


def test_a_reply_that_is_limited_costs_no_more_than_its_limit() -> None:
    limited = dataclasses.replace(PAID, parameters={"max_tokens": 10})
    saved = judge_cost(PAID, [answer(1)]).usd_a_call - judge_cost(limited, [answer(1)]).usd_a_call
    assert saved == pytest.approx(70 * 10 / 1e6)


@pytest.mark.parametrize("cap", [1.0, 7.5, 20.0])
def test_the_rate_uses_the_cap_up_and_does_not_pass_it(cap: float) -> None:
    costs = [judge_cost(PAID, [answer(1)]), judge_cost(LOCAL, [answer(1)])]
    rate = rate_within(costs, answers_a_day=3_200, cap_usd=cap)
    assert rate is not None
    spent = month_usd(costs, answers_a_day=3_200, rate=rate)
    assert cap * 0.97 < spent <= cap


def test_a_cap_that_pays_for_all_gives_all() -> None:
    assert rate_within([judge_cost(PAID, [answer(1)])], answers_a_day=3_200, cap_usd=10_000) == 1.0


def test_local_judges_need_no_money_and_paid_ones_get_no_rate_without() -> None:
    assert rate_within([judge_cost(LOCAL, [answer(1)])], answers_a_day=3_200, cap_usd=0) == 1.0
    assert rate_within([judge_cost(PAID, [answer(1)])], answers_a_day=3_200, cap_usd=0) is None


def test_a_judges_own_rate_is_paid_whatever_the_rate_is() -> None:
    own = [judge_cost(dataclasses.replace(PAID, rate=0.5), [answer(1)])]
    full = month_usd(own, answers_a_day=3_200, rate=1.0)
    canaries = CANARIES_A_DAY * 30 * own[0].usd_a_call
    assert month_usd(own, answers_a_day=3_200, rate=0.1) - canaries == pytest.approx((full - canaries) / 2)
    assert rate_within(own, answers_a_day=3_200, cap_usd=full / 3) is None


def test_what_is_judged_twice_and_the_canaries_are_part_of_the_price() -> None:
    once, twice = (judge_cost(dataclasses.replace(PAID, repeat_rate=rate), [answer(1)]) for rate in (0.0, 0.5))
    assert once.calls_a_day(1_000, 0.1) == pytest.approx(100 + CANARIES_A_DAY)
    assert twice.calls_a_day(1_000, 0.1) == pytest.approx(150 + CANARIES_A_DAY)
    assert judge_cost(LOCAL, [answer(1)]).calls_a_day(1_000, 0.1) == pytest.approx(100)


def test_a_judge_of_sessions_is_called_once_a_conversation_and_reads_it_whole() -> None:
    judge = dataclasses.replace(PAID, unit="session", prompt="{conversation}")
    turns = Turns()
    for minute in (0, 5, 10, 120, 125):  # two conversations of one user, three turns and two
        turns.take(answer(minute, at=NOON + timedelta(minutes=minute), user_id="u", response="y" * 40))
    turns.take(answer(7, at=NOON, user_id="u", app="another", response="y" * 40))
    found = turns.conversations(timedelta(minutes=30))
    assert found.an_answer == pytest.approx(3 / 6)
    one, whole = judge_cost(judge, [answer(1)]), judge_cost(judge, [answer(1)], found)
    a_turn = len("User: \nAssistant: \n") + len(answer(1).query) + 40
    assert whole.input_tokens - one.input_tokens == pytest.approx((2 + 1 + 0) / 3 * a_turn / 4, rel=0.02)
    assert whole.calls_a_day(600, 0.5) == pytest.approx(150 * (1 + whole.judge.repeats) + CANARIES_A_DAY)
    assert month_usd([whole], answers_a_day=600, rate=1.0) == pytest.approx(
        30 * whole.usd_a_call * whole.calls_a_day(600, 1.0)
    )


def test_conversations_in_which_every_answer_failed_cost_nothing() -> None:
    turns = Turns()
    turns.take(answer(1, session_id="a", error="timeout"))
    turns.take(answer(2, session_id="b"))
    turns.take(answer(3, session_id="b", at=NOON + timedelta(minutes=1)))
    assert turns.conversations(timedelta(minutes=30)).an_answer == pytest.approx(1 / 2)


def test_reviewers_hours_are_the_audited_share_times_the_seconds() -> None:
    assert Audit(share=0.01, seconds=45).hours(96_000) == pytest.approx(12)
