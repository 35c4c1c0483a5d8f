"""Group-sequential boundaries: several planned looks that together err as often as one.

The density of the score at each look, among paths that have not crossed, is that of the look before convolved with a
normal (Armitage, McPherson, Rowe 1969, JRSS A 132:235-244), here on a grid of Gauss-Legendre nodes. Alpha is spent as
the information grows (Lan, DeMets 1983, Biometrika 70:659-663), so that looks may be moved; looks added without a
plan are none of these.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from onlineeval_dagster.experiments.moments import Floats

Spending = Literal["obrien_fleming", "pocock"]
_NODES = 160
_REACH = 8.0  # standard deviations: beyond it lies nothing


def spent(fraction: Floats, alpha: float, kind: Spending) -> Floats:
    """Alpha of both sides together that may be used up when `fraction` of the information is in."""
    share = np.clip(fraction, 0, 1)
    if kind == "pocock":
        return alpha * np.log(1 + (np.e - 1) * share)
    with np.errstate(divide="ignore"):
        return np.where(share > 0, 4 * ndtr(ndtri(alpha / 4) / np.sqrt(np.maximum(share, 1e-300))), 0.0)


def spending_bounds(fractions: Sequence[float], *, alpha: float = 0.05, kind: Spending = "obrien_fleming") -> Floats:
    """|z| that each look must reach. `fractions` of the planned information, rising; the last one may fall short of 1.

    >>> spending_bounds([0.2, 0.4, 0.6, 0.8, 1.0]).round(3).tolist()
    [4.877, 3.357, 2.68, 2.29, 2.031]
    """
    times = _checked(fractions)
    use = np.diff(np.concatenate([[0.0], spent(times, alpha, kind)]))
    paths, bounds = _Paths(), []
    for time, share in zip(times, use, strict=True):
        start = paths.advanced(time)
        bound: Any = _REACH
        if share > 1e-14:
            bound = brentq(lambda b, start=start, share=share: start.crossing(b) - share, 0, _REACH)
        bounds.append(float(bound))
        paths = start.survived(bounds[-1])
    return np.asarray(bounds)


def constant_bounds(looks: int, *, alpha: float = 0.05, shape: Spending = "pocock") -> Floats:
    """Boundaries of equally spaced looks with one constant: Pocock's c, or O'Brien and Fleming's c sqrt(K / k)."""
    times = np.arange(1, looks + 1) / looks
    form = np.ones(looks) if shape == "pocock" else 1 / np.sqrt(times)
    root: Any = brentq(lambda c: crossing_chance(times, c * form) - alpha, 1, 6)
    return float(root) * form


def crossing_chance(
    fractions: Floats | Sequence[float], bounds: Floats | Sequence[float], *, drift: float = 0.0
) -> float:
    """The chance that |z| reaches its bound at one of the looks; z has mean drift * sqrt(fraction).

    With drift 0 the type-I error, else the power at an effect worth `drift` standard errors when all is in.
    """
    return float(sum(crossing_chances(fractions, bounds, drift=drift)))


def crossing_chances(
    fractions: Floats | Sequence[float], bounds: Floats | Sequence[float], *, drift: float = 0.0
) -> list[float]:
    """The same by look: the chance that this one is the first to cross."""
    paths, found = _Paths(drift=drift), []
    for time, bound in zip(_checked(fractions), bounds, strict=True):
        paths = paths.advanced(float(time))
        found.append(paths.crossing(float(bound)))
        paths = paths.survived(float(bound))
    return found


def _checked(fractions: Floats | Sequence[float]) -> Floats:
    times = np.asarray(fractions, dtype=np.float64)
    if len(times) == 0 or times[0] <= 0 or (np.diff(times) <= 0).any() or times[-1] > 1 + 1e-9:
        raise ValueError(f"looks are fractions in (0, 1], rising, got {times.tolist()}; divide by the planned end")
    return times


@cache
def _grid() -> tuple[Floats, Floats]:
    return np.polynomial.legendre.leggauss(_NODES)


class _Paths:
    """Scores (Brownian motion with drift at `time`) that have not crossed: nodes with the mass at each."""

    def __init__(self, *, drift: float = 0.0) -> None:
        self.drift, self.time, self._next = drift, 0.0, 0.0
        self._at, self._mass = np.zeros(1), np.ones(1)

    def advanced(self, time: float) -> "_Paths":
        """Where they will be at `time`; the density is held as a function until a bound is known."""
        other = _Paths(drift=self.drift)
        other._at, other._mass, other.time, other._next = self._at, self._mass, self.time, time
        return other

    def crossing(self, bound: float) -> float:
        step, move = self._step()
        edge = bound * np.sqrt(self._next)
        above = ndtr((self._at + move - edge) / step)
        below = ndtr((-edge - self._at - move) / step)
        return float((self._mass * (above + below)).sum())

    def survived(self, bound: float) -> "_Paths":
        step, move = self._step()
        edge = bound * np.sqrt(self._next)
        nodes, weights = _grid()
        at = edge * nodes
        away = (at[:, None] - self._at[None, :] - move) / step
        reached = np.exp(-0.5 * away**2) / (np.sqrt(2 * np.pi) * step)
        other = _Paths(drift=self.drift)
        other._at, other._mass, other.time = at, edge * weights * (reached @ self._mass), self._next
        return other

    def _step(self) -> tuple[float, float]:
        grown = self._next - self.time
        return float(np.sqrt(grown)), self.drift * grown
