"""A plan in plain words, for the command line."""

from collections.abc import Iterator

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.contracts.estimates import NotEnough
from onlineeval_dagster.experiments.planning import LEAST_CHANCE, Plan
from onlineeval_dagster.experiments.seen import Seen

UNIFORM_LEVEL = 0.001
"""Of the test that A/A p-values are uniform, below which a metric may be no primary."""

FOLK = (
    "500,000 an arm is the number for a lift of 1 % at a base rate of 24 % (497,101); "
    "at a base rate of 85 % the same needs 27,702."
)


_DECIDES = {
    "judge": "The judge's row decides: it takes for granted that the judge errs alike in all variants; people's row "
    "stands beside it and says what bias between them the labels rule out. "
    'Write decides = "people" if the variant may please a judge.',
    "people": "People's row decides: the numbers above are the judge's, and labels are fewer, so that less is found.",
}


def plan_lines(name: str, experiment: Experiment, seen: Seen, plan: Plan, *, is_judged: bool = False) -> Iterator[str]:
    """What there is, what can be found, what to do instead, and what the guardrails can pay.

    is_judged: whether the primary metric is a judge's, which has a row of people's beside it
    """
    weeks = f"{experiment.weeks} week{'s' if experiment.weeks > 1 else ''}"
    yield f"{name}: {experiment.hypothesis}"
    by_week = ", ".join(f"{units:,.0f}" for units in seen.traffic.by_week)
    yield (
        f"Traffic: {by_week} different {experiment.unit}s after 1 … {seen.weeks} weeks; they come back, so this is not "
        f"seven times a day's. In {weeks}: {plan.units:,.0f} in the smallest arm."
    )
    primary = seen.metrics[experiment.primary]
    yield (
        f"{experiment.primary} stands at {primary.value:.4g}. "  # type: ignore[union-attr]
        f"In {weeks} a change of {_percent(plan.least_lift)} is found {100 * experiment.power:.0f} times in 100 "
        f"(wanted: {_percent(plan.wanted_lift)})."
    )
    if plan.is_enough:
        yield "That is enough."
    else:
        yield (
            f"Not enough: {_percent(plan.wanted_lift)} needs {plan.units_needed:,.0f} {experiment.unit}s an arm, "
            f"{_weeks(plan.weeks_needed)}. Instead:"
        )
        for way in plan.instead:
            yield f"  - {way.what}: finds {_percent(way.least_lift)}; the wanted change after {_weeks(way.weeks)}"
        yield "  - a bolder change: what is twice as large needs a quarter of the units"
        yield (
            f"  - let the prior decide (sd {100 * experiment.prior.sd:.0f} %): the wanted change ends with a chance of "
            f"{100 * plan.chance_by_prior:.0f} % to be better, which is no proof"
        )
        yield "  - what cannot be assigned: `onlineeval experiment before-after` (synthetic control); weaker still"
    if is_judged:
        yield _DECIDES[experiment.decides]
        yield from _people_lines(plan, weeks)
    yield from _noise_lines(seen)
    yield (f"A win that is found overstates a change as large as wanted {plan.exaggeration:.1f} times on average.")
    yield f"A win would be none {100 * plan.false_wins:.0f} times in 100, if one change in ten works."
    yield from _guardrail_lines(plan, weeks)
    yield FOLK


def _people_lines(plan: Plan, weeks: str) -> Iterator[str]:
    people = plan.people
    if people is None:
        return
    if isinstance(people, NotEnough):
        yield (
            f"What people's row would find cannot be told: {people.have} labelled answers or units so far, "
            f"{people.needed} needed ({people.reason}). Label some on the review pages."
        )
        return
    yield (
        f"People's row, with {people.labels:,.0f} human checks in the smallest arm in {weeks}: finds "
        f"{_percent(people.least_lift)} (the checks alone, without the judge, {_percent(people.of_labels_alone)}); "
        f"with twice the checks {_percent(people.with_twice)}. At least 30 labelled units an arm are needed."
    )


def _noise_lines(seen: Seen) -> Iterator[str]:
    """The A/A of every metric with a role: how large chance alone gets, and whether its intervals hold."""
    for name, splits in seen.splits.items():
        if not len(splits.p_values):
            continue
        told = (
            f"A/A of {name}: in {100 * splits.share:.1f} % of {len(splits.p_values):,} re-splits of the last "
            f"{seen.weeks} weeks p < .05 (5 % is right); one time in twenty chance alone reaches "
            f"± {100 * splits.noise:.1f} %."
        )
        yield told if splits.is_sound else f"{told} Its p-values are not what they say: {_MEND}."


_MEND = (
    "a few units may be most of the sum (winsorise = 0.99), the metric may be too rare, or the unit of the assignment "
    'too small (unit = "user")'
)


def unfit_primary(experiment: Experiment, seen: Seen) -> str | None:
    """Why the primary metric may not be one, by its A/A; None where it may."""
    splits = seen.splits[experiment.primary]
    if not len(splits.p_values) or not (splits.errs_more_than_told or splits.uniform_p < UNIFORM_LEVEL):
        return None
    return (
        f"{experiment.primary} may not be a primary metric: in {splits.hits} of {len(splits.p_values):,} A/A re-splits "
        f"p < .05, where chance gives {0.05 * len(splits.p_values):.0f} (its p-values are uniform with p = "
        f"{splits.uniform_p:.1g}); {_MEND}"
    )


def _guardrail_lines(plan: Plan, weeks: str) -> Iterator[str]:
    for one in plan.guardrails:
        head = f"Guardrail {one.metric}, margin {_percent(one.margin)}"
        if one.passes is None:
            yield f"{head}: no number from the past ({one.reason})"
        else:
            said = "" if one.testable else "; declared untestable, blocks on a breach alone"
            yield f"{head}: passes {100 * one.passes:.0f} times in 100 when nothing is wrong{said}"
    if plan.all_pass is None or not plan.guardrails:
        return
    yield f"All that are to be proved pass together {100 * plan.all_pass:.1f} times in 100 when nothing is wrong."
    if plan.all_pass < LEAST_CHANCE:
        for one in plan.guardrails:
            if one.testable and one.passes is not None:
                margin = "no margin below 50 %" if one.margin_needed is None else f"margin = {one.margin_needed:.3f}"
                yield f"  - {one.metric}: {margin} in {weeks}, or {_weeks(one.weeks_needed)}, or testable = false"


def _weeks(weeks: int | None) -> str:
    return "more than two years" if weeks is None else f"{weeks} week{'s' if weeks > 1 else ''}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %" if share < 0.1 else f"{100 * share:.0f} %"
