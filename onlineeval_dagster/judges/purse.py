"""The hard budget of a judge and day: money is set aside before a call, and settled after it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.judges.work import Messages, Reply

OVERHEAD_TOKENS = 16
"""Tokens that a chat format puts around each message, at the most."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """Money for one call; nothing where the judge has no budget."""

    day: date
    usd: float


@dataclass(slots=True, kw_only=True)
class Purse:
    """What one judge may spend in this run. A kill leaves what was set aside as spent: never too little is counted."""

    judge: Judge
    state: JudgeState
    now: Callable[[], datetime]
    _open: int = 0
    _settled: asyncio.Event = field(default_factory=asyncio.Event)

    async def set_aside(self, usd: float) -> SetAside | None:
        """Set the most that a call can cost aside; None where the day has no more.

        While other calls are open it waits: they will have cost less than the most.
        """
        budget = self.judge.daily_budget_usd
        if budget is None:
            return SetAside(self.now().date(), 0.0)
        while True:
            day = self.now().date()
            if self.state.spend(self.judge.name, day, usd, at_most=budget):
                self._open += 1
                return SetAside(day, usd)
            if not self._open:
                return None
            self._settled.clear()
            await self._settled.wait()

    def settle(self, money: SetAside, usd: float) -> None:
        """The call is over and cost this."""
        if self.judge.daily_budget_usd is None:
            return
        if usd != money.usd:
            self.state.spend(self.judge.name, money.day, usd - money.usd)
        self._open -= 1
        self._settled.set()


def most_usd(judge: Judge, messages: Messages) -> float:
    """What a call costs at the most: a token has a byte or more, a reply no more tokens than the judge file allows."""
    return judge.price.of(most_tokens(messages), judge.most_output_tokens) if judge.price else 0.0


def most_tokens(messages: Messages) -> int:
    """No tokeniser that works on bytes makes more tokens of them."""
    return sum(len(message["content"].encode()) + OVERHEAD_TOKENS for message in messages)


def cost_usd(judge: Judge, reply: Reply, *, most: float) -> float:
    """What a reply cost by what the endpoint counted; where it counted nothing, the most."""
    if judge.price is None or reply.input_tokens is None or reply.output_tokens is None:
        return most
    return judge.price.of(reply.input_tokens, reply.output_tokens)
