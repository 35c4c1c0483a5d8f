"""Runs judges over work: bounded, lazy, and each verdict recorded before the next call is paid for."""

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import chain, islice
from typing import Any, TypeVar, get_args

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.contracts.events import Verdict
from onlineeval_dagster.errors import JudgeError
from onlineeval_dagster.judges.asking import Asking, CallModel
from onlineeval_dagster.judges.client import Endpoint, EndpointOf
from onlineeval_dagster.judges.local import score
from onlineeval_dagster.judges.pace import Pace, pace_of
from onlineeval_dagster.judges.purse import Purse
from onlineeval_dagster.judges.rubric import Redact, messages, read_reply, unchanged
from onlineeval_dagster.judges.state import JudgeState, Pause
from onlineeval_dagster.judges.verdicts import remote_verdict, verdict_of
from onlineeval_dagster.judges.work import ErrorKind, Failure, Paused, Reading, Reply, Shed, WorkItem

T = TypeVar("T")
Record = Callable[[list[Verdict]], None]
LOCAL_CHUNK = 500
PAUSE_AFTER = 20
"""Calls in a row that the endpoint refused, each for itself, after which the judge is paused."""

# Workers for each call in flight: those that wait to try theirs again must not keep others from being asked.
_WORKERS = 4
_PROBED_WITH = 20  # responses that probes take in turn: one that always fails must not keep a judge paused


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What one judge did in one run. `failed` verdicts are errors, `shed` ones were not asked for lack of money. What a
    pause left over has no verdict, and is asked for by a later run, not before `paused_until`. `paused_reason` is for a
    person; `seconds` is wall-clock time.
    """

    judge: str
    judge_version: str
    done: int = 0
    failed: int = 0
    shed: int = 0
    paused_reason: str | None = None
    paused_until: datetime | None = None
    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0


def judge_all(
    tasks: Iterable[tuple[Judge, Iterable[WorkItem]]],
    *,
    endpoint: EndpointOf,
    record: Record,
    now: Callable[[], datetime],
    state: JudgeState | None = None,
    redact: Redact = unchanged,
    rng: random.Random | None = None,
    first_wait: float = 0.5,
) -> list[RunSummary]:
    """Run every judge over its work, local ones first, the others side by side; one summary a judge, in this order.

    `endpoint` is called only for judges that need one, after the local ones are done: a missing key costs them nothing,
    and the remote ones that have theirs neither. Where all of them lack it, JudgeError is raised.
    `state` is what they remember between runs, nothing by default; `redact` is put on every text that leaves.
    Raises also whatever `record` raises, when the calls in flight have been cancelled.
    """
    tasks, rng = list(tasks), rng or random.Random()
    local = [task for task in tasks if task[0].is_local]
    remote = [task for task in tasks if not task[0].is_local]
    summaries = [_run_local(judge, work, record=record, now=now) for judge, work in local]
    if not remote:
        return summaries

    async def one(judge: Judge, work: Iterable[WorkItem], opened: Endpoint, memory: JudgeState) -> RunSummary:
        cause = opened.cause(judge)
        pause = memory.pause_of(judge.name, cause=cause)
        run = _Run(
            judge=judge,
            tally=_Tally(judge=judge, record=record),
            pace=pace_of(judge, probing=pause is not None, first_wait=first_wait, rng=rng),
            state=memory,
            now=now,
            redact=redact,
            cause=cause,
            pause=pause,
        )
        return await run.over(iter(work), opened.call)

    async def side_by_side(memory: JudgeState) -> list[RunSummary]:
        async with AsyncExitStack() as stack:
            opened = {address: await stack.enter_async_context(one) for address, one in doors.items()}
            return await _all_or_none(one(judge, work, opened[at[judge.name]], memory) for judge, work in reached)

    at, doors, refused = _doors([judge for judge, _ in remote], endpoint)
    reached = [task for task in remote if task[0].name in at]
    with nullcontext(state) if state else JudgeState() as memory:
        done = {summary.judge: summary for summary in asyncio.run(side_by_side(memory))}
    return summaries + [done.get(judge.name) or refused[judge.name] for judge, _ in remote]


async def run_judge(
    judge: Judge,
    work: Iterable[WorkItem],
    call: CallModel,
    *,
    record: Record,
    now: Callable[[], datetime],
    pace: Pace | None = None,
    pause_after: int = PAUSE_AFTER,
    redact: Redact = unchanged,
    new_boundary: Callable[[], str] = lambda: secrets.token_hex(8),
) -> RunSummary:
    """Judge all work with one judge, remembering nothing. `work` is read lazily.

    A worker records its verdict before it takes the next item, so a kill loses at most the calls in flight.
    Raises what `record` raises, when the calls in flight have been cancelled.
    """
    if judge.is_local:
        return _run_local(judge, work, record=record, now=now)
    with JudgeState() as state:
        run = _Run(
            judge=judge,
            tally=_Tally(judge=judge, record=record),
            pace=pace or pace_of(judge, rng=random.Random()),
            state=state,
            now=now,
            redact=redact,
            pause_after=pause_after,
            new_boundary=new_boundary,
        )
        return await run.over(iter(work), call)


def _doors(
    judges: Iterable[Judge], endpoint: EndpointOf
) -> tuple[dict[str, tuple[str, str]], dict[tuple[str, str], Endpoint], dict[str, RunSummary]]:
    """The address of each judge by name, an endpoint an address, and a summary of each that has none.

    Raises JudgeError where none of them has one.
    """
    at: dict[str, tuple[str, str]] = {}
    doors: dict[tuple[str, str], Endpoint] = {}
    refused: dict[str, RunSummary] = {}
    error = None
    for judge in judges:
        try:
            door = endpoint(judge)
        except JudgeError as found:
            refused[judge.name] = RunSummary(judge=judge.name, judge_version=judge.version, paused_reason=str(found))
            error = error or found
        else:
            at[judge.name] = door.address
            doors.setdefault(door.address, door)
    if error is not None and not at:
        raise error
    return at, doors, refused


async def _all_or_none(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Their results; where one raises, the others are cancelled and waited for first."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass(slots=True, kw_only=True)
class _Tally:
    """Takes verdicts and counts them."""

    judge: Judge
    record: Record
    counts: Counter[str] = field(default_factory=Counter)
    cost_usd: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def take(self, verdicts: list[Verdict]) -> None:
        """Record first, count after: a count must never promise what was not written."""
        self.record(verdicts)
        for verdict in verdicts:
            self.counts["done" if verdict.score is not None else verdict.error_kind or ""] += 1
            self.counts["input"] += verdict.input_tokens or 0
            self.counts["output"] += verdict.output_tokens or 0
            self.cost_usd += verdict.cost_usd or 0.0

    def summary(self, pause: Pause | None = None) -> RunSummary:
        return RunSummary(
            judge=self.judge.name,
            judge_version=self.judge.version,
            done=self.counts["done"],
            failed=sum(self.counts[kind] for kind in get_args(ErrorKind) if kind != "shed"),
            shed=self.counts["shed"],
            paused_reason=pause.reason if pause else None,
            paused_until=pause.next_probe_at if pause else None,
            cost_usd=self.cost_usd,
            input_tokens=self.counts["input"],
            output_tokens=self.counts["output"],
            seconds=time.perf_counter() - self.started,
        )


@dataclass(slots=True, kw_only=True)
class _Run:
    """What the workers of one remote judge's run share. One event loop, so no locks."""

    judge: Judge
    tally: _Tally
    pace: Pace
    state: JudgeState
    now: Callable[[], datetime]
    redact: Redact
    cause: str = ""
    pause: Pause | None = None
    pause_after: int = PAUSE_AFTER
    new_boundary: Callable[[], str] = lambda: secrets.token_hex(8)
    refused_in_a_row: int = 0

    async def over(self, work: Iterator[WorkItem], call: CallModel) -> RunSummary:
        """Judge the work; nothing of it where a pause is not over yet."""
        if self.pause and self.now() < self.pause.next_probe_at:
            return self.tally.summary(self.pause)
        if self.pause:
            work = _from_another(work, self.pause.probes)
        purse = Purse(judge=self.judge, state=self.state, now=self.now)
        asking = Asking(judge=self.judge, call=call, pace=self.pace, purse=purse)
        await _all_or_none(self.worker(work, asking) for _ in range(_WORKERS * self.judge.max_in_flight))
        if closed := self.pace.closed:
            at_least = timedelta(seconds=closed.at_least_seconds)
            self.pause = self.state.pause(
                self.judge.name, closed.reason, cause=self.cause, now=self.now(), at_least=at_least
            )
        return self.tally.summary(self.pause)

    async def worker(self, work: Iterator[WorkItem], asking: Asking) -> None:
        for item in work:
            prompt = messages(self.judge, item, boundary=self.new_boundary(), redact=self.redact)
            outcome = await asking.ask(prompt)
            if isinstance(outcome, Paused):
                return
            self.tally.take([remote_verdict(self.judge, item, outcome, self._reading(outcome), at=self.now())])
            if isinstance(outcome, Shed):
                await asyncio.sleep(0)
            else:
                self._look_at_the_endpoint(outcome)

    def _reading(self, outcome: Reply | Failure | Shed) -> Reading:
        if isinstance(outcome, Shed):
            return Reading(error_kind="shed", message=outcome.message)
        if isinstance(outcome, Failure):
            return Reading(error_kind=outcome.kind, message=outcome.message)
        return read_reply(self.judge, outcome.text, outcome.finish_reason, outcome.tokens)

    def _look_at_the_endpoint(self, outcome: Reply | Failure) -> None:
        if isinstance(outcome, Failure) and outcome.kind in ("endpoint", "timeout"):
            self.refused_in_a_row += 1
            if self.refused_in_a_row >= self.pause_after:
                reason = f"{self.refused_in_a_row} calls in a row failed, the last: {outcome.message}"
                self.pace.close(Paused(reason=reason))
            return
        self.refused_in_a_row = 0
        if self.pause:
            self.state.resume(self.judge.name)
            self.pause = None


def _from_another(work: Iterator[WorkItem], probes: int) -> Iterator[WorkItem]:
    """The same work, begun with another of its first ones at each probe."""
    first = list(islice(work, _PROBED_WITH))
    at = probes % max(len(first), 1)
    return chain(first[at:], first[:at], work)


def _run_local(judge: Judge, work: Iterable[WorkItem], *, record: Record, now: Callable[[], datetime]) -> RunSummary:
    items = iter(work)
    tally = _Tally(judge=judge, record=record)
    while chunk := list(islice(items, LOCAL_CHUNK)):
        at = now()
        tally.take([verdict_of(judge, item, score(judge, item), at=at, cost_usd=0.0) for item in chunk])
    return tally.summary()
