"""What is believed after the data: posterior lift, chance to be better, expected loss, with a prior that has a name.

A flat prior is none: at a look after every unit it calls a difference sooner or later. A proper one that fits the past
experiments keeps what it promises under any looks, on average over such experiments.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.special import betainc, betaincinv, ndtr, ndtri

from onlineeval_dagster.contracts.estimates import NotEnough
from onlineeval_dagster.experiments.moments import Floats

NEEDED_EXPERIMENTS = 20
"""Past experiments before a prior is learnt from them."""

_NODES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Posterior:
    """Normal columns on the scale of the prior, in the metric's own sign.

    better         chance that the treatment is better, `up` or `down` as the metric wants it
    loss_if_shipped, loss_if_kept   expected loss of choosing the treatment, or the control, when it is the worse one
    negligible     chance that the effect lies within the region of no practical difference
    """

    mean: Floats
    sd: Floats
    low: Floats
    high: Floats
    better: Floats
    loss_if_shipped: Floats
    loss_if_kept: Floats
    negligible: Floats


def posterior(
    effect: ArrayLike,
    error: ArrayLike,
    *,
    prior_sd: ArrayLike,
    better: ArrayLike = 1,
    negligible: float = 0.0,
    level: float = 0.95,
) -> Posterior:
    """A normal effect under a normal prior with mean 0. `better` is 1 where more is better, -1 where less is.

    negligible  half the width of the region of practical equivalence
    """
    y, s, tau, sign = (np.asarray(column, dtype=np.float64) for column in (effect, error, prior_sd, better))
    weight = tau**2 / (tau**2 + s**2)
    mean, sd = weight * y, np.sqrt(weight) * s
    half = float(ndtri(0.5 + level / 2)) * sd
    with np.errstate(divide="ignore", invalid="ignore"):
        good = sign * mean / sd
        inside = ndtr((negligible - mean) / sd) - ndtr((-negligible - mean) / sd)
    density = np.exp(-0.5 * good**2) / np.sqrt(2 * np.pi)
    return Posterior(
        mean=mean,
        sd=sd,
        low=mean - half,
        high=mean + half,
        better=np.asarray(ndtr(good)),
        loss_if_shipped=sd * (density - good * ndtr(-good)),
        loss_if_kept=sd * (density + good * ndtr(good)),
        negligible=inside,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RatePosterior:
    """Of two rates with Beta posteriors: chance that the second is higher, expected loss of either choice."""

    higher: Floats
    loss_of_second: Floats
    loss_of_first: Floats


def rates_posterior(
    x1: ArrayLike, n1: ArrayLike, x2: ArrayLike, n2: ArrayLike, *, prior: tuple[float, float] = (1.0, 1.0)
) -> RatePosterior:
    """Beta-binomial, of units with one yes or no each. The losses follow from the same chance at shifted counts."""
    a1, b1 = np.asarray(x1) + prior[0], np.asarray(n1) - np.asarray(x1) + prior[1]
    a2, b2 = np.asarray(x2) + prior[0], np.asarray(n2) - np.asarray(x2) + prior[1]
    higher = _second_higher(a1, b1, a2, b2)
    first, second = a1 / (a1 + b1), a2 / (a2 + b2)
    # E[(p1 - p2) 1(p1 > p2)] = m1 P(p1' > p2) - m2 P(p1 > p2'), where ' has one success more.
    loss_of_second = first * (1 - _second_higher(a1 + 1, b1, a2, b2)) - second * (
        1 - _second_higher(a1, b1, a2 + 1, b2)
    )
    loss_of_first = second * _second_higher(a1, b1, a2 + 1, b2) - first * _second_higher(a1 + 1, b1, a2, b2)
    return RatePosterior(higher=higher, loss_of_second=loss_of_second, loss_of_first=loss_of_first)


def _second_higher(a1: Floats, b1: Floats, a2: Floats, b2: Floats) -> Floats:
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    at = (nodes + 1) / 2
    second = betaincinv(a2[..., None], b2[..., None], at)
    return np.asarray((betainc(a1[..., None], b1[..., None], second) * weights / 2).sum(axis=-1))


def learnt_prior(effects: ArrayLike, errors: ArrayLike, *, needed: int = NEEDED_EXPERIMENTS) -> float | NotEnough:
    """Standard deviation of true effects around 0, of greatest marginal likelihood over past experiments.

    May be 0, where chance explains all of the past: then nothing was learnt that a decision could rest on.
    """
    y, s = np.asarray(effects, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    if len(y) < needed:
        return NotEnough(have=len(y), needed=needed, reason="too few past experiments to learn a prior from")

    def cost(tau: float) -> float:
        total = tau**2 + s**2
        return float((np.log(total) + y**2 / total).sum())

    top = 3 * float(np.sqrt((y**2).mean())) + 1e-12
    best = float(minimize_scalar(cost, bounds=(0, top), method="bounded", options={"xatol": top * 1e-6}).x)  # type: ignore[attr-defined]
    return best if cost(best) < cost(0.0) else 0.0
