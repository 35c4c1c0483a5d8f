"""The trust gate: what speaks against the numbers themselves. Nothing is concluded while any of it holds."""

import numpy as np

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.experiments.health import IMBALANCE_LEVEL, MULTI_ARM_SHARE, SRM_LEVEL, imbalance, ratio_p
from onlineeval_dagster.experiments.totals import Counted


def broken_gates(experiment: Experiment, counted: Counted) -> tuple[str, ...]:
    """What failed, in words; nothing where all is well."""
    shares = list(experiment.variants.values())
    found = [*_ratio(experiment, counted, shares)]
    total = sum(counted.units) + counted.several
    if total and counted.several / total > MULTI_ARM_SHARE:
        found.append(f"{100 * counted.several / total:.1f} % of {experiment.unit}s met several variants")
    if len(counted.versions) > 1:
        found.append(f"the assignment changed while it ran ({len(counted.versions)} versions)")
    if sum(counted.units) and sum(counted.answering):
        lost = np.array(counted.units) - np.array(counted.answering)
        if lost.any() and ratio_p(lost, np.array(counted.units) / sum(counted.units)) < SRM_LEVEL:
            found.append(f"the variants lose different shares of {experiment.unit}s between exposure and answer")
    return (*found, *_imbalances(experiment, counted))


def _ratio(experiment: Experiment, counted: Counted, shares: list[float]) -> list[str]:
    p = float(ratio_p(counted.units, shares)) if sum(counted.units) else 1.0
    if p < SRM_LEVEL:
        units = ", ".join(f"{name} {count:,}" for name, count in zip(experiment.variants, counted.units, strict=True))
        return [f"{experiment.unit}s by variant do not fit their shares ({units}; p = {p:.1g})"]
    if len(counted.segments) < 2:
        return []
    by_segment = counted.moments.units[0, 1:]
    whole = by_segment.sum(axis=-1) > 0
    each = ratio_p(by_segment[whole], np.asarray(shares))
    worst = int(np.argmin(each)) if len(each) else 0
    if len(each) and each[worst] < SRM_LEVEL / len(each):
        column, value = [one for one, kept in zip(counted.segments[1:], whole, strict=True) if kept][worst]
        return [f"{experiment.unit}s by variant do not fit their shares within {column} = {value}"]
    return []


def _imbalances(experiment: Experiment, counted: Counted) -> list[str]:
    control = list(experiment.variants).index(experiment.control_name)
    tests = max(1, len(experiment.covariates) * len(experiment.treatments))
    told = []
    for place, name in enumerate(experiment.covariates):
        found = imbalance(
            counted.moments.__class__(products=counted.moments.products[0, 0]), control=control, place=place
        )
        p = np.where(found.answered, found.p_value(), 1.0)
        if (p < IMBALANCE_LEVEL / tests).any():
            told.append(f"the variants differed in {name} before they met anything")
    return told
