"""A week of an experiment as a page: what to do and why first, then the ten parts of what it rests on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.contracts.experiments import ExperimentResult
from onlineeval_dagster.experiments.path import PathPoint
from onlineeval_dagster.reports import experiment_parts as parts
from onlineeval_dagster.reports.experiment_beside import Beside
from onlineeval_dagster.reports.experiment_parts import STATES, Metrics, Part, Rows, chance, percent
from onlineeval_dagster.reports.experiment_reviewers import judged_part, reviewers_parts
from onlineeval_dagster.reports.wording import lower_first

NOTHING = Beside()

DO = {
    "ship": "Ship {}",
    "do_not_ship": "Do not ship {}",
    "keep_running": "Keep {} running",
    "stop_for_harm": "Stop {}",
    "no_decision": "No decision on {} is supported",
}


BECAUSE = {
    "the trust gate failed": "the numbers cannot be trusted yet",
    "harm is certain, whenever one looks": "it does harm ({})",
    "no planned look": "it is too early to decide",
    "a guardrail is breached": "{} got worse by more than is allowed",
    "the primary metric lost": "{} got worse",
    "the primary metric won and every guardrail holds": "{} got better, and no guardrail is at risk",
    "a guardrail is not yet shown to hold": "whether {} holds is not clear yet",
    "the primary metric won, a guardrail is not shown to hold": "it won, but whether {} holds is not clear",
    "the planned end is not reached": "nothing is clear yet",
    "the primary metric has no number": "there are too few answers for a number",
    "the primary metric neither won nor lost": "whatever it does is too small to be seen with so few",
}
"""What fired, for somebody who knows no statistics; {} are the metrics that it fired on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A lift as drawn, in percent of the control's value: the interval, the estimate, and a guardrail's edge."""

    title: str
    low: float
    middle: float
    high: float
    edge: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentPage:
    """Everything a page says. path: how the primary's lift got here; marks: when something changed in production."""

    title: str
    sentences: tuple[str, ...]
    why: tuple[str, ...]
    bars: tuple[Bar, ...]
    parts: tuple[Part, ...]
    path: tuple[PathPoint, ...]
    marks: tuple[datetime, ...] = ()


def build_page(
    name: str,
    experiment: Experiment,
    metrics: Metrics,
    rows: Rows,
    *,
    path: Sequence[PathPoint] = (),
    beside: Beside = NOTHING,
) -> ExperimentPage:
    """The page of one week; rows are those of the experiment with one `as_of`, and there is one at least."""
    metrics = _titled(experiment, metrics)
    whole = [row for row in rows if row.slice == "all"]
    decided = [row for row in whole if row.outcome is not None]
    deciding = [row for row in whole if row.decides]
    first = decided[0]
    return ExperimentPage(
        title=f"{name}, week {first.week} of {experiment.weeks}",
        sentences=tuple(_sentence(experiment, metrics, row) for row in decided),
        why=(
            *_redefined(experiment, beside),
            *(line for row in decided for line in _why(experiment, metrics, row, whole)),
        ),
        bars=tuple(_bars(experiment, metrics, [row for row in deciding if row.role != "secondary"])),
        parts=(
            parts.trust_part(first),
            parts.planned_part(experiment, whole, first.planned_units),
            parts.primary_part(experiment, metrics, whole),
            parts.guardrails_part(experiment, metrics, deciding),
            parts.secondary_part(experiment, metrics, deciding),
            parts.segments_part(rows),
            judged_part(metrics, whole),
            *reviewers_parts(beside),
            parts.time_part(path, beside.changes),
            parts.computed_part(experiment, first),
        ),
        path=tuple(path),
        marks=tuple(change.occurred_at for change in beside.changes),
    )


def _redefined(experiment: Experiment, beside: Beside) -> Iterable[str]:
    if beside.redefined:
        last = beside.redefined[-1]
        yield (
            f"The experiment was changed after week {last.week} (definition {last.version}, now {experiment.version}). "
            "All weeks are counted by the new one here; what was decided by then was decided by the old one."
        )


def _titled(experiment: Experiment, metrics: Metrics) -> Metrics:
    """Titles that say which number of answers is compared, where it is not the mean."""
    said = {
        name: metrics[name].model_copy(
            update={"title": f"{metrics[name].title} ({100 * level:g} % of answers are below)"}
        )
        for name, level in experiment.quantiles.items()
    }
    return {**metrics, **said}


def _sentence(experiment: Experiment, metrics: Metrics, row: ExperimentResult) -> str:
    said = DO[row.outcome or "no_decision"].format(row.variant)
    override = experiment.override
    if override is not None:
        return f"{said}. {override.by} decided `{override.decision}` on {override.decided_on}: {override.reason}"
    named = [lower_first(metrics[one].title) for one in (row.because or "").split(", ") if one in metrics]
    return f"{said}: {BECAUSE[row.rule or ''].format(', '.join(named))}."


def _why(experiment: Experiment, metrics: Metrics, row: ExperimentResult, whole: Rows) -> Iterable[str]:
    """For somebody who knows no statistics: what moved, what it is worth, what it cost, what to do next."""
    title = metrics[row.metric].title
    if row.broken is not None:
        yield f"The numbers cannot be trusted yet: {row.broken}. Mend that first; the lifts below are no conclusions."
        return
    if row.value is None:
        yield f"{title}: no number yet, {row.reason}."
    elif row.lift is None:
        yield f"{title}: {row.control_value:.4g} in the control, {row.value:.4g} with {row.variant}; no relative lift."
    else:
        yield (
            f"{title}: {percent(row.lift)} with {row.variant} (likely {percent(row.lift_low)} to "
            f"{percent(row.lift_high)}; changes beyond these two are ruled out). {_luck(row)}"
        )
    yield from _flattered(row, whole)
    guarded = [one for one in whole if one.decides and one.role == "guardrail" and one.variant == row.variant]
    bad = [one for one in guarded if one.state in ("at_risk", "breach", None)]
    if guarded and not bad:
        yield "Guardrails hold: " + ", ".join(metrics[one.metric].title for one in guarded) + "."
    for one in bad:
        state = STATES[one.state] if one.state else f"no number ({one.reason or 'no relative lift'})"
        yield f"Guardrail {metrics[one.metric].title}: {state}" + (
            f", likely {percent(one.lift_low)} to {percent(one.lift_high)}." if one.lift_low is not None else "."
        )
    yield _next(experiment, row)


def _flattered(row: ExperimentResult, whole: Rows) -> Iterable[str]:
    """Where human checks show that the AI reviewer favours one side."""
    both = {one.said_by: one for one in whole if one.role == "primary" and one.variant == row.variant}
    people, judge = both.get("people"), both.get("judge")
    if people is None or judge is None or people.bias_low is None or people.bias_high is None:
        return
    if people.bias_low > 0 or people.bias_high < 0:
        side = row.variant if people.bias_low > 0 else "the control"
        relied = "the decision rests on human checks" if people.decides else "and the decision rests on it"
        yield f"The AI reviewer alone says {percent(judge.lift)}. Human checks show that it favours {side}; {relied}."


def _luck(row: ExperimentResult) -> str:
    better = f"The chance that it is better at all is {chance(row)}."
    if row.outcome != "ship":
        return better
    return f"Winners are lucky: without the luck it is some {percent(row.posterior_lift)}. {better}"


def _next(experiment: Experiment, row: ExperimentResult) -> str:
    left = experiment.weeks - row.week
    if row.outcome == "keep_running":
        return f"Next: wait. {left} week{'s' if left != 1 else ''} to the planned end; ending early would favour luck."
    return {
        "ship": "Next: roll it out in stages; the guardrails stay watched.",
        "do_not_ship": "Next: switch it off, and look at the answers behind what got worse.",
        "stop_for_harm": "Next: switch it off today.",
        "no_decision": "Next: do not extend it because it was not clear. Plan a new one: `onlineeval experiment plan`.",
    }[row.outcome or "no_decision"]


def _bars(experiment: Experiment, metrics: Metrics, rows: Iterable[ExperimentResult]) -> Iterable[Bar]:
    for row in rows:
        if row.lift is None or row.lift_low is None or row.lift_high is None:
            continue
        guardrail = experiment.guardrails.get(row.metric)
        sign = 1 if metrics[row.metric].direction == "down" else -1
        name = metrics[row.metric].title + (f", {row.variant}" if len(experiment.treatments) > 1 else "")
        yield Bar(
            title=name,
            low=100 * row.lift_low,
            middle=100 * row.lift,
            high=100 * row.lift_high,
            edge=None if guardrail is None else 100 * sign * guardrail.margin,
        )
