"""Where a series changed, looking back: PELT (Killick, Fearnhead and Eckley, JASA 2012)."""

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

Floats = np.ndarray
Shape = Literal["level", "trend"]

LEAST_VARIANCE = 0.01
"""Of a segment, as a share of the whole series' variance: a run of equal values is no proof of none at all."""
PENALTY = 4.0
"""log n of these for each parameter of a segment. Two is the BIC; people mark fewer changes (docs/alerts.md)."""


def change_points(
    values: Floats, *, shape: Shape = "level", penalty: float = PENALTY, shortest: int = 5
) -> tuple[int, ...]:
    """Indices (from 0) of the first points of new segments of `values` (points) or (points, dimensions).

    The segments minimise the sum of their costs plus the penalty for each change, exactly. A segment costs minus twice
    its normal log likelihood: a mean and a variance of its own (`level`, for detrended series), or a line and a
    variance (`trend`, for raw ones, where growth is no change). Missing points are left out and counted through.
    Autocorrelated noise makes more changes than there are: give it detrended series.
    """
    table = values[:, None] if values.ndim == 1 else values
    known = np.flatnonzero(np.isfinite(table).all(axis=1))
    if len(known) < 2 * shortest:
        return ()
    cost = _Cost.of(table[known], trend=shape == "trend")
    parameters = table.shape[1] * (3 if shape == "trend" else 2)
    price = penalty * np.log(len(known)) * parameters
    return tuple(int(known[at]) for at in _cheapest(cost, len(known), price, shortest))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cost:
    """Costs of segments [start, end) from running sums: any segment in a handful of operations."""

    values: Floats
    squares: Floats
    times: Floats
    time_squares: Floats
    products: Floats
    trend: bool

    @classmethod
    def of(cls, table: Floats, *, trend: bool) -> Self:
        deviation = table.std(axis=0)
        scaled = (table - table.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
        time = np.linspace(-1.0, 1.0, len(table))[:, None]

        def sums(of: Floats) -> Floats:
            return np.vstack([np.zeros((1, of.shape[1])), of.cumsum(axis=0)])

        return cls(
            values=sums(scaled),
            squares=sums(scaled**2),
            times=sums(time),
            time_squares=sums(time**2),
            products=sums(time * scaled),
            trend=trend,
        )

    def __call__(self, starts: np.ndarray, end: int) -> Floats:
        length = (end - starts)[:, None].astype(np.float64)
        total = self.values[end] - self.values[starts]
        rest = self.squares[end] - self.squares[starts] - total**2 / length
        if self.trend:
            time = self.times[end] - self.times[starts]
            spread = self.time_squares[end] - self.time_squares[starts] - time**2 / length
            shared = self.products[end] - self.products[starts] - time * total / length
            rest = rest - shared**2 / spread
        variance = np.maximum(np.maximum(rest, 0.0) / length, LEAST_VARIANCE)
        return (length * np.log(variance) + np.maximum(rest, 0.0) / variance).sum(axis=1)


def _cheapest(cost: _Cost, n: int, price: float, shortest: int) -> list[int]:
    """Dynamic programming over ends, with the starts that can still win."""
    best, last = np.full(n + 1, np.inf), np.zeros(n + 1, dtype=np.int64)
    best[0] = -price
    starts, leaves = np.array([0]), np.array([n + 1])
    for end in range(shortest, n + 1):
        totals = best[starts] + cost(starts, end)
        at = int(totals.argmin())
        best[end], last[end] = totals[at] + price, starts[at]
        # A start that is worse here by a whole price is worse wherever a segment that begins here can end.
        leaves = np.where(totals > best[end], np.minimum(leaves, end + shortest), leaves)
        starts, leaves = starts[leaves > end + 1], leaves[leaves > end + 1]
        if end + 1 >= 2 * shortest:
            starts, leaves = np.append(starts, end + 1 - shortest), np.append(leaves, n + 1)
    found, end = [], n
    while last[end] > 0:
        end = int(last[end])
        found.append(end)
    return found[::-1]
