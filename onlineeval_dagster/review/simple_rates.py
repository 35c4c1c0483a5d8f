"""Pass rates by Rogan and Gladen's correction, group by group: `correction = "rogan-gladen"` of a metric.

    value = (share that the judge passes + specificity - 1) / (sensitivity + specificity - 1)

It knows of a judge's score only whether it passes, so it is wider than the posterior per score (review/cells.py) and
has no number where the judge passes bad answers as often as good ones. It is what people know and can do by hand.
"""

import numpy as np
from numpy.typing import NDArray

from onlineeval_dagster.contracts.estimates import NotEnough
from onlineeval_dagster.metrics.intervals import normal_quantile, wilson
from onlineeval_dagster.review.calibration import rogan_gladen
from onlineeval_dagster.review.cells import JudgedCells, LabelledCells
from onlineeval_dagster.review.label_moments import Floats, Whole
from onlineeval_dagster.review.prediction_powered import Corrected, without_shape

Passing = NDArray[np.bool_]
"""(C,): the judge's scores at which an answer passes by its word."""


def rogan_gladen_rates(
    judged: JudgedCells, labelled: LabelledCells, passing: Passing, *, at: Whole, level: float = 0.95
) -> Corrected:
    """The pass rate of each group with its interval (Lang and Reiczigel 2014), at the labels' effective number.

    at  which labelled group each judged one borrows from
    """
    both, good, neither, bad = _counts(labelled, passing)
    seen = judged.share[:, passing].sum(axis=1)
    value, low, high = (np.full(len(at), np.nan) for _ in range(3))
    reason = np.full(len(at), None, dtype=object)
    for group, lender in enumerate(at):
        found = rogan_gladen(
            float(seen[group] * judged.size[group]),
            float(judged.size[group]),
            both=float(both[lender]),
            good=float(good[lender]),
            neither=float(neither[lender]),
            bad=float(bad[lender]),
            level=level,
        )
        if isinstance(found, NotEnough):
            reason[group] = found.reason
        else:
            value[group], low[group], high[group] = found.value, found.low, found.high
    answered = np.array([why is None for why in reason], dtype=np.bool_)
    raw_low, raw_high = wilson(judged.raw, judged.size, level)
    own = np.sqrt(seen * (1 - seen) / judged.size) / _worth(both, good, neither, bad)[at]
    return Corrected(
        value=value,
        low=low,
        high=high,
        error=(high - low) / 2 / normal_quantile(level),
        own=np.where(answered, own, np.nan),
        **without_shape(len(at)),
        power=np.where(answered, 1.0, np.nan),
        raw=judged.raw,
        raw_low=raw_low,
        raw_high=raw_high,
        answered=answered,
        reason=reason,
        labels=labelled.labels[at],
    )


def change_of_simple_rates(
    judged: JudgedCells, before: JudgedCells, labelled: LabelledCells, passing: Passing, *, at: Whole
) -> tuple[Floats, Floats]:
    """What the rates gained on those of an earlier window, and its standard error, with one correction for both.

    The gain is that of the judge's own share over sensitivity + specificity - 1; what these are wrong by counts only as
    far as the share has moved.
    """
    both, good, neither, bad = _counts(labelled, passing)
    with np.errstate(divide="ignore", invalid="ignore"):
        worth = _worth(both, good, neither, bad)
        hit, left = both / good, neither / bad
        of_worth = hit * (1 - hit) / good + left * (1 - left) / bad
        shares = [cells.share[:, passing].sum(axis=1) for cells in (judged, before)]
        of_shares = sum(share * (1 - share) / cells.size for share, cells in zip(shares, (judged, before), strict=True))
        gained = (shares[0] - shares[1]) / worth[at]
        return gained, np.sqrt((of_shares + gained**2 * of_worth[at]) / worth[at] ** 2)


def _counts(labelled: LabelledCells, passing: Passing) -> tuple[Floats, Floats, Floats, Floats]:
    """Effective labels, (L,) each: people and judge pass, people pass, neither passes, people do not pass."""
    good, size = labelled.rate * labelled.size, labelled.size
    both, neither = good[:, passing].sum(axis=1), (size - good)[:, ~passing].sum(axis=1)
    return both, good.sum(axis=1), neither, (size - good).sum(axis=1)


def _worth(both: Floats, good: Floats, neither: Floats, bad: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return both / good + neither / bad - 1
