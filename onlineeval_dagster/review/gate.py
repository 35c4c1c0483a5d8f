"""The promotion gate: whether a shadow judge is as good as the active one, and as people would have it. Pure.

Two conditions on agreement, each with a one-sided 95 % bound, must both hold (an intersection-union test: no level
is split, Berger 1982, Technometrics 24:295-300). Kappa against a limit, since a judge that always says "good" hits nine
labels of ten where nine answers of ten are good. The share of equal scores against the incumbent's, paired, since that
is a number people can weigh.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from onlineeval_dagster.catalog.promotion_file import Promotion
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.contracts.trials import JudgeReliability
from onlineeval_dagster.review.agreement import agreement, quadratic_kappa, tables_of
from onlineeval_dagster.review.versions import shift_of_mean

ONE_SIDED = 0.90
"""Level of the two-sided interval whose ends are one-sided 95 % bounds."""
NEEDED_VERDICTS = 50
WANTED_POWER = 0.8

Floats = NDArray[np.float64]


def power_to_see(margin: float, *, labels: float, spread: float) -> float:
    """The chance that the lower bound of a paired difference is above -margin, were the true difference 0.

    spread  standard deviation of a label's difference, clusters included; with a share d of labels that only one of two
            judges hits, sqrt(d)

    A week of 224 labels (1 % of 3,200 answers a day), one label in five hit by one judge only:

    >>> round(power_to_see(0.05, labels=224, spread=0.2**0.5), 2)
    0.51
    """
    return float(ndtr(margin * sqrt(labels) / spread - ndtri(0.5 + ONE_SIDED / 2)))


def labels_to_see(margin: float, *, spread: float, power: float = WANTED_POWER) -> int:
    """The labels at which `power_to_see` is `power`.

    >>> labels_to_see(0.05, spread=0.2**0.5)
    495
    """
    return ceil(((ndtri(0.5 + ONE_SIDED / 2) + ndtri(power)) * spread / margin) ** 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """People's scores (N,) of answers of the audit, with both judges' scores of the same answers.

    active   None where the axis has no active judge
    weights  one over the chance of the answer, over its number of labels
    users    numbers from 0, none left out
    """

    people: Floats
    shadow: Floats
    active: Floats | None
    weights: Floats
    users: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """Agreement of the shadow with people, and of equal scores, its own and what it has over the incumbent.

    spread  of the paired difference a label; None where there is no difference to tell
    """

    kappa: Estimate | NotEnough
    same: float
    active_same: float | None
    difference: Estimate | NotEnough | None
    spread: float | None


def compare(found: Labelled) -> Compared:
    """With the bounds that the gate looks at."""
    tables = tables_of(found.shadow, found.people, clusters=found.users, weights=found.weights)
    kappa = agreement(tables, quadratic_kappa, level=ONE_SIDED)
    hit = (found.shadow == found.people).astype(np.float64)
    same = float(np.average(hit, weights=found.weights))
    if found.active is None:
        return Compared(kappa=kappa, same=same, active_same=None, difference=None, spread=None)
    active_hit = (found.active == found.people).astype(np.float64)
    paired = hit - active_hit
    difference = shift_of_mean(paired, weights=found.weights, clusters=found.users, span=2.0, level=ONE_SIDED)
    spread = None
    if isinstance(difference, Estimate) and paired.any():
        error = (difference.value - difference.low) / ndtri(0.5 + ONE_SIDED / 2)
        spread = float(error * np.sqrt(len(paired)))
    active_same = float(np.average(active_hit, weights=found.weights))
    return Compared(kappa=kappa, same=same, active_same=active_same, difference=difference, spread=spread)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One thing that must hold: what it is, what was found, and whether it holds."""

    name: str
    found: str
    holds: bool


def conditions(
    compared: Compared | None,
    *,
    labels: int,
    limit: float,
    promotion: Promotion,
    verdicts: int,
    failed: float | None,
    reliability: JudgeReliability | None,
    is_local: bool,
) -> Iterator[Condition]:
    """Every condition of the gate, in words. What is not known does not hold."""
    yield Condition(
        name=f"{promotion.labels} labels of the audit on answers that both judged",
        found=f"{labels}",
        holds=labels >= promotion.labels,
    )
    yield _agrees(compared, limit)
    yield _no_worse(compared, promotion.margin)
    obeyed = None if reliability is None else reliability.obeyed
    why = "not tried yet" if reliability is None else reliability.obeyed_reason
    yield Condition(
        name=f"follows at most {promotion.most_obeyed:.0%} of the orders hidden in answers",
        found=f"{obeyed:.0%}" if obeyed is not None else f"unknown: {why}",
        holds=obeyed is not None and obeyed <= promotion.most_obeyed,
    )
    yield Condition(
        name=f"at most {promotion.most_failed:.0%} of its verdicts are errors",
        found=f"{failed:.1%} of {verdicts:,}" if failed is not None else "no verdict",
        holds=failed is not None and verdicts >= NEEDED_VERDICTS and failed <= promotion.most_failed,
    )
    yield _noise(reliability, is_local=is_local)


def noise_of(reliability: JudgeReliability | None, *, is_local: bool) -> float | None:
    """Root mean square of two readings' difference; an embedded judge says the same each time."""
    if is_local:
        return 0.0
    return None if reliability is None else reliability.noise


def _agrees(compared: Compared | None, limit: float) -> Condition:
    name = f"agreement with people (kappa), lower bound above {limit:.2f}"
    kappa = None if compared is None else compared.kappa
    if kappa is None or isinstance(kappa, NotEnough):
        why = "no label" if kappa is None else f"{kappa.reason}: {kappa.have} of {kappa.needed}"
        return Condition(name=name, found=f"unknown: {why}", holds=False)
    return Condition(name=name, found=f"{kappa.value:.2f}, at least {kappa.low:.2f}", holds=kappa.low > limit)


def _no_worse(compared: Compared | None, margin: float) -> Condition:
    name = f"gives people's score no more than {100 * margin:g} points more rarely than the active judge"
    if compared is None:
        return Condition(name=name, found="unknown: no label", holds=False)
    difference = compared.difference
    if difference is None:
        return Condition(name=name, found="there is no active judge", holds=True)
    if isinstance(difference, NotEnough):
        told = f"unknown: {difference.reason}: {difference.have} of {difference.needed}"
        return Condition(name=name, found=told, holds=False)
    told = f"{100 * difference.value:+.1f} points, at least {100 * difference.low:+.1f}"
    return Condition(name=name, found=told, holds=difference.low > -margin)


def _noise(reliability: JudgeReliability | None, *, is_local: bool) -> Condition:
    noise = noise_of(reliability, is_local=is_local)
    why = "not measured yet" if reliability is None else reliability.repeats_reason
    found = f"unknown: {why}" if noise is None else "none: it says the same each time" if is_local else f"{noise:.2f}"
    return Condition(
        name="its noise is known: how far two readings of one answer lie apart", found=found, holds=noise is not None
    )
