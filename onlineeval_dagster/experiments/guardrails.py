"""Guardrails: is a metric not worse by more than its margin? Five answers, and none of them is "no effect".

    improved             all of the interval is better than the control
    pass                 the interval reaches both sides of nothing, and not the margin
    harm_within_margin   worse for sure, and by less than the margin for sure
    at_risk              the interval reaches the margin: not shown to be safe, not shown to be harmful
    breach               all of the interval is beyond the margin

Margins are shares of the control's value. The interval is Fieller's, so that a pass at the two-sided 95 % interval is
the one-sided test of T - (1 - margin) C at .025. Alpha is not split over guardrails, as each
can only forbid; power is shared.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onlineeval_dagster.experiments.moments import Floats

STATES = ("improved", "pass", "harm_within_margin", "at_risk", "breach")


def guardrail_states(low: ArrayLike, high: ArrayLike, *, better: ArrayLike, margin: ArrayLike) -> NDArray[np.object_]:
    """One of STATES for each interval of a relative lift; None where there is no interval.

    better  1 where more is better, -1 where less is

    >>> guardrail_states([0.01, -0.01, -0.015, -0.03, -0.05], [0.03, 0.01, -0.001, 0.01, -0.021], better=1, margin=0.02)
    array(['improved', 'pass', 'harm_within_margin', 'at_risk', 'breach'],
          dtype=object)
    """
    worst, best = good_side(low, high, better)
    edge = -np.asarray(margin, dtype=np.float64)
    found = np.full(np.broadcast_shapes(worst.shape, edge.shape), "at_risk", dtype=object)
    found[best <= edge] = "breach"
    safe = worst > edge
    found[safe] = "pass"
    found[safe & (best < 0)] = "harm_within_margin"
    found[worst > 0] = "improved"
    found[np.broadcast_to(np.isnan(worst) | np.isnan(best), found.shape)] = None
    return found


def good_side(low: ArrayLike, high: ArrayLike, better: ArrayLike) -> tuple[Floats, Floats]:
    """An interval turned so that more is better: (worst, best)."""
    first, second = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    is_up = np.asarray(better) > 0
    return np.where(is_up, first, -second), np.where(is_up, second, -first)
