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

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.review.cells import JudgedCells, LabelledCells
from onlineeval_dagster.review.prediction_powered import Floats, LabelMoments, Whole
from onlineeval_dagster.review.totals import BUCKETS, cells_sql, totals_sql
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
    """The moments and cells of each of `groups` in a window; `present` are those with a judged answer in it."""

    groups: tuple[Group, ...]
    moments: LabelMoments
    judged: JudgedCells
    labelled: LabelledCells

    @property
    def present(self) -> Whole:
        return np.flatnonzero(self.moments.judged_users)


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """All windows that end on one of the days [first, last], of one judge version. The first group is ALL.

    moments  by grain, of (day, group) in this order
    cells    (days, groups, scores, 5): the sums of `cells_sql` of each day
    """

    first: date
    groups: tuple[Group, ...]
    moments: Mapping[Grain, LabelMoments]
    cells: Floats

    @classmethod
    def read(
        cls, file: Path, catalog: Catalog, metric: Metric, judge: Judge, people: pa.Table, *, first: date, last: date
    ) -> Mapping[str, Self]:
        """Those of [first, last] by judge version, with the labels in `people` (PEOPLE_SQL)."""
        span = {"first": first, "last": last}
        totals, cells = (
            query(file, make(metric, judge, catalog.sampling.environments), span, people=people)
            for make in (totals_sql, cells_sql)
        )
        versions = sorted(set(cells.column("version").to_pylist()))
        scale = np.array(sorted(judge.scale), dtype=np.float64)
        of_each = ((version, pc.field("version") == version) for version in versions)
        return {
            version: cls.of(totals.filter(these), cells.filter(these), scale, first=first, last=last)
            for version, these in of_each
        }

    @classmethod
    def of(cls, totals: pa.Table, cells: pa.Table, scale: Floats, *, first: date, last: date) -> Self:
        """From rows of `totals_sql` and `cells_sql` of one version, and the judge's scores, ascending."""
        pairs = set(zip(*(cells.column(name).to_pylist() for name in ("slice", "slice_value")), strict=True))
        groups = (ALL, *sorted(pairs - {ALL}))
        days = (last - first).days + 1
        spread = np.zeros((days, len(groups), len(scale), 5))
        place = _days(cells, first), _groups(cells, groups), np.searchsorted(scale, _floats(cells, "cell"))
        for column in range(5):
            spread[*place, column] = _floats(cells, f"t_{column}")
        parts = [
            _moments(totals, groups, chosen, days, first)
            for chosen in np.array_split(np.arange(len(groups)), -(-len(groups) // _GROUPS_AT_ONCE))
        ]
        moments: dict[Grain, LabelMoments] = {
            grain: _side_by_side([part[grain] for part in parts], days) for grain in GRAINS
        }
        return cls(first=first, groups=groups, moments=moments, cells=spread)

    def at(self, grain: Grain, day: date) -> Window:
        """The window of a grain that ends with `day`."""
        end = (day - self.first).days
        begin = max(end - {"day": 0, "week": day.weekday(), "days28": DAYS - 1}[grain], 0)
        moments = self.moments[grain].take(np.arange(len(self.groups)) + end * len(self.groups))
        judged, labelled = _cells(self.cells[begin : end + 1].sum(axis=0), moments)
        return Window(groups=self.groups, moments=moments, judged=judged, labelled=labelled)


def _moments(
    table: pa.Table, groups: tuple[Group, ...], chosen: Whole, days: int, first: date
) -> dict[Grain, LabelMoments]:
    """Of the groups at `chosen`, by grain, of (day, group)."""
    group = _groups(table, groups)
    these = np.flatnonzero((group >= chosen[0]) & (group <= chosen[-1]))
    totals = np.zeros((days, len(chosen), BUCKETS, 6))
    place = _days(table, first)[these], group[these] - chosen[0], table.column("bucket").to_numpy()[these]
    for column in range(6):
        totals[*place, column] = _floats(table, f"t_{column}")[these]
    windows = {"day": iter(totals), "week": _weeks(totals, first), "days28": _of_28_days(totals, first)}
    return {grain: _side_by_day([LabelMoments.of_buckets(one) for one in each]) for grain, each in windows.items()}  # type: ignore[misc]


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


def _side_by_day(parts: list[LabelMoments]) -> LabelMoments:
    return LabelMoments(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in _FIELDS})


def _side_by_side(parts: list[LabelMoments], days: int) -> LabelMoments:
    """Moments of (day, group) of some groups each, as those of all groups."""

    def joined(name: str) -> Floats:
        columns = [getattr(part, name) for part in parts]
        split = [column.reshape(days, -1, *column.shape[1:]) for column in columns]
        return np.concatenate(split, axis=1).reshape(-1, *columns[0].shape[1:])

    return LabelMoments(**{name: joined(name) for name in _FIELDS})  # type: ignore[arg-type]


_FIELDS = tuple(LabelMoments.__dataclass_fields__)


def _cells(summed: Floats, moments: LabelMoments) -> tuple[JudgedCells, LabelledCells]:
    """From the sums of `cells_sql` (groups, scores, 5)."""
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


def _days(table: pa.Table, first: date) -> Whole:
    since_1970 = first.toordinal() - date(1970, 1, 1).toordinal()
    return table.column("day").cast(pa.int32()).to_numpy().astype(np.int64) - since_1970


def _groups(table: pa.Table, groups: tuple[Group, ...]) -> Whole:
    """Each row's place in `groups`."""
    named = [table.column(name).combine_chunks().dictionary_encode() for name in ("slice", "slice_value")]
    codes = [column.indices.to_numpy() for column in named]
    slices, values = (column.dictionary.to_pylist() for column in named)
    places = {group: place for place, group in enumerate(groups)}
    found = np.array([[places.get((one, other), -1) for other in values] for one in slices], dtype=np.int64)
    return found.reshape(len(slices), len(values))[codes[0], codes[1]]


def _floats(table: pa.Table, name: str) -> Floats:
    return table.column(name).cast(pa.float64()).to_numpy()
