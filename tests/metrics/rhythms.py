"""Series whose rhythm is known: time of day, day of week, trend, noise."""

import numpy as np


def weekdays(days: int) -> np.ndarray:
    return np.arange(days) % 7


def series(rng, *, count=40, days=42, slots=24, noise=0.03, growth=0.0005, weekend=0.02, swing=0.05) -> np.ndarray:
    """(series, days, slots) around 0.8."""
    hours = np.sin(np.arange(slots) / slots * 2 * np.pi)
    ends = (weekdays(days) > 4)[:, None]
    shape = 0.8 + swing * hours[None] + weekend * ends + growth * np.arange(days)[:, None]
    return shape[None] + rng.normal(0, noise, (count, days, slots))
