"""How many units, how small a lift, how many weeks: before the start, where it costs nothing.

One number describes a metric: the standard deviation of a unit's influence, as a share of its value (`spread`).
For one answer a unit at rate p it is sqrt((1 - p) / p); with m answers of one user, alike by an intra-class
correlation icc, it shrinks by sqrt((1 + (m - 1) icc) / m). Units are distinct units, never unit-days.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr, ndtri

from onlineeval_dagster.experiments.sequential import boundary

Look = Literal["fixed", "hybrid", "always_valid"]


def rate_spread(rate: float, *, answers: float = 1.0, icc: float = 0.0, judged: float = 1.0) -> float:
    """Spread of a rate. judged: share of a unit's answers that a judge sees; at least one answer is.

    >>> round(rate_spread(0.85), 3), round(rate_spread(0.85, answers=4, icc=0.2), 3)
    (0.42, 0.266)
    """
    seen = max(answers * judged, 1e-9)
    deff = 1 + (max(seen, 1) - 1) * icc
    return float(np.sqrt((1 - rate) / rate * deff / seen))


def label_spread(spread: float, *, labelled: float, judged: float, correlation: float) -> float:
    """Spread of a unit's answer when people decide: labels nested in verdicts, counted in answers of an arm.

    Var = s^2 ((1 - r^2) / n_labels + r^2 / n_judged), the two phases of review/prediction_powered, per judged answer.
    """
    share = judged / labelled
    return float(spread * np.sqrt((1 - correlation**2) * share + correlation**2))


def reach(look: Look, *, alpha: float = 0.05) -> float:
    """Standard errors that the deciding look must reach: 1.96, 2.24 for the hybrid, 3.04 for the always-valid."""
    if look == "always_valid":
        return float(boundary(1.0, alpha=alpha))
    return float(ndtri(1 - alpha / (2 if look == "fixed" else 4)))


def least_lift(
    spread: float,
    *,
    control: float,
    treatment: float,
    look: Look = "fixed",
    removed: float = 0.0,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float:
    """The relative lift that is found with chance `power`. removed: share of the variance that covariates take out.

    >>> round(100 * 0.85 * least_lift(rate_spread(0.85), control=2450, treatment=2450), 1)      # 700 a day, two arms
    2.9
    """
    error = spread * np.sqrt((1 - removed) * (1 / control + 1 / treatment))
    return float((reach(look, alpha=alpha) + ndtri(power)) * error)


def needed_units(
    spread: float,
    lift: float,
    *,
    look: Look = "fixed",
    removed: float = 0.0,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float:
    """Units of each of two equal arms that find a relative lift.

    The folk number of 500,000 an arm is 1 % at a base rate of .24 (with 1.96 and .8416 for the quantiles: 497,101);
    at .85 the same percent needs 27,702.

    >>> [round(needed_units(rate_spread(rate), 0.01)) for rate in (0.24, 0.85)]
    [497096, 27702]
    """
    quantiles = reach(look, alpha=alpha) + ndtri(power)
    return float(2 * (1 - removed) * (quantiles * spread / lift) ** 2)


def passes(spread: float, margin: float, *, control: float, treatment: float, removed: float = 0.0) -> float:
    """The chance that a guardrail passes at the 95 % interval when nothing is wrong.

    The test is of T - (1 - m) C, so the control's part shrinks with the margin.

    >>> [round(passes(rate_spread(0.85), 0.02, control=n, treatment=n), 2) for n in (1200, 11200)]
    [0.22, 0.95]
    """
    error = spread * np.sqrt((1 - removed) * (1 / treatment + (1 - margin) ** 2 / control))
    return float(ndtr(margin / error - ndtri(0.975)))


def needed_to_pass(
    spread: float, margin: float, *, guardrails: int = 1, removed: float = 0.0, power: float = 0.8
) -> float:
    """Units of each of two equal arms for all of so many like guardrails to pass with chance `power`."""
    each = power ** (1 / guardrails)
    return float((1 - removed) * (1 + (1 - margin) ** 2) * ((ndtri(0.975) + ndtri(each)) * spread / margin) ** 2)


def exaggeration(power: float, *, alpha: float = 0.05) -> float:
    """How far a significant win overstates the effect on average (Gelman, Carlin 2014: type M).

    >>> [round(exaggeration(power), 1) for power in (0.2, 0.8)]
    [2.3, 1.1]
    """
    edge = float(ndtri(1 - alpha / 2))
    effect = edge + float(ndtri(min(power, 1 - 1e-12)))
    upper, lower = ndtr(effect - edge), ndtr(-effect - edge)
    density = np.exp(-0.5 * np.array([edge - effect, edge + effect]) ** 2) / np.sqrt(2 * np.pi)
    size = effect * upper + density[0] - effect * lower + density[1]
    return float(size / (upper + lower) / effect)


def false_wins(*, power: float, prior: float, alpha: float = 0.05) -> float:
    """Of significant wins, the share that are none, where a share `prior` of changes works.

    >>> round(false_wins(power=0.8, prior=0.1), 2)
    0.22
    """
    wins = prior * power + (1 - prior) * alpha / 2
    return (1 - prior) * alpha / 2 / wins


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Distinct units met in the first week, two weeks, … of a run, as seen; beyond, by the last step.

    Units come back: 800 daily users are some 2,400 a week, not 5,600.
    """

    by_week: tuple[float, ...]

    def units(self, weeks: int) -> float:
        """Distinct units after so many weeks."""
        if weeks <= len(self.by_week):
            return self.by_week[weeks - 1]
        *earlier, last = self.by_week
        step = last - (earlier[-1] if earlier else 0.0)
        return last + (weeks - len(self.by_week)) * step
