"""One window of one metric, read from the warehouse: moments of users, and cells of the judge's scores, by slice."""

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog, Metric
from onlineeval_dagster.review.cells import JudgedCells, LabelledCells
from onlineeval_dagster.review.prediction_powered import Floats, LabelMoments, Whole
from onlineeval_dagster.review.totals import cells_sql, moments_sql, rows_sql
from onlineeval_dagster.warehouse.duckdb import SLICES, query

Group = tuple[str, str]
"""Slice and its value; `("all", "all")` is everything."""

_GROUPS = ("all", *SLICES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The groups of a window in order, with their moments and cells."""

    groups: tuple[Group, ...]
    moments: LabelMoments
    judged_users: Whole
    judged: JudgedCells
    labelled: LabelledCells

    def place(self, group: Group) -> int | None:
        return self.groups.index(group) if group in self.groups else None

    @classmethod
    def read(
        cls, file: Path, catalog: Catalog, metric: Metric, judge: Judge, people: pa.Table, *, first: date, last: date
    ) -> Self:
        """The answers of [first, last] with the labels in `people` (PEOPLE_SQL) on them."""
        answers = rows_sql(metric, judge, catalog.sampling.environments)
        names = {"moments": moments_sql, "cells": cells_sql}
        moments, cells = (
            query(
                file,
                f"with {answers}, {', '.join(make(slice_name) for slice_name in _GROUPS)} "
                + " union all ".join(f"select * from {kind}_{slice_name}" for slice_name in _GROUPS)
                + " order by slice, slice_value",
                {"first": first, "last": last},
                people=people,
            )
            for kind, make in names.items()
        )
        groups = tuple(zip(*(moments.column(name).to_pylist() for name in ("slice", "slice_value")), strict=True))
        of_users = _moments(moments)
        judged, labelled = _cells(cells, groups, judge, of_users, judged_users := _whole(moments, "judged_users"))
        return cls(groups=groups, moments=of_users, judged_users=judged_users, judged=judged, labelled=labelled)


def _moments(table: pa.Table) -> LabelMoments:
    products = np.zeros((table.num_rows, 5, 5))
    for row in range(5):
        for column in range(row, 5):
            products[:, row, column] = products[:, column, row] = _floats(table, f"p_{row}_{column}")
    return LabelMoments(
        sums=np.stack([_floats(table, f"s_{place}") for place in range(5)], axis=1),
        products=products,
        labels=_whole(table, "labels"),
        users=_whole(table, "users"),
    )


def _cells(
    table: pa.Table, groups: tuple[Group, ...], judge: Judge, moments: LabelMoments, users: Whole
) -> tuple[JudgedCells, LabelledCells]:
    places = {group: place for place, group in enumerate(groups)}
    pairs = zip(table.column("slice").to_pylist(), table.column("slice_value").to_pylist(), strict=True)
    scale = np.array(sorted(judge.scale), dtype=np.float64)
    at = np.array([places[pair] for pair in pairs], dtype=np.int64), np.searchsorted(scale, _floats(table, "cell"))

    def spread(name: str) -> Floats:
        found = np.zeros((len(groups), len(scale)))
        np.add.at(found, at, _floats(table, name))
        return found

    weight, labelled, squares = spread("weight"), spread("labelled"), spread("squares")
    labels = spread("labels").sum(axis=1)
    judged = JudgedCells(
        share=weight / weight.sum(axis=1, keepdims=True),
        size=_effective(moments, users),
        passes=np.array([score >= judge.good_from for score in scale]),
    )
    return judged, LabelledCells(
        rate=spread("passed") / np.where(labelled > 0, labelled, 1),
        size=labelled**2 / np.where(squares > 0, squares, 1),
        labels=labels.astype(np.int64),
        failed=np.round(labels - spread("good").sum(axis=1)).astype(np.int64),
    )


def _effective(moments: LabelMoments, users: Whole) -> Floats:
    """How many independent verdicts a group's judged share is worth: p (1 - p) over its variance clustered by user.

    Where the judge gave one score to all, the users: a user's answers are alike.
    """
    weight, passed = moments.sums[:, 0], moments.sums[:, 1]
    rate = passed / weight
    of_judged = np.stack([-rate / weight, 1 / weight], axis=1)
    variance = np.einsum("gi,gij,gj->g", of_judged, moments.products[:, :2, :2], of_judged)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(variance > 0, rate * (1 - rate) / variance, users.astype(np.float64))


def _floats(table: pa.Table, name: str) -> Floats:
    return table.column(name).cast(pa.float64()).to_numpy()


def _whole(table: pa.Table, name: str) -> Whole:
    return table.column(name).cast(pa.int64()).to_numpy()
