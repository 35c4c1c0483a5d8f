"""How the primary metric's lift got to where it is: day by day, with the band that may be looked at every day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.experiments.analysis import compare_lines, fraction_of, lines_of
from onlineeval_dagster.experiments.counted import ALL, Counted
from onlineeval_dagster.experiments.moments import Floats
from onlineeval_dagster.experiments.sequential import boundary


@dataclass(frozen=True, slots=True, kw_only=True)
class PathPoint:
    """The cumulative lift of one treatment up to `until`, with its confidence sequence."""

    variant: str
    until: datetime
    lift: float
    low: float
    high: float


def path(
    experiment: Experiment, metrics: Mapping[str, Metric], looks: Sequence[Counted], *, planned: Floats
) -> list[PathPoint]:
    """Of the line that decides on the primary metric; a look without a number has no point."""
    lines, alpha = lines_of(experiment, metrics), experiment.alpha / len(experiment.treatments)
    line = next(place for place, one in enumerate(lines) if one.metric == 0 and one.decides)
    points = []
    for counted in looks:
        found = compare_lines(experiment, metrics, counted, [ALL])
        edge = boundary(fraction_of(found, lines, planned), alpha=alpha)
        low, high = found.lift_limits(edge)
        for t, variant in enumerate(experiment.treatments):
            at = line, 0, t
            numbers = [float(column[at]) for column in (found.lift, low, high)]
            if np.isfinite(numbers).all():
                lift, bottom, top = numbers
                points.append(PathPoint(variant=variant, until=counted.until, lift=lift, low=bottom, high=top))
    return points
