"""Which interval holds at a look, by design: how far it reaches in standard errors, and how alpha is shared.

    hybrid            between looks always-valid, alpha / 4 a tail; at the planned end Student's t, alpha / 4 a tail
    fixed             Student's t at the planned end, and no decision before it; always-valid until then, to be seen
    group_sequential  at each planned look its boundary; always-valid between them, to be seen
    always_valid      always-valid, at any time

Several treatments share alpha evenly (Bonferroni): the family is the primary metric over all arms.
"""

from dataclasses import dataclass

import numpy as np

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.experiments.compare import Comparison
from onlineeval_dagster.experiments.moments import Floats
from onlineeval_dagster.experiments.sequential import boundary, one_sided_boundary
from onlineeval_dagster.experiments.spending import spending_bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How one look is read.

    level      of the interval, two-sided, after sharing: 1 - level is what may err here
    decides    whether a win or a loss may be called at this look
    is_last    whether this is the planned end, or later
    is_always_valid  the interval holds whenever one looks
    bound      of a group-sequential look, |z|; None elsewhere
    harm_alpha one-sided, for stopping harm between the looks; None where the design has no such watch
    """

    level: float
    decides: bool
    is_last: bool
    is_always_valid: bool
    bound: float | None
    harm_alpha: float | None

    def quantile(self, found: Comparison, fraction: Floats | float) -> Floats:
        """Standard errors on either side of each comparison. fraction: of the planned units, per comparison."""
        if self.bound is not None:
            return np.full_like(found.difference, self.bound)
        if self.is_always_valid:
            return np.broadcast_to(boundary(fraction, alpha=1 - self.level), found.difference.shape)
        return found.quantile(1 - self.level)

    def harm_quantile(self, fraction: Floats | float) -> Floats | None:
        """Standard errors on the bad side that harm must exceed to stop the experiment at once."""
        return None if self.harm_alpha is None else one_sided_boundary(fraction, alpha=self.harm_alpha)


def rule_at(experiment: Experiment, *, weeks_done: int) -> Rule:
    """The rule after so many whole weeks. What comes after the planned end is not looked at."""
    alpha = experiment.alpha / len(experiment.treatments)
    is_last, is_look = weeks_done >= experiment.weeks, weeks_done in experiment.planned_looks
    if experiment.design == "always_valid":
        return _rule(1 - alpha, True, is_last, True, None, alpha / 2)
    if experiment.design == "fixed":
        return _rule(1 - alpha, is_last, is_last, not is_last, None, None)
    if experiment.design == "hybrid":
        return _rule(1 - alpha / 2, is_last, is_last, not is_last, None, alpha / 4)
    looks = experiment.planned_looks
    if not (is_look or is_last):
        return _rule(1 - alpha, False, False, True, None, None)
    bounds = spending_bounds([look / experiment.weeks for look in looks], alpha=alpha, kind=experiment.spending)
    at = looks.index(min(weeks_done, experiment.weeks))
    return _rule(1 - alpha, True, is_last, False, float(bounds[at]), None)


def _rule(
    level: float, decides: bool, is_last: bool, is_always_valid: bool, bound: float | None, harm: float | None
) -> Rule:
    return Rule(
        level=level,
        decides=decides,
        is_last=is_last,
        is_always_valid=is_always_valid,
        bound=bound,
        harm_alpha=harm,
    )
