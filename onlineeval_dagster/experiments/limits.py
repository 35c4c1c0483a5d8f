"""How each comparison of a look is read: its interval, its p-value, and where two rates have an interval of their own.

Where every unit gave one answer, yes or no, and nothing is adjusted for, a rate is two binomials. These have score
intervals (experiments/rates), which hold near 0 and 1 and give a number where all answers are alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from scipy.special import ndtr, ndtri

from onlineeval_dagster.experiments.bayes import Posterior, rates_posterior
from onlineeval_dagster.experiments.compare import TOO_FEW_RARE, Comparison
from onlineeval_dagster.experiments.moments import ONE, Bools, D, Floats, UnitMoments, Y
from onlineeval_dagster.experiments.rates import score_lift_limits, score_limits, score_z
from onlineeval_dagster.experiments.rules import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Yeses and units of treatment and control, (lines, segments, treatments); `at`: where that is all there is."""

    yes: Floats
    units: Floats
    control_yes: Floats
    control_units: Floats
    at: Bools

    @classmethod
    def of(cls, moments: UnitMoments, *, control: int, is_rate: Bools, lines: int) -> Self:
        """Of moments (metrics, segments, arms, K, K); lines beyond the metrics, people's, are never plain counts."""
        products, arms = moments.products, moments.products.shape[2]
        units, yes = products[..., ONE, ONE], products[..., ONE, Y]
        one_each = (products[..., ONE, D] == units) & (products[..., D, D] == units) & (products[..., Y, Y] == yes)
        at = one_each.all(axis=-1) & is_rate & (products.shape[-1] == D + 1)
        others = [arm for arm in range(arms) if arm != control]
        missing = [(0, lines - len(products)), (0, 0), (0, 0)]

        def of_lines(column: Floats) -> Floats:
            return np.pad(column, missing)

        return cls(
            yes=of_lines(yes[..., others]),
            units=of_lines(units[..., others]),
            control_yes=of_lines(np.repeat(yes[..., [control]], len(others), axis=-1)),
            control_units=of_lines(np.repeat(units[..., [control]], len(others), axis=-1)),
            at=of_lines(np.repeat(at[..., None], len(others), axis=-1)).astype(np.bool_),
        )

    def where(self, at: Bools) -> tuple[Floats, Floats, Floats, Floats]:
        """Yes and units of the treatments, then of the control, of these comparisons."""
        return self.yes[at], self.units[at], self.control_yes[at], self.control_units[at]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """A comparison as one look reads it. by_score: which intervals are Miettinen and Nurminen's."""

    found: Comparison
    low: Floats
    high: Floats
    lift_low: Floats
    lift_high: Floats
    p_value: Floats
    by_score: Bools


def limits(found: Comparison, rule: Rule, fraction: Floats, rates: Rates) -> Limits:
    """Intervals at the rule's level. fraction: of the planned units, per comparison."""
    quantile = rule.quantile(found, fraction)
    low, high = found.limits(quantile)
    lift_low, lift_high = found.lift_limits(quantile)
    told = Limits(
        found=found, low=low, high=high, lift_low=lift_low, lift_high=lift_high, p_value=found.p_value(),
        by_score=np.zeros(low.shape, dtype=np.bool_),
    )  # fmt: skip
    # A confidence sequence is asymptotic, and its own burn-in; there is none of these for small counts here.
    at = rates.at & ((found.reason == None) | (found.reason == TOO_FEW_RARE))  # noqa: E711
    return told if rule.is_always_valid or not at.any() else _scored(told, rule, rates, at)


def _scored(told: Limits, rule: Rule, rates: Rates, at: Bools) -> Limits:
    counts = rates.where(at)
    alpha = 1 - rule.level if rule.bound is None else 2 * float(ndtr(-rule.bound))
    critical = float(ndtri(1 - alpha / 2))
    value, control = counts[0] / counts[1], counts[2] / counts[3]

    def placed(column: Floats, values: Floats) -> Floats:
        result = column.copy()
        result[at] = values
        return result

    found, (low, high) = told.found, score_limits(*counts, critical=critical)
    lift_low, lift_high = score_lift_limits(*counts, critical=critical)
    reason = found.reason.copy()
    reason[at] = None
    return Limits(
        found=replace(
            found,
            value=placed(found.value, value),
            control=placed(found.control, control),
            difference=placed(found.difference, value - control),
            reason=reason,
        ),
        low=placed(told.low, low),
        high=placed(told.high, high),
        lift_low=placed(told.lift_low, lift_low),
        lift_high=placed(told.lift_high, lift_high),
        p_value=placed(told.p_value, 2 * ndtr(-np.abs(score_z(*counts)))),
        by_score=at,
    )


def believed(found: Posterior, rates: Rates, prior: Sequence[float] | None, *, better: Floats) -> Posterior:
    """The chance to be better and the losses of plain rates by the prior of rates, where the experiment names one.

    better: 1 or -1, (lines, 1, 1). Losses are shares of the control's rate.
    """
    at = rates.at & (rates.units > 0) & (rates.control_yes > 0)
    if prior is None or not at.any():
        return found
    yes, units, control_yes, control_units = rates.where(at)
    told = rates_posterior(control_yes, control_units, yes, units, prior=(prior[0], prior[1]))
    is_up = np.broadcast_to(better > 0, at.shape)[at]
    size = control_yes / control_units

    def placed(column: Floats, up: Floats, down: Floats) -> Floats:
        result = column.copy()
        result[at] = np.where(is_up, up, down)
        return result

    return replace(
        found,
        better=placed(found.better, told.higher, 1 - told.higher),
        loss_if_shipped=placed(found.loss_if_shipped, told.loss_of_second / size, told.loss_of_first / size),
        loss_if_kept=placed(found.loss_if_kept, told.loss_of_first / size, told.loss_of_second / size),
    )
