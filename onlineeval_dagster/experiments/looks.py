"""From daily totals to what is counted at each look: which column means what, and moments by arm and segment."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.experiments.counted import ALL, Counted, Group, judged_metrics
from onlineeval_dagster.experiments.moments import Floats, UnitMoments, Whole
from onlineeval_dagster.experiments.running_totals import Rows, Running, Units, bucketed, grams
from onlineeval_dagster.experiments.unit_sql import BUCKETS, Sums
from onlineeval_dagster.review.label_moments import LabelMoments

NEVER = 2**31 - 1
_OF_LABELS = ("v", "vy", "vf", "labels")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Columns of a unit's totals, by name.

    summed    what SQL sums; added: those of labels, four a judged metric; derived: capped numerators and indicators
    blocks    of each metric 1, y, d and the covariates; judging: 1, failed, given to the judge
    people    of each judged metric w, w f, v, v y, v f; capped: (name, y, d) of metrics with a cap
    """

    arms: int
    segments: tuple[str, ...]
    summed: tuple[str, ...]
    added: tuple[str, ...]
    derived: tuple[str, ...]
    blocks: tuple[tuple[str, ...], ...]
    judging: tuple[tuple[str, ...], ...]
    people: tuple[tuple[str, ...], ...]
    capped: tuple[tuple[str, str, str], ...]

    @classmethod
    def of(cls, catalog: Catalog, experiment: Experiment, sums: Sums) -> "Layout":
        metrics, judged = catalog.metrics.metrics, judged_metrics(catalog, experiment)
        pairs = dict(zip(experiment.metrics, sums.metrics, strict=True))
        # A rate has no long tail, and no cap; neither has a quantile.
        is_capped = {
            name: experiment.winsorise < 1 and metrics[name].kind == "mean" and name not in experiment.quantiles
            for name in pairs
        }
        past = tuple(column for pair in sums.covariates for column in pair)
        capped = tuple((f"{name} capped", *pairs[name]) for name in pairs if is_capped[name])
        return cls(
            arms=len(experiment.variants),
            segments=tuple(experiment.segments),
            summed=("answers", *sums.columns),
            added=tuple(f"{one}_{place}" for place in range(len(judged)) for one in _OF_LABELS),
            derived=("is_answering", *(name for name, _, _ in capped)),
            blocks=tuple(("1", f"{name} capped" if is_capped[name] else y, d, *past) for name, (y, d) in pairs.items()),
            judging=tuple(("1", *pair) for pair in sums.judges),
            people=tuple(
                (pairs[name][1], pairs[name][0], *(f"{one}_{place}" for one in _OF_LABELS[:3]))
                for place, name in enumerate(judged)
            ),
            capped=capped,
        )

    def at(self, names: Sequence[str]) -> list[int]:
        """Places of columns among the constant and all others."""
        order = ("1", *self.summed, *self.added, *self.derived)
        return [order.index(name) for name in names]

    @property
    def width(self) -> int:
        return 1 + len(self.summed) + len(self.added) + len(self.derived)

    def label_moments(self, totals: Floats, cell: Whole, cells: int) -> LabelMoments:
        """By judged metric and cell, flattened."""
        labels = [totals[:, self.at([f"labels_{place}"])[0]].astype(np.int64) for place in range(len(self.people))]
        return LabelMoments.side_by_side(
            LabelMoments.of_users(totals[:, self.at(columns)], cell, labels=count, groups=cells)
            for columns, count in zip(self.people, labels, strict=True)
        )

    def derive(self, totals: Floats, caps: Sequence[float]) -> None:
        """Write the derived columns of `totals` anew."""

        def column(name: str) -> Floats:
            return totals[:, self.at([name])[0]]

        column("is_answering")[:] = column("answers") > 0
        for (name, y, d), cap in zip(self.capped, caps, strict=True):
            column(name)[:] = np.minimum(column(y), np.where(column(d) > 0, cap, 0.0) * column(d))


class UnitGroup:
    """Some units with all their daily totals, and how far they have been added up."""

    def __init__(self, layout: Layout, units: pa.Table, daily: pa.Table, labelled: Sequence[pa.Table]) -> None:
        self.layout = layout
        whole = {name: units.column(name).to_numpy().astype(np.int64) for name in units.column_names}
        low = int(whole.pop("unit_no")[0]) if len(units) else 0
        self.units = Units(**whole)
        self.daily = _rows(daily, layout.summed, low)
        self.labelled = [_rows(_between(one, low, low + len(units)), _OF_LABELS, low) for one in labelled]
        encoded = [daily.column(f"s_{name}").combine_chunks().dictionary_encode() for name in layout.segments]
        self.names = [one.dictionary.to_pylist() for one in encoded]
        self.codes = [one.indices.fill_null(-1).to_numpy().astype(np.int64) for one in encoded]
        self.running = Running(len(units), layout.width, len(layout.segments))

    def look(self, found: "Found", *, first: int, last: int, caps: Sequence[float], is_last: bool) -> None:
        """Add the days from `first` to before `last`, and what stands then to `found`; looks come in order."""
        base = 1 + len(self.layout.summed)
        self.running.add(self.daily, self.codes, place=slice(1, base), first=first, last=last)
        for place, rows in enumerate(self.labelled):
            at = base + len(_OF_LABELS) * place
            self.running.add(rows, (), place=slice(at, at + len(_OF_LABELS)), first=first, last=last)
        here, arms = self.units.in_play(last), self.layout.arms
        self.layout.derive(self.running.totals, caps)
        totals = self.running.totals if here.all() else self.running.totals[here]
        arm = self.units.arm[here]
        found.add([ALL], totals, arm)
        for name, values, codes in zip(self.layout.segments, self.names, self.running.codes, strict=True):
            # A code of -1 is the last value: nobody has said yet.
            cell = (codes[here] % (len(values) + 1)) * arms + arm
            found.add([(name, value) for value in (*values, "unknown")], totals, cell)
        found.several += int(((self.units.several_day < last) & (self.units.met_day < last)).sum())
        if is_last:
            each = [self.layout.at(block[:3]) for block in self.layout.blocks]
            of_bucket = self.units.bucket[here]
            found.buckets += np.stack([bucketed(totals, columns, of_bucket, BUCKETS) for columns in each])


def _rows(table: pa.Table, columns: Sequence[str], low: int) -> Rows:
    values = [table.column(name).to_numpy().astype(np.float64) for name in columns]
    return Rows(
        unit=table.column("unit_no").to_numpy().astype(np.int64) - low,
        day=table.column("day_no").to_numpy().astype(np.int64),
        values=np.column_stack(values),
    )


def _between(table: pa.Table, low: int, high: int) -> pa.Table:
    unit = table.column("unit_no").to_numpy()
    return table.filter(pa.array((unit >= low) & (unit < high)))


@dataclass(slots=True)
class Found:
    """What one look has found in the groups of units so far: products by arm, of labels by judged metric and arm."""

    layout: Layout
    by_group: dict[Group, Floats] = field(default_factory=dict)
    people: dict[Group, LabelMoments] = field(default_factory=dict)
    several: int = 0
    buckets: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.buckets = np.zeros((len(self.layout.blocks), BUCKETS, 3, 3))

    def add(self, groups: Sequence[Group], totals: Floats, cell: Whole) -> None:
        """Units' totals, each unit in the cell of its group and arm."""
        arms, cells = self.layout.arms, len(groups) * self.layout.arms
        found, people = grams(totals, cell, cells), self.layout.label_moments(totals, cell, cells)
        places = np.arange(len(people.labels)).reshape(-1, len(groups), arms)
        for group, gram, at in zip(
            groups, found.reshape(len(groups), arms, *found.shape[1:]), places.swapaxes(0, 1), strict=True
        ):
            if group == ALL or gram[:, 0, 0].any():
                is_new, more = group not in self.by_group, people.take(at.ravel())
                self.by_group[group] = gram if is_new else self.by_group[group] + gram
                self.people[group] = more if is_new else self.people[group] + more

    def counted(self, until: datetime, versions: tuple[str, ...]) -> Counted:
        layout, segments = self.layout, (ALL, *sorted(set(self.by_group) - {ALL}))
        whole = np.stack([self.by_group[group] for group in segments])
        heads = whole[0, :, 0][:, layout.at(["1", "is_answering"])]
        filled = self.buckets[0, :, 0, 0] > 0
        return Counted(
            moments=UnitMoments(products=_squares(whole, [layout.at(block) for block in layout.blocks])),
            people=self._people(segments),
            judging=UnitMoments(products=_squares(whole, [layout.at(block) for block in layout.judging])),
            buckets=self.buckets[:, filled],
            segments=segments,
            units=tuple(int(units) for units in heads[:, 0]),
            answering=tuple(int(units) for units in heads[:, 1]),
            several=self.several,
            versions=versions,
            until=until,
        )

    def _people(self, segments: Sequence[Group]) -> LabelMoments:
        """By judged metric, segment and arm, flattened."""
        people = LabelMoments.side_by_side(self.people[segment] for segment in segments)
        places = np.arange(len(people.labels)).reshape(len(segments), -1, self.layout.arms)
        return people.take(places.swapaxes(0, 1).ravel())


def _squares(whole: Floats, blocks: Sequence[list[int]]) -> Floats:
    """(blocks, segments, arms, 3, 3) of (segments, arms, columns, columns)."""
    if not blocks:
        return np.zeros((0, *whole.shape[:2], 3, 3))
    return np.stack([whole[..., block, :][..., block] for block in blocks])
