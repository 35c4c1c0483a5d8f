"""How often intervals hold the truth: the scenarios, the naive rivals, and the counting."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from onlineeval_dagster.metrics.estimates import Estimand, Estimates, difference, estimate_means, estimate_rates
from onlineeval_dagster.metrics.intervals import jeffreys, normal_quantile
from onlineeval_dagster.metrics.moments import Moments, moments_from_rows
from tests.calibration.traffic import Rows, Traffic, simulate, true_mean

Z = normal_quantile(0.95)

FLAGGED_PASS_RATES = {0.85: 0.35, 0.90: 0.40, 0.95: 0.50, 0.98: 0.70}
"""Pass rate of all responses to that of the flagged 5 %."""

SIZES = {
    "130 an hour": Traffic(users=52),
    "600 an hour": Traffic(users=240),
    "1,000 an hour": Traffic(users=400),
    "3,200 a day": Traffic(users=800, sessions_per_user=1.6),
}
JUDGED = {"5 %": 0.05, "10 %": 0.10, "all": 1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """Shares over the answered windows: `covered`, truth `above` or `below` the interval; mean width, median n_eff."""

    answered: float
    covered: float
    above: float
    below: float
    width: float
    n_effective: float


Interval = tuple[NDArray, NDArray]
Method = Callable[[Moments], Estimates]

METHODS: dict[str, Method] = {
    "product": estimate_rates,
    "product, Jeffreys": partial(estimate_rates, limits=jeffreys),
    "window": partial(estimate_rates, estimand="window"),
    "score in bounds": partial(estimate_means, bounds=(1.0, 3.0)),
    "score by t": estimate_means,
    "score in bounds, window": partial(estimate_means, bounds=(1.0, 3.0), estimand="window"),
}


def scenarios() -> Iterator[tuple[str, str, Traffic]]:
    """Every size, share judged and pass rate."""
    for size, traffic in SIZES.items():
        for judged, rate in JUDGED.items():
            for passing, flagged in FLAGGED_PASS_RATES.items():
                yield size, judged, replace(traffic, pass_rate=passing, flagged_pass_rate=flagged, judged_rate=rate)


def coverages(
    traffic: Traffic, methods: tuple[str, ...], *, windows: int, seed: int = 20261123, scores: bool = False
) -> dict[str, Coverage]:
    """Coverage of each of `methods` and of two naive intervals, on the same independent windows."""
    kept: dict[str, list[tuple[NDArray, ...]]] = {}
    rng = np.random.default_rng(seed)
    truth = true_mean(traffic, scores=scores)
    for _ in range(0, windows, 500):
        rows = simulate(traffic, 500, rng, scores=scores)
        moments = moments_from_rows(rows.window, rows.stratum, rows.user, rows.value)
        of_window = window_means(rows)
        found: dict[str, Estimates] = {name: METHODS[name](moments) for name in methods}
        for name, estimates in found.items():
            target = of_window if estimates.estimand == "window" else np.full(len(of_window), truth)
            kept.setdefault(name, []).append(
                (target, estimates.low, estimates.high, estimates.answered, estimates.n_effective)
            )
        answered = found[methods[0]].answered
        for name, (low, high) in naive(moments).items():
            nothing = np.full(len(low), np.nan)
            kept.setdefault(name, []).append((np.full(len(low), truth), low, high, answered, nothing))
    return {name: _count(*(np.concatenate(part) for part in zip(*parts, strict=True))) for name, parts in kept.items()}


def window_means(rows: Rows) -> NDArray:
    """The mean over all eligible responses of each window: the truth of the estimand `window`."""
    return np.bincount(rows.window, weights=rows.truth) / np.bincount(rows.window)


def naive(moments: Moments) -> dict[str, Interval]:
    """Wald on the unweighted mean of what was judged, and Wald on the weighted mean with its strata: no users."""
    by_group, at = moments.sum_of_cells, moments.cell_group
    n = np.maximum(by_group(moments.n), 1)
    mean = by_group(moments.total) / n
    variance = np.maximum(by_group(moments.total_squares) / n - mean**2, 0) / n
    n_h = np.maximum(moments.n, 1)
    share = moments.population / by_group(moments.population)[at]
    weighted = by_group(share * moments.total / n_h)
    spread = np.maximum(moments.total_squares / n_h - (moments.total / n_h) ** 2, 0)
    half, weighted_half = Z * np.sqrt(variance), Z * np.sqrt(by_group(share**2 * spread / n_h))
    return {
        "unweighted Wald": (mean - half, mean + half),
        "weighted Wald": (weighted - weighted_half, weighted + weighted_half),
    }


def difference_coverage(before: Traffic, after: Traffic, *, windows: int, seed: int = 20261123) -> Coverage:
    """Coverage of after minus before a deploy, independent windows."""
    rng = np.random.default_rng(seed)
    truth, parts = after.pass_rate - before.pass_rate, []
    for _ in range(0, windows, 500):
        first, second = (_rates(simulate(traffic, 500, rng)) for traffic in (after, before))
        gap = difference(first, second)
        parts.append((np.full(500, truth), gap.low, gap.high, gap.answered, first.n_effective))
    return _count(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _rates(rows: Rows, estimand: Estimand = "product") -> Estimates:
    return estimate_rates(moments_from_rows(rows.window, rows.stratum, rows.user, rows.value), estimand=estimand)


def _count(truth: NDArray, low: NDArray, high: NDArray, answered: NDArray, n_effective: NDArray) -> Coverage:
    if not answered.any():
        return Coverage(answered=0.0, covered=np.nan, above=np.nan, below=np.nan, width=np.nan, n_effective=np.nan)
    truth, low, high = truth[answered], low[answered], high[answered]
    # 1e-9: where everything was judged the window's interval is its mean, up to rounding.
    above, below = float((truth > high + 1e-9).mean()), float((truth < low - 1e-9).mean())
    return Coverage(
        answered=float(answered.mean()),
        covered=1 - above - below,
        above=above,
        below=below,
        width=float((high - low).mean()),
        n_effective=float(np.median(n_effective[answered])),
    )
