"""Series without their rhythm: for each point what was to be expected, and how far from it the point lies."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

import numpy as np

from onlineeval_dagster.metrics.rhythm import HUBER, Expected, expect
from onlineeval_dagster.metrics.robust import NORMAL_MAD

Floats = np.ndarray
Link = Literal["identity", "log"]

HISTORY_DAYS, NEEDED_DAYS = 28, 7
PRIOR_CARRIED, PRIOR_DAYS = 0.25, 3
SERIES_AT_ONCE, THREADS = 250, 2
"""Series in one block, and blocks at a time: numpy sorts and adds without Python's lock."""

_LINKS: dict[Link, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "identity": (lambda values: values, lambda values: values),
    "log": (np.log, np.exp),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Detrended:
    """Arrays (series, days, slots), NaN where there is no history or no point.

    expected      in the unit of the values
    residual      value - expected on the link's scale: a difference, or a log ratio
    standardised  residual in its own standard deviations: what the baseline missed on the days before (robust), and
                  the point's own error
    scale         that standard deviation, on the link's scale
    history_days  (series, days) days with points that the expectation rests on
    """

    expected: Floats
    residual: Floats
    standardised: Floats
    scale: Floats
    history_days: np.ndarray


def detrend(
    values: Floats,
    weekday: np.ndarray,
    *,
    error: Floats | None = None,
    usable: np.ndarray | None = None,
    link: Link = "identity",
    history_days: int = HISTORY_DAYS,
    needed_days: int = NEEDED_DAYS,
    since: int = 0,
) -> Detrended:
    """Project each day of `values` (series, days, slots) from the `history_days` before it.

    error    standard error of each point, on the link's scale
    usable   False for points that are no baseline: incidents, days before a deploy
    since    the first day that is asked for; earlier ones are projected only as far as the scale needs them
    """
    if link == "log":
        values = np.where(values > 0, values, np.nan)
    known = _LINKS[link][0](values)

    def block(at: int) -> tuple[Floats, Floats, np.ndarray]:
        some = slice(at, at + SERIES_AT_ONCE)
        own_error, own_usable = (None if one is None else one[some] for one in (error, usable))
        return _block(known[some], weekday, own_error, own_usable, (history_days, needed_days, since))

    with ThreadPoolExecutor(THREADS) as threads:
        blocks = list(threads.map(block, range(0, max(len(values), 1), SERIES_AT_ONCE)))
    expected, scale, days = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    residual = known - expected
    return Detrended(
        expected=_LINKS[link][1](expected),
        residual=residual,
        standardised=residual / scale,
        scale=scale,
        history_days=days,
    )


def _block(
    values: Floats,
    weekday: np.ndarray,
    error: Floats | None,
    usable: np.ndarray | None,
    reach: tuple[int, int, int],
) -> tuple[Floats, Floats, np.ndarray]:
    history_days, needed_days, since = reach
    clean = values if usable is None else np.where(usable, values, np.nan)
    squares = np.zeros_like(values) if error is None else np.nan_to_num(error) ** 2
    expected, scale = np.full_like(values, np.nan), np.full_like(values, np.nan)
    seen = np.asarray(np.isfinite(clean).any(axis=2))
    counted = np.pad(seen.cumsum(axis=1), ((0, 0), (1, 0)))
    days = counted[:, :-1] - counted[:, np.maximum(np.arange(seen.shape[1]) - history_days, 0)]
    # Of each day: what the rhythm alone missed, and its products with the day before, slot by slot.
    missed = np.full_like(values, np.nan)
    shared, square = np.zeros(seen.shape), np.zeros(seen.shape)
    for day in range(max(needed_days, since - history_days), values.shape[1]):
        window = slice(max(day - history_days, 0), day)
        found = expect(clean[:, window], weekday[window], of_weekday=int(weekday[day]), needed_days=needed_days)
        carried = _carried(shared[:, window], square[:, window])
        before = np.nan_to_num(missed[:, day - 1])
        expected[:, day] = found.value + carried[:, None] * before
        base = _own_square(clean[:, window] - expected[:, window], squares[:, window], found)
        scale[:, day] = np.sqrt(base[:, None] + squares[:, day])
        bound = HUBER * np.nan_to_num(scale[:, day])
        missed[:, day] = np.clip(clean[:, day] - found.value, -bound, bound)
        now = np.nan_to_num(missed[:, day])
        shared[:, day] = (now * before).sum(axis=1)
        square[:, day] = (before**2 * np.isfinite(missed[:, day])).sum(axis=1)
    return expected, np.where(scale > 0, scale, np.nan), days


def _carried(shared: Floats, square: Floats) -> Floats:
    """How much of what yesterday's same slot missed is expected again: a seasonal autoregression, shrunk.

    A profile of W days is wrong by the same amount every day, and habits move: on ServeGen's traffic the residuals of a
    fixed profile correlate by 0.2 at 24 hours. The prior is PRIOR_CARRIED, worth PRIOR_DAYS days.
    """
    known = np.maximum((square > 0).sum(axis=1), 1)
    weight = PRIOR_DAYS * square.sum(axis=1) / known
    total = square.sum(axis=1) + weight
    share = (shared.sum(axis=1) + PRIOR_CARRIED * weight) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, np.clip(share, 0.0, 0.8), PRIOR_CARRIED)


def _own_square(missed: Floats, squares: Floats, found: Expected) -> Floats:
    """The baseline's own variance for each series: what was missed out of sample on the days before, less what the
    points' own errors explain; from the fit itself while fewer than three days of misses are known.
    """
    flat = missed.reshape(len(missed), -1)
    known = np.isfinite(flat)
    absolute = np.sort(np.abs(flat), axis=1)
    count = known.sum(axis=1)
    middle = np.take_along_axis(absolute, np.maximum(count - 1, 0)[:, None] // 2, axis=1)[:, 0]
    own = np.where(known, squares.reshape(len(missed), -1), np.nan)
    typical = np.where(count > 0, np.where(known, own, 0.0).sum(axis=1) / np.maximum(count, 1), 0.0)
    enough = count >= 3 * missed.shape[2]
    total = np.where(enough, (NORMAL_MAD * middle) ** 2, found.scale**2)
    # A tenth at least is the baseline's: it is never known exactly, and a zero would make every wobble an alarm.
    return np.maximum(total - typical, 0.1 * total)
