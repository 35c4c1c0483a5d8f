"""What a series would have been without an event: from series that the event did not touch."""

from dataclasses import dataclass

import numpy as np

Floats = np.ndarray

DRIFTS = np.geomspace(0.01, 3.0, 40)
"""Standard deviations of the level's steps that are averaged over, in those of the noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Mean of (observed - what would have been) over the time after the event, and its 95 % interval.

    deviation  standard deviation of the effect
    """

    value: float
    low: float
    high: float
    deviation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Synthetic:
    """A weighted mean of donors that stands for the treated series.

    weights  of each donor, none below 0, together 1
    gaps     treated - synthetic at every point
    misfit   root mean square of the gaps before the event
    """

    weights: Floats
    gaps: Floats
    misfit: float


def synthetic_control(treated: Floats, donors: Floats, *, before: int) -> Synthetic:
    """Weights that fit the `before` first points best (Abadie and Gardeazabal, AER 2003, on the outcomes themselves).

    `treated` (points), `donors` (points, donors). No donor may itself have been touched by the event.
    """
    from scipy.optimize import nnls

    # A heavy last row is the constraint that weights sum to 1: nnls knows only that none is below 0.
    scale = float(np.abs(donors[:before]).max())
    heavy = 1e4 * scale
    rows = np.vstack([donors[:before], np.full((1, donors.shape[1]), heavy)])
    weights = nnls(rows, np.append(treated[:before], heavy))[0]
    gaps = treated - donors @ weights
    return Synthetic(weights=weights, gaps=gaps, misfit=float(np.sqrt(np.mean(gaps[:before] ** 2))))


def placebo_p(treated: Floats, donors: Floats, *, before: int) -> float:
    """Share of series, the treated one among them, whose gaps grew at least as much after the event as its own did.

    The ratio of mean square gaps after and before; each donor is treated in turn, the real one left out. Never below
    1 / (donors + 1).
    """
    ratios = [_growth(synthetic_control(treated, donors, before=before), before)]
    for donor in range(donors.shape[1]):
        others = np.delete(donors, donor, axis=1)
        ratios.append(_growth(synthetic_control(donors[:, donor], others, before=before), before))
    return float(np.mean(np.array(ratios) >= ratios[0]))


def _growth(found: Synthetic, before: int) -> float:
    return float(np.mean(found.gaps[before:] ** 2) / max(found.misfit**2, 1e-300))


def structural_effect(values: Floats, covariates: Floats, *, before: int) -> Effect:
    """Effect after the first `before` of `values`, by a local level with regression on `covariates` (points, k).

    The model of CausalImpact (Brodersen et al. 2015) without its priors on coefficients: y = level + x·b + noise, the
    level a random walk. The interval holds the noise, the drift of the level, the uncertainty of the coefficients, and
    that of how much the level drifts: averaged by restricted likelihood over `DRIFTS`, since the best drift alone
    covers 90 %. It is wide where the level stands still (99 % covered), 96 % where it drifts. Covariates must be
    untouched by the event.
    """
    from scipy.special import stdtrit

    design = np.column_stack([np.ones(len(values)), covariates])
    middle, scale = design[:before].mean(axis=0), design[:before].std(axis=0)
    design[:, 1:] = (design[:, 1:] - middle[1:]) / np.where(scale[1:] > 0, scale[1:], 1.0)
    found = np.array([_projected(values, design, before, drift**2) for drift in DRIFTS])
    # Flat on the drift (Gelman 2006), where the grid is flat on its logarithm; that prior covers 92 % only.
    weights = np.exp(found[:, 0].min() - found[:, 0]) * DRIFTS
    weights /= weights.sum()
    expected = float(weights @ found[:, 1])
    deviation = float(np.sqrt(weights @ (found[:, 2] + (found[:, 1] - expected) ** 2)))
    value = float(values[before:].mean() - expected)
    width = float(stdtrit(before - design.shape[1], 0.975)) * deviation
    return Effect(value=value, low=value - width, high=value + width, deviation=deviation)


def _projected(values: Floats, design: Floats, before: int, ratio: float) -> tuple[float, float, float]:
    """For a level whose steps have `ratio` of the noise's variance: minus the restricted log likelihood, the mean that
    was to be expected after the event, and the variance of what is seen around that.
    """
    times = np.arange(len(values), dtype=np.float64)
    walk = ratio * np.minimum(times[:, None], times[None, :])
    own = np.eye(before) + walk[:before, :before]
    unlikely, variance, coefficients = _restricted(values[:before], design[:before], own)
    shared = walk[:before, before:].mean(axis=1)
    pulled = np.linalg.solve(own, shared)
    mean = design[before:].mean(axis=0)
    expected = mean @ coefficients + pulled @ (values[:before] - design[:before] @ coefficients)
    left = mean - design[:before].T @ pulled
    information = design[:before].T @ np.linalg.solve(own, design[:before])
    spread = walk[before:, before:].mean() + 1 / (len(values) - before) - shared @ pulled
    return unlikely, float(expected), float(variance * (spread + left @ np.linalg.solve(information, left)))


def _restricted(values: Floats, design: Floats, covariance: Floats) -> tuple[float, float, Floats]:
    """Minus the restricted log likelihood, variance and coefficients at a covariance known but for its scale."""
    factor = np.linalg.cholesky(covariance)
    white = np.linalg.solve(factor, np.column_stack([design, values]))
    x, y = white[:, :-1], white[:, -1]
    information = x.T @ x
    coefficients = np.linalg.solve(information, x.T @ y)
    freedom = len(values) - design.shape[1]
    variance = float(((y - x @ coefficients) ** 2).sum() / freedom)
    log_determinants = 2 * np.log(np.diag(factor)).sum() + np.linalg.slogdet(information)[1]
    return 0.5 * (freedom * np.log(variance) + log_determinants), variance, coefficients
