"""A line of a summary of simulations: what was found, and what it has to be."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What was simulated, the share that was found, and what it has to be."""

    what: str
    found: float
    wanted: str
    low: float
    high: float

    @property
    def holds(self) -> bool:
        return self.low <= self.found <= self.high


def share(what: str, hits: np.ndarray, *, wanted: float, at_most: bool = False) -> Line:
    """A share with three Monte-Carlo errors around what is wanted."""
    slack = 3 * (wanted * (1 - wanted) / hits.size) ** 0.5
    said = f"{'≤ ' if at_most else ''}{100 * wanted:g} %"
    return Line(
        what=what, found=float(hits.mean()), wanted=said, low=0 if at_most else wanted - slack, high=wanted + slack
    )
