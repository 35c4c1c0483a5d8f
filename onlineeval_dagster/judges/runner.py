"""Runs judges over work: bounded, lazy, and each verdict recorded before the next call is paid for."""

import asyncio
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Protocol

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.contracts.events import Verdict
from onlineeval_dagster.judges.client import Endpoint
from onlineeval_dagster.judges.local import score
from onlineeval_dagster.judges.rubric import messages, read_reply
from onlineeval_dagster.judges.work import Failure, Messages, Outcome, Paused, Reading, Reply, WorkItem

Record = Callable[[list[Verdict]], None]
LOCAL_CHUNK = 500


class Ask(Protocol):
    """`Endpoint.ask`, or a fake of it."""

    def __call__(self, messages: Messages, judge: Judge, *, timeout: float) -> Awaitable[Outcome]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What one judge did in one run. `failed` verdicts are errors; what a pause left over has no verdict, and is asked
    for by the next run. `paused_reason` is for a person; `seconds` is wall-clock time.
    """

    judge: str
    judge_version: str
    done: int = 0
    failed: int = 0
    paused_reason: str | None = None
    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0


def judge_all(
    tasks: Iterable[tuple[Judge, Iterable[WorkItem]]],
    *,
    endpoint: Callable[[], Endpoint],
    record: Record,
    now: Callable[[], datetime],
) -> list[RunSummary]:
    """Run every judge over its work, local ones first; one summary a judge, in the order they ran.

    `endpoint` is called only when a judge needs one, after the local ones are done: a missing key costs them nothing.
    Raises JudgeError from there, and whatever `record` raises.
    """
    tasks = list(tasks)
    local = [task for task in tasks if task[0].is_local]
    remote = [task for task in tasks if not task[0].is_local]
    summaries = [_run_local(judge, work, record=record, now=now) for judge, work in local]
    if remote:
        summaries += asyncio.run(_run_remote(remote, endpoint(), record=record, now=now))
    return summaries


async def _run_remote(
    tasks: list[tuple[Judge, Iterable[WorkItem]]], endpoint: Endpoint, *, record: Record, now: Callable[[], datetime]
) -> list[RunSummary]:
    async with endpoint:
        return [await run_judge(judge, work, endpoint.ask, record=record, now=now) for judge, work in tasks]


async def run_judge(
    judge: Judge,
    work: Iterable[WorkItem],
    ask: Ask,
    *,
    record: Record,
    now: Callable[[], datetime],
    concurrency: int | None = None,
    pause_after: int = 20,
    new_boundary: Callable[[], str] = lambda: secrets.token_hex(8),
) -> RunSummary:
    """Judge all work, at most `concurrency` calls in flight (the judge file's by default). `work` is read lazily.

    A worker records its verdict before it takes the next item, so a kill loses at most the calls in flight. After
    `pause_after` failed calls in a row, or one answer that every call would get, the judge pauses.
    Raises what `record` raises, when the calls in flight have been cancelled.
    """
    if judge.is_local:
        return _run_local(judge, work, record=record, now=now)
    run = _Run(judge, iter(work), record, now, pause_after)
    workers = [asyncio.create_task(run.worker(ask, new_boundary)) for _ in range(concurrency or judge.concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    return run.summary()


class _Run:
    """The counts that the workers of one run share. One event loop, so no locks."""

    def __init__(
        self, judge: Judge, work: Iterator[WorkItem], record: Record, now: Callable[[], datetime], pause_after: int
    ) -> None:
        self.judge, self.work, self.record, self.now, self.pause_after = judge, work, record, now, pause_after
        self.done = self.failed = self.failed_in_a_row = self.input_tokens = self.output_tokens = 0
        self.cost_usd = 0.0
        self.paused_reason: str | None = None
        self.started = time.perf_counter()

    async def worker(self, ask: Ask, new_boundary: Callable[[], str]) -> None:
        for item in self.work:
            prompt = messages(self.judge, item, boundary=new_boundary())
            outcome = await ask(prompt, self.judge, timeout=self.judge.timeout_seconds)
            if isinstance(outcome, Paused):
                self.paused_reason = outcome.reason
            else:
                reading = self._reading(outcome)
                self.take([remote_verdict(self.judge, item, outcome, reading, at=self.now())])
                self._count_failure(outcome)
            if self.paused_reason:
                return

    def take(self, verdicts: list[Verdict]) -> None:
        """Record first, count after: a count must never promise what was not written."""
        self.record(verdicts)
        for verdict in verdicts:
            self.done += verdict.score is not None
            self.failed += verdict.score is None
            self.cost_usd += verdict.cost_usd or 0.0
            self.input_tokens += verdict.input_tokens or 0
            self.output_tokens += verdict.output_tokens or 0

    def _reading(self, outcome: Reply | Failure) -> Reading:
        if isinstance(outcome, Failure):
            return Reading(error_kind=outcome.kind, message=outcome.message)
        return read_reply(self.judge, outcome.text, outcome.finish_reason)

    def _count_failure(self, outcome: Reply | Failure) -> None:
        broken = isinstance(outcome, Failure) and outcome.kind in ("endpoint", "timeout")
        self.failed_in_a_row = self.failed_in_a_row + 1 if broken else 0
        if isinstance(outcome, Failure) and self.failed_in_a_row >= self.pause_after:
            self.paused_reason = f"{self.failed_in_a_row} calls in a row failed, the last: {outcome.message}"

    def summary(self) -> RunSummary:
        return RunSummary(
            judge=self.judge.name,
            judge_version=self.judge.version,
            done=self.done,
            failed=self.failed,
            paused_reason=self.paused_reason,
            cost_usd=self.cost_usd,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            seconds=time.perf_counter() - self.started,
        )


def _run_local(judge: Judge, work: Iterable[WorkItem], *, record: Record, now: Callable[[], datetime]) -> RunSummary:
    items = iter(work)
    run = _Run(judge, items, record, now, pause_after=1)
    while chunk := list(islice(items, LOCAL_CHUNK)):
        at = now()
        run.take([_verdict(judge, item, score(judge, item), at=at, cost_usd=0.0) for item in chunk])
    return run.summary()


def remote_verdict(
    judge: Judge, item: WorkItem, outcome: Reply | Failure, reading: Reading, *, at: datetime
) -> Verdict:
    """The verdict on one remote call, with all it cost. HTTP calls it took: `attributes.tries`."""
    if isinstance(outcome, Failure):
        return _verdict(
            judge,
            item,
            reading,
            at=at,
            latency_ms=outcome.latency_ms,
            request_id=outcome.request_id,
            attributes={"tries": outcome.tries},
        )
    return _verdict(
        judge,
        item,
        reading,
        at=at,
        latency_ms=outcome.latency_ms,
        input_tokens=outcome.input_tokens,
        output_tokens=outcome.output_tokens,
        cost_usd=judge.price.of(outcome.input_tokens, outcome.output_tokens) if judge.price else None,
        request_id=outcome.request_id,
        fingerprint=outcome.fingerprint,
        attributes={"tries": outcome.tries, "served_model": outcome.model},
    )


def verdict_id(judge: Judge, item: WorkItem) -> str:
    """The event id of a verdict, from its key alone: the same verdict twice is a duplicate, not a second row."""
    key = [item.response_id, judge.axis, judge.name, judge.version, str(item.replicate), str(item.attempt)]
    return "verdict-" + hashlib.sha256("\x1f".join(key).encode("utf-8", "replace")).hexdigest()[:32]


def _verdict(judge: Judge, item: WorkItem, reading: Reading, *, at: datetime, **call: object) -> Verdict:
    fields: dict[str, object] = {
        "event_id": verdict_id(judge, item),
        "occurred_at": at,
        "received_at": at,
        "environment": item.environment,
        "app": item.app,
        "response_id": item.response_id,
        "response_at": item.response_at,
        "axis": judge.axis,
        "judge": judge.name,
        "judge_version": judge.version,
        "replicate": item.replicate,
        "attempt": item.attempt,
        "score": None if reading.score is None else float(reading.score),
        "score_label": reading.label,
        "error_kind": reading.error_kind,
        "error": reading.message,
        "rationale": reading.rationale,
        "inclusion_probability": item.inclusion_probability,
        "stratum": item.stratum,
        "model": judge.model,
    }
    return Verdict.model_validate(fields | call)
