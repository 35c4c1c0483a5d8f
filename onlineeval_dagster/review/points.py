"""From two windows, the one that is estimated and the one whose labels it takes, to the numbers of its groups."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.metrics.intervals import normal_quantile, t_quantile
from onlineeval_dagster.review.cells import change_of_rates, corrected_rates
from onlineeval_dagster.review.label_moments import Floats, Whole
from onlineeval_dagster.review.prediction_powered import (
    NEEDED_LABELS,
    Corrected,
    change_of_means,
    corrected_means,
    slope_of_labels,
)
from onlineeval_dagster.review.simple_rates import change_of_simple_rates, rogan_gladen_rates
from onlineeval_dagster.review.windows import Group, Window

OWN_LABELS = 50
"""Labels from which a slice is corrected by its own; below it borrows those of all answers."""

_NUMBERS = {"value": "value", "low": "low", "high": "high", "error": "error", "own": "own_error", "power": "power"}
_EVERYTHING = 0  # the place of ALL


def corrected_groups(
    metric: Metric, of: Window, lent: Window, *, before: Window | None = None
) -> Iterator[tuple[Group, dict[str, Any]]]:
    """Each group of window `of`, corrected by its own labels in `lent` where there are 50, else by those of all.

    Columns of a CorrectedPoint by name. before: an earlier window, to say what has changed since.
    """
    here = of.present
    own = (lent.moments.labels[here] >= OWN_LABELS) | (here == _EVERYTHING)
    lenders = np.where(own, here, _EVERYTHING)
    is_nested = of is lent
    found = _corrected(metric, of, lent, here, lenders)
    if is_nested and metric.kind == "mean":
        # Labels of the window itself are nested in its verdicts, which narrows the interval of a mean.
        found = _chosen(own, corrected_means(of.moments.take(here)), found)
    changes = None if before is None else _changes(metric, of, before, lent, here, lenders)
    way = "ppi" if metric.kind == "mean" else "rogan-gladen" if metric.correction == "rogan-gladen" else "beta-cells"
    kind = way + ("" if is_nested else "-borrowed")
    for place, group in enumerate(here):
        told: dict[str, Any] = {"method": kind if own[place] else f"{kind}-pooled"} | _told(found, place)
        if changes is not None and np.isfinite(changes[1][place]) and found.answered[place]:
            change, half = changes[0][place], changes[1][place]
            told |= {"change": float(change), "change_low": float(change - half), "change_high": float(change + half)}
        yield of.groups[group], told


def _corrected(metric: Metric, of: Window, lent: Window, here: Whole, lenders: Whole) -> Corrected:
    if metric.correction == "rogan-gladen":
        return rogan_gladen_rates(of.judged.take(here), lent.labelled, lent.passing, at=lenders)
    if metric.kind == "rate":
        return corrected_rates(of.judged.take(here), lent.labelled, at=lenders)
    return corrected_means(of.moments.take(here), borrowed=lent.moments.take(lenders))


def _chosen(first_where: np.ndarray, first: Corrected, second: Corrected) -> Corrected:
    names = Corrected.__dataclass_fields__
    return Corrected(**{name: np.where(first_where, getattr(first, name), getattr(second, name)) for name in names})


def _changes(
    metric: Metric, of: Window, before: Window, lent: Window, here: Whole, lenders: Whole
) -> tuple[Floats, Floats]:
    """What changed and half the width of its interval; NaN where the score tells nothing, or nothing was there before.

    A judge of whom the labels do not show that he sees anything would say "no change" of everything, with certainty.
    """
    labelled = lent.moments.take(lenders)
    slope, slope_error = slope_of_labels(labelled)
    with np.errstate(invalid="ignore"):
        tells = slope > t_quantile(0.95, np.asarray(labelled.users, dtype=np.float64) - 2) * slope_error
    tells &= (before.moments.judged_users[here] > 1) & (labelled.users >= NEEDED_LABELS)
    cells = of.judged.take(here), before.judged.take(here)
    if metric.correction == "rogan-gladen":
        change, error = change_of_simple_rates(*cells, lent.labelled, lent.passing, at=lenders)
    elif metric.kind == "rate":
        change, error = change_of_rates(*cells, lent.labelled, at=lenders)
    else:
        change, error = change_of_means(of.moments.take(here), before.moments.take(here), labelled)
    return change, np.where(tells, normal_quantile(0.95) * error, np.nan)


def _told(found: Corrected, at: int) -> dict[str, Any]:
    told: dict[str, Any] = {"labels": int(found.labels[at]), "reason": found.reason[at]}
    told |= {name: _known(getattr(found, name)[at]) for name in ("raw", "raw_low", "raw_high")}
    if not found.answered[at]:
        return told | {"method": "uncorrected"}
    return told | {column: float(getattr(found, name)[at]) for name, column in _NUMBERS.items()}


def _known(number: float) -> float | None:
    return float(number) if np.isfinite(number) else None
