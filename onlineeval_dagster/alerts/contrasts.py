"""Before and after one deploy, beside what it did not touch, and beside times at which there was none."""

from dataclasses import dataclass

import numpy as np

from onlineeval_dagster.alerts.onset import Cells
from onlineeval_dagster.metrics.intervals import normal_quantile

Floats = np.ndarray

REACH_MINUTES = 24 * 60
"""Before and after a deploy: so much at most, and not beyond the changes next to it."""
NEEDED_PLACEBOS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """One mean less another, on the scale of the link, with its 95 % interval."""

    value: float
    low: float
    high: float


def before_and_after(cells: Cells, suspect: int, instants: Floats) -> Contrast | None:
    """What a suspect's answers have after it, less what was there before; None where one side is empty.

    instants  minute of each suspect: its neighbours end what is compared
    """
    own = instants[suspect]
    begin, end = _neighbours(instants, own)
    before = (cells.minute >= begin) & (cells.minute < own)
    after = cells.touched[suspect] & (cells.minute < end)
    return _difference(cells, after, before)


def beside(cells: Cells, suspect: int, others: np.ndarray, instants: Floats) -> Contrast | None:
    """A suspect's answers less those of older versions served at the same time; None where there are none.

    What moved both of them falls out: the difference in differences, as new and old are the same before.
    others  (suspects, cells) answers that the suspect could have touched, and that older versions served
    """
    end = _neighbours(instants, instants[suspect])[1]
    near = cells.minute < end
    return _difference(cells, cells.touched[suspect] & near, others[suspect] & near)


def placebo(residuals: Floats, at: int, *, hours: int, sign: int, usable: np.ndarray) -> tuple[float, int] | None:
    """How often as much changes where nothing was deployed: share and number of placebos; None with too few.

    residuals  by hour, NaN where there is none;  at  the first hour after the deploy;  hours  compared on either side
    usable     hours that can be the first after a placebo
    """
    change = _changes(residuals, hours) * sign
    if not np.isfinite(change[at]):
        return None
    others = change[usable & np.isfinite(change)]
    if len(others) < NEEDED_PLACEBOS:
        return None
    return float((1 + (others >= change[at]).sum()) / (1 + len(others))), len(others)


def _changes(residuals: Floats, hours: int) -> Floats:
    """Mean of the `hours` from each hour on, less that of those before it."""
    known = np.isfinite(residuals)
    sums, counts = (
        np.append(0.0, np.cumsum(part)) for part in (np.where(known, residuals, 0.0), known.astype(np.float64))
    )
    at = np.arange(len(residuals))
    first, last = np.maximum(at - hours, 0), np.minimum(at + hours, len(residuals))
    with np.errstate(invalid="ignore", divide="ignore"):
        after = (sums[last] - sums[at]) / (counts[last] - counts[at])
        return after - (sums[at] - sums[first]) / (counts[at] - counts[first])


def _neighbours(instants: Floats, own: float) -> tuple[float, float]:
    earlier, later = instants[instants < own], instants[instants > own]
    begin = max(float(earlier.max(initial=-np.inf)), own - REACH_MINUTES)
    return begin, min(float(later.min(initial=np.inf)), own + REACH_MINUTES)


def _difference(cells: Cells, first: np.ndarray, second: np.ndarray) -> Contrast | None:
    if not first.any() or not second.any():
        return None
    (one, one_variance), (other, other_variance) = (_mean(cells, part) for part in (first, second))
    half = normal_quantile(0.95) * float(np.sqrt(one_variance + other_variance))
    return Contrast(value=one - other, low=one - other - half, high=one - other + half)


def _mean(cells: Cells, part: np.ndarray) -> tuple[float, float]:
    weight = 1 / cells.variance[part]
    return float(np.average(cells.residual[part], weights=weight)), float(1 / weight.sum())
