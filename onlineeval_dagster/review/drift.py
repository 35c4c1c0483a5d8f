"""Whether a judge still says of the frozen gold set what it said at first: rounds of one version beside each other.

    judge_trials (gold) ──▶ first and latest score of each item ──▶ shift, share moved ──▶ a row a version

The version is the same, so nothing in the catalog changed: what moves is the model behind it, or its noise. The shift's
interval is of paired differences, so noise alone is within it; the share that moved is held against what moves when the
same answer is read twice (`judge_reliability`).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.arrow import from_table, to_table
from onlineeval_dagster.contracts.drift import JudgeDrift
from onlineeval_dagster.contracts.estimates import NotEnough
from onlineeval_dagster.contracts.tables import DAY
from onlineeval_dagster.contracts.trials import JudgeReliability
from onlineeval_dagster.judges.gold_trials import NAME
from onlineeval_dagster.judges.trials import latest_reliability
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.metrics.intervals import wilson
from onlineeval_dagster.review.versions import shift_of_mean

LEVEL = 0.99
"""A judge is looked at every week: at 95 % one in twenty weeks would be a false alarm."""
Row = dict[str, Any]


def judge_drift(lake: Lake, catalog: Catalog, *, now: datetime) -> list[JudgeDrift]:
    """Each live version that the gold set was put to. Writes nothing."""
    known = latest_reliability(lake)
    found = rows(lake, _ROUNDS_SQL, {"judge_trials": None}).to_pylist()
    told = []
    for judge in catalog.live_judges:
        own = [row for row in found if (row["judge"], row["judge_version"]) == (judge.name, judge.version)]
        if own:
            told.append(_drift(judge, own, known.get((judge.name, judge.version)), now))
    return told


def write_drift(lake: Lake, catalog: Catalog, *, now: datetime) -> list[JudgeDrift]:
    """The same into the lake, in place of what was found earlier on the same day."""
    found = judge_drift(lake, catalog, now=now)
    day = pa.array([now.date()] * len(found), DAY.type)
    lake.replace_days("judge_drift", [now.date()], to_table(list(found), JudgeDrift).append_column(DAY, day))
    return found


def drifted(lake: Lake) -> list[JudgeDrift]:
    """Versions that had drifted on the latest day that was looked at."""
    latest = sorted(lake.days("judge_drift"))[-1:]
    sql = "select * from judge_drift where drifted order by judge"
    return from_table(rows(lake, sql, {"judge_drift": latest}), JudgeDrift)


def drift_told(row: JudgeDrift) -> str:
    """One sentence for people."""
    if row.shift is None:
        return f"{row.judge}: {row.shift_reason}"
    word = "has moved" if row.drifted else "holds still"
    return (
        f"{row.judge} {word} on {row.items} gold answers since {row.first_at:%Y-%m-%d}: {row.shift:+.2f} "
        f"({row.shift_low:+.2f} … {row.shift_high:+.2f}), another score on {row.moved or 0:.0%}; "
        f"right on {row.right_first:.0%} then, {row.right_latest:.0%} now"
    )


def markdown(found: Iterable[JudgeDrift]) -> str:
    """A line a version."""
    return "\n".join(f"- {drift_told(row)}" for row in found) or "The gold set was put to no judge yet."


def _drift(judge: Judge, own: list[Row], reliability: JudgeReliability | None, now: datetime) -> JudgeDrift:
    own = [row for row in own if row["rounds"] > 1] or own  # what became gold since the first round says nothing yet
    first, last, right = (np.array([row[name] for row in own], dtype=np.float64) for name in ("first", "last", "right"))
    said: Row = {
        "computed_at": now,
        "axis": judge.axis,
        "judge": judge.name,
        "judge_version": judge.version,
        "items": len(own),
        "rounds": max(row["rounds"] for row in own),
        "first_at": min(row["first_at"] for row in own),
        "latest_at": max(row["last_at"] for row in own),
        "models": max(row["models"] for row in own),
        "right_first": float(np.mean(first == right)),
        "right_latest": float(np.mean(last == right)),
        "noise_moved": None if reliability is None else reliability.moved_high,
    }
    if said["rounds"] < 2:
        why = "an embedded judge says the same each time" if judge.is_local else "one round so far: 1 of 2"
        return JudgeDrift(**said, shift_reason=why, drifted=False)
    span = float(max(judge.scale) - min(judge.scale))
    shift = shift_of_mean(last - first, weights=np.ones(len(own)), clusters=np.arange(len(own)), span=span, level=LEVEL)
    if isinstance(shift, NotEnough):
        return JudgeDrift(**said, shift_reason=f"too few gold answers: {shift.have} of {shift.needed}", drifted=False)
    moved = float(np.mean(first != last))
    low, high = (float(limit) for limit in wilson(moved, len(own), LEVEL))
    # Without a measured noise the share says nothing, the shift does.
    is_noisier = said["noise_moved"] is not None and low > said["noise_moved"]
    said |= {"shift": shift.value, "shift_low": shift.low, "shift_high": shift.high}
    said |= {"moved": moved, "moved_low": low, "moved_high": high}
    return JudgeDrift(**said, drifted=shift.low > 0 or shift.high < 0 or is_noisier)


_ROUNDS_SQL = f"""
select
    judge, judge_version, item,
    count(*) as rounds,
    arg_min(score, tried_at) as first, arg_max(score, tried_at) as last, any_value(expected) as right,
    min(tried_at) as first_at, max(tried_at) as last_at, count(distinct fingerprint) as models
from judge_trials
where trial_set = '{NAME}' and score is not null and expected is not null
group by judge, judge_version, item
order by judge, judge_version, item
"""
