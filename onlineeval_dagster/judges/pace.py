"""How fast one judge may ask: calls in flight, rates, and when to stop asking. Knows no HTTP.

    worker ──▶ enter: one at a time, first come first served ──▶ a call ──▶ answered | pushed_back ──▶ leave
                 waits while: in flight ≥ limit · the endpoint asked for a wait · a rate is used up

The limit follows AIMD as TCP's congestion window does (Chiu and Jain 1989; RFC 5681): halved when the endpoint pushes
back, at most once for all that was in flight then; grown by one for each answer up to half of what was too much,
beyond that by one for each round of answers. The first call of a run goes alone: a wrong key costs one call.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.judges.work import Paused

LONGEST_WAIT = 60.0
"""Seconds; an endpoint that asks for more is asked again by a later run."""

MOST_EVENTS = 6
"""Pushbacks in a row, with no answer between them, after which the judge is paused: what was in flight together
counts once, a timeout twice. An endpoint that goes down with n calls in flight gets some 2 n + MOST_EVENTS of them."""

_SOON = 1e-6  # seconds: less may be lost in the clock's own rounding, and would be waited for for ever
_SLICE = 1.0  # seconds slept at a time, so that a pause is noticed


@dataclass(slots=True, kw_only=True)
class Rate:
    """What may be spent a minute, as a bucket that holds a second's worth and may be overdrawn by one call."""

    per_minute: float
    level: float = 0.0
    at: float | None = None

    def wait(self, now: float) -> float:
        """Seconds until the next call may start."""
        return max(0.0, -self._filled(now) / (self.per_minute / 60))

    def spend(self, amount: float, now: float) -> None:
        self.level, self.at = self._filled(now) - amount, now

    def _filled(self, now: float) -> float:
        if self.at is None:
            return 0.0
        a_second = self.per_minute / 60
        return min(a_second, self.level + (now - self.at) * a_second)


@dataclass(slots=True, kw_only=True)
class Pace:
    """One judge's calls of one run, in one event loop.

    most              calls in flight at most
    probing           the judge was paused: one failed call closes, and after an answer it starts slowly
    requests, tokens  rates to keep; None: no limit
    first_wait        seconds after the first pushback, doubled for each in a row, shaken by `rng`
    closed            why no call may start any more; None while they may
    """

    most: int
    probing: bool = False
    requests: Rate | None = None
    tokens: Rate | None = None
    first_wait: float = 0.5
    rng: random.Random = field(default_factory=random.Random)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    closed: Paused | None = None
    limit: float = 1.0
    in_flight: int = 0
    answered_at: float = float("-inf")
    _enough: float = field(init=False)  # up to here the limit grows by one for each answer
    _is_known: bool = field(init=False)  # whether `limit` was found out, rather than where every run begins
    _events: int = 0
    _failing: set[int] = field(default_factory=set)  # who was not served since the last answer
    _cut_at: float = float("-inf")
    _opens_at: float = float("-inf")
    _door: asyncio.Lock = field(default_factory=asyncio.Lock)
    _left: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._enough, self._is_known = float(self.most), self.probing

    async def enter(self, tokens: float) -> float | None:
        """Wait for a place; when the call starts, by `clock`. None where the pace is closed. Then `leave`."""
        async with self._door:
            while self.closed is None:
                if self.in_flight >= int(self.limit):
                    self._left.clear()
                    await self._left.wait()
                    continue
                now = self.clock()
                if (wait := self._wait(now)) > _SOON:
                    await self.sleep(min(wait, _SLICE))
                    continue
                self.in_flight += 1
                if self.requests:
                    self.requests.spend(1, now)
                if self.tokens:
                    self.tokens.spend(tokens, now)
                return now
        return None

    def leave(self, *, tokens_saved: float = 0.0) -> None:
        """A call ended; it used so many tokens fewer than it entered with."""
        self.in_flight -= 1
        if self.tokens:
            self.tokens.spend(-tokens_saved, self.clock())
        self._left.set()

    def answered(self, *, well: bool = True) -> None:
        """The endpoint answered a call. Only where it did it `well` may more be asked at a time."""
        self._events, self.answered_at = 0, self.clock()
        self._failing.clear()
        if well and not self._is_known:
            self.limit, self._is_known = float(self.most), True
        elif well:
            step = 1.0 if self.limit < self._enough else 1.0 / self.limit
            self.limit = min(float(self.most), self.limit + step)
        self.probing = self.probing and not well
        self._left.set()

    def pushed_back(
        self, who: object, started: float, why: Paused, *, is_limit: bool, wait: float | None, weight: int = 1
    ) -> None:
        """The endpoint did not serve a call for `who` that started then. Slows down, or closes.

        A call that failed while others were answered says nothing of the endpoint, unless it is told to slow down.
        """
        self._failing.add(id(who))
        if not is_limit and self.serves_others(started):
            return
        if started >= self._cut_at:
            self._cut(weight)
        if wait is not None:
            self._opens_at = max(self._opens_at, self.clock() + wait)
        if self.probing or self._events >= MOST_EVENTS or (wait or 0.0) > LONGEST_WAIT:
            self.close(why)

    def serves_others(self, since: float) -> bool:
        """Whether the endpoint answered calls while one that began then was waiting: in the later half of that time.

        What began just before an outage saw answers too, early on; half of a timeout is longer than any call takes.
        """
        return self.answered_at > (since + self.clock()) / 2

    def is_to_blame(self, who: object, since: float) -> bool:
        """Whether it is `who`, asked for first then, that cannot be served, and not the endpoint that serves nobody.

        Where nobody else is left to compare with, the last answer of the run speaks for the endpoint: an outage that
        begins with the last response may be taken for its fault.
        """
        is_alone = self.in_flight == 0 and self._failing <= {id(who)}
        return self.serves_others(since) or (is_alone and self.answered_at > float("-inf"))

    def _cut(self, weight: int) -> None:
        if self._is_known and not self._events:
            self._enough = max(1.0, self.limit / 2)
        self._events, self._is_known = self._events + weight, True
        self.limit, self._cut_at = max(1.0, self.limit / 2), self.clock()
        self._opens_at = max(self._opens_at, self._cut_at + self.backoff(self._events))

    def close(self, why: Paused) -> None:
        """No call starts any more."""
        self.closed = self.closed or why
        self._left.set()

    def backoff(self, tries: int) -> float:
        """Seconds to wait after so many tries."""
        return min(LONGEST_WAIT, self.first_wait * 2 ** (tries - 1)) * (0.5 + self.rng.random() / 2)

    def _wait(self, now: float) -> float:
        rates = [rate.wait(now) for rate in (self.requests, self.tokens) if rate]
        return max(0.0, self._opens_at - now, *rates)


def pace_of(judge: Judge, *, probing: bool = False, first_wait: float = 0.5, rng: random.Random) -> Pace:
    """The pace that a judge's file asks for."""
    return Pace(
        most=judge.max_in_flight,
        probing=probing,
        requests=Rate(per_minute=judge.requests_per_minute) if judge.requests_per_minute else None,
        tokens=Rate(per_minute=judge.tokens_per_minute) if judge.tokens_per_minute else None,
        first_wait=first_wait,
        rng=rng,
    )
