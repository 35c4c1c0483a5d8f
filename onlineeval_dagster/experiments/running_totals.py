"""Units' totals that grow day by day, and their moments at each look: numpy over the daily totals that SQL hands over.

A look adds its days to what stands, so that fourteen looks cost little more than one. Units are worked on in groups,
which bounds the memory; moments of disjoint units add up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from onlineeval_dagster.experiments.moments import Bools, Floats, Whole

_UNTHREADED = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """A group of units, in the order of their numbers. several_day: from which day on in two arms; never is huge."""

    arm: Whole
    bucket: Whole
    met_day: Whole
    several_day: Whole

    def in_play(self, last: int) -> Bools:
        """Met before day `last`, in one arm alone."""
        return (self.met_day < last) & (self.several_day >= last) & (self.arm >= 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Additions by unit and day, by rising day; a unit once a day. values: (rows, columns)."""

    unit: Whole
    day: Whole
    values: Floats

    def days(self, first: int, last: int) -> list[slice]:
        """The rows of each day from `first` to before `last`."""
        edges = np.searchsorted(self.day, np.arange(first, last + 1))
        return [slice(a, b) for a, b in pairwise(edges) if b > a]


class Running:
    """Totals of one group of units so far: (units, columns), with the segments' values as codes, -1 unknown yet.

    The first column is 1.
    """

    def __init__(self, units: int, columns: int, segments: int) -> None:
        self.totals = np.zeros((units, columns))
        self.totals[:, 0] = 1.0
        self.codes = np.full((segments, units), -1, dtype=np.int64)

    def add(self, rows: Rows, codes: Sequence[Whole], *, place: slice, first: int, last: int) -> None:
        """The days from `first` to before `last`, into the columns `place`. The earliest known code of a unit stays."""
        for day in rows.days(first, last):
            unit = rows.unit[day]
            self.totals[unit, place] += rows.values[day]
            for of, code in zip(self.codes, codes, strict=True):
                new = of[unit] < 0
                of[unit[new]] = code[day][new]


def grams(totals: Floats, cell: Whole, cells: int) -> Floats:
    """(cells, columns, columns): sums over the units of each cell of the outer product of their totals."""
    if (np.diff(cell) < 0).any():
        order = np.argsort(cell, kind="stable")
        totals, cell = totals[order], cell[order]
    edges = np.searchsorted(cell, np.arange(cells + 1))
    return np.stack([_gram(totals[first:last]) for first, last in pairwise(edges)])


def _gram(totals: Floats) -> Floats:
    """By blocks too small for OpenBLAS to start threads: on busy cores these spin, and cost a hundredfold."""
    columns = totals.shape[1]
    block = max(1, _UNTHREADED // columns**2)
    whole = len(totals) // block * block
    blocks, rest = totals[:whole].reshape(-1, block, columns), totals[whole:]
    return (blocks.swapaxes(1, 2) @ blocks).sum(axis=0) + np.einsum("ni,nj->ij", rest, rest)


def bucketed(totals: Floats, columns: Sequence[int], bucket: Whole, buckets: int) -> Floats:
    """(buckets, n, n): the same by bucket, of a few columns."""
    found = np.zeros((buckets, len(columns), len(columns)))
    for i, first in enumerate(columns):
        for j, second in enumerate(columns[: i + 1]):
            sums = np.bincount(bucket, totals[:, first] * totals[:, second], buckets)
            found[:, i, j] = found[:, j, i] = sums
    return found
