"""A week's moments become results: every line and segment in one pass, then one decision a treatment.

A line is a metric as something says it: what was counted, the judge, or people (the judge corrected by their labels).
A judged metric has two lines, and the plan names the one that decides.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import ndtr

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.experiments.bayes import Posterior, posterior
from onlineeval_dagster.experiments.compare import Comparison, compare
from onlineeval_dagster.experiments.corrected import arm_bias, compare_corrected
from onlineeval_dagster.experiments.counted import Counted
from onlineeval_dagster.experiments.guardrails import good_side, guardrail_states
from onlineeval_dagster.experiments.limits import Limits, Rates, believed, limits
from onlineeval_dagster.experiments.moments import Arms, Bools, Floats, UnitMoments
from onlineeval_dagster.experiments.multiplicity import adjusted, gatekept
from onlineeval_dagster.experiments.rules import Rule, rule_at
from onlineeval_dagster.experiments.sequential import always_valid_p, running
from onlineeval_dagster.experiments.strata import post_stratified

SaidBy = Literal["counted", "judge", "people"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """metric: its place among Experiment.metrics; decides: whether decisions rest on this line of it."""

    metric: int
    said_by: SaidBy
    decides: bool


def lines_of(experiment: Experiment, metrics: Mapping[str, Metric]) -> tuple[Line, ...]:
    """One line a metric, in their order, then those of people, of the judged ones."""
    judged = [place for place, name in enumerate(experiment.metrics) if metrics[name].judge is not None]
    by_people = experiment.decides == "people"
    return (
        *(
            Line(metric=place, said_by="judge", decides=not by_people)
            if place in judged
            else Line(metric=place, said_by="counted", decides=True)
            for place in range(len(experiment.metrics))
        ),
        *(Line(metric=place, said_by="people", decides=by_people) for place in judged),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysed:
    """One look. Arrays are (lines, segments, treatments); the first segment is all.

    by_score    where the interval is Miettinen and Nurminen's
    counts      (lines, treatments): secondary findings over all units that count, as the primary won first
    bias_low, bias_high  of people's lines: by how much the judge may favour the treatment; elsewhere NaN
    """

    lines: tuple[Line, ...]
    rule: Rule
    found: Comparison
    lift_low: Floats
    lift_high: Floats
    low: Floats
    high: Floats
    by_score: Bools
    p_value: Floats
    adjusted_p: Floats
    posterior: Posterior
    states: np.ndarray
    certain_harm: Bools
    counts: Bools
    bias_low: Floats
    bias_high: Floats

    def deciding(self, metric: int) -> int:
        """The place of the line that decides on a metric."""
        return next(place for place, line in enumerate(self.lines) if line.metric == metric and line.decides)


def analyse(
    experiment: Experiment,
    metrics: Mapping[str, Metric],
    weeks: Sequence[Counted],
    *,
    planned: Floats,
) -> Analysed:
    """The last of `weeks`, which are all whole weeks so far, in order.

    planned  (treatments,): units of each pair of arms at the planned end, as fixed by the first week
    """
    rule, lines = rule_at(experiment, weeks_done=len(weeks)), lines_of(experiment, metrics)
    of = [metrics[experiment.metrics[line.metric]] for line in lines]
    better = np.array([-1.0 if one.direction == "down" else 1.0 for one in of])[:, None, None]
    margin = np.array([_margin(experiment, experiment.metrics[line.metric]) for line in lines])[:, None, None]
    compared = [compare_lines(experiment, metrics, week, weeks[-1].segments) for week in weeks]
    found = compared[-1]
    fraction = fraction_of(found, lines, planned)
    rates = _rates(experiment, weeks[-1], of)
    told = limits(found, rule, fraction, rates)
    p_value = told.p_value
    if rule.is_always_valid:
        steps = [always_valid_p(one.z(), fraction_of(one, lines, planned), alpha=1 - rule.level) for one in compared]
        p_value = np.where(found.answered, running(np.stack(steps), axis=0)[-1], np.nan)
    bias_low, bias_high = _bias(experiment, weeks[-1], lines)
    adjusted_p = _families(experiment, lines, p_value)
    return Analysed(
        lines=lines,
        rule=rule,
        found=told.found,
        low=told.low,
        high=told.high,
        lift_low=told.lift_low,
        lift_high=told.lift_high,
        by_score=told.by_score,
        p_value=p_value,
        adjusted_p=adjusted_p,
        posterior=believed(_posterior(experiment, found, better), rates, experiment.prior.rates, better=better),
        states=guardrail_states(told.lift_low, told.lift_high, better=better, margin=margin),
        certain_harm=_certain_harm(rule, found, fraction, better, margin),
        counts=_counts(experiment, lines, told, rule, better=better, adjusted_p=adjusted_p),
        bias_low=bias_low,
        bias_high=bias_high,
    )


def compare_lines(
    experiment: Experiment, metrics: Mapping[str, Metric], counted: Counted, segments: Sequence[tuple[str, str]]
) -> Comparison:
    """Every line at one look, by these segments: a value that nobody had yet has no units."""
    control, lines = list(experiment.variants).index(experiment.control_name), lines_of(experiment, metrics)
    names = [experiment.metrics[line.metric] for line in lines]
    is_rate = np.array([metrics[name].kind == "rate" for name in names])[:, None]
    here, base = counted.of_segments(segments), len(experiment.metrics)
    told = {"control": control, "needed": experiment.needed_units}
    found = compare(here.moments, **told, is_rate=is_rate[:base])
    if any(name == experiment.stratify_by for name, _ in counted.segments):
        found = found.with_first(
            compare(_strata(counted, str(experiment.stratify_by)), **told, is_rate=is_rate[:base, 0])
        )
    if len(lines) == base:
        return found
    shape = (len(lines) - base, len(segments), len(experiment.variants))
    return found.beside(compare_corrected(here.people, shape, control=control))


def _strata(counted: Counted, column: str) -> Arms:
    """All units, by the values of a segment's column."""
    at = [place for place, (name, _) in enumerate(counted.segments) if name == column]
    return post_stratified(UnitMoments(products=counted.moments.products[:, at]))


def _rates(experiment: Experiment, counted: Counted, of: Sequence[Metric]) -> Rates:
    """Plain rates; what is stratified is none."""
    base = len(experiment.metrics)
    is_rate = np.array([metric.kind == "rate" for metric in of[:base]])[:, None] & np.ones(
        len(counted.segments), dtype=np.bool_
    )
    if experiment.stratify_by is not None:
        is_rate[:, 0] = False
    control = list(experiment.variants).index(experiment.control_name)
    return Rates.of(counted.moments, control=control, is_rate=is_rate, lines=len(of))


def _posterior(experiment: Experiment, found: Comparison, better: Floats) -> Posterior:
    prior = experiment.prior
    return posterior(found.lift, found.lift_error, prior_sd=prior.sd, better=better, negligible=prior.negligible)


def fraction_of(found: Comparison, lines: Sequence[Line], planned: Floats) -> Floats:
    """Of the planned information: units in the arms, for people's lines too, as labels are a share of what they do."""
    units = found.units + found.control_units
    return np.maximum(units[[line.metric for line in lines]], 1) / planned


def _bias(experiment: Experiment, counted: Counted, lines: Sequence[Line]) -> tuple[Floats, Floats]:
    base, arms = len(experiment.metrics), len(experiment.variants)
    shape = (len(lines) - base, len(counted.segments), arms)
    none = np.full((base, len(counted.segments), arms - 1), np.nan)
    low, high = arm_bias(counted.people, shape, control=list(experiment.variants).index(experiment.control_name))
    return np.concatenate([none, low]), np.concatenate([none, high])


def _margin(experiment: Experiment, name: str) -> float:
    guardrail = experiment.guardrails.get(name)
    return 0.0 if guardrail is None else guardrail.margin


def _certain_harm(rule: Rule, found: Comparison, fraction: Floats, better: Floats, margin: Floats) -> Bools:
    edge = rule.harm_quantile(fraction)
    if edge is None:
        return np.zeros(found.difference.shape, dtype=np.bool_)
    with np.errstate(invalid="ignore"):
        return np.asarray(better * found.z(-better * margin) < -edge)


def _families(experiment: Experiment, lines: Sequence[Line], p_value: Floats) -> Floats:
    """Adjusted over the secondary metrics and treatments, of all units, on the lines that decide."""
    result = np.full_like(p_value, np.nan)
    names = experiment.metrics
    at = [place for place, line in enumerate(lines) if line.decides and names[line.metric] in experiment.secondary]
    if at:
        family = p_value[at, 0]
        result[at, 0] = adjusted(family.reshape(-1), experiment.family).reshape(family.shape)
    return result


def _counts(
    experiment: Experiment,
    lines: Sequence[Line],
    told: Limits,
    rule: Rule,
    *,
    better: Floats,
    adjusted_p: Floats,
) -> Bools:
    """Secondary findings at a look at which the rule may decide, at that look's level."""
    first = next(place for place, line in enumerate(lines) if line.metric == 0 and line.decides)
    worst, _ = good_side(told.low[first, 0], told.high[first, 0], better[first, 0])
    with np.errstate(invalid="ignore"):
        won = rule.decides & (worst > 0)
        return gatekept(won, adjusted_p[:, 0], alpha=experiment.alpha if rule.bound is None else 2 * ndtr(-rule.bound))
