"""Which rates buy the narrowest interval for what may be spent, and what the other ways to spend it would give.

The value is sum_h W_h ybar_h over the strata h, its variance a day

    sum_h W_h^2 S_h^2 / n_h  +  sum_h W_h (mu_h - mu)^2 / N        (the product's quality; users taken as independent)

with W_h the share, S_h the standard deviation of one answer, n_h judged. Under a cost sum_h c_h n_h the best n_h are
proportional to N_h S_h / sqrt(c_h) (Neyman 1934; Cochran 1977, Sampling Techniques, 5.5). Where that asks for more
answers than there are, or fewer than a floor, the stratum stays at its limit and the rest is spread over the others:
the problem is convex and separable, so clipping at one common multiplier is exact.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

NORMAL_95 = 1.959964
LEAST_SHARE = 0.25
"""Every stratum keeps this share of the uniform rate: variances are estimates, and they move."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StratumSeen:
    """What is known of a stratum.

    answers   a day, at least 0
    variance  of one answer's value (for a rate p (1 - p)), greater than 0
    mean      of the value
    cost      of one call, in the budget's unit: US dollars, or 1 where calls are counted
    judged    answers that variance and mean rest on; 0: they are what is believed before any
    """

    name: str
    answers: float
    variance: float
    mean: float
    cost: float = 1.0
    judged: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One way to spend: rates by stratum, cost and calls a day, and the full width of the day's 95 % interval."""

    name: str
    rates: Mapping[str, float]
    calls: float
    cost: float
    variance: float

    @property
    def width(self) -> float:
        return 2 * NORMAL_95 * sqrt(self.variance)


def plan(seen: Sequence[StratumSeen], budget: float, *, floors: Mapping[str, float] | None = None) -> Plan:
    """The rates that give the narrowest interval for `budget` a day, none below `LEAST_SHARE` of the uniform rate.

    floors  rates by stratum that must not be fallen below; they are kept to even if they cost more than the budget

    With two strata alike in cost, rates are as their standard deviations:

    >>> strata = [
    ...     StratumSeen(name="flagged", answers=50, variance=0.24, mean=0.4),
    ...     StratumSeen(name="normal", answers=950, variance=0.06, mean=0.9),
    ... ]
    >>> rates = plan(strata, 100).rates
    >>> round(rates["flagged"] / rates["normal"], 3)
    2.0
    """
    even = uniform(seen, budget).rates
    least = {one.name: LEAST_SHARE * even[one.name] for one in seen}
    for name, floor in (floors or {}).items():
        least[name] = min(1.0, max(least.get(name, 0.0), floor))

    def at(multiplier: float) -> dict[str, float]:
        return {one.name: min(1.0, max(least[one.name], multiplier * sqrt(one.variance / one.cost))) for one in seen}

    return _valued("best", seen, at(_greatest(lambda multiplier: _cost(seen, at(multiplier)) <= budget, seen)))


def uniform(seen: Sequence[StratumSeen], budget: float) -> Plan:
    """The same rate everywhere."""
    whole = sum(one.answers * one.cost for one in seen)
    rate = min(1.0, budget / whole) if whole > 0 else 1.0
    return _valued("uniform", seen, {one.name: rate for one in seen})


def always(seen: Sequence[StratumSeen], budget: float, *, name: str = "flagged") -> Plan | None:
    """One stratum always and the same rate for the rest; None where the stratum alone takes the budget.

    It is for finding failures: at 5 % flagged (pass .4 against .9) its variance is 1.7 times that of `uniform`.
    """
    rest = [one for one in seen if one.name != name]
    left = budget - sum(one.answers * one.cost for one in seen if one.name == name)
    if left <= 0 or not rest:
        return None
    return _valued(f"{name} always", seen, dict(uniform(rest, left).rates) | {name: 1.0})


def valued(seen: Sequence[StratumSeen], rates: Mapping[str, float], *, name: str = "now") -> Plan:
    """What the given rates cost and give."""
    return _valued(name, seen, rates)


def _valued(name: str, seen: Sequence[StratumSeen], rates: Mapping[str, float]) -> Plan:
    total = sum(one.answers for one in seen)
    shares = {one.name: one.answers / total if total else 0.0 for one in seen}
    mean = sum(shares[one.name] * one.mean for one in seen)
    within = sum(
        shares[one.name] ** 2 * one.variance / (rates[one.name] * one.answers) for one in seen if one.answers > 0
    )
    between = sum(shares[one.name] * (one.mean - mean) ** 2 for one in seen) / total if total else 0.0
    return Plan(
        name=name,
        rates=dict(rates),
        calls=sum(one.answers * rates[one.name] for one in seen),
        cost=_cost(seen, rates),
        variance=within + between,
    )


def _cost(seen: Sequence[StratumSeen], rates: Mapping[str, float]) -> float:
    return sum(one.answers * rates[one.name] * one.cost for one in seen)


def _greatest(fits: Callable[[float], bool], seen: Sequence[StratumSeen]) -> float:
    """The greatest multiplier of the rates that fits, by bisection; every rate is 1 at the upper end."""
    low, high = 0.0, max((sqrt(one.cost / one.variance) for one in seen), default=1.0)
    if fits(high):
        return high
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low
