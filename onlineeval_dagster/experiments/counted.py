"""What is counted of an experiment at a look."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Self

import numpy as np

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.experiments.moments import Floats, UnitMoments
from onlineeval_dagster.experiments.unit_sql import judge_of
from onlineeval_dagster.review.label_moments import LabelMoments

ALL = ("all", "all")

Group = tuple[str, str]
"""A segment's column and value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """One experiment up to `until`.

    moments    (metrics, segments, arms, K, K), arms in the order of the file, metrics as Experiment.metrics
    people     of the judged metrics, in that order too: groups are (judged metrics, segments, arms), flattened
    judging    (judges, segments, arms, 3, 3): answers whose judge failed, of those that were given to it
    buckets    (metrics, buckets, 3, 3): products of hashed units of all arms, for re-splits
    segments   `ALL` first
    units      of each arm, those of several arms left out
    answering  of these, units with an answer after their exposure
    several    units that met more than one arm
    versions   of the assignment that exposures told
    """

    moments: UnitMoments
    people: LabelMoments
    judging: UnitMoments
    buckets: Floats
    segments: tuple[Group, ...]
    units: tuple[int, ...]
    answering: tuple[int, ...]
    several: int
    versions: tuple[str, ...]
    until: datetime

    def of_segments(self, segments: Sequence[Group]) -> Self:
        """By these segments, in their order; one that is not here has no units. Buckets are of all."""
        arms, width = len(self.units), len(self.segments)
        known = [(place, self.segments.index(one)) for place, one in enumerate(segments) if one in self.segments]
        to, of = (np.array(places) for places in zip(*known, strict=True))

        def placed(column: Any, groups: int) -> Any:
            shaped = column.reshape(groups, width, arms, *column.shape[1:])
            found = np.zeros((groups, len(segments), *shaped.shape[2:]), dtype=column.dtype)
            found[:, to] = shaped[:, of]
            return found.reshape(-1, *column.shape[1:])

        def moments(one: UnitMoments) -> UnitMoments:
            found = np.zeros((one.products.shape[0], len(segments), *one.products.shape[2:]))
            found[:, to] = one.products[:, of]
            return UnitMoments(products=found)

        groups = len(self.people.labels) // (width * arms)
        people = {one.name: placed(getattr(self.people, one.name), groups) for one in fields(self.people)}
        return replace(
            self,
            segments=tuple(segments),
            moments=moments(self.moments),
            judging=moments(self.judging),
            people=LabelMoments(**people),
        )


def judged_metrics(catalog: Catalog, experiment: Experiment) -> tuple[str, ...]:
    """Metrics of the experiment that people's labels can correct, in its order."""
    known = catalog.metrics.metrics
    return tuple(name for name in experiment.metrics if judge_of(catalog, known[name]) is not None)
