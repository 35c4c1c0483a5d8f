"""What an experiment can find with the traffic there is; and, where that is too little, what to do instead.

Each way out is the same computation with one thing changed, so that the ways can be compared.
"""

from dataclasses import dataclass
from math import prod

from scipy.special import ndtr

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.contracts.estimates import NotEnough
from onlineeval_dagster.experiments.bayes import posterior
from onlineeval_dagster.experiments.power import (
    Look,
    exaggeration,
    false_wins,
    label_spread,
    least_lift,
    needed_to_pass,
    needed_units,
    passes,
    reach,
)
from onlineeval_dagster.experiments.seen import Seen, SeenMetric

LEAST_CHANCE = 0.8
"""Chance that all testable guardrails pass when nothing is wrong, below which the plan proposes something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Something to change: what, the least lift that is then found, and weeks until the wanted one is (or None)."""

    what: str
    least_lift: float
    weeks: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedGuardrail:
    """passes: chance when nothing is wrong; margin and weeks that would bring it to where all pass with .8."""

    metric: str
    margin: float
    testable: bool
    passes: float | None
    margin_needed: float | None
    weeks_needed: int | None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PeoplesRow:
    """What people's row finds with so many labels an arm: corrected judge, labels alone, and with twice the labels."""

    labels: float
    least_lift: float
    of_labels_alone: float
    with_twice: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The plan of one experiment. Lifts are relative to the control, units are distinct ones of an arm."""

    units: float
    least_lift: float
    wanted_lift: float
    weeks_needed: int | None
    units_needed: float
    guardrails: tuple[PlannedGuardrail, ...]
    all_pass: float | None
    instead: tuple[Way, ...]
    false_wins: float
    exaggeration: float
    chance_by_prior: float
    people: PeoplesRow | NotEnough | None

    @property
    def is_enough(self) -> bool:
        return self.least_lift <= self.wanted_lift


def plan(
    experiment: Experiment, seen: Seen, *, wanted_lift: float, labels_a_week: float | None = None
) -> Plan | NotEnough:
    """For the smallest relative lift that is worth knowing. NotEnough where the primary metric has no past.

    labels_a_week: the budget of human checks of all arms; as many as there were by default
    """
    primary = seen.metrics[experiment.primary]
    if isinstance(primary, NotEnough):
        return primary
    look = _look(experiment)
    control, treatment = _units(experiment, seen, experiment.weeks)
    base = _Asked(experiment, seen, primary, wanted_lift)
    guardrails = _guardrails(experiment, seen)
    chances = [one.passes for one in guardrails if one.testable and one.passes is not None]
    known = all(one.passes is not None for one in guardrails if one.testable)
    power = base.power_at(control, treatment, look)
    return Plan(
        units=treatment,
        least_lift=base.least(look=look),
        wanted_lift=wanted_lift,
        weeks_needed=base.weeks(look=look),
        units_needed=needed_units(
            primary.spread, wanted_lift, look=look, removed=primary.removed, alpha=base.alpha, power=experiment.power
        ),
        guardrails=guardrails,
        all_pass=prod(chances) if known else None,
        instead=tuple(_ways(base, look)),
        false_wins=false_wins(power=power, prior=0.1, alpha=base.alpha),
        exaggeration=exaggeration(power, alpha=base.alpha),
        chance_by_prior=_chance_by_prior(base, base.error(control, treatment)),
        people=_people(base, look, labels_a_week),
    )


def _chance_by_prior(base: "_Asked", error: float) -> float:
    """Where the data say exactly the wanted lift."""
    return float(posterior(base.lift, error, prior_sd=base.experiment.prior.sd).better)


def _people(base: "_Asked", look: Look, labels_a_week: float | None) -> PeoplesRow | NotEnough | None:
    """By labels, which are shared over the arms as the units are; judged answers come at the rate that was seen."""
    experiment, people = base.experiment, base.seen.people
    if people is None or isinstance(people, NotEnough):
        return people
    weeks = experiment.weeks
    labels = weeks * (people.labels / base.seen.weeks if labels_a_week is None else labels_a_week)
    shares = (
        experiment.variants[experiment.control_name],
        min(experiment.variants[arm] for arm in experiment.treatments),
    )

    def least(labels: float, correlation: float) -> float:
        judged = max(weeks * people.judged / base.seen.weeks, labels)
        spread = label_spread(people.spread, labelled=labels, judged=judged, correlation=correlation)
        control, treatment = (share * judged for share in shares)
        return least_lift(
            spread, control=control, treatment=treatment, look=look, alpha=base.alpha, power=experiment.power
        )

    return PeoplesRow(
        labels=labels * shares[1],
        least_lift=least(labels, people.correlation),
        of_labels_alone=least(labels, 0.0),
        with_twice=least(2 * labels, people.correlation),
    )


def _look(experiment: Experiment) -> Look:
    # A group-sequential design pays a few percent of a fixed one's units (O'Brien-Fleming, last look 2.03 for five).
    looks: dict[str, Look] = {"hybrid": "hybrid", "always_valid": "always_valid"}
    return looks.get(experiment.design, "fixed")


def _units(experiment: Experiment, seen: Seen, weeks: int) -> tuple[float, float]:
    """Distinct units of the control and of the smallest treatment."""
    low, high = experiment.slots
    total = seen.traffic.units(weeks) * (high - low)
    smallest = min(experiment.variants[name] for name in experiment.treatments)
    return total * experiment.variants[experiment.control_name], total * smallest


class _Asked:
    """The question, to be asked again with one thing changed."""

    def __init__(self, experiment: Experiment, seen: Seen, primary: SeenMetric, lift: float) -> None:
        self.experiment, self.seen, self.primary, self.lift = experiment, seen, primary, lift
        self.alpha = experiment.alpha / len(experiment.treatments)

    def least(
        self, *, look: Look, weeks: int | None = None, arms: int | None = None, removed: float | None = None
    ) -> float:
        control, treatment = self._units(weeks or self.experiment.weeks, arms)
        return least_lift(
            self.primary.spread,
            control=control,
            treatment=treatment,
            look=look,
            removed=self.primary.removed if removed is None else removed,
            alpha=self.experiment.alpha if arms == 2 else self.alpha,
            power=self.experiment.power,
        )

    def weeks(self, *, look: Look, arms: int | None = None, removed: float | None = None) -> int | None:
        """Weeks until the wanted lift is found; None where two years are not enough."""
        for weeks in range(1, 105):
            if self.least(look=look, weeks=weeks, arms=arms, removed=removed) <= self.lift:
                return weeks
        return None

    def power_at(self, control: float, treatment: float, look: Look) -> float:
        return float(ndtr(self.lift / self.error(control, treatment) - reach(look, alpha=self.alpha)))

    def error(self, control: float, treatment: float) -> float:
        """Of the lift."""
        return self.primary.spread * ((1 - self.primary.removed) * (1 / control + 1 / treatment)) ** 0.5

    def _units(self, weeks: int, arms: int | None) -> tuple[float, float]:
        if arms is None:
            return _units(self.experiment, self.seen, weeks)
        total = self.seen.traffic.units(weeks)
        return total / arms, total / arms


def _ways(base: _Asked, look: Look) -> list[Way]:
    experiment = base.experiment
    ways = []
    if len(experiment.variants) > 2:
        ways.append(("two equal arms", base.least(look=look, arms=2), base.weeks(look=look, arms=2)))
    elif experiment.slots != (0.0, 1.0) or len(set(experiment.variants.values())) > 1:
        ways.append(("all traffic in two equal arms", base.least(look=look, arms=2), base.weeks(look=look, arms=2)))
    if look != "fixed":
        ways.append(
            ('design = "fixed": one look, no watch for harm', base.least(look="fixed"), base.weeks(look="fixed"))
        )
    if not experiment.covariates:
        ways.append(
            (
                f'covariates = ["{experiment.primary}"], where the past correlates .5 with the present',
                base.least(look=look, removed=0.25),
                base.weeks(look=look, removed=0.25),
            )
        )
    double = 2 * experiment.weeks
    ways.append((f"weeks = {double}", base.least(look=look, weeks=double), base.weeks(look=look)))
    return [Way(what=what, least_lift=lift, weeks=weeks) for what, lift, weeks in ways]


def _guardrails(experiment: Experiment, seen: Seen) -> tuple[PlannedGuardrail, ...]:
    testable = sum(one.testable for one in experiment.guardrails.values())
    control, treatment = _units(experiment, seen, experiment.weeks)
    found = []
    for name, guardrail in experiment.guardrails.items():
        metric = seen.metrics[name]
        told = {"metric": name, "margin": guardrail.margin, "testable": guardrail.testable}
        if isinstance(metric, NotEnough):
            blank = {"passes": None, "margin_needed": None, "weeks_needed": None, "reason": metric.reason}
            found.append(PlannedGuardrail(**told, **blank))  # type: ignore[arg-type]
            continue
        chance = passes(metric.spread, guardrail.margin, control=control, treatment=treatment, removed=metric.removed)
        needed = needed_to_pass(metric.spread, guardrail.margin, guardrails=max(testable, 1), removed=metric.removed)
        found.append(
            PlannedGuardrail(
                **told,  # type: ignore[arg-type]
                passes=chance,
                margin_needed=_margin(metric, control, treatment, LEAST_CHANCE ** (1 / max(testable, 1))),
                weeks_needed=next((w for w in range(1, 105) if min(_units(experiment, seen, w)) >= needed), None),
            )
        )
    return tuple(found)


def _margin(metric: SeenMetric, control: float, treatment: float, chance: float) -> float | None:
    """The smallest margin, in half percents, at which the guardrail passes with that chance; None above one half."""
    for step in range(1, 100):
        margin = 0.005 * step
        if passes(metric.spread, margin, control=control, treatment=treatment, removed=metric.removed) >= chance:
            return margin
    return None
