"""Limits for one look at a series, each with its stated false-alarm rate: mean and deviation, robust, exact counts."""

from dataclasses import dataclass

import numpy as np

from onlineeval_dagster.metrics.robust import NORMAL_MAD, median

Floats = np.ndarray

MAD_EFFICIENCY = 0.37
"""A median absolute deviation of n normal values is as exact as a standard deviation of 0.37 n
(Rousseeuw and Croux 1993, Alternatives to the median absolute deviation, section 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What lies below `low` or above `high` is an alarm.

    false_alarm  chance of an alarm at one look when nothing has changed; the mean run length is its inverse, in looks
    """

    low: Floats
    high: Floats
    false_alarm: Floats

    def beyond(self, values: Floats) -> np.ndarray:
        """-1 below, 1 above, 0 within; 0 where there is no value or no limit."""
        with np.errstate(invalid="ignore"):
            return (values > self.high).astype(np.int8) - (values < self.low).astype(np.int8)


def moment_limits(recent: Floats, *, deviations: float = 3.0) -> Limits:
    """Mean ± `deviations` standard deviations of `recent` (series, looks), NaN left out.

    The rate holds for independent normal values: with limits learnt from n of them the next one, standardised, follows
    Student's law. Plain 3 sigma is 0.27 % a look: two alarms a day on 5-minute looks at three series.
    """
    count = np.isfinite(recent).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.nansum(recent, axis=-1) / count
        spread = np.sqrt(np.nansum((recent - mean[..., None]) ** 2, axis=-1) / (count - 1))
    rate = _student_tails(deviations, count - 1, 1 / np.maximum(count, 1))
    return Limits(low=mean - deviations * spread, high=mean + deviations * spread, false_alarm=rate)


def robust_limits(recent: Floats, *, deviations: float = 3.0) -> Limits:
    """Median ± `deviations` scaled median absolute deviations: an outage in `recent` does not widen them.

    The rate is that of `moment_limits` at the efficiency of median and MAD (tests/metrics/test_limits.py simulates it).
    """
    count = np.isfinite(recent).sum(axis=-1)
    middle = median(recent, axis=-1)
    spread = NORMAL_MAD * median(np.abs(recent - middle[..., None]), axis=-1)
    rate = _student_tails(deviations, MAD_EFFICIENCY * (count - 1), np.pi / 2 / np.maximum(count, 1))
    return Limits(low=middle - deviations * spread, high=middle + deviations * spread, false_alarm=rate)


def binomial_limits(n: Floats, share: Floats, *, false_alarm: float) -> Limits:
    """Limits for a count out of `n` at an expected `share`: at most `false_alarm`, half of it on each side, exactly.

    For small counts, where 3 sigma is wrong: of 60 answers at 2 %, five or more are beyond it five times as often as it
    says. The achieved rate, which is smaller than asked since counts are whole, comes with the limits.
    """
    from scipy.stats import binom  # 1.2 s

    low, high = binom.ppf(false_alarm / 2, n, share), binom.isf(false_alarm / 2, n, share)
    return Limits(low=low, high=high, false_alarm=binom.cdf(low - 1, n, share) + binom.sf(high, n, share))


def poisson_limits(expected: Floats, *, false_alarm: float) -> Limits:
    """The same for a count without a whole, such as answers an hour, at its expected number."""
    from scipy.stats import poisson

    low, high = poisson.ppf(false_alarm / 2, expected), poisson.isf(false_alarm / 2, expected)
    return Limits(low=low, high=high, false_alarm=poisson.cdf(low - 1, expected) + poisson.sf(high, expected))


def deviations_for(looks: float) -> float:
    """How many standard deviations let one look in `looks` pass, both sides together: 3.0 for 370.

    >>> round(deviations_for(370.4), 2), round(deviations_for(50 * 2016), 2)
    (3.0, 4.41)
    """
    from scipy.special import ndtri

    return float(-ndtri(0.5 / looks))


def _student_tails(deviations: float, freedom: Floats, more: Floats) -> Floats:
    from scipy.special import stdtr

    freedom = np.asarray(freedom, dtype=np.float64)
    tails = 2 * stdtr(np.maximum(freedom, 1e-9), -deviations / np.sqrt(1 + more))
    return np.where(freedom >= 1, tails, np.nan)
