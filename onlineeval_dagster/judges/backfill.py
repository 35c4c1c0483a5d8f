"""Which stored answers a judge's version should judge once more, because another version judged them: the plan.

    verdicts of other versions (or judges of the axis) ──▶ not judged by this one ──▶ newest first ──▶ what money allows

No selection is written. The newest answers are no sample of their days, so they must not look like one: a verdict
carries the chance and the stratum of the one it is compared with, and enters no day's estimate. Should the sampler draw
the answer for this version as well, that row has its own true chance, and the verdict is there already: no second call.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.sampling_file import Budget
from onlineeval_dagster.contracts.arrow import INSTANT
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.judges.purse import most_tokens
from onlineeval_dagster.judges.rubric import messages
from onlineeval_dagster.judges.stage import ATTEMPTS, items_of
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import literals, rows

LOOK_BACK_DAYS = 28
LOOK_BACK_ANSWERS = 200
"""Kappa's likely range is then about ± 0.1, at a kappa of 0.6 on three scores."""

SHARE_OF_THE_DAY = 0.5
"""Of what a judge may still spend today: the rest is for the new answers of today."""

_BYTES_A_TOKEN, _REPLY_TOKENS = 4, 80
_PRICED = 50  # answers whose prompts are filled in for the estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be judged. Nothing is spent yet.

    work      newest first: response_id, response_at, day, inclusion_probability, stratum, replicate, attempt
    judged    answers that this version and another one have judged
    waiting   answers that only another one has judged, those in `work` among them
    unpaid    of `waiting`, answers from before the budget was confirmed: left alone
    given_up  of `waiting`, answers that this version failed on too often
    usd_each  expected of an answer, US dollars
    usd_left  what it may cost in all; None: no limit
    is_short  money allows fewer than were asked for
    """

    judge: Judge
    work: pa.Table
    judged: int
    waiting: int
    unpaid: int
    given_up: int
    usd_each: float
    usd_left: float | None
    is_short: bool

    @property
    def usd(self) -> float:
        """Expected cost in all."""
        return self.usd_each * len(self.work)


def judge_to_ask(catalog: Catalog, name: str) -> Judge:
    """The judge of this name. Raises CatalogError where it may not be asked: none, retired, or nobody agreed to pay."""
    judge = next((one for one in catalog.judges if one.name == name), None)
    if judge is None:
        there = ", ".join(one.name for one in catalog.judges) or "none"
        raise CatalogError(f"judge {name!r} is no file in judges/; there are {there}")
    if judge.status == "retired":
        raise CatalogError(f'judges/{name}.md: status is retired; write "shadow" to have it judge again')
    if judge not in catalog.asked_judges:
        raise CatalogError(
            f"judges/{name}.md: {judge.model!r} costs money, and sampling.toml has no [budget]; confirm one first"
        )
    return judge


def judged_before(lake: Lake, judge: Judge, *, days: int, now: datetime, on: date | None = None) -> pa.Table:
    """Answers of the last `days`, or of the one day `on`, that other versions judged, newest first.

    The columns of `Plan.work`, and `judged`. The version compared with is the last one of the same judge, else of
    another judge of the axis. Answers whose text is gone are left out.
    """
    first = (now - timedelta(days=days)).date()
    wanted = {day for day in lake.days("verdicts") if (day == on if on else day >= first)}
    return rows(lake, _judged_before_sql(judge), {"verdicts": wanted, "responses": wanted})


def plan_backfill(
    judge: Judge,
    before: pa.Table,
    *,
    budget: Budget | None,
    limit: int,
    usd_each: float = 0.0,
    usd_left: float | None = None,
    skip: Collection[str] = (),
) -> Plan:
    """The newest `limit` answers of `before` that this version may judge, as many as `usd_left` should pay."""
    waiting = before.filter(~pc.field("judged"))
    paid = _is_paid(judge, budget)
    again = pc.field("attempt") < (1 if judge.is_local else ATTEMPTS)
    work = waiting.filter(paid & again & ~pc.field("response_id").isin(pa.array(sorted(skip), pa.string())))
    affordable = limit
    if usd_left is not None and usd_each > 0:
        affordable = min(limit, max(int(usd_left / usd_each + 1e-9), 0))
    return Plan(
        judge=judge,
        work=work.slice(0, affordable).drop_columns(["judged"]),
        judged=len(before) - len(waiting),
        waiting=len(waiting),
        unpaid=len(waiting) - len(waiting.filter(paid)),
        given_up=len(waiting) - len(waiting.filter(again)),
        usd_each=usd_each,
        usd_left=usd_left,
        is_short=affordable < min(limit, len(work)),
    )


def usd_allowed(judge: Judge, budget: Budget | None, *, spent_today: float) -> float | None:
    """What looking back may cost today: half of what the day has left, a month's cap at most. None: no limit."""
    if judge.is_local:
        return None
    limits = [] if budget is None else [budget.monthly_cap_usd]
    if judge.daily_budget_usd is not None:
        limits.append(max(judge.daily_budget_usd - spent_today, 0.0) * SHARE_OF_THE_DAY)
    return min(limits, default=None)


def expected_usd(lake: Lake, plan: Plan, *, idle: timedelta | None = None) -> float:
    """US dollars an answer: the prompt filled with the texts of the newest ones, a reply of 80 tokens at the most."""
    judge = plan.judge
    if judge.price is None or not len(plan.work):
        return 0.0
    items = list(items_of(lake, plan.work.slice(0, _PRICED), idle=idle))
    sizes = [most_tokens(messages(judge, item, boundary="0123456789abcdef")) / _BYTES_A_TOKEN for item in items]
    reply = min(_REPLY_TOKENS, judge.most_output_tokens or _REPLY_TOKENS)
    return judge.price.of(round(sum(sizes) / max(len(sizes), 1)), reply)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """A judge's version that has judged `judged` of the answers that others judged, and could judge `waiting` more."""

    judge: Judge
    judged: int
    waiting: int

    @property
    def key(self) -> str:
        return f"{self.judge.name}:{self.judge.version}"


def new_versions(
    lake: Lake, catalog: Catalog, *, known: Collection[str], now: datetime, limit: int = LOOK_BACK_ANSWERS
) -> list[NewVersion]:
    """Versions in the catalog, but those `known` by key, that share fewer than `limit` judged answers with others."""
    if not lake.days("verdicts"):
        return []
    found = []
    for judge in catalog.asked_judges:
        if f"{judge.name}:{judge.version}" not in known:
            before = judged_before(lake, judge, days=LOOK_BACK_DAYS, now=now)
            plan = plan_backfill(judge, before, budget=catalog.sampling.budget, limit=limit)
            if len(plan.work) and plan.judged < limit:
                found.append(NewVersion(judge=judge, judged=plan.judged, waiting=len(plan.work)))
    return found


def _is_paid(judge: Judge, budget: Budget | None) -> pc.Expression:
    """Of each answer, whether somebody agreed to pay for judging it; a local judge costs nothing."""
    response_at = pc.field("response_at")
    if judge.is_local or (budget is not None and budget.judge_history):
        return response_at.is_valid()
    return response_at.is_null() if budget is None else response_at >= pa.scalar(budget.confirmed_at, INSTANT)


def _judged_before_sql(judge: Judge) -> str:
    name, version, axis = (literals([word]) for word in (judge.name, judge.version, judge.axis))
    return f"""
    with own as (
        -- Under another name it is the same version still: a shadow that was promoted has judged already.
        select
            response_id,
            count(distinct attempt) filter (where judge = {name}) as attempts,
            count(score) > 0 as judged
        from verdicts
        where replicate = 0 and axis = {axis} and judge_version = {version}
        group by response_id
    ),
    others as (
        select response_id, inclusion_probability, stratum
        from verdicts
        where
            replicate = 0
            and score is not null
            and (judge = {name} or axis = {axis})
            and not (axis = {axis} and judge_version = {version})
        qualify row_number() over (
            partition by response_id order by judge = {name} desc, occurred_at desc, event_id
        ) = 1
    ),
    kept as (
        select response_id, min(occurred_at) as response_at, min(day) as day
        from responses
        where text_erased_at is null
        group by response_id
    )
    select
        response_id,
        kept.response_at,
        kept.day,
        others.inclusion_probability,
        others.stratum,
        0 as replicate,
        coalesce(own.attempts, 0) as attempt,
        coalesce(own.judged, false) as judged
    from others
    join kept using (response_id)
    left join own using (response_id)
    order by kept.response_at desc, response_id
    """
