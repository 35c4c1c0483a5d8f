"""One response's way to a reply: what is tried again, what is burnt, what is paid."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from onlineeval_dagster.catalog.judge_file import Judge, Price
from onlineeval_dagster.judges.asking import MAX_LIMITED, MAX_TRIES, Asking
from onlineeval_dagster.judges.pace import MOST_EVENTS, Pace
from onlineeval_dagster.judges.purse import Purse, most_usd
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.judges.work import Busy, Call, Failure, Messages, Outcome, Paused, Reply, Shed

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
JUDGE = Judge(
    name="tone",
    axis="tone",
    prompt="{response}",
    scale={1: "rude", 3: "kind"},
    good_from=3,
    model="m",
    parameters={"max_tokens": 50},
    price=Price(input_usd_per_million=10_000, output_usd_per_million=20_000),
)
GOOD = Reply(text="3", finish_reason="stop", latency_ms=1.0, input_tokens=10, output_tokens=5)
USD = 0.2  # of GOOD
SLOW = Busy(failure=Failure(kind="timeout", message="no reply", latency_ms=1.0, may_have_cost=True))
DOWN = Busy(failure=Failure(kind="endpoint", message="HTTP 500", latency_ms=1.0))
LIMITED = replace(DOWN, is_limit=True)

Script = Callable[[str, int], Call]
"""From what is asked and the number of the call (0 for the first) to what comes."""


def asked(
    script: Script, names: list[str], *, judge: Judge = JUDGE, most: int = 4, state: JudgeState | None = None
) -> tuple[dict[str, Outcome], list[str]]:
    """The outcome for each of `names`, asked by as many workers as may be in flight, and the calls that were made."""
    calls: list[str] = []

    async def call(messages: Messages, judge: Judge, *, timeout: float) -> Call:
        name, number = messages[0]["content"], len(calls)
        calls.append(name)
        said = script(name, number)
        await asyncio.sleep(0.01 if said == SLOW else 0.001)
        return said

    async def run() -> dict[str, Outcome]:
        pace = Pace(most=most, first_wait=0.002, rng=random.Random(1))
        purse = Purse(judge=judge, state=state or JudgeState(), now=lambda: NOW)
        asking = Asking(judge=judge, call=call, pace=pace, purse=purse)
        found: dict[str, Outcome] = {}
        waiting = iter(names)

        async def worker() -> None:
            for name in waiting:
                found[name] = await asking.ask([{"role": "user", "content": name}])

        await asyncio.gather(*(worker() for _ in range(most)))
        return found

    return asyncio.run(run()), calls


@pytest.mark.parametrize(
    ("bad", "most_calls", "kind"),
    [(DOWN, MAX_TRIES, "endpoint"), (SLOW, 2, "timeout"), (LIMITED, MAX_LIMITED, "endpoint")],
)
def test_one_that_always_fails_beside_others_is_its_own_failure_after_some_tries(
    bad: Busy, most_calls: int, kind: str
) -> None:
    names = ["bad", *(f"good {n}" for n in range(300))]
    outcomes, calls = asked(lambda name, number: bad if name == "bad" else GOOD, names)
    failure = outcomes.pop("bad")
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.tries) == (kind, calls.count("bad"))
    assert calls.count("bad") <= most_calls
    assert all(isinstance(outcome, Reply) and outcome.tries == 1 for outcome in outcomes.values())


@pytest.mark.parametrize("bad", [DOWN, SLOW, LIMITED])
def test_an_outage_burns_next_to_nothing_and_pauses_the_judge_after_few_calls(bad: Busy) -> None:
    names = [f"r{n}" for n in range(40)]
    outcomes, calls = asked(lambda name, number: GOOD if number < 5 else bad, names)
    ended = Counter(type(outcome) for outcome in outcomes.values())
    assert ended[Reply] == 5
    # What was in flight when it began and hangs may be the response's own fault: that costs one attempt at the most.
    assert ended[Failure] <= (4 if bad is SLOW else 0)
    assert len(calls) <= 5 + 2 * 4 + MOST_EVENTS


@pytest.mark.parametrize("bad", [DOWN, SLOW, LIMITED])
def test_the_last_one_of_a_run_that_cannot_be_served_is_its_own_failure_too(bad: Busy) -> None:
    """Nobody is left to compare it with; else it would pause the judge at the end of every run."""
    outcomes, calls = asked(lambda name, number: bad if name == "last" else GOOD, ["r0", "r1", "r2", "last"])
    assert isinstance(outcomes["last"], Failure)
    assert calls.count("last") <= max(MAX_TRIES, MAX_LIMITED)


def test_one_alone_that_nobody_answered_stays_for_a_later_run() -> None:
    outcomes, calls = asked(lambda name, number: DOWN, ["only"])
    assert isinstance(outcomes["only"], Paused)
    assert len(calls) <= MOST_EVENTS


def test_an_outage_that_ends_costs_nobody_an_answer() -> None:
    names = [f"r{n}" for n in range(30)]
    outcomes, calls = asked(lambda name, number: DOWN if 3 <= number < 10 else GOOD, names)
    assert all(isinstance(outcome, Reply) for outcome in outcomes.values())
    assert len(calls) == 30 + 7


def test_the_pace_finds_how_much_an_endpoint_takes() -> None:
    """It serves 8 at a time and refuses the rest; 64 are allowed. Few calls are refused, none is lost."""
    at_once, most_at_once, refused = 0, 0, 0

    async def call(messages: Messages, judge: Judge, *, timeout: float) -> Call:
        nonlocal at_once, most_at_once, refused
        if at_once >= 8:
            refused += 1
            return LIMITED
        at_once += 1
        most_at_once = max(most_at_once, at_once)
        await asyncio.sleep(0.002)
        at_once -= 1
        return GOOD

    async def run() -> list[Outcome]:
        pace = Pace(most=64, first_wait=0.002, rng=random.Random(1))
        purse = Purse(judge=JUDGE, state=JudgeState(), now=lambda: NOW)
        asking = Asking(judge=JUDGE, call=call, pace=pace, purse=purse)
        work = iter(range(2_000))

        async def worker() -> list[Outcome]:
            return [await asking.ask([{"role": "user", "content": str(n)}]) for n in work]

        return [outcome for some in await asyncio.gather(*(worker() for _ in range(64))) for outcome in some]

    outcomes = asyncio.run(run())
    assert sum(isinstance(outcome, Reply) for outcome in outcomes) == 2_000
    assert most_at_once == 8
    assert refused <= 0.2 * 2_000


@pytest.mark.parametrize("stop", [Paused(reason="HTTP 401")])
def test_a_refusal_that_all_would_get_costs_one_call(stop: Paused) -> None:
    outcomes, calls = asked(lambda name, number: stop, [f"r{n}" for n in range(40)])
    assert set(outcomes.values()) == {stop}
    assert len(calls) == 1


def budget(usd: float) -> Judge:
    return replace(JUDGE, daily_budget_usd=usd)


def test_a_day_never_costs_more_than_its_budget_and_the_rest_is_shed() -> None:
    state = JudgeState()
    most = most_usd(JUDGE, [{"role": "user", "content": "r10"}])
    usd = most + 9 * USD
    outcomes, calls = asked(lambda name, number: GOOD, [f"r{n}" for n in range(50)], judge=budget(usd), state=state)
    assert sum(isinstance(outcome, Reply) for outcome in outcomes.values()) == len(calls) == 10
    assert sum(isinstance(outcome, Shed) for outcome in outcomes.values()) == 40
    assert state.spent("tone", NOW.date()) == pytest.approx(10 * USD)
    again, calls = asked(lambda name, number: GOOD, ["later"], judge=budget(usd), state=state)
    assert isinstance(again["later"], Shed)
    assert calls == []


def test_a_call_that_may_have_cost_is_counted_as_the_most_it_can() -> None:
    state = JudgeState()
    names = ["slow", *(f"r{n}" for n in range(8))]
    outcomes, _ = asked(
        lambda name, number: SLOW if name == "slow" else GOOD, names, judge=budget(1_000), most=9, state=state
    )
    slow = outcomes["slow"]
    assert isinstance(slow, Failure)
    most = most_usd(JUDGE, [{"role": "user", "content": "slow"}])
    assert slow.unsettled_usd == pytest.approx(most * slow.tries)
    assert state.spent("tone", NOW.date()) == pytest.approx(8 * USD + slow.unsettled_usd)


def test_a_run_that_is_cancelled_leaves_the_calls_in_flight_as_paid() -> None:
    state, day = JudgeState(), date(2026, 11, 23)

    async def hang(messages: Messages, judge: Judge, *, timeout: float) -> Call:
        await asyncio.sleep(60)
        return GOOD

    async def run() -> None:
        purse = Purse(judge=budget(1_000), state=state, now=lambda: NOW)
        asking = Asking(judge=budget(1_000), call=hang, pace=Pace(most=1), purse=purse)
        task = asyncio.create_task(asking.ask([{"role": "user", "content": "r"}]))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())
    assert state.spent("tone", day) == pytest.approx(most_usd(JUDGE, [{"role": "user", "content": "r"}]))
