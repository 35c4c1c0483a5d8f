"""The trust gate: what speaks against the numbers themselves. Nothing is concluded while any of it holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.experiments.compare import compare
from onlineeval_dagster.experiments.counted import Counted
from onlineeval_dagster.experiments.health import (
    IMBALANCE_LEVEL,
    MULTI_ARM_SHARE,
    SRM_LEVEL,
    Splits,
    imbalance,
    ratio_p,
    resplit,
    sequential_ratio_p,
)
from onlineeval_dagster.experiments.moments import UnitMoments

SPLITS = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was looked at, in words with its numbers, and whether it holds."""

    said: str
    holds: bool


def checks(
    experiment: Experiment,
    counted: Counted,
    *,
    judges: Sequence[str],
    primary: Sequence[Splits],
    days: Sequence[Sequence[int]] = (),
) -> tuple[Check, ...]:
    """Every check of one look.

    judges: names by place in `counted.judging`; primary: its re-splits by treatment; days: units by variant at the end
    of each day so far.
    """
    return (
        *_ratio(experiment, counted),
        *_ratio_ever(experiment, days),
        *_one_arm(experiment, counted),
        *_joined(experiment, counted),
        *_imbalances(experiment, counted),
        *_judging(experiment, counted, judges),
        *_noise(experiment, primary),
    )


def resplits(experiment: Experiment, counted: Counted) -> list[list[Splits]]:
    """By metric and treatment: all units split by a coin, of the size of each pair of arms. The same at every run."""
    shares = experiment.variants
    whole = sum(shares.values())
    return [
        [
            resplit(
                products,
                splits=SPLITS,
                rng=np.random.default_rng([len(experiment.metrics), place]),
                shares=(shares[experiment.control_name] / whole, shares[treatment] / whole),
            )
            for treatment in experiment.treatments
        ]
        for place, products in enumerate(counted.buckets)
    ]


def _ratio(experiment: Experiment, counted: Counted) -> Iterator[Check]:
    shares = list(experiment.variants.values())
    units = ", ".join(f"{name} {count:,}" for name, count in zip(experiment.variants, counted.units, strict=True))
    p = float(ratio_p(counted.units, shares)) if sum(counted.units) else 1.0
    if p < SRM_LEVEL:
        yield Check(said=f"{experiment.unit}s by variant do not fit their shares ({units}, p = {p:.1g})", holds=False)
        return
    yield Check(said=f"{experiment.unit}s by variant fit their shares ({units}, p = {p:.2g})", holds=True)
    if len(counted.segments) < 2:
        return
    by_segment = counted.moments.units[0, 1:]
    whole = by_segment.sum(axis=-1) > 0
    each = ratio_p(by_segment[whole], np.asarray(shares))
    worst = int(np.argmin(each)) if len(each) else 0
    if len(each) and each[worst] < SRM_LEVEL / len(each):
        column, value = [one for one, kept in zip(counted.segments[1:], whole, strict=True) if kept][worst]
        said = f"{experiment.unit}s by variant do not fit their shares within {column} = {value}"
        yield Check(said=said, holds=False)
    elif len(each):
        yield Check(said=f"{experiment.unit}s fit their shares within each segment too ({len(each)})", holds=True)


def _ratio_ever(experiment: Experiment, days: Sequence[Sequence[int]]) -> Iterator[Check]:
    """Looked at every day, by the test that may be: a mismatch of the first days drowns in the units of later ones."""
    if not days:
        return
    p = sequential_ratio_p(np.asarray(days), list(experiment.variants.values()))
    day = int(np.argmin(p))
    if p[day] < SRM_LEVEL:
        said = f"{experiment.unit}s by variant did not fit their shares at the end of day {day + 1} (p = {p[day]:.1g})"
        yield Check(said=said, holds=False)
    else:
        yield Check(
            said=f"{experiment.unit}s fit their shares at the end of every day (p, of daily looks, = {p[day]:.2g})",
            holds=True,
        )


def _one_arm(experiment: Experiment, counted: Counted) -> Iterator[Check]:
    total = sum(counted.units) + counted.several
    if total and counted.several / total > MULTI_ARM_SHARE:
        share = 100 * counted.several / total
        yield Check(said=f"{share:.1f} % of {experiment.unit}s met several variants", holds=False)
    else:
        said = f"{counted.several:,} {experiment.unit}s met several variants and are left out"
        yield Check(said=said, holds=True)
    if len(counted.versions) > 1:
        said = f"the assignment changed while it ran ({len(counted.versions)} versions)"
        yield Check(said=said, holds=False)


def _joined(experiment: Experiment, counted: Counted) -> Iterator[Check]:
    if not (sum(counted.units) and sum(counted.answering)):
        return
    lost = np.array(counted.units) - np.array(counted.answering)
    if lost.any() and ratio_p(lost, np.array(counted.units) / sum(counted.units)) < SRM_LEVEL:
        said = f"the variants lose different shares of {experiment.unit}s between exposure and answer"
        yield Check(said=said, holds=False)
    else:
        share = 100 * lost.sum() / sum(counted.units)
        said = f"{share:.1f} % of {experiment.unit}s have no answer after their exposure, alike in all variants"
        yield Check(said=said, holds=True)


def _imbalances(experiment: Experiment, counted: Counted) -> Iterator[Check]:
    control = list(experiment.variants).index(experiment.control_name)
    tests = max(1, len(experiment.covariates) * len(experiment.treatments))
    for place, name in enumerate(experiment.covariates):
        found = imbalance(UnitMoments(products=counted.moments.products[0, 0]), control=control, place=place)
        p = np.where(found.answered, found.p_value(), 1.0)
        if (p < IMBALANCE_LEVEL / tests).any():
            yield Check(said=f"the variants differed in {name} before they met anything", holds=False)
        else:
            yield Check(said=f"{name} was alike before (p = {p.min():.2g})", holds=True)


def _judging(experiment: Experiment, counted: Counted, judges: Sequence[str]) -> Iterator[Check]:
    """A judge that fails on one variant more leaves out what may be its worst answers: a mismatch of its own."""
    control = list(experiment.variants).index(experiment.control_name)
    tests = max(1, len(judges) * len(experiment.treatments))
    for place, name in enumerate(judges):
        moments = UnitMoments(products=counted.judging.products[place, 0])
        failed, given = (moments.products[:, 0, at] for at in (1, 2))
        shares = ", ".join(
            f"{arm} {100 * few / max(many, 1):.1f} %"
            for arm, few, many in zip(experiment.variants, failed, given, strict=True)
        )
        found = compare(moments, control=control, is_rate=True)
        p = np.where(found.answered, found.p_value(), 1.0)
        if (p < SRM_LEVEL / tests).any():
            yield Check(said=f"the AI reviewer {name} fails more often on one variant ({shares})", holds=False)
        elif given.any():
            yield Check(said=f"the AI reviewer {name} fails alike on all variants ({shares})", holds=True)


def _noise(experiment: Experiment, primary: Sequence[Splits]) -> Iterator[Check]:
    for treatment, splits in zip(experiment.treatments, primary, strict=True):
        if not len(splits.p_values):
            continue
        told = f"in {100 * splits.share:.1f} % of {len(splits.p_values):,} re-splits of all {experiment.unit}s p < .05"
        name = f" ({treatment})" if len(experiment.treatments) > 1 else ""
        if splits.errs_more_than_told:
            said = f"{told}{name}: the intervals of {experiment.primary} are too narrow"
            yield Check(said=said, holds=False)
        else:
            yield Check(said=f"{told}{name}, where chance gives 5 %", holds=True)
