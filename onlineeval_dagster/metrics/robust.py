"""Medians of many short series at once."""

import numpy as np

Floats = np.ndarray

NORMAL_MAD = 1.4826
"""Standard deviations in a median absolute deviation, for a normal law."""


def median(values: Floats, axis: int) -> Floats:
    """Median without NaN; NaN where there is nothing. np.nanmedian takes six times as long on short axes."""
    ordered = np.sort(values, axis=axis)
    count = np.isfinite(values).sum(axis=axis, keepdims=True)
    low = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=axis)
    high = np.take_along_axis(ordered, np.minimum(count // 2, values.shape[axis] - 1), axis=axis)
    return np.where(count > 0, (low + high) / 2, np.nan).squeeze(axis)
