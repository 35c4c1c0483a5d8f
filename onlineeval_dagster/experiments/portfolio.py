"""All experiments together: which wins stand, how often one learns, and whether the ruler is straight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.contracts.estimates import NotEnough
from onlineeval_dagster.contracts.experiments import ExperimentResult
from onlineeval_dagster.experiments.bayes import learnt_prior
from onlineeval_dagster.experiments.multiplicity import adjusted

LEARNT = ("ship", "do_not_ship", "stop_for_harm")
"""Outcomes that taught something: a win, a loss, a harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """A treatment's last decision. adjusted_p: over all that ended (Benjamini-Hochberg); noise_hits: of its A/A."""

    row: ExperimentResult
    ended: bool
    adjusted_p: float | None
    noise_hits: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Portfolio:
    """entered by experiment and variant; learnt: share of the ended that taught something; prior: from the ended."""

    entered: tuple[Entered, ...]
    ended: int
    learnt: float | NotEnough
    prior: float | NotEnough


def portfolio(known: Mapping[str, Experiment], rows: Sequence[ExperimentResult]) -> Portfolio:
    """rows: those of the primary metrics over all units, of the newest week of each experiment.

    One that the catalog has no more has ended, and so has one that was stopped for harm.
    """
    decided = sorted((row for row in rows if row.outcome is not None), key=lambda row: (row.experiment, row.variant))
    hits = {(row.experiment, row.variant): row.noise_hits for row in rows if row.noise_hits is not None}
    ended = [_has_ended(known.get(row.experiment), row) for row in decided]
    p = np.array(
        [row.p_value if done and row.p_value is not None else np.nan for row, done in zip(decided, ended, strict=True)]
    )
    family = adjusted(p, "bh") if len(p) else p
    over = [row for row, done in zip(decided, ended, strict=True) if done]
    share = sum(row.outcome in LEARNT for row in over) / len(over) if over else None
    return Portfolio(
        entered=tuple(
            Entered(
                row=row,
                ended=done,
                adjusted_p=None if np.isnan(one) else float(one),
                noise_hits=hits.get((row.experiment, row.variant)),
            )
            for row, done, one in zip(decided, ended, family, strict=True)
        ),
        ended=len(over),
        learnt=NotEnough(have=0, needed=1, reason="no experiment has ended") if share is None else share,
        prior=_prior(over),
    )


def _has_ended(experiment: Experiment | None, row: ExperimentResult) -> bool:
    if experiment is None or experiment.status == "stopped" or row.outcome == "stop_for_harm":
        return True
    return row.week >= experiment.weeks


def _prior(over: Sequence[ExperimentResult]) -> float | NotEnough:
    """From lifts read once, at the end: those that were stopped early are the lucky and the unlucky ones."""
    effects, errors = [], []
    for row in over:
        if row.method == "t" and row.lift is not None and row.lift_low is not None and row.lift_high is not None:
            effects.append(row.lift)
            errors.append((row.lift_high - row.lift_low) / 2 / float(ndtri(0.5 + row.level / 2)))
    return learnt_prior(effects, errors)
