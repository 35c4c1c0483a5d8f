"""How well each person labels: agreement with the others, answers whose right score is known, and the time it takes.

labels of 90 days ──▶ pairs with others on the same answer ──▶ same score, kappa, lean ──┐
                 └──▶ first label on a gold answer ──────────▶ share right ──────────────┼─▶ a row a person and axis
                 └──▶ seconds from showing to label ─────────▶ median ───────────────────┘
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from onlineeval_dagster.contracts.arrow import from_table, to_table
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.contracts.review import ReviewerQuality
from onlineeval_dagster.contracts.tables import DAY
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine, first_rows
from onlineeval_dagster.metrics.intervals import wilson
from onlineeval_dagster.review.agreement import agreement, quadratic_kappa, raw_agreement, tables_of

WINDOW_DAYS = 90
NEEDED_GOLD = 5
NEEDED_TIMED = 6
"""Below six labels no pair of them brackets the median with 95 %."""
GOLD_LEAST = 0.7
"""Gold answers are clear ones: who surely gets fewer right reads the anchors otherwise, or does not read."""

Floats = NDArray[np.float64]
Row = dict[str, Any]


def median_range(values: Floats, *, level: float = 0.95) -> tuple[float, float, float] | None:
    """The median of (N,) with an interval from order statistics (exact for every distribution); None below six.

    >>> median_range(np.arange(1.0, 11.0))
    (5.5, 2.0, 9.0)
    """
    from scipy.stats import binom

    count = len(values)
    if count < NEEDED_TIMED:
        return None
    ordered = np.sort(values)
    place = int(binom.ppf((1 - level) / 2, count, 0.5))  # P(fewer than `place` lie below the median) < (1 - level) / 2
    return float(np.median(ordered)), float(ordered[place - 1]), float(ordered[count - place])


def reviewer_quality(lake: Lake, *, now: datetime) -> list[ReviewerQuality]:
    """Each person and axis with a label on an answer of the last 90 days; writes nothing."""
    since = now - timedelta(days=WINDOW_DAYS)
    days = {day for day in lake.days("labels") if day >= since.date()}
    if not days:
        return []
    with engine(lake, {"labels": days, "gold_answers": None}) as connection:
        connection.execute(_SAID_SQL)
        counts, pairs, gold, timed = (
            connection.sql(sql).to_arrow_table().to_pylist() for sql in (_COUNTS_SQL, _PAIRS_SQL, _GOLD_SQL, _TIMED_SQL)
        )
    of_pairs, of_gold, of_time = (dict(_by_person(found)) for found in (pairs, gold, timed))
    return [
        ReviewerQuality(
            computed_at=now,
            since=since,
            reviewer=row["reviewer"],
            axis=row["axis"],
            labels=row["labels"],
            **_beside_others(of_pairs.get(key, [])),
            **_on_gold(of_gold.get(key, [])),
            **_in_time(of_time.get(key, [])),
        )
        for row in counts
        for key in [(row["reviewer"], row["axis"])]
    ]


def write_quality(lake: Lake, *, now: datetime) -> list[ReviewerQuality]:
    """The same into the lake, in place of what was measured earlier on the same day."""
    found = reviewer_quality(lake, now=now)
    table = to_table(list(found), ReviewerQuality)
    lake.replace_days(
        "reviewer_quality", [now.date()], table.append_column(DAY, pa.array([now.date()] * len(found), DAY.type))
    )
    return found


def read_quality(lake: Lake) -> list[ReviewerQuality]:
    """What was measured on the latest day."""
    latest = sorted(lake.days("reviewer_quality"))[-1:]
    with engine(lake, {"reviewer_quality": latest}) as connection:
        sql = "select * from reviewer_quality order by labels desc, reviewer, axis"
        return from_table(connection.sql(sql).to_arrow_table(), ReviewerQuality)


def off_gold(found: list[ReviewerQuality]) -> list[ReviewerQuality]:
    """Whose likely range on gold answers lies below what anybody who reads them gets."""
    return [row for row in found if row.gold_high is not None and row.gold_high < GOLD_LEAST]


def _by_person(found: list[Row]) -> Iterator[tuple[tuple[str, str], list[Row]]]:
    for key, of_key in groupby(found, key=lambda row: (row["reviewer"], row["axis"])):
        yield key, list(of_key)


def _beside_others(pairs: list[Row]) -> Row:
    shared, others = {row["response_id"] for row in pairs}, {row["other"] for row in pairs}
    said: Row = {"shared": len(shared), "others": len(others)}
    if not pairs:
        return said | {"same_reason": "nobody else labelled the same answers"}
    own, theirs = (np.array([row[name] for row in pairs], dtype=np.float64) for name in ("own", "theirs"))
    weights = np.array([row["weight"] for row in pairs])
    tables = tables_of(own, theirs, clusters=[row["response_id"] for row in pairs], weights=weights)
    same, kappa = agreement(tables, raw_agreement), agreement(tables, quadratic_kappa)
    said["lean"] = float(np.average(own - theirs, weights=weights))
    if isinstance(same, NotEnough):
        return said | {"same_reason": f"{same.reason}: {same.have} of {same.needed}"}
    return said | _range(same, "same", low=0.0) | (_range(kappa, "kappa") if isinstance(kappa, Estimate) else {})


def _range(found: Estimate, name: str, *, low: float = -1.0) -> Row:
    return {name: max(found.value, low), f"{name}_low": max(found.low, low), f"{name}_high": found.high}


def _on_gold(found: list[Row]) -> Row:
    if len(found) < NEEDED_GOLD:
        return {"gold": len(found), "gold_reason": f"too few gold answers: {len(found)} of {NEEDED_GOLD}"}
    right = float(np.mean([row["is_right"] for row in found]))
    low, high = wilson(right, len(found))
    return {"gold": len(found), "gold_right": right, "gold_low": float(low), "gold_high": float(high)}


def _in_time(found: list[Row]) -> Row:
    middle = median_range(np.array([row["seconds"] for row in found], dtype=np.float64))
    said: Row = {"timed": len(found)}
    if middle is None:
        return said
    return said | dict(zip(("seconds", "seconds_low", "seconds_high"), middle, strict=True))


_SAID_SQL = f"""
create temp table said as
select
    response_id, axis, reviewer, score, stream, occurred_at, event_id,
    try_cast(attributes ->> '$.seconds' as double) as seconds
from ({first_rows("labels")})
;
create temp table last_word as
select * from said
where stream is distinct from 'gold'
qualify row_number() over (partition by response_id, axis, reviewer order by occurred_at desc, event_id) = 1
"""
_COUNTS_SQL = """
select reviewer, axis, count(distinct response_id) filter (stream is distinct from 'gold') as labels
from said
group by reviewer, axis
order by reviewer, axis
"""
# An answer that three others labelled counts once, not three times.
_PAIRS_SQL = """
select
    own.reviewer, own.axis, own.response_id, theirs.reviewer as other, own.score as own, theirs.score as theirs,
    1 / count(*) over (partition by own.reviewer, own.axis, own.response_id) as weight
from last_word as own
join last_word as theirs using (response_id, axis)
where own.reviewer <> theirs.reviewer
order by own.reviewer, own.axis, own.response_id, other
"""
_GOLD_SQL = """
select said.reviewer, axis, said.score = gold_answers.score as is_right
from said join gold_answers using (response_id, axis)
where said.stream = 'gold'
qualify row_number() over (partition by response_id, axis, reviewer order by occurred_at, event_id) = 1
order by said.reviewer, axis
"""
_TIMED_SQL = "select reviewer, axis, seconds from said where seconds is not null order by reviewer, axis"
