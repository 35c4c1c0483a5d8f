"""The same comparisons by gbstats, in an environment of its own: `python gbstats_peer.py moments.npy`; prints seconds.

It needs numpy 1 and pandas 1, so it stands in no environment of ours. It is given the sums and squares ready made, and
compares the mean of units, as it has no covariates for ratios: less work than ours.
"""

import sys
import time

import numpy as np


def compared(products: np.ndarray) -> float:
    """Seconds of sequential test and posterior, with a covariate, of each arm against the first at every look."""
    from gbstats.bayesian.tests import EffectBayesianABTest, EffectBayesianConfig, GaussianPrior
    from gbstats.frequentist.tests import SequentialConfig, SequentialTwoSidedTTest
    from gbstats.models.statistics import RegressionAdjustedStatistic, SampleMeanStatistic, compute_theta

    def arm(of: np.ndarray) -> "RegressionAdjustedStatistic":
        units = int(of[0, 0])
        post = SampleMeanStatistic(n=units, sum=of[0, 1], sum_squares=of[1, 1])
        pre = SampleMeanStatistic(n=units, sum=of[0, 3], sum_squares=of[3, 3])
        return RegressionAdjustedStatistic(
            n=units, post_statistic=post, pre_statistic=pre, post_pre_sum_of_products=of[1, 3], theta=0
        )

    prior = EffectBayesianConfig(prior_effect=GaussianPrior(variance=0.05**2, proper=True))
    began = time.perf_counter()
    for look, metric, segment in np.ndindex(*products.shape[:3]):
        arms = products[look, metric, segment]
        for treatment in range(1, len(arms)):
            a, b = arm(arms[0]), arm(arms[treatment])
            a.theta = b.theta = compute_theta(a, b)
            SequentialTwoSidedTTest(a, b, SequentialConfig()).compute_result()
            EffectBayesianABTest(a, b, prior).compute_result()
    return time.perf_counter() - began


if __name__ == "__main__":
    print(compared(np.load(sys.argv[1])))
