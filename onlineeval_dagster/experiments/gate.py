"""Whether a variant may be shipped now, for a deployment pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.contracts.experiments import ExperimentResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """ships, and why, for the log of the pipeline."""

    ships: bool
    told: str


def may_ship(name: str, experiment: Experiment, variant: str, rows: Sequence[ExperimentResult]) -> Passed:
    """By the newest week of the definition in force; a person's override stands above the rule, and says who it was."""
    override = experiment.override
    if override is not None:
        told = f"{name}: {override.by} decided `{override.decision}` on {override.decided_on}: {override.reason}"
        return Passed(ships=override.decision == "ship", told=told)
    decided = next((row for row in rows if row.variant == variant and row.outcome is not None), None)
    if decided is None:
        return Passed(ships=False, told=f"{name}: no whole week of {variant} has been analysed yet")
    if decided.experiment_version != experiment.version:
        told = f"{name}: it was changed since week {decided.week} was analysed; wait for the next Monday's run"
        return Passed(ships=False, told=told)
    because = f" ({decided.broken or decided.because})" if decided.broken or decided.because else ""
    told = f"{name}, {variant}, week {decided.week}: {decided.outcome}, as {decided.rule}{because}"
    return Passed(ships=decided.outcome == "ship", told=told)
