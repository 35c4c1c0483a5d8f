"""How much of a change is only another mix of traffic: direct standardisation over the values of a slice."""

from collections.abc import Collection
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from onlineeval_dagster.metrics.detrend import HISTORY_DAYS, NEEDED_DAYS

Floats = np.ndarray
Frame = Any
"""A pandas frame; pandas' own types do not say which of its methods return one."""

MOST_UNKNOWN = 0.2
"""Share of today's traffic without a past, above which the mix explains nothing."""
SAME = ["metric", "metric_version", "judge_version"]


def mix_part(now: Floats, before: Floats, value_before: Floats) -> Floats:
    """Sum over a slice's values of (share now - share before) · value before: the part that the mix alone moves
    (Kitagawa 1955). Arrays (…, values); NaN where it cannot be told.

    now, before    responses of each value, today and in the past
    value_before   the metric of each value in the past; NaN where it has none

    Shares are of what has a past: a value that is new cannot be priced.

    >>> mix_part(np.array([50.0, 50.0]), np.array([80.0, 20.0]), np.array([0.9, 0.8])).round(3).item()
    -0.03
    """
    known = np.isfinite(value_before) & (before > 0)
    priced, past = np.where(known, now, 0.0), np.where(known, before, 0.0)
    total, of_past = priced.sum(axis=-1), past.sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = priced / total[..., None] - past / of_past[..., None]
        unknown = 1 - total / now.sum(axis=-1)
        part = (shares * np.where(known, value_before, 0.0)).sum(axis=-1)
    return np.where((total > 0) & (unknown <= MOST_UNKNOWN), part, np.nan)


def mixes(points: Frame, days: Collection[date]) -> Frame:
    """Columns mix_slice and mix_part for the day points of slice `all` on `days`: the slice that explains most.

    Of several slices the largest part is no fair draw; it says where to look.
    """
    sliced = points[(points["grain"] == "day") & (points["slice"] != "all")]
    found = [
        _of_a_slice(own, days).assign(**dict(zip([*SAME, "mix_slice"], names, strict=True)))
        for names, own in sliced.groupby([*SAME, "slice"])
    ]
    empty = pd.DataFrame(columns=[*SAME, "mix_slice", "window_start", "mix_part"])
    every = pd.concat([one for one in found if len(one)] or [empty])
    most = every.assign(size=every["mix_part"].abs()).sort_values("size", ascending=False)
    most = most.drop_duplicates([*SAME, "window_start"]).drop(columns="size")
    return most.assign(grain="day", slice="all", slice_value="all")


def _of_a_slice(points: Frame, days: Collection[date]) -> Frame:
    """The mix part of each of `days`, against the 28 days before it."""
    by_day = points.pivot(index="window_start", columns="slice_value", values=["population", "value"])
    whole = by_day.reindex(pd.date_range(by_day.index.min(), by_day.index.max(), freq="D", name="window_start"))
    now, value = whole["population"].astype(np.float64).fillna(0.0), whole["value"].astype(np.float64)

    def past(of: Frame) -> Frame:
        return of.rolling(HISTORY_DAYS, min_periods=1).sum().shift(1)

    # A day whose value is missing has its traffic and prices nothing.
    weighted, weights = past((now * value).fillna(0.0)), past(now.where(value.notna(), 0.0))
    before = past(now).fillna(0.0)
    part = mix_part(now.to_numpy(), before.to_numpy(), (weighted / weights.where(weights > 0)).to_numpy())
    enough = past((now.sum(axis=1) > 0).astype(float).to_frame())[0].to_numpy() >= NEEDED_DAYS
    mixed = (now.to_numpy() + before.to_numpy() > 0).sum(axis=1) > 1
    found = pd.DataFrame({"window_start": whole.index, "mix_part": np.where(enough & mixed, part, np.nan)})
    return found[found["window_start"].dt.date.isin(list(days)) & found["mix_part"].notna()]
