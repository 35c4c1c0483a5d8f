"""An analysed look as rows of experiment_results, each treatment's decision on the line that decides."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.contracts.experiments import ExperimentResult
from onlineeval_dagster.experiments.analysis import Analysed, analyse
from onlineeval_dagster.experiments.counted import Counted
from onlineeval_dagster.experiments.decide import Decision, Guarded, Primary, decide
from onlineeval_dagster.experiments.guardrails import good_side
from onlineeval_dagster.experiments.health import Splits
from onlineeval_dagster.experiments.moments import Floats
from onlineeval_dagster.experiments.rules import Rule
from onlineeval_dagster.experiments.segments import shrunken
from onlineeval_dagster.experiments.trust import Check, checks, resplits


def results(
    name: str,
    experiment: Experiment,
    metrics: Mapping[str, Metric],
    weeks: Sequence[Counted],
    *,
    planned: Floats,
    days: Sequence[Sequence[int]] = (),
) -> Iterator[ExperimentResult]:
    """Every row of the last week. days: units by variant at the end of each day so far."""
    done, counted = analyse(experiment, metrics, weeks, planned=planned), weeks[-1]
    noise = resplits(experiment, counted)
    judges = tuple(dict.fromkeys(judge for one in experiment.metrics if (judge := metrics[one].judge) is not None))
    looked = checks(experiment, counted, judges=judges, primary=noise[0], days=days)
    interactions = _interactions(done, counted)
    for t, variant in enumerate(experiment.treatments):
        broken = [one.said for one in looked if not one.holds]
        decision = _decision(experiment, metrics, done, t, broken)
        for place, line in enumerate(done.lines):
            metric = experiment.metrics[line.metric]
            for s, (slice_name, value) in enumerate(counted.segments):
                told = {
                    "experiment": name,
                    "as_of": counted.until,
                    "variant": variant,
                    "metric": metric,
                    "slice": slice_name,
                    "slice_value": value,
                    "said_by": line.said_by,
                    "decides": line.decides,
                    "week": len(weeks),
                    "experiment_version": experiment.version,
                    "role": _role(experiment, metric),
                    "level": done.rule.level,
                    "method": "score" if done.by_score[place, s, t] else _method(done.rule),
                    **_numbers(done, (place, s, t)),
                }
                if metric in experiment.guardrails:
                    told["state"] = done.states[place, s, t]
                if s == 0 and told["role"] == "secondary" and line.decides:
                    told["counts"] = bool(done.counts[place, t]) and not broken
                if s > 0:
                    told |= interactions[place, s, t]
                elif line.said_by != "people":
                    told |= _noise(noise[line.metric][t])
                if s == 0 and place == done.deciding(0):
                    told |= _decided(decision, looked, counted) | {"planned_units": int(planned[t])}
                yield ExperimentResult(**told)


def _noise(splits: Splits) -> dict[str, Any]:
    told = {"noise": splits.noise, "noise_hits": splits.share}
    return {name: float(value) for name, value in told.items() if np.isfinite(value)}


def _numbers(done: Analysed, at: tuple[int, int, int]) -> dict[str, Any]:
    found = done.found
    told: dict[str, Any] = {
        "units": int(found.units[at]),
        "control_units": int(found.control_units[at]),
        "reason": found.reason[at],
    }
    if done.lines[at[0]].said_by == "people":
        told |= {
            name: float(column[at])
            for name, column in {"bias_low": done.bias_low, "bias_high": done.bias_high}.items()
            if np.isfinite(column[at])
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
            "loss_if_kept": done.posterior.loss_if_kept,
            "chance_negligible": done.posterior.negligible,
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
    first = done.deciding(0)
    better = -1 if metrics[experiment.primary].direction == "down" else 1
    worst, best = good_side(done.low[first, 0, t], done.high[first, 0, t], better)
    known = done.found.reason[first, 0, t] is None
    primary = Primary(
        metric=experiment.primary,
        worst=float(worst) if known else None,
        best=float(best) if known else None,
        certain_harm=bool(done.certain_harm[first, 0, t]),
    )
    guards = [
        Guarded(
            metric=metric,
            state=done.states[done.deciding(m), 0, t],
            testable=experiment.guardrails[metric].testable,
            certain_harm=bool(done.certain_harm[done.deciding(m), 0, t]),
        )
        for m, metric in enumerate(experiment.metrics)
        if metric in experiment.guardrails
    ]
    return decide(done.rule, primary, guards, broken=broken)


def _decided(decision: Decision, looked: Sequence[Check], counted: Counted) -> dict[str, Any]:
    return {
        "outcome": decision.outcome,
        "rule": decision.rule,
        "because": ", ".join(decision.metrics) or None,
        "broken": "; ".join(one.said for one in looked if not one.holds) or None,
        "held": "; ".join(one.said for one in looked if one.holds) or None,
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
