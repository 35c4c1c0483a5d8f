"""How many calls start, and when, on a clock of the test's own."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlineeval_dagster.judges.pace import LONGEST_WAIT, MOST_EVENTS, Pace, Rate
from onlineeval_dagster.judges.work import Paused

WHY = Paused(reason="down")


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def paced(clock: Clock, **options: object) -> Pace:
    given = {"most": 8, "rng": random.Random(1), "clock": clock, "sleep": clock.sleep} | options
    return Pace(**given)  # type: ignore[arg-type]


def starts(pace: Pace, count: int, *, tokens: float = 0.0, used: float | None = None) -> list[float]:
    """When `count` calls start that each end at once, answered."""

    async def run() -> list[float]:
        found = []
        for _ in range(count):
            started = await pace.enter(tokens)
            assert started is not None
            pace.answered()
            pace.leave(tokens_saved=0.0 if used is None else tokens - used)
            found.append(started)
        return found

    return asyncio.run(run())


@given(st.floats(6, 6_000), st.integers(2, 300))
def test_no_minute_sees_more_requests_than_the_file_allows(per_minute: float, count: int) -> None:
    clock = Clock()
    times = starts(paced(clock, requests=Rate(per_minute=per_minute)), count)
    allowed = per_minute * (1 + 1 / 60) + 1  # a second's worth may have been saved up, and one call overdraws
    for first in times:
        assert sum(first <= at < first + 60 for at in times) <= allowed
    assert times[-1] - times[0] <= (count + 1) * 60 / per_minute, "and it is not slower than it must be"


def test_tokens_that_were_not_used_are_given_back() -> None:
    clock = Clock()
    spent = starts(paced(clock, tokens=Rate(per_minute=60_000)), 100, tokens=1_000)
    saved = starts(paced(Clock(), tokens=Rate(per_minute=60_000)), 100, tokens=1_000, used=100)
    assert spent[-1] - spent[0] == pytest.approx(99, abs=1)
    assert saved[-1] - saved[0] == pytest.approx(9.9, abs=1)


def in_flight_after(pace: Pace, steps: Callable[[Pace], Awaitable[None]]) -> int:
    """How many calls are let in by then, of 50 that want to."""

    async def run() -> int:
        await steps(pace)
        waiting = [asyncio.create_task(pace.enter(0)) for _ in range(50)]
        for _ in range(200):
            await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return pace.in_flight

    return asyncio.run(run())


async def nothing(pace: Pace) -> None:
    del pace


async def one_answer(pace: Pace) -> None:
    await pace.enter(0)
    pace.answered()
    pace.leave()


def test_the_first_call_goes_alone_and_its_answer_opens_the_way_for_all() -> None:
    assert in_flight_after(paced(Clock()), nothing) == 1
    assert in_flight_after(paced(Clock()), one_answer) == 8


def test_after_a_pause_each_answer_lets_in_one_more() -> None:
    assert in_flight_after(paced(Clock(), probing=True), one_answer) == 2


def test_what_was_in_flight_together_halves_the_limit_once() -> None:
    clock = Clock()
    pace = paced(clock)

    async def burst(pace: Pace) -> None:
        await one_answer(pace)
        begun = [await pace.enter(0) for _ in range(8)]
        clock.now += 1
        for started in begun:
            assert started is not None
            pace.pushed_back(object(), started, WHY, is_limit=True, wait=None)
            pace.leave()

    assert in_flight_after(pace, burst) == 4
    assert pace.closed is None


def test_an_endpoint_that_never_answers_closes_the_pace_after_some_rounds() -> None:
    clock = Clock()
    pace = paced(clock, most=64)

    async def run() -> int:
        await one_answer(pace)
        calls = 0

        async def worker() -> None:
            nonlocal calls
            while (started := await pace.enter(0)) is not None:
                calls += 1
                await asyncio.sleep(0)
                clock.now += 0.001
                pace.pushed_back(object(), started, WHY, is_limit=False, wait=None)
                pace.leave()

        await asyncio.gather(*(worker() for _ in range(64)))
        return calls

    assert asyncio.run(run()) <= 2 * 64 + MOST_EVENTS
    assert pace.closed == WHY


def test_a_probe_that_fails_closes_at_once() -> None:
    pace = paced(Clock(), probing=True)

    async def run() -> None:
        started = await pace.enter(0)
        assert started is not None
        pace.pushed_back(object(), started, WHY, is_limit=False, wait=None)
        pace.leave()
        assert await pace.enter(0) is None

    asyncio.run(run())


def test_a_failure_among_answers_slows_nobody_down() -> None:
    pace = paced(Clock())
    starts(pace, 3)
    pace.pushed_back(object(), pace.clock() - 1, WHY, is_limit=False, wait=None)
    assert pace.limit == 8


def test_an_endpoint_that_asks_for_a_wait_gets_it_and_for_a_long_one_is_left_alone() -> None:
    clock = Clock()
    pace = paced(clock)
    (first,) = starts(pace, 1)
    pace.pushed_back(object(), first, WHY, is_limit=True, wait=20)
    (second,) = starts(pace, 1)
    assert 20 <= second - first <= 21
    pace.pushed_back(object(), second, WHY, is_limit=True, wait=LONGEST_WAIT + 1)
    assert pace.closed == WHY


def test_who_waits_for_a_place_is_told_when_the_pace_closes() -> None:
    pace = paced(Clock())

    async def run() -> float | None:
        await pace.enter(0)
        waiting = asyncio.create_task(pace.enter(0))
        await asyncio.sleep(0)
        pace.close(WHY)
        return await asyncio.wait_for(waiting, 5)

    assert asyncio.run(run()) is None
