"""How many labels a wanted range needs: from the verdicts and labels seen so far. Pure, but for `seen`.

A week's share of good answers, or mean score, is estimated in two phases (Sarndal, Swensson, Wretman 1992, chapter
9): N answers are judged, n of them labelled. With the labels' variance S2 and what is left of it within equal judge
scores, S2_within,

    variance = S2_within (1/n - 1/N) + S2 / N_effective

The second phase draws answers by themselves, so users count in the first alone: N_effective is what the judged answers
of users who come again are worth. A judge that sees nothing leaves S2_within = S2: then labels do all the work.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil, sqrt
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine, first_rows
from onlineeval_dagster.metrics.intervals import normal_quantile
from onlineeval_dagster.review.cells import NEEDED_OF_EACH
from onlineeval_dagster.review.prediction_powered import NEEDED_LABELS

WINDOW_DAYS = 28
WEEKS = WINDOW_DAYS / 7
Of = Literal["good", "score"]
By = Literal["all", "stratum", "app", "prompt_version", "model", "language", "device"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What was seen of some answers in 28 days.

    share      (C,) of the judge's scores, weighted by chances; sums to 1
    labels     (C,) labelled answers by judge's score
    said       (C,) what people said of them, summed: 1 for a good answer, or the score; squares, cubes: its powers
    judged     answers judged a week; effective: what they are worth, users and unequal chances considered
    """

    name: str
    share: Floats
    labels: Floats
    said: Floats
    squares: Floats
    cubes: Floats
    judged: float
    effective: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPlan:
    """For one group. Widths are half of a 95 % range of a week's number, shares and scores in their own unit.

    of         `good`: the share of good answers; `score`: the mean score
    level      the number by people's word, as seen
    worth      how much of the labels' variance the judge explains: 0 nothing, 1 all
    labels_now a week
    half_now   with these; None below 30 a week
    needed     a week, for the wanted half width; None where no number of labels does it
    alone      the same without a judge
    best_half  with every judged answer labelled
    """

    name: str
    of: Of
    level: float
    worth: float
    labels_now: float
    half_now: float | None
    needed: int | None
    alone: int
    best_half: float


def plan_labels(group: Group, *, half: float, of: Of = "good") -> LabelPlan:
    """The labels a week at which the half width is `half`. Needs a label in `group`."""
    level, within, total = _variances(group)
    phase, z2 = total / group.effective, normal_quantile(0.95) ** 2
    now = group.labels.sum() / WEEKS

    def width(labels: float) -> float:
        second = within * max(1 / labels - 1 / group.judged, 0)
        return sqrt(z2 * (second + phase))

    room = half**2 / z2 - phase + within / group.judged
    rare = max(min(level, 1 - level), 1e-9) if of == "good" else _rare_share(group)
    least = max(NEEDED_LABELS, ceil(NEEDED_OF_EACH / rare))
    needed = None if room <= 0 else max(ceil(within / room - 1e-9), least)
    if needed is not None and needed > group.judged:
        needed = None
    return LabelPlan(
        name=group.name,
        of=of,
        level=level,
        worth=1 - within / total if total > 0 else 0.0,
        labels_now=float(now),
        half_now=width(now) if now >= NEEDED_LABELS else None,
        needed=needed,
        alone=max(ceil(z2 * total * group.judged / group.effective / half**2), least),
        best_half=sqrt(z2 * phase),
    )


def _variances(group: Group) -> tuple[float, float, float]:
    """Level, variance within equal judge scores, and in all. A score with few labels is pulled to what all are like."""
    labels = group.labels.sum()
    prior = (np.array([group.said.sum(), group.squares.sum()]) + 0.5 * (group.said.sum() / labels)) / (labels + 0.5)
    means, squares = (
        (of + one) / (group.labels + 1) for of, one in zip((group.said, group.squares), prior, strict=True)
    )
    level = float((group.share * means).sum())
    within = float((group.share * (squares - means**2)).sum())
    return level, within, float((group.share * squares).sum()) - level**2


def _rare_share(group: Group) -> float:
    """What part of the labels is of the rarer kind, as their skew tells: of two kinds nearly the rarer one's share."""
    mean, square, cube = (of.sum() / group.labels.sum() for of in (group.said, group.squares, group.cubes))
    variance, third = square - mean**2, cube - 3 * mean * square + 2 * mean**3
    # Labels all alike tell of no rarer kind; without skew none is rarer.
    return float(np.clip(variance**3 / third**2 if third else variance > 0, 1e-9, 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Groups with a label, those without one by name, and the median seconds a label takes; None: nobody was timed."""

    groups: list[Group]
    unlabelled: list[str]
    seconds: float | None


def seen(lake: Lake, judge: Judge, *, by: By, now: datetime, of: Of = "good") -> Seen:
    """What the last 28 days show of a judge's version and of the audit's labels on its axis."""
    days = {day for day in lake.days("responses") if day >= (now - timedelta(days=WINDOW_DAYS)).date()}
    with engine(lake, {"responses": days, "verdicts": days, "labels": days}) as connection:
        column = "'all'" if by == "all" else f"coalesce({'verdicts' if by == 'stratum' else 'asked'}.{by}, 'none')"
        told = {"axis": judge.axis, "version": judge.version}
        table = (
            connection.sql(_CELLS_SQL.format(column=column, **_said(judge, of)), params=told)
            .to_arrow_table()
            .to_pylist()
        )
        (seconds,) = connection.execute(_SECONDS_SQL, {"axis": judge.axis}).fetchall()[0]
    groups = list(_groups(table, sorted(judge.scale)))
    return Seen(
        groups=[group for group in groups if group.labels.sum() > 0],
        unlabelled=[group.name for group in groups if group.labels.sum() == 0],
        seconds=seconds,
    )


def _said(judge: Judge, of: Of) -> dict[str, str]:
    """What people and the judge say of an answer, in SQL."""
    if of == "score":
        return {"people": "score", "judge": "verdicts.score"}
    return {"people": f"(score >= {judge.good_from})::int", "judge": f"(verdicts.score >= {judge.good_from})::int"}


def _groups(table: list[dict[str, float]], scale: list[int]) -> Iterator[Group]:
    for name in dict.fromkeys(str(row["name"]) for row in table):
        own = [row for row in table if row["name"] == name]
        columns = {key: np.zeros(len(scale)) for key in ("weight", "labels", "said", "squares", "cubes")}
        for row in own:
            for key, column in columns.items():
                column[scale.index(int(row["score"]))] += row[key]
        judged, effective = sum(row["judged"] for row in own), own[0]["effective"]
        share = columns["weight"] / columns["weight"].sum()
        yield Group(
            name=name,
            share=share,
            labels=columns["labels"],
            said=columns["said"],
            squares=columns["squares"],
            cubes=columns["cubes"],
            judged=judged / WEEKS,
            effective=min(effective, judged) / WEEKS,
        )


_CELLS_SQL = f"""
with people as (
    select response_id, avg({{people}}) as said
    from (
        select * from ({first_rows("labels")})
        where axis = $axis and stream = 'audit' and inclusion_probability is not null
        qualify row_number() over (partition by response_id, reviewer order by occurred_at desc, event_id) = 1
    )
    group by response_id
),
asked as (select *, coalesce(user_id, session_id, response_id) as user_key from ({first_rows("responses")})),
answers as (
    select
        {{column}} as name, verdicts.score, 1 / verdicts.inclusion_probability as weight, asked.user_key, people.said,
        {{judge}} as value
    from ({first_rows("verdicts")}) as verdicts
    join asked using (response_id)
    left join people using (response_id)
    where verdicts.axis = $axis and verdicts.judge_version = $version and verdicts.replicate = 0
        and verdicts.score is not null and verdicts.inclusion_probability is not null
),
rates as (select name, sum(weight * value) / sum(weight) as rate,
    sum(weight * value ** 2) / sum(weight) - rate ** 2 as variance, sum(weight) as whole from answers group by name),
-- What the judged answers are worth: their variance over that of the mean clustered by user; all where all are alike.
users as (
    select name, user_key, sum(weight * (value - rate)) / any_value(whole) as influence
    from answers join rates using (name) group by name, user_key
),
worth as (
    select name, case when sum(influence ** 2) > 0 then any_value(variance) / sum(influence ** 2)
        else count(*) end as effective
    from users join rates using (name) group by name
)
select name, score, sum(weight) as weight, count(*) as judged, count(said) as labels,
    coalesce(sum(said), 0) as said, coalesce(sum(said ** 2), 0) as squares, coalesce(sum(said ** 3), 0) as cubes,
    any_value(effective) as effective
from answers join worth using (name)
group by name, score
order by name, score
"""
_SECONDS_SQL = f"""
select median(try_cast(attributes ->> '$.seconds' as double)) from ({first_rows("labels")}) where axis = $axis
"""
