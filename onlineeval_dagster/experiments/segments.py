"""Do segments differ? Asked through their differences, never through "significant here and not there".

Only segments named before the start, of facts that units bring along. What a segment shows by itself is mostly chance:
its effect is drawn towards that of all, the more so the less it is known.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincc

from onlineeval_dagster.experiments.moments import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Segments:
    """Over segments on the last axis of what came in.

    pooled, p_value  the effect of all, and Cochran's test that one effect fits all segments; NaN with fewer than two
    spread           standard deviation of true effects between segments (DerSimonian, Laird 1986); 0 is not homogeneity
    shrunk, error    each segment's effect and standard error, drawn towards the pooled one
    """

    pooled: Floats
    p_value: Floats
    spread: Floats
    shrunk: Floats
    error: Floats


def shrunken(effects: ArrayLike, errors: ArrayLike) -> Segments:
    """Random effects over the last axis; a segment without a number (NaN) is left out."""
    y, s = np.asarray(effects, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    known = ~np.isnan(y) & (s > 0)
    y, weight = np.where(known, y, 0.0), np.where(known, 1 / np.where(known, s, 1) ** 2, 0.0)
    count, total = known.sum(axis=-1), weight.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        fixed = (weight * y).sum(axis=-1) / total
        chi = (weight * (y - fixed[..., None]) ** 2).sum(axis=-1)
        scale = total - (weight**2).sum(axis=-1) / total
        variance = np.where(count > 1, np.maximum(0, (chi - (count - 1)) / scale), 0.0)
        p_value = np.where(count > 1, gammaincc((count - 1) / 2, chi / 2), np.nan)
        whole = np.where(known, 1 / (variance[..., None] + np.where(known, s, 1) ** 2), 0.0)
        pooled = (whole * y).sum(axis=-1) / whole.sum(axis=-1)
        keep = variance[..., None] / (variance[..., None] + s**2)
        shrunk = keep * y + (1 - keep) * pooled[..., None]
        # The second part: the pooled effect is itself only estimated.
        error = np.sqrt(keep * s**2 + (1 - keep) ** 2 / whole.sum(axis=-1)[..., None])
    return Segments(
        pooled=pooled,
        p_value=p_value,
        spread=np.sqrt(variance),
        shrunk=np.where(known, shrunk, np.nan),
        error=np.where(known, error, np.nan),
    )
