"""One response's way to a reply: set money aside, wait for a place, call, and try again where that may help.

                ┌─ answered: reply, or a failure of its own ──▶ done
call ──▶ outcome┼─ key, model or account refused ──▶ the judge is paused
                └─ not served ─┬─ others are answered: tried again some times, then a failure of its own
                               └─ nobody is: an outage; all wait, then the judge is paused and nothing is burnt
"""

from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Protocol

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.judges.pace import LONGEST_WAIT, Pace
from onlineeval_dagster.judges.purse import Purse, cost_usd, most_tokens, most_usd
from onlineeval_dagster.judges.work import Busy, Call, Failure, Messages, Outcome, Paused, Reply, Shed

MAX_TRIES = 4
"""HTTP calls for one response that were not served while others were; a timeout is not tried again: it may have cost
as much as an answer."""

MAX_LIMITED = 5
"""HTTP calls for one response that met HTTP 429 while others were answered."""


class CallModel(Protocol):
    """`Endpoint.call`, or a fake of it."""

    def __call__(self, messages: Messages, judge: Judge, *, timeout: float) -> Awaitable[Call]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """Asks for one judge; shared by the workers of its run."""

    judge: Judge
    call: CallModel
    pace: Pace
    purse: Purse

    async def ask(self, messages: Messages) -> Outcome:
        """One reply of the judge's model, or why there is none."""
        most = most_usd(self.judge, messages)
        first_started, tries, limited, unsettled = None, 0, 0, 0.0
        while True:
            called = await self._call(messages, most)
            if isinstance(called, Paused | Shed):
                return called
            tries += 1
            started, outcome = called
            if isinstance(outcome, Paused):
                self.pace.close(outcome)
                return outcome
            if not isinstance(outcome, Busy):
                self.pace.answered(well=isinstance(outcome, Reply) or outcome.kind != "endpoint")
                return replace(outcome, tries=tries, unsettled_usd=unsettled)
            first_started = started if first_started is None else first_started
            limited += outcome.is_limit
            failure = outcome.failure
            unsettled += most if failure.may_have_cost else 0.0
            self._push_back(messages, started, outcome)
            if self.pace.closed:
                return self.pace.closed
            if failure.kind == "timeout":
                # Slow responses may take every place at once: then nobody is answered for as long as a timeout.
                is_over = self.pace.answered_at > first_started or self.pace.is_to_blame(messages, first_started)
            else:
                is_used_up = tries - limited >= MAX_TRIES or limited >= MAX_LIMITED
                is_over = is_used_up and self.pace.is_to_blame(messages, first_started)
            if is_over:
                return replace(failure, tries=tries, unsettled_usd=unsettled)
            if not outcome.is_limit:
                await self.pace.sleep(self.pace.backoff(tries))

    async def _call(self, messages: Messages, most: float) -> tuple[float, Call] | Paused | Shed:
        """When a call started, and what it brought; or why there was none."""
        if self.pace.closed:
            return self.pace.closed
        money = await self.purse.set_aside(most)
        if money is None:
            return self.pace.closed or Shed(message=f"the day's ${self.judge.daily_budget_usd:g} are used up")
        tokens = most_tokens(messages) / 4 + self.judge.most_output_tokens
        started = await self.pace.enter(tokens)
        if started is None:
            self.purse.settle(money, 0.0)
            return self.pace.closed or Paused(reason="closed")
        cost, used = most, tokens  # of a call that is cancelled
        try:
            outcome = await self.call(messages, self.judge, timeout=self.judge.timeout_seconds)
            cost = self._cost(outcome, most)
            used = _tokens(outcome, tokens)
        finally:
            self.pace.leave(tokens_saved=tokens - used)
            self.purse.settle(money, cost)
        return started, outcome

    def _push_back(self, messages: Messages, started: float, busy: Busy) -> None:
        reason = f"no call is served, the last: {busy.failure.message}"
        wait = busy.wait_seconds
        self.pace.pushed_back(
            messages,
            started,
            Paused(reason=reason, at_least_seconds=wait if wait and wait > LONGEST_WAIT else 0.0),
            is_limit=busy.is_limit,
            wait=wait,
            weight=2 if busy.failure.kind == "timeout" else 1,
        )

    def _cost(self, outcome: Call, most: float) -> float:
        if isinstance(outcome, Reply):
            return cost_usd(self.judge, outcome, most=most)
        failure = outcome.failure if isinstance(outcome, Busy) else outcome
        return most if isinstance(failure, Failure) and failure.may_have_cost else 0.0


def _tokens(outcome: Call, entered: float) -> float:
    if isinstance(outcome, Reply) and outcome.input_tokens is not None and outcome.output_tokens is not None:
        return float(outcome.input_tokens + outcome.output_tokens)
    return entered
