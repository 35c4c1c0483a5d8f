"""Histograms and users of a quantile from single values: the reference for what SQL counts."""

import numpy as np

from onlineeval_dagster.metrics.quantiles import Histograms, Users


def of_values(bucket: np.ndarray, user: np.ndarray, group: np.ndarray, p: float) -> tuple[Histograms, Users]:
    """`bucket`, `user` and `group` of each value; every group from 0 has one."""
    histograms = Histograms.of(group, bucket, np.ones(len(bucket), dtype=np.int64))
    at = histograms.row_of(np.ceil(p * histograms.n - 1e-9).astype(np.int64))
    share = histograms.share_up_to(at)
    _, first, member = np.unique(np.stack([group, user]), axis=1, return_index=True, return_inverse=True)
    of = group[first]
    size = np.bincount(member)
    below = np.bincount(member, weights=bucket <= histograms.bucket[at][group])
    return histograms, Users(
        users=np.bincount(of).astype(float),
        size_squares=np.bincount(of, weights=size**2).astype(float),
        residual_squares=np.bincount(of, weights=(below - share[of] * size) ** 2).astype(float),
    )
