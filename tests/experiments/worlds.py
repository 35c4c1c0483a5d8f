"""Units of experiments whose truth is known."""

import numpy as np

from onlineeval_dagster.experiments.moments import UnitMoments, moments_of_units
from onlineeval_dagster.experiments.quantiles import bandwidth


def units(
    rng: np.random.Generator,
    count: int,
    *,
    arms: int = 2,
    lift: float = 0.0,
    correlation: float = 0.0,
    answers: float = 3.0,
    new: float = 0.0,
    mean: float = 1.0,
    sd: float = 0.5,
) -> tuple[np.ndarray, np.ndarray]:
    """(totals y, d, x, c; arm): each unit's value and its past's correlate as told; `new` of them have no past.

    `lift` is added in every arm but the first. With `answers` 1 each unit has one answer and one earlier one.
    """
    arm = rng.integers(0, arms, count)
    d = np.ones(count) if answers == 1 else 1.0 + rng.poisson(answers - 1, count)
    common = rng.normal(size=(2, count))
    value = mean + sd * common[0] + lift * (arm > 0)
    past = mean + sd * (correlation * common[0] + np.sqrt(1 - correlation**2) * common[1])
    c = np.where(rng.random(count) < new, 0.0, 1.0)
    return np.column_stack([value * d, d, past * c, c]), arm


def moments(rng: np.random.Generator, count: int, *, covariate: bool = True, **world) -> UnitMoments:
    totals, arm = units(rng, count, **world)
    return moments_of_units(totals if covariate else totals[:, :2], arm, (world.get("arms", 2),))


def recentred(x: np.ndarray, level: float, answers: int) -> np.ndarray:
    """Of one arm's answers, numbers whose mean is their quantile: what SQL makes of them (experiments/quantiles)."""
    half = bandwidth(level, answers)
    low, q, high = np.quantile(x, [level - half, level, level + half])
    return q + (level - (x <= q)) * (high - low) / (2 * half)
