"""Post-stratification: the difference within strata of what units brought along, weighted by the strata's shares.

It takes out what covariates cannot: new users have no past, yet a language and a device. Strata rest on facts known
before the exposure, or they are no strata.
"""

import numpy as np

from onlineeval_dagster.experiments.moments import Arms, Floats, UnitMoments

NEEDED_IN_A_CELL = 10
"""Units of each arm in a stratum; a smaller one is merged with the next."""


def post_stratified(moments: UnitMoments) -> Arms:
    """Arms of moments (…, strata, arms, K, K), each stratum weighted by its share nu of all units.

    Numerators and denominators are weighted, and a ratio formed of these. Of the means of arms a and b the covariance
    is sum_k nu_k^2 S_ka / n_ka within an arm, and sum_k nu_k (m_ka - m_a)(m_kb - m_b)' / n over both, as the shares
    are a draw too (Miratrix, Sekhon, Yu 2013, JRSS B 75; with one answer a unit GrowthBook computes the same).
    """
    strata = _merged(moments)
    units, means, spread = strata.units, strata.means, strata.covariances
    of_stratum = units.sum(axis=-1, keepdims=True)
    total = of_stratum.sum(axis=-2)
    share = of_stratum / total[..., None, :]
    middle = (share[..., None] * means).sum(axis=-3)
    gap = np.nan_to_num(means - middle[..., None, :, :])
    whole = UnitMoments(products=moments.products.sum(axis=-4))
    # A stratum without units in an arm has no mean there: NaN, and no number.
    within = (
        np.divide(share**2, units, out=np.full_like(units, np.nan), where=units > 0)[..., None, None] * spread
    ).sum(axis=-4)
    shared = np.einsum("...k,...kai,...kbj->...abij", share[..., 0], gap, gap) / total[..., None, None, None]
    return Arms(
        units=whole.units,
        means=middle,
        covariances=within * whole.units[..., None, None],
        whole=whole.covariances,
        shared=shared,
    )


def _merged(moments: UnitMoments) -> UnitMoments:
    """Strata in their order, each too small one added to the next, the last ones to the last that was large enough."""
    products = np.moveaxis(moments.products, -4, 0)
    kept: list[Floats] = []
    waiting = np.zeros_like(products[0])
    for stratum in products:
        waiting = waiting + stratum
        if (waiting[..., 0, 0] >= NEEDED_IN_A_CELL).all():
            kept.append(waiting)
            waiting = np.zeros_like(waiting)
    if kept:
        kept[-1] = kept[-1] + waiting
    else:
        kept = [waiting]
    return UnitMoments(products=np.moveaxis(np.stack(kept), 0, -4))
