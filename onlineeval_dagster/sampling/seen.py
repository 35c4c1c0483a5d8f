"""What a judge's verdicts say of its strata so far: answers a day, the spread of its judgement, the price of a call."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.sampling.planner import Plan, StratumSeen, always, plan, uniform, valued

BELIEVED = 2.0
"""Answers that a stratum's pass rate is believed to rest on beforehand, half of them good: one bad answer or none in
twenty is no proof that there will be none, and a variance of 0 would end the sampling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A judge's strata over `days` whole days, the rates that held on average, and the mean price of its calls in US
    dollars (None: no verdict has one).
    """

    judge: Judge
    days: int
    strata: tuple[StratumSeen, ...]
    rates: dict[str, float]
    usd_a_call: float | None

    def in_calls(self) -> Sequence[StratumSeen]:
        return [replace(one, cost=1.0) for one in self.strata]


def strata_seen(lake: Lake, judge: Judge, *, now: datetime, days: int = 7) -> Seen | None:
    """The whole days before `now`; None where the judge has no selection on them."""
    wanted = {(now - timedelta(days=back)).date() for back in range(1, days + 1)} & lake.days("selections")
    sql = f"""
    with drawn as (
        select
            response_id, judge_version, inclusion_probability, if(stratum = 'late', 'normal', stratum) as stratum
        from selections
        where judge = '{judge.name}' and inclusion_probability is not null
        qualify row_number() over (partition by response_id order by judge_version = '{judge.version}' desc) = 1
    ),
    said as (
        select
            response_id, judge_version,
            max(score) >= {judge.good_from} as is_good,
            sum(cost_usd) as cost_usd
        from verdicts
        where judge = '{judge.name}' and replicate = 0
        group by all
    )
    select
        stratum,
        count(*) as answers,
        avg(inclusion_probability) as rate,
        count(is_good) as judged,
        count(*) filter (where is_good) as good,
        coalesce(sum(cost_usd), 0) as cost_usd,
        count(cost_usd) as priced
    from drawn
    left join said using (response_id, judge_version)
    group by stratum
    order by stratum
    """
    found = rows(lake, sql, {"selections": wanted, "verdicts": wanted}).to_pylist()
    if not found:
        return None
    priced = sum(row["priced"] for row in found)
    price = sum(row["cost_usd"] for row in found) / priced if priced else 0.0
    strata = []
    for row in found:
        passing = (row["good"] + BELIEVED / 2) / (row["judged"] + BELIEVED)
        own = row["cost_usd"] / row["priced"] if row["priced"] >= 30 else price
        strata.append(
            StratumSeen(
                name=row["stratum"],
                answers=row["answers"] / len(wanted),
                variance=passing * (1 - passing),
                mean=passing,
                cost=own or 1.0,
                judged=row["judged"],
            )
        )
    rates = {row["stratum"]: row["rate"] for row in found}
    return Seen(judge=judge, days=len(wanted), strata=tuple(strata), rates=rates, usd_a_call=price or None)


def plans(strata: Sequence[StratumSeen], rates: dict[str, float], budget: float | None) -> list[Plan]:
    """The rates of now; and for `budget` a day (None: what they cost) the best, the uniform ones and flagged always."""
    now = valued(strata, rates)
    money = now.cost if budget is None else budget
    found = [now, plan(strata, money), uniform(strata, money), always(strata, money)]
    return [one for one in found if one is not None]
