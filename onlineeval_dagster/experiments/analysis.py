"""A week's moments become results: every metric, treatment and segment in one pass, then one decision a treatment."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.contracts.experiments import ExperimentResult
from onlineeval_dagster.experiments.bayes import Posterior, posterior
from onlineeval_dagster.experiments.compare import Comparison, compare
from onlineeval_dagster.experiments.decide import Decision, Guarded, Primary, decide
from onlineeval_dagster.experiments.guardrails import good_side, guardrail_states
from onlineeval_dagster.experiments.moments import Bools, Floats, UnitMoments
from onlineeval_dagster.experiments.multiplicity import adjusted
from onlineeval_dagster.experiments.rules import Rule, rule_at
from onlineeval_dagster.experiments.segments import shrunken
from onlineeval_dagster.experiments.sequential import always_valid_p, running
from onlineeval_dagster.experiments.totals import Counted
from onlineeval_dagster.experiments.trust import broken_gates


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysed:
    """One week. Arrays are (metrics, segments, treatments); metrics as Experiment.metrics, the first segment is all."""

    rule: Rule
    found: Comparison
    lift_low: Floats
    lift_high: Floats
    low: Floats
    high: Floats
    p_value: Floats
    adjusted_p: Floats
    posterior: Posterior
    states: np.ndarray
    certain_harm: Bools


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
    rule, names = rule_at(experiment, weeks_done=len(weeks)), experiment.metrics
    control = list(experiment.variants).index(experiment.control_name)
    is_rate = np.array([metrics[name].kind == "rate" for name in names])[:, None]
    better = np.array([-1.0 if metrics[name].direction == "down" else 1.0 for name in names])[:, None, None]
    margin = np.array([_margin(experiment, name) for name in names])[:, None, None]
    compared = [
        compare(_aligned(week, weeks[-1]), control=control, needed=experiment.needed_units, is_rate=is_rate)
        for week in weeks
    ]
    found = compared[-1]
    fraction = np.maximum(found.units + found.control_units, 1) / planned
    quantile = rule.quantile(found, fraction)
    low, high = found.limits(quantile)
    lift_low, lift_high = found.lift_limits(quantile)
    p_value = found.p_value()
    if rule.is_always_valid:
        steps = [
            always_valid_p(of.z(), np.maximum(of.units + of.control_units, 1) / planned, alpha=1 - rule.level)
            for of in compared
        ]
        p_value = np.where(found.answered, running(np.stack(steps), axis=0)[-1], np.nan)
    return Analysed(
        rule=rule,
        found=found,
        low=low,
        high=high,
        lift_low=lift_low,
        lift_high=lift_high,
        p_value=p_value,
        adjusted_p=_families(experiment, p_value),
        posterior=posterior(found.lift, found.lift_error, prior_sd=experiment.prior.sd, better=better),
        states=guardrail_states(lift_low, lift_high, better=better, margin=margin),
        certain_harm=_certain_harm(rule, found, fraction, better, margin),
    )


def _aligned(week: Counted, last: Counted) -> UnitMoments:
    """The moments of a week by the segments of the last one; a value that nobody had yet has no units."""
    products = week.moments.products
    placed = np.zeros((products.shape[0], len(last.segments), *products.shape[2:]))
    for place, segment in enumerate(last.segments):
        if segment in week.segments:
            placed[:, place] = products[:, week.segments.index(segment)]
    return UnitMoments(products=placed)


def _margin(experiment: Experiment, name: str) -> float:
    guardrail = experiment.guardrails.get(name)
    return 0.0 if guardrail is None else guardrail.margin


def _certain_harm(rule: Rule, found: Comparison, fraction: Floats, better: Floats, margin: Floats) -> Bools:
    edge = rule.harm_quantile(fraction)
    if edge is None:
        return np.zeros(found.difference.shape, dtype=np.bool_)
    with np.errstate(invalid="ignore"):
        return np.asarray(better * found.z(-better * margin) < -edge)


def _families(experiment: Experiment, p_value: Floats) -> Floats:
    """Benjamini-Hochberg over the secondary metrics and treatments, of all units."""
    result = np.full_like(p_value, np.nan)
    at = [place for place, name in enumerate(experiment.metrics) if name in experiment.secondary]
    if at:
        family = p_value[at, 0]
        result[at, 0] = adjusted(family.reshape(-1), "bh").reshape(family.shape)
    return result


def results(
    name: str, experiment: Experiment, metrics: Mapping[str, Metric], weeks: Sequence[Counted], *, planned: Floats
) -> Iterator[ExperimentResult]:
    """Every row of the last week."""
    done, counted = analyse(experiment, metrics, weeks, planned=planned), weeks[-1]
    broken = broken_gates(experiment, counted)
    interactions = _interactions(done, counted)
    for t, variant in enumerate(experiment.treatments):
        decision = _decision(experiment, metrics, done, t, broken)
        for m, metric in enumerate(experiment.metrics):
            for s, (slice_name, value) in enumerate(counted.segments):
                told = {
                    "experiment": name,
                    "as_of": counted.until,
                    "variant": variant,
                    "metric": metric,
                    "slice": slice_name,
                    "slice_value": value,
                    "week": len(weeks),
                    "experiment_version": experiment.version,
                    "role": _role(experiment, metric),
                    "level": done.rule.level,
                    "method": _method(done.rule),
                    **_numbers(done, (m, s, t)),
                }
                if metric in experiment.guardrails:
                    told["state"] = done.states[m, s, t]
                if s > 0:
                    told |= interactions[m, s, t]
                if m == 0 and s == 0:
                    told |= _decided(decision, broken, counted)
                yield ExperimentResult(**told)


def _numbers(done: Analysed, at: tuple[int, int, int]) -> dict[str, Any]:
    found = done.found
    told: dict[str, Any] = {
        "units": int(found.units[at]),
        "control_units": int(found.control_units[at]),
        "reason": found.reason[at],
    }
    if found.reason[at] is not None:
        return told
    has_lift = not np.isnan(done.lift_low[at])
    numbers = {
        "value": found.value,
        "control_value": found.control,
        "difference": found.difference,
        "low": done.low,
        "high": done.high,
        "p_value": done.p_value,
        "adjusted_p": done.adjusted_p,
        "removed": found.removed,
    }
    if has_lift:
        numbers |= {
            "lift": found.lift,
            "lift_low": done.lift_low,
            "lift_high": done.lift_high,
            "posterior_lift": done.posterior.mean,
            "posterior_low": done.posterior.low,
            "posterior_high": done.posterior.high,
            "chance_better": done.posterior.better,
            "expected_loss": done.posterior.loss_if_shipped,
        }
    return told | {name: float(column[at]) for name, column in numbers.items() if np.isfinite(column[at])}


def _interactions(done: Analysed, counted: Counted) -> dict[tuple[int, int, int], dict[str, Any]]:
    """Shrunken lifts and the test of a difference, within the values of each segment's column."""
    told: dict[tuple[int, int, int], dict[str, Any]] = {}
    lifts, errors = np.moveaxis(done.found.lift, 1, -1), np.moveaxis(done.found.lift_error, 1, -1)
    for column in sorted({name for name, _ in counted.segments[1:]}):
        at = [place for place, (name, _) in enumerate(counted.segments) if name == column and place > 0]
        found = shrunken(lifts[..., at], errors[..., at])
        for m, t in np.ndindex(*found.p_value.shape):
            for place, s in enumerate(at):
                pair = {"shrunk_lift": found.shrunk[m, t, place], "interaction_p": found.p_value[m, t]}
                known = {name: float(value) for name, value in pair.items() if np.isfinite(value)}
                told[m, s, t] = known if done.found.reason[m, s, t] is None else {}
    return told


def _decision(
    experiment: Experiment, metrics: Mapping[str, Metric], done: Analysed, t: int, broken: Sequence[str]
) -> Decision:
    better = -1 if metrics[experiment.primary].direction == "down" else 1
    worst, best = good_side(done.low[0, 0, t], done.high[0, 0, t], better)
    known = done.found.reason[0, 0, t] is None
    primary = Primary(
        metric=experiment.primary,
        worst=float(worst) if known else None,
        best=float(best) if known else None,
        certain_harm=bool(done.certain_harm[0, 0, t]),
    )
    guards = [
        Guarded(
            metric=metric,
            state=done.states[m, 0, t],
            testable=experiment.guardrails[metric].testable,
            certain_harm=bool(done.certain_harm[m, 0, t]),
        )
        for m, metric in enumerate(experiment.metrics)
        if metric in experiment.guardrails
    ]
    return decide(done.rule, primary, guards, broken=broken)


def _decided(decision: Decision, broken: Sequence[str], counted: Counted) -> dict[str, Any]:
    return {
        "outcome": decision.outcome,
        "rule": decision.rule,
        "because": ", ".join(decision.metrics) or None,
        "broken": "; ".join(broken) or None,
        "several": counted.several,
    }


def _role(experiment: Experiment, metric: str) -> str:
    if metric == experiment.primary:
        return "primary"
    return "guardrail" if metric in experiment.guardrails else "secondary"


def _method(rule: Rule) -> str:
    if rule.bound is not None:
        return "boundary"
    return "always_valid" if rule.is_always_valid else "t"
