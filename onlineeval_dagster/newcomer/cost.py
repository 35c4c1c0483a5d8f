"""What judging costs a month, and the rate that a cap allows."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.judges.canaries import CANARIES_A_DAY
from onlineeval_dagster.judges.rubric import LONGEST_SESSION, messages
from onlineeval_dagster.judges.work import WorkItem
from onlineeval_dagster.newcomer.conversations import Conversations

MONTH_DAYS = 30
CHARS_A_TOKEN = 4
REPLY_TOKENS = 80
"""A score with one or two sentences. A model that thinks first is billed for more."""

_BOUNDARY = "0123456789abcdef"  # as long as the real ones


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeCost:
    """What one call of a judge costs, tokens on the mean of what was looked at.

    calls_an_answer  1; of a judge of sessions, which is called once a conversation, less
    """

    judge: Judge
    input_tokens: float
    usd_a_call: float
    calls_an_answer: float = 1.0

    @property
    def own_rate(self) -> float:
        return self.judge.rate or 0.0

    @property
    def usd_an_answer(self) -> float:
        return self.usd_a_call * self.calls_an_answer

    def calls_a_day(self, answers_a_day: float, rate: float) -> float:
        """Calls a day: the share that is judged, those of it that are judged twice, and the canaries."""
        judged = answers_a_day * self.calls_an_answer * max(rate, self.own_rate)
        return judged * (1 + self.judge.repeats) + (0 if self.judge.is_local else CANARIES_A_DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """How many judged answers a person looks at too, and how long that takes."""

    share: float = 0.01
    seconds: float = 45.0

    def hours(self, judged: float) -> float:
        return judged * self.share * self.seconds / 3600


def judge_cost(judge: Judge, answers: Sequence[Response], conversations: Conversations | None = None) -> JudgeCost:
    """What a call of this judge costs: its prompt filled with the answers' texts, as it would be sent.

    A judge of sessions reads the turns before the last one too, and is called once for each of `conversations`.
    """
    items = [_item(said) for said in answers]
    if not judge.is_of_sessions:
        return item_cost(judge, items)
    found = conversations or Conversations.alone()
    # What a product sends along of earlier turns is in them, save what was said before the log began.
    items = [replace(item, conversation=None) for item in items]
    earlier = found.mean_earlier_chars(at_most=LONGEST_SESSION * CHARS_A_TOKEN) / CHARS_A_TOKEN
    return _priced(judge, items, _tokens(judge, items) + earlier, calls_an_answer=found.an_answer)


def item_cost(judge: Judge, items: Sequence[WorkItem]) -> JudgeCost:
    """The same of answers, or of whole conversations, as a judge gets them."""
    return _priced(judge, items, _tokens(judge, items))


def _priced(judge: Judge, items: Sequence[WorkItem], tokens: float, *, calls_an_answer: float = 1.0) -> JudgeCost:
    usd = 0.0
    if not judge.is_local and judge.price is not None and items:
        reply = min(REPLY_TOKENS, *(int(judge.parameters[name]) for name in _LIMITS if name in judge.parameters), 10**6)
        usd = (tokens * judge.price.input_usd_per_million + reply * judge.price.output_usd_per_million) / 1e6
    return JudgeCost(judge=judge, input_tokens=tokens, usd_a_call=usd, calls_an_answer=calls_an_answer)


def month_usd(costs: Sequence[JudgeCost], *, answers_a_day: float, rate: float) -> float:
    """US dollars a month where every judge sees this share of the answers, or its own rate where that is higher.

    What is judged twice and the daily canaries are in it.
    """
    return sum(cost.usd_a_call * cost.calls_a_day(answers_a_day, rate) for cost in costs) * MONTH_DAYS


def rate_within(costs: Sequence[JudgeCost], *, answers_a_day: float, cap_usd: float) -> float | None:
    """The highest rate that keeps a month within the cap; None where not even the judges' own rates do.

    >>> rate_within([], answers_a_day=3_000, cap_usd=0)
    1.0
    """

    def fits(rate: float) -> bool:
        return month_usd(costs, answers_a_day=answers_a_day, rate=rate) <= cap_usd

    if fits(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    floored = int(low * 10_000) / 10_000
    return floored if floored > 0 and fits(floored) else None


_LIMITS = ("max_tokens", "max_completion_tokens")


def _tokens(judge: Judge, items: Sequence[WorkItem]) -> float:
    sizes = [sum(len(part["content"]) for part in messages(judge, item, boundary=_BOUNDARY)) for item in items]
    return sum(sizes) / max(len(sizes), 1) / CHARS_A_TOKEN


def _item(said: Response) -> WorkItem:
    return WorkItem(
        response_id=said.response_id,
        response_at=said.occurred_at,
        query=said.query,
        response=said.response,
        context=said.context,
        conversation=said.conversation,
        reference=said.reference,
    )
