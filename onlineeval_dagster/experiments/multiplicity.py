"""Many comparisons at once: adjusted p-values over a named family, the last axis, all families in one pass.

Checked against statsmodels' `multipletests`, which does one family at a time and takes seconds to import. A NaN is no
hypothesis: it stays NaN and counts for nothing.
"""

import numpy as np
from numpy.typing import ArrayLike

from onlineeval_dagster.catalog.experiment_file import Family
from onlineeval_dagster.experiments.moments import Bools, Floats, Whole


def adjusted(p_values: ArrayLike, method: Family) -> Floats:
    """Adjusted p-values: what is at or below alpha is found at that level, family-wise or of false discoveries.

    bh  Benjamini and Hochberg 1995: independent or positively dependent tests, as metrics of one experiment are
    by  Benjamini and Yekutieli 2001: any dependence, at the price of a factor sum(1 / i)
    """
    p = np.asarray(p_values, dtype=np.float64)
    count = np.sum(~np.isnan(p), axis=-1, keepdims=True)
    if method == "bonferroni":
        return np.minimum(p * count, 1)
    order = np.argsort(p, axis=-1)  # NaN last
    rising = np.take_along_axis(p, order, axis=-1)
    rank = np.arange(1, p.shape[-1] + 1)
    if method == "holm":
        found = np.maximum.accumulate(np.where(np.isnan(rising), -np.inf, rising * (count - rank + 1)), axis=-1)
    else:
        factor = _harmonic(count) if method == "by" else 1.0
        scaled = np.where(np.isnan(rising), np.inf, rising * count / rank * factor)
        found = np.flip(np.minimum.accumulate(np.flip(scaled, axis=-1), axis=-1), axis=-1)
    found = np.where(np.isnan(rising), np.nan, np.clip(found, 0, 1))
    result = np.empty_like(p)
    np.put_along_axis(result, order, found, axis=-1)
    return result


def _harmonic(count: Whole) -> Floats:
    most = int(count.max(initial=1))
    return np.concatenate([[1.0], np.cumsum(1 / np.arange(1, most + 1))])[count]


def gatekept(primary_won: ArrayLike, adjusted_p: ArrayLike, *, alpha: float) -> Bools:
    """Secondary findings, (…, treatments), that count: none of a treatment unless its primary won first.

    So the primary needs no adjustment for them (serial gatekeeping: Dmitrienko, D'Agostino 2013, Statistics in Medicine
    32). Guardrails stand outside: they can only forbid.
    """
    return np.asarray(primary_won, dtype=np.bool_) & (np.asarray(adjusted_p, dtype=np.float64) <= alpha)
