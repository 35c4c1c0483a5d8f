"""The human-corrected lift: each arm's value as people would give it, by a rectifier of its own.

The judge's lift takes for granted that the judge errs alike in both arms. A variant may please a judge and not people
(longer answers do), so that here each arm's judged mean is corrected by that arm's labels (PPI++, review/
prediction_powered), which costs width: labels are few. Both are shown; the plan names the one that decides. Between
them stands by how much the judge may favour the treatment: biases outside that interval are ruled out by the labels.
"""

import numpy as np
from scipy.special import stdtrit

from onlineeval_dagster.experiments.compare import Comparison
from onlineeval_dagster.experiments.moments import Floats
from onlineeval_dagster.review.label_moments import LABEL, LABELLED, LABELLED_SCORE, LabelMoments
from onlineeval_dagster.review.prediction_powered import corrected_means


def compare_corrected(moments: LabelMoments, shape: tuple[int, int, int], *, control: int = 0) -> Comparison:
    """Each other arm against `control`. shape: (metrics, segments, arms) of the groups, arms with a unit apart.

    Columns are (metrics, segments, treatments); units are those with a label; `removed` is what the judge's scores took
    out of the variance of labels alone. Not adjusted by covariates. Each arm needs five labels of the rarer kind.
    """
    each = corrected_means(moments)
    reason = each.reason.reshape(shape)
    others = [arm for arm in range(shape[2]) if arm != control]
    whys = np.where(reason[..., others].astype(np.bool_), reason[..., others], reason[..., [control]])
    answered = ~whys.astype(np.bool_)

    def known(column: Floats) -> Floats:
        return np.where(answered, np.broadcast_to(column, answered.shape), np.nan)

    value, users = each.value.reshape(shape), moments.users.astype(np.float64).reshape(shape)
    variance = np.square(each.error, dtype=np.float64).reshape(shape)
    alone = label_variance(moments).reshape(shape) * users / np.maximum(users - 2, 1)
    part, base = variance[..., others], variance[..., [control]]
    with np.errstate(divide="ignore", invalid="ignore"):
        degrees = (part + base) ** 2 / (part**2 / (users[..., others] - 2) + base**2 / (users[..., [control]] - 2))
    return Comparison(
        value=known(value[..., others]),
        control=known(value[..., [control]]),
        difference=known(value[..., others] - value[..., [control]]),
        of_treatment=known(part),
        own=known(base),
        mixed=known(base),
        plain=known(base),
        degrees=known(degrees),
        units=users[..., others],
        control_units=np.broadcast_to(users[..., [control]], answered.shape),
        removed=known(1 - (part + base) / (alone[..., others] + alone[..., [control]])),
        reason=whys,
    )


def arm_bias(
    moments: LabelMoments, shape: tuple[int, int, int], *, control: int = 0, level: float = 0.95
) -> tuple[Floats, Floats]:
    """By how much the judge may favour each treatment over the control, in the metric's unit: (low, high).

    Of labelled answers, what the judge said minus what people said, in the treatment minus in the control; clustered by
    unit. What lies outside is ruled out at `level`. NaN with fewer than three labelled units in an arm.
    """
    c, d, g = (moments.sums[:, place] for place in (LABELLED, LABEL, LABELLED_SCORE))
    influence = np.zeros((len(c), 5))
    with np.errstate(divide="ignore", invalid="ignore"):
        influence[:, LABELLED], influence[:, LABEL], influence[:, LABELLED_SCORE] = (d - g) / c**2, -1 / c, 1 / c
        bias = ((g - d) / c).reshape(shape)
        few = moments.users / np.maximum(moments.users - 1, 1)
        variance = (np.einsum("gi,gij,gj->g", influence, moments.products, influence) * few).reshape(shape)
        users = moments.users.reshape(shape)
        others = [arm for arm in range(shape[2]) if arm != control]
        part, base = variance[..., others], variance[..., [control]]
        degrees = (part + base) ** 2 / (part**2 / (users[..., others] - 1) + base**2 / (users[..., [control]] - 1))
        enough = (users[..., others] > 2) & (users[..., [control]] > 2) & (part + base > 0)
        half = stdtrit(np.where(enough, degrees, 1.0), 0.5 + level / 2) * np.sqrt(part + base)
        middle = bias[..., others] - bias[..., [control]]
    return np.where(enough, middle - half, np.nan), np.where(enough, middle + half, np.nan)


def label_variance(moments: LabelMoments) -> Floats:
    """Of the labels' own mean, without the judge."""
    c, d = moments.sums[:, LABELLED], moments.sums[:, LABEL]
    products = moments.products
    with np.errstate(divide="ignore", invalid="ignore"):
        square = products[:, LABEL, LABEL] - 2 * d / c * products[:, LABELLED, LABEL]
        return (square + (d / c) ** 2 * products[:, LABELLED, LABELLED]) / c**2
