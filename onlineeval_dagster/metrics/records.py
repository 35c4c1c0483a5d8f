"""Surprises of a series without a known rhythm: how far it leaves the range of its own recent history.

Distribution-free: of exchangeable values the next one leaves the range of the last n with chance 2 / (n + 1), whatever
their law. How far it does so, in widths of that range, orders the surprises. The value itself sees spikes, its moving
median sees what lasts. A surprise that goes on is told once: each is measured against the memory of the last one.
"""

import numpy as np
import pandas as pd

Floats = np.ndarray

NEEDED = 20
"""Points of history before anything is a surprise."""
FLOOR = 0.001
"""Of a value's own size: what a flat line may wobble."""


def surprises(values: Floats, *, recent: int, lasting: int, half_life: float) -> Floats:
    """Surprise of each point of `values` (series, points), 0 where it is none; it looks at earlier points only.

    recent     points of history whose range counts
    lasting    points of the moving median
    half_life  points after which the memory of a surprise has halved
    """
    spikes = _beyond(values, recent)
    medians = pd.DataFrame(values.T).rolling(lasting, min_periods=1).median().to_numpy().T
    return _told_once(spikes + _beyond(medians, recent), half_life)


def false_alarm(recent: int) -> float:
    """Largest chance that one look at exchangeable values is any surprise at all, by value or by median.

    >>> round(false_alarm(999), 4)
    0.004
    """
    return min(4 / (recent + 1), 1.0)


def _beyond(values: Floats, recent: int) -> Floats:
    """How far each value lies outside the range of those before it, in widths of that range."""
    before = pd.DataFrame(values.T).shift(1).rolling(recent, min_periods=NEEDED)
    high, low = before.max().to_numpy().T, before.min().to_numpy().T
    width = high - low + FLOOR * np.abs(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        outside = np.maximum(values - high, low - values) / np.where(width > 0, width, np.nan)
    return np.where(outside > 0, outside, 0.0)


def _told_once(raw: Floats, half_life: float) -> Floats:
    """A surprise counts where it is larger than what is left of the last one."""
    told, memory = np.zeros_like(raw), np.zeros(len(raw))
    fades = 0.5 ** (1 / half_life)
    for point in range(raw.shape[1]):
        larger = raw[:, point] > memory
        told[:, point] = np.where(larger, raw[:, point], 0.0)
        memory = np.where(larger, raw[:, point], memory) * fades
    return told
