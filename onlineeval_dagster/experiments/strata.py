"""Post-stratification: the difference within strata of what units brought along, weighted by the strata's shares.

It takes out what covariates cannot: new users have no past, yet a language and a device. Strata rest on facts known
before the exposure, or they are no strata.
"""

import numpy as np

from onlineeval_dagster.experiments.compare import compare
from onlineeval_dagster.experiments.moments import Floats, UnitMoments

NEEDED_IN_A_CELL = 10
"""Units of each arm in a stratum; a smaller one is merged with the next."""


def post_stratified(moments: UnitMoments, *, control: int = 0) -> tuple[Floats, Floats]:
    """Difference and standard error, (…, treatments), of moments (…, strata, arms, K, K).

    SE^2 = sum_k nu_k^2 (v_tk + v_ck) + d' (diag(nu) - nu nu') d / n, the second term because the shares nu are a draw
    too (Miratrix, Sekhon, Yu 2013, JRSS B 75; GrowthBook computes the same).
    """
    found = compare(_merged(moments), control=control)
    units = _merged(moments).units.sum(axis=-1)
    total = units.sum(axis=-1, keepdims=True)
    share = (units / total)[..., None]
    gap = np.where(share > 0, found.difference, 0.0)
    value = (share * gap).sum(axis=-2)
    within = (share**2 * np.where(share > 0, found.error**2, 0.0)).sum(axis=-2)
    between = ((share * gap**2).sum(axis=-2) - value**2) / total
    return value, np.sqrt(within + between)


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
