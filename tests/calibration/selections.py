"""Selections of simulated traffic: late flags, and windows drawn by bottom-k. Hashes are uniform numbers."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from onlineeval_dagster.catalog.sampling_file import Stratum
from onlineeval_dagster.metrics.estimates import Estimates, estimate_rates
from onlineeval_dagster.metrics.moments import moments_from_rows
from onlineeval_dagster.sampling.draw import Cell, draw
from tests.calibration.traffic import Rows, Traffic, simulate

MIDNIGHT = datetime(2026, 11, 10, tzinfo=UTC)
TRAFFIC = Traffic(users=800, sessions_per_user=1.6, pass_rate=0.9, flagged_pass_rate=0.4)
"""3,200 responses a day, of which 5 % are flagged sooner or later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LateFlags:
    """Days in which some flags come after the decision.

    kept       estimates from the selections as they were made; what late flags opened is left out
    lent       (days,) the weighted mean with those verdicts lent their present chance, 1, beside the stale weights
    """

    truth: float
    kept: Estimates
    lent: NDArray[np.float64]

    @property
    def bias(self) -> tuple[float, float]:
        """Mean error of `kept`, and its Monte-Carlo standard error."""
        error = self.kept.value - self.truth
        return float(error.mean()), float(error.std() / np.sqrt(len(error)))

    @property
    def covered(self) -> float:
        return float(((self.kept.low <= self.truth) & (self.truth <= self.kept.high)).mean())


def late_flags(days: int, rng: np.random.Generator, *, late_share: float = 0.8, rate: float = 0.05) -> LateFlags:
    """Flagged answers at 100 %, the rest at `rate`; of the flags `late_share` come after the decision."""
    parts = [_late_flags(simulate(TRAFFIC, 200, rng), rng, late_share, rate) for _ in range(days // 200)]
    lent = np.concatenate([part[1] for part in parts])
    rows = _joined([part[0] for part in parts])
    kept = estimate_rates(moments_from_rows(*rows))
    return LateFlags(truth=TRAFFIC.pass_rate, kept=kept, lent=lent)


def _late_flags(
    rows: Rows, rng: np.random.Generator, late_share: float, rate: float
) -> tuple[tuple[NDArray, ...], NDArray]:
    flagged = rows.stratum == 1
    late = flagged & (rng.random(len(flagged)) < late_share)
    chance = np.where(flagged & ~late, 1.0, rate)
    drawn = rng.random(len(flagged)) < chance
    kept = rows.window, (flagged & ~late).astype(np.int64), rows.user, np.where(drawn, rows.truth, np.nan)
    weight = np.where(drawn, 1 / chance, np.where(late, 1.0, 0.0))
    days = rows.window.max() + 1
    lent = np.bincount(rows.window, weight * rows.truth, days) / np.bincount(rows.window, weight, days)
    return kept, lent


@dataclass(frozen=True, slots=True, kw_only=True)
class BottomK:
    """Windows drawn by size or floor; answers that come late are worse.

    truth    (days, windows) answers that pass; the same for the others
    weighed  sum over the selected of y / T
    on_time  answers there at the close; `selected` of these
    by_size  sum over the selected of y N / k, late ones among N: what one would do without a threshold
    """

    truth: NDArray[np.float64]
    weighed: NDArray[np.float64]
    by_size: NDArray[np.float64]
    on_time: NDArray[np.int64]
    selected: NDArray[np.int64]


def bottom_k(
    days: int, rng: np.random.Generator, rule: Stratum, *, windows: int = 24, mean: float = 130, late_share: float = 0.1
) -> BottomK:
    """Each window's threshold by `draw` from the answers there at its close; late ones are measured against it."""
    shape = (days, windows)
    truth, weighed, by_size = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    on_time, selected = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    counts = rng.poisson(mean, shape)
    for at in np.ndindex(shape):
        hashes, late = rng.random(counts[at]), rng.random(counts[at]) < late_share
        good = (rng.random(counts[at]) < np.where(late, 0.5, 0.9)).astype(float)
        chance = _chances(hashes, late, rule)
        drawn = hashes < chance
        truth[at], weighed[at] = good.sum(), (good / chance)[drawn].sum()
        by_size[at] = good[drawn].sum() * counts[at] / min(rule.at_least or 1, counts[at])
        on_time[at], selected[at] = (~late).sum(), (drawn & ~late).sum()
    return BottomK(truth=truth, weighed=weighed, by_size=by_size, on_time=on_time, selected=selected)


def day_estimates(days: int, rng: np.random.Generator, rule: Stratum, *, windows: int = 24) -> tuple[Estimates, float]:
    """Estimates of whole days of 3,200 answers whose windows were each drawn by `rule`; and the truth."""
    parts = []
    for _ in range(days // 200):
        rows = simulate(TRAFFIC, 200, rng)
        window = rng.integers(0, windows, len(rows.truth))
        hashes, never = rng.random(len(window)), np.zeros(len(window), dtype=bool)
        chance = np.empty(len(window))
        cell = rows.window * windows + window
        for number in np.split(np.argsort(cell, kind="stable"), np.cumsum(np.bincount(cell))[:-1]):
            chance[number] = _chances(hashes[number], never[number], rule)
        value = np.where(hashes < chance, rows.truth, np.nan)
        parts.append((rows.window, window, rows.user, value))
    return estimate_rates(moments_from_rows(*_joined(parts))), TRAFFIC.pass_rate


def _chances(hashes: NDArray, late: NDArray, rule: Stratum) -> NDArray:
    """The inclusion probability of each answer of a window, from the code that the selection stage runs."""
    now = MIDNIGHT + timedelta(days=1)
    there = np.sort(hashes[~late])
    more = len(there) > rule.at_least > 0
    seen = Cell(
        stratum="normal",
        window_start=MIDNIGHT,
        seen=len(there),
        smallest=float(there[rule.at_least]) if more else None,
    )
    rules, settled = {"normal": rule}, {"window_minutes": 60, "late_rate": 0.1, "now": now, "paced": {}}
    threshold = draw([seen], rules, **settled)[0].threshold
    closed = Cell(stratum="normal", window_start=MIDNIGHT, seen=1, frozen=threshold)
    return np.where(late, draw([closed], rules, **settled)[0].threshold, threshold)


def _joined(parts: list[tuple[NDArray, ...]]) -> tuple[NDArray, ...]:
    """Batches of days one after the other: days and users get numbers of their own."""
    joined, first_day, first_user = [], 0, 0
    for day, stratum, user, value in parts:
        joined.append((day + first_day, stratum, user + first_user, value))
        first_day, first_user = first_day + int(day.max()) + 1, first_user + int(user.max()) + 1
    return tuple(np.concatenate(column) for column in zip(*joined, strict=True))
