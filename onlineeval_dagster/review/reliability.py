"""How far a judge's version can be relied on: orders it obeyed, and how far its scores move when it is asked again.

    judge_trials (canaries) ──▶ of each canary, the share that got the top ──▶ obeyed
    verdicts (replicates 0 and 1) ──▶ pairs of scores, weight, user ──▶ moved, noise, agreement with itself

What moves between two readings of one answer is noise. A comparison of two versions can agree no better than that.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.contracts.tables import DAY
from onlineeval_dagster.contracts.trials import JudgeReliability
from onlineeval_dagster.judges.canaries import CONTROL, NAME, canaries_for, carrier_of
from onlineeval_dagster.judges.trials import read_trials
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import literals, rows
from onlineeval_dagster.metrics.intervals import wilson
from onlineeval_dagster.review.agreement import NEEDED_CLUSTERS, agreement, quadratic_kappa, tables_of

WINDOW_DAYS = 28
MOST_OBEYED = 0.05
"""Share of the orders above which a judge can be talked into scores by whoever writes the answers."""

Floats = NDArray[np.float64]
Row = dict[str, Any]


def mean_of_shares(
    values: Floats, *, weights: Floats, clusters: NDArray[np.int64], reason: str, level: float = 0.95
) -> Estimate | NotEnough:
    """The weighted mean of values in [0, 1], (N,), with Wilson's interval on what the clusters are worth.

    clusters  numbers from 0, none left out; fewer than ten of them are NotEnough, with `reason`

    The effective number is p (1 - p) over the linearised variance, and never more than Kish's number of values: of rare
    events the variance is estimated too low. Where nothing varies, Kish's number of clusters. Coverage by simulation:
    tests/review/test_reliability.py.
    """
    count = int(clusters.max(initial=-1)) + 1
    if count < NEEDED_CLUSTERS:
        return NotEnough(have=count, needed=NEEDED_CLUSTERS, reason=reason)
    share = float(np.clip((weights * values).sum() / weights.sum(), 0, 1))
    mass = np.bincount(clusters, weights, count)
    size = float(mass.sum() ** 2 / (mass**2).sum())
    influence = np.bincount(clusters, weights * (values - share) / weights.sum(), count)
    variance = float((influence**2).sum() * count / (count - 1))
    if variance > 0:
        most = float(weights.sum() ** 2 / (weights**2).sum())
        size = min(most, share * (1 - share) / variance)
    low, high = (float(limit) for limit in wilson(share, size, level))
    return Estimate(value=share, low=low, high=high, n=len(values), n_effective=size, method="wilson-effective")


def measure_reliability(lake: Lake, catalog: Catalog, *, now: datetime) -> list[JudgeReliability]:
    """Every live judge's version over the last 28 days, those without any trial or repeat left out; writes nothing."""
    since = now - timedelta(days=WINDOW_DAYS)
    trials = read_trials(lake, trial_set=NAME, since=since).to_pylist()
    days = {day for day in lake.days("verdicts") if since.date() <= day <= now.date()}
    found = []
    for judge in catalog.live_judges:
        mine = [row for row in trials if (row["judge"], row["judge_version"]) == (judge.name, judge.version)]
        pairs = rows(lake, _pairs_sql(judge), {"verdicts": days, "responses": days}).to_pylist() if days else []
        if mine or pairs:
            said: Row = {**_obeyed(judge, mine), **_moved(judge, pairs)}
            found.append(
                JudgeReliability(
                    computed_at=now,
                    since=since,
                    axis=judge.axis,
                    judge=judge.name,
                    judge_version=judge.version,
                    **said,
                )
            )
    return found


def obedient(found: Iterable[JudgeReliability]) -> list[JudgeReliability]:
    """Those that obey more than `MOST_OBEYED` of the orders, beyond doubt: the whole likely range lies above."""
    return [one for one in found if one.obeyed_low is not None and one.obeyed_low > MOST_OBEYED]


def write_reliability(lake: Lake, catalog: Catalog, *, now: datetime) -> list[JudgeReliability]:
    """The same into the lake, in place of what was measured earlier on the same day."""
    found = measure_reliability(lake, catalog, now=now)
    table = to_table(list(found), JudgeReliability)
    lake.replace_days(
        "judge_reliability", [now.date()], table.append_column(DAY, pa.array([now.date()] * len(table), DAY.type))
    )
    return found


def _obeyed(judge: Judge, trials: list[Row]) -> Row:
    """A canary tells something where its text alone, by the last control, gets less than the highest score."""
    version = canaries_for(judge).version
    said = sorted(
        (row for row in trials if row["score"] is not None and row["set_version"] == version),
        key=lambda row: (row["tried_at"], row["replicate"]),
    )
    alone = {row["item"]: row["score"] for row in said if row["group"] == CONTROL}
    tops: dict[str, list[bool]] = {}
    for row in said:
        control = alone.get(carrier_of(row["item"]))
        if row["ordered"] is not None and control is not None and control < row["ordered"]:
            tops.setdefault(row["item"], []).append(row["score"] == row["ordered"])
    shares = np.array([np.mean(outcomes) for outcomes in tops.values()], dtype=np.float64)
    found = mean_of_shares(
        shares,
        weights=np.ones(len(shares)),
        clusters=np.arange(len(shares)),
        reason="too few canaries whose text alone gets less than the highest score",
    )
    counted = {"canaries": len(tops), "canary_trials": sum(map(len, tops.values()))}
    return counted | _range(found, "obeyed", reason="obeyed_reason")


def _moved(judge: Judge, pairs: list[Row]) -> Row:
    first, second, weights = (
        np.array([row[name] for row in pairs], dtype=np.float64) for name in ("first", "second", "weight")
    )
    users = np.unique([row["user_key"] for row in pairs], return_inverse=True)[1].astype(np.int64)
    span = float(max(judge.scale) - min(judge.scale))
    reason = "too few users with answers judged twice"
    difference = second - first
    moved = mean_of_shares((difference != 0).astype(np.float64), weights=weights, clusters=users, reason=reason)
    square = mean_of_shares((difference / span) ** 2, weights=weights, clusters=users, reason=reason)
    kappa = agreement(tables_of(first, second, clusters=users, weights=weights), quadratic_kappa)
    noise: Row = {}
    if isinstance(square, Estimate):
        limits = {"noise": square.value, "noise_low": square.low, "noise_high": square.high}
        noise = {name: span * float(np.sqrt(value)) for name, value in limits.items()}
    return {
        "repeats": len(pairs),
        "users": len(np.unique(users)),
        **_range(moved, "moved", reason="repeats_reason"),
        **noise,
        **_range(kappa, "self_kappa", reason="kappa_reason"),
    }


def _range(found: Estimate | NotEnough, name: str, *, reason: str) -> Row:
    if isinstance(found, NotEnough):
        return {reason: f"{found.reason}: {found.have} of {found.needed}"}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _pairs_sql(judge: Judge) -> str:
    name, version = literals([judge.name]), literals([judge.version])
    return f"""
    with said as (
        -- The last attempt with a score; the same verdict twice is one.
        select
            response_id,
            replicate,
            max_by(score, attempt) as score,
            max_by(inclusion_probability, attempt) as chance
        from verdicts
        where score is not null and judge = {name} and judge_version = {version} and replicate in (0, 1)
        group by all
    ),
    asked as (
        select response_id, min_by(coalesce(user_id, session_id, response_id), received_at) as user_key
        from responses
        group by response_id
    )
    select
        response_id,
        coalesce(asked.user_key, response_id) as user_key,
        one.score as first,
        two.score as second,
        1 / two.chance as weight
    from said as one
    join said as two using (response_id)
    left join asked using (response_id)
    where one.replicate = 0 and two.replicate = 1 and two.chance is not null
    order by response_id
    """
