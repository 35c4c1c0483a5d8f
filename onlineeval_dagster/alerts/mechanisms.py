"""By what way a metric fell: slower answers, failed ones, another mix of users, more traffic.

What changed at the same time explains nothing yet. Slow answers explain a fall as far as, within one and the same hour,
the slower ones are the worse ones; another mix as far as those who come more are those who were worse off before.
"""

from dataclasses import dataclass

import numpy as np

from onlineeval_dagster.metrics.intervals import normal_quantile
from onlineeval_dagster.metrics.mix import mix_part

Floats = np.ndarray

EXPLAINS, AT_LEAST = 0.5, 0.2
"""A mechanism is named when it explains half of the change, and a fifth is sure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The part of a change that a mechanism explains, with its 95 % interval: 1 is all of it, 0 nothing."""

    value: float
    low: float
    high: float

    @property
    def enough(self) -> bool:
        """Whether the mechanism is named."""
        return self.value >= EXPLAINS and self.low >= AT_LEAST


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """Weighted sums by hour (hours,): of the metric y and of what it may hang on, x; `n` effective answers."""

    n: Floats
    weight: Floats
    x: Floats
    y: Floats
    xx: Floats
    xy: Floats
    yy: Floats


def explained_by(sums: Sums, *, rise: float, change: float, design: float = 1.5) -> Explained | None:
    """The part of `change` that a rise of x by `rise` makes at the slope that y has on x within the hours.

    design  how much less an answer says than an independent one; None where x does not vary within any hour
    """
    weight = np.maximum(sums.weight, 1e-300)
    varies = (sums.xx - sums.x**2 / weight) / weight * sums.n
    together = (sums.xy - sums.x * sums.y / weight) / weight * sums.n
    own = (sums.yy - sums.y**2 / weight) / weight * sums.n
    whole, answers = varies.sum(), sums.n.sum()
    if whole <= 1e-9 * max(answers, 1.0) or change == 0 or answers < 30:
        return None
    slope = together.sum() / whole
    left = max(own.sum() - slope * together.sum(), 0.0) / max(answers - 2, 1.0)
    return _part(slope * rise, np.sqrt(design * left / whole) * abs(rise), change)


def explained_by_mix(
    now: Floats, before: Floats, value_before: Floats, variance_before: Floats, *, change: float
) -> Explained | None:
    """The part of `change` that another mix makes: standardisation, see metrics/mix.py. Arrays (values of the slice,).

    variance_before  of each value's mean; None where too much of the traffic has no past
    """
    part = float(mix_part(now, before, value_before))
    if not np.isfinite(part) or change == 0:
        return None
    known = np.isfinite(value_before) & (before > 0)
    moved = now[known] / now[known].sum() - before[known] / before[known].sum()
    return _part(part, float(np.sqrt((moved**2 * variance_before[known]).sum())), change)


def explained_by_traffic(residuals: Floats, traffic: Floats, during: np.ndarray, *, change: float) -> Explained | None:
    """The part of `change` that more traffic makes, at the slope that the hours before have between the two.

    residuals, traffic  of the metric and of the logarithm of answers, by hour, both without their rhythm
    during              the hours of the incident
    """
    known = np.isfinite(residuals) & np.isfinite(traffic)
    past, now = known & ~during, known & during
    if past.sum() < 100 or not now.any() or change == 0:
        return None
    x, y = traffic[past] - traffic[past].mean(), residuals[past] - residuals[past].mean()
    rise = traffic[now].mean() - traffic[past].mean()
    # Traffic that is where it usually is explains nothing.
    if rise < 2 * x.std() or x.std() == 0:
        return None
    slope = (x @ y) / (x @ x)
    left = ((y - slope * x) ** 2).sum() / (len(x) - 2)
    return _part(slope * rise, float(np.sqrt(left / (x @ x))) * rise, change)


def _part(moved: float, error: float, change: float) -> Explained:
    half = normal_quantile(0.95) * error / abs(change)
    return Explained(value=float(moved / change), low=float(moved / change - half), high=float(moved / change + half))
