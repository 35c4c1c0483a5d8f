"""Windows of days over judged answers: each day, its calendar week so far, its 28 days; moments and cells by slice.

totals by day and bucket ──▶ buckets of a window ──▶ LabelMoments ──┐
totals by day and judge's score ────────────────────▶ cells ────────┴▶ Window
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.review.cells import JudgedCells, LabelledCells
from onlineeval_dagster.review.label_moments import FIELDS, Floats, LabelMoments, Whole
from onlineeval_dagster.review.totals import BUCKETS, totals_sql
from onlineeval_dagster.warehouse.duckdb import query

Group = tuple[str, str]
"""Slice and its value; `ALL` is everything."""

Grain = Literal["day", "week", "days28"]

GRAINS: tuple[Grain, ...] = ("days28", "week", "day")
ALL: Group = ("all", "all")
DAYS = 28
_GROUPS_AT_ONCE = 16  # of 91 and 28 days: 90 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The moments and cells of each of `groups` in a window; `present` are those with a judged answer in it.

    passing  (scores,): those of the judge's scores that are good
    """

    groups: tuple[Group, ...]
    moments: LabelMoments
    judged: JudgedCells
    labelled: LabelledCells
    passing: NDArray[np.bool_]

    @property
    def present(self) -> Whole:
        return np.flatnonzero(self.moments.judged_users)


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """All windows that end on one of the days [first, last], of one judge version. The first group is ALL.

    moments  by grain, of (day, group) in this order
    cells    (days, groups, scores, 5): the sums of `totals_sql` of each day and judge's score
    """

    first: date
    groups: tuple[Group, ...]
    moments: Mapping[Grain, LabelMoments]
    cells: Floats
    passing: NDArray[np.bool_]

    @classmethod
    def read(
        cls, file: Path, catalog: Catalog, metric: Metric, judge: Judge, people: pa.Table, *, first: date, last: date
    ) -> Mapping[str, Self]:
        """Those of [first, last] by judge version, with the labels in `people` (PEOPLE_SQL)."""
        span = {"first": first, "last": last}
        totals = query(file, totals_sql(metric, judge, catalog.sampling.environments), span, people=people)
        versions = totals.column("version").unique().to_pylist()
        of_each = (
            (version, totals.filter(pc.field("version") == version) if len(versions) > 1 else totals)
            for version in sorted(versions)
        )
        return {version: cls.of(these, judge, first=first, last=last) for version, these in of_each}

    @classmethod
    def of(cls, totals: pa.Table, judge: Judge, *, first: date, last: date) -> Self:
        """From rows of `totals_sql` of one version of a judge."""
        scale = np.array(sorted(judge.scale), dtype=np.float64)
        rows = _Rows.of(totals, first)
        days = (last - first).days + 1
        spread = np.zeros((days, len(rows.groups), len(scale), 5))
        cells = np.flatnonzero(rows.is_cell)
        place = rows.day[cells], rows.group[cells], np.searchsorted(scale, rows.part[cells])
        for column in range(5):
            spread[*place, column] = rows.sums[column][cells]
        parts = [
            _moments(rows, chosen, days, first)
            for chosen in np.array_split(np.arange(len(rows.groups)), -(-len(rows.groups) // _GROUPS_AT_ONCE))
        ]
        moments: dict[Grain, LabelMoments] = {
            grain: _side_by_side([part[grain] for part in parts], days) for grain in GRAINS
        }
        return cls(first=first, groups=rows.groups, moments=moments, cells=spread, passing=scale >= judge.good_from)

    def at(self, grain: Grain, day: date) -> Window:
        """The window of a grain that ends with `day`."""
        end = (day - self.first).days
        begin = max(end - {"day": 0, "week": day.weekday(), "days28": DAYS - 1}[grain], 0)
        moments = self.moments[grain].take(np.arange(len(self.groups)) + end * len(self.groups))
        judged, labelled = cells_of(self.cells[begin : end + 1].sum(axis=0), moments)
        return Window(groups=self.groups, moments=moments, judged=judged, labelled=labelled, passing=self.passing)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """Rows of `totals_sql` as columns: day from 0, place in `groups`, bucket or judge's score, six sums."""

    groups: tuple[Group, ...]
    day: Whole
    group: Whole
    is_cell: np.ndarray
    part: Floats
    sums: tuple[Floats, ...]

    @classmethod
    def of(cls, totals: pa.Table, first: date) -> Self:
        groups, group = _groups(totals)
        since_1970 = first.toordinal() - date(1970, 1, 1).toordinal()
        return cls(
            groups=groups,
            day=totals.column("day").cast(pa.int32()).to_numpy().astype(np.int64) - since_1970,
            group=group,
            is_cell=totals.column("is_cell").to_numpy(),
            part=totals.column("part").to_numpy(),
            sums=tuple(totals.column(f"t_{column}").to_numpy() for column in range(6)),
        )


def _moments(rows: _Rows, chosen: Whole, days: int, first: date) -> dict[Grain, LabelMoments]:
    """Of the groups at `chosen`, by grain, of (day, group)."""
    these = np.flatnonzero((rows.group >= chosen[0]) & (rows.group <= chosen[-1]) & ~rows.is_cell)
    totals = np.zeros((days, len(chosen), BUCKETS, 6))
    place = rows.day[these], rows.group[these] - chosen[0], rows.part[these].astype(np.int64)
    for column in range(6):
        totals[*place, column] = rows.sums[column][these]
    windows = {"day": iter(totals), "week": _weeks(totals, first), "days28": _of_28_days(totals, first)}
    return {grain: LabelMoments.side_by_side(map(LabelMoments.of_buckets, each)) for grain, each in windows.items()}  # type: ignore[misc]


def _weeks(totals: Floats, first: date) -> Iterator[Floats]:
    """Each day's calendar week so far."""
    so_far = np.zeros_like(totals[0])
    for number, today in enumerate(totals):
        so_far = today if (first + timedelta(days=number)).weekday() == 0 else so_far + today
        yield so_far


def _of_28_days(totals: Floats, first: date) -> Iterator[Floats]:
    """Each day's last 28, by the end of one block of 28 days and the begin of the next (van Herk 1992).

    Blocks are those of the calendar and nothing is subtracted: a window's sum does not depend on where the span begins.
    """
    ends, so_far = np.zeros((DAYS + 1, *totals.shape[1:])), np.zeros_like(totals[0])
    for number, today in enumerate(totals):
        place = (first.toordinal() + number) % DAYS
        if place == 0:
            for back in range(1, DAYS):
                before = number - back
                ends[DAYS - back] = ends[DAYS - back + 1] + (totals[before] if before >= 0 else 0)
            so_far = today
        else:
            so_far = so_far + today
        yield so_far + ends[place + 1]


def _side_by_side(parts: list[LabelMoments], days: int) -> LabelMoments:
    """Moments of (day, group) of some groups each, as those of all groups."""

    def joined(name: str) -> Floats:
        columns = [getattr(part, name) for part in parts]
        split = [column.reshape(days, -1, *column.shape[1:]) for column in columns]
        return np.concatenate(split, axis=1).reshape(-1, *columns[0].shape[1:])

    return LabelMoments(**{name: joined(name) for name in FIELDS})  # type: ignore[arg-type]


def cells_of(summed: Floats, moments: LabelMoments) -> tuple[JudgedCells, LabelledCells]:
    """From the sums of judge's scores in `totals_sql`, (groups, scores, 5), and moments of the same groups: users."""
    weight, labelled, passed, labels, good = np.moveaxis(summed, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = weight / weight.sum(axis=1, keepdims=True)
        raw = moments.sums[:, 1] / moments.sums[:, 0]
    size = _effective(moments.sums[:, :2], moments.products[:, :2, :2], moments.judged_users)
    count = labels.sum(axis=1)
    # The labels' worth is spread over the cells as their weight is. No label is worth more than one.
    worth = np.fmin(_effective(moments.sums[:, 2:4], moments.products[:, 2:4, 2:4], moments.users), count)
    return (
        JudgedCells(share=share, size=size, raw=raw),
        LabelledCells(
            rate=passed / np.where(labelled > 0, labelled, 1),
            size=worth[:, None] * labelled / np.maximum(labelled.sum(axis=1, keepdims=True), 1e-300),
            labels=count.astype(np.int64),
            failed=np.round(count - good.sum(axis=1)).astype(np.int64),
        ),
    )


def _effective(sums: Floats, products: Floats, users: Whole) -> Floats:
    """How many independent answers a weighted rate is worth: p (1 - p) over its variance clustered by user.

    sums, products: of the weights and of the weighted outcomes. Where all outcomes are equal it is the users.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = sums[:, 1] / sums[:, 0]
        influence = np.stack([-rate, np.ones_like(rate)], axis=1) / sums[:, :1]
        variance = np.einsum("gi,gij,gj->g", influence, products, influence)
        return np.where(variance > 0, rate * (1 - rate) / variance, users.astype(np.float64))


def _groups(table: pa.Table) -> tuple[tuple[Group, ...], Whole]:
    """The groups, ALL first, then in order; and each row's place among them."""
    named = [table.column(name).combine_chunks().dictionary_encode() for name in ("slice", "slice_value")]
    slices, values = (column.dictionary.to_pylist() for column in named)
    codes, group = np.unique(
        named[0].indices.to_numpy().astype(np.int64) * len(values) + named[1].indices.to_numpy(), return_inverse=True
    )
    pairs = [(slices[code // len(values)], values[code % len(values)]) for code in codes.tolist()]
    groups = (ALL, *sorted(set(pairs) - {ALL}))
    places = {pair: place for place, pair in enumerate(groups)}
    return groups, np.array([places[pair] for pair in pairs], dtype=np.int64)[group.ravel()]
