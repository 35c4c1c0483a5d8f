"""A change that nobody was assigned to: what followed it, beside what it did not touch. Not randomised, and weaker.

Three questions to the same days, each with its own assumption and its own placebo:

    difference in differences   without the change both would have moved in parallel; placebo: the same at dates
                                before the change (Card, Krueger 1994, AER; Bertrand, Duflo, Mullainathan 2004, QJE)
    synthetic control           a weighted mean of the untouched is what would have been; placebo: each of these as if
                                it had been touched (Abadie, Diamond, Hainmueller 2010, JASA)
    structural series           level and its regression on the untouched go on as they were (metrics/counterfactual);
                                placebo: the same at an earlier date
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from onlineeval_dagster.contracts.estimates import NotEnough
from onlineeval_dagster.experiments.moments import Floats
from onlineeval_dagster.metrics.counterfactual import Effect, placebo_p, structural_effect, synthetic_control

NEEDED_BEFORE, NEEDED_AFTER, NEEDED_DONORS = 21, 3, 3
LAGS = 7
"""Days over which a series is taken to remember: its weekday's likes, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """Difference in differences. placebo_p: share of dates, the real one among them, with an effect as large."""

    effect: Effect
    placebo_p: float
    dates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Weighted:
    """Synthetic control: mean gap after, misfit before (root mean square), weights, and placebos over series."""

    gap: float
    misfit: float
    weights: dict[str, float]
    placebo_p: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeAfter:
    """before, after: means of the touched series. Days counted; series that were untouched and whole.

    earlier: the structural series' placebo, as if the change had come as many days sooner as there are since; None
    where that leaves too few days before it
    """

    before: float
    after: float
    days_before: int
    days_after: int
    untouched: tuple[str, ...]
    parallel: Parallel | NotEnough
    weighted: Weighted | NotEnough
    structural: Effect
    earlier: Effect | None


def before_after(touched: Floats, untouched: Mapping[str, Floats], *, before: int) -> BeforeAfter | NotEnough:
    """Daily values in order, `before` of them before the change; all series have the same days and no holes."""
    if before < NEEDED_BEFORE:
        return NotEnough(have=before, needed=NEEDED_BEFORE, reason="too few days before the change")
    if len(touched) - before < NEEDED_AFTER:
        return NotEnough(have=len(touched) - before, needed=NEEDED_AFTER, reason="too few days since the change")
    donors = np.column_stack([*untouched.values()]) if untouched else np.zeros((len(touched), 0))
    beside = donors.mean(axis=1, keepdims=True) if untouched else donors
    sooner = 2 * before - len(touched)
    none = NotEnough(have=0, needed=1, reason="no series that the change did not touch")
    return BeforeAfter(
        before=float(touched[:before].mean()),
        after=float(touched[before:].mean()),
        days_before=before,
        days_after=len(touched) - before,
        untouched=tuple(untouched),
        parallel=_parallel(touched - donors.mean(axis=1), before) if untouched else none,
        weighted=_weighted(touched, donors, [*untouched], before),
        structural=structural_effect(touched, beside, before=before),
        earlier=(
            structural_effect(touched[:before], beside[:before], before=sooner) if sooner >= NEEDED_BEFORE else None
        ),
    )


def _parallel(gap: Floats, before: int) -> Parallel:
    after = len(gap) - before
    value = float(gap[before:].mean() - gap[:before].mean())
    deviation = float(np.sqrt(_long_run(gap[:before]) * (1 / after + 1 / before)))
    half = float(stdtrit(max(before / (LAGS + 1) - 1, 1), 0.975)) * deviation
    earlier = [_moved(gap[:before], start, after) for start in range(before - after + 1)]
    as_large = 1 + int((np.abs(earlier) >= abs(value)).sum())
    return Parallel(
        effect=Effect(value=value, low=value - half, high=value + half, deviation=deviation),
        placebo_p=as_large / (1 + len(earlier)),
        dates=len(earlier),
    )


def _moved(gap: Floats, start: int, length: int) -> float:
    """As if the change had been for `length` days from `start` on."""
    inside = np.zeros(len(gap), dtype=np.bool_)
    inside[start : start + length] = True
    return float(gap[inside].mean() - gap[~inside].mean())


def _long_run(gap: Floats) -> float:
    """Variance of a day in a mean of many, with what days have in common (Newey, West 1987, Econometrica 55)."""
    centred = gap - gap.mean()
    shared = [float(centred[lag:] @ centred[: len(gap) - lag]) / len(gap) for lag in range(LAGS + 1)]
    weights = 1 - np.arange(1, LAGS + 1) / (LAGS + 1)
    found = shared[0] + 2 * float(weights @ np.array(shared[1:]))
    return found * len(gap) / (len(gap) - 1)


def _weighted(touched: Floats, donors: Floats, names: Sequence[str], before: int) -> Weighted | NotEnough:
    if len(names) < NEEDED_DONORS:
        return NotEnough(
            have=len(names), needed=NEEDED_DONORS, reason="too few untouched series for a synthetic control"
        )
    found = synthetic_control(touched, donors, before=before)
    return Weighted(
        gap=float(found.gaps[before:].mean()),
        misfit=found.misfit,
        weights={name: float(weight) for name, weight in zip(names, found.weights, strict=True) if weight > 0.005},
        placebo_p=placebo_p(touched, donors, before=before),
    )
