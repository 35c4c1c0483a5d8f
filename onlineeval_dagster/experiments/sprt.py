"""Wald's sequential probability ratio test of a rate, with its operating characteristics computed, not approximated.

Two simple hypotheses, p0 and p1 > p0, one answer at a time: after n answers with x successes accept p0 at or below
-h0 + s n, accept p1 at or above h1 + s n (Wald 1947, Sequential Analysis, chapter 5). Overshoot makes Wald's thresholds
err less often, and take longer, than asked for; `exact` says by how much.
"""

from dataclasses import dataclass

import numpy as np

from onlineeval_dagster.experiments.moments import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Lines: accept the lower rate at or below slope * n - lower, the higher one at or above slope * n + upper."""

    slope: float
    lower: float
    upper: float

    def verdict(self, successes: int, answers: int) -> str:
        """`higher`, `lower`, or `open`."""
        if successes >= self.upper + self.slope * answers:
            return "higher"
        return "lower" if successes <= self.slope * answers - self.lower else "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Characteristics:
    """At one true rate: chance to accept the higher rate, answers needed on average, chance to be open at the limit."""

    accepts_higher: float
    mean_answers: float
    open: float


def plan(p0: float, p1: float, *, alpha: float, beta: float) -> Plan:
    """Wald's lines.

    >>> lines = plan(0.01, 0.10, alpha=0.05, beta=0.10)      # NIST/SEMATECH e-Handbook, 6.2.6
    >>> [round(value, 3) for value in (lines.lower, lines.upper)], round(lines.slope, 4)
    ([0.939, 1.205], 0.0397)
    """
    if not 0 < p0 < p1 < 1:
        raise ValueError(f"0 < p0 < p1 < 1 must hold, got {p0} and {p1}; the second is the higher rate")
    odds = np.log(p1 * (1 - p0) / (p0 * (1 - p1)))
    return Plan(
        slope=float(np.log((1 - p0) / (1 - p1)) / odds),
        lower=float(np.log((1 - alpha) / beta) / odds),
        upper=float(np.log((1 - beta) / alpha) / odds),
    )


def exact(lines: Plan, rate: float, *, most: int = 100_000) -> Characteristics:
    """By recursion over the successes that leave the test open; until less than 1e-10 is, or `most` answers are in."""
    mass: Floats = np.ones(1)  # of successes `first`, `first` + 1, …
    first, higher, answers, n = 0, 0.0, 0.0, 0
    while n < most and mass.sum() > 1e-10:
        answers += float(mass.sum())
        n += 1
        mass = np.convolve(mass, [1 - rate, rate])
        successes = first + np.arange(len(mass))
        is_higher = successes >= lines.upper + lines.slope * n
        is_open = ~is_higher & (successes > lines.slope * n - lines.lower)
        higher += float(mass[is_higher].sum())
        places = np.flatnonzero(is_open)
        if not len(places):
            return Characteristics(accepts_higher=higher, mean_answers=answers, open=0.0)
        first, mass = int(successes[places[0]]), mass[places[0] : places[-1] + 1]
    return Characteristics(accepts_higher=higher, mean_answers=answers, open=float(mass.sum()))
