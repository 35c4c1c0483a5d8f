"""Moments: what SQL hands over of a stratified sample of clustered responses, and their reference in numpy.

Within a stratum every response has the same chance to be judged: where the rate changed, there are two strata.
A *group* is one metric in one window of one slice, a *cell* is one stratum of a group. With N responses of which
N_h in stratum h, n_h of these judged with mean ybar_h, and shares W_h = N_h / N, the estimate is
ybar = sum_h W_h ybar_h. A user j has N_hj responses, n_hj judged ones and their sum t_hj, and moves the estimate by

    z_j = within_j + between_j                                  (Taylor linearisation, Särndal et al. 1992, 5.5)
    within_j  = sum_h W_h (t_hj - ybar_h n_hj) / n_h            what the user's judged responses say
    between_j = sum_h (ybar_h - ybar) N_hj / N                  how the user shifts the shares of the strata

so that sum_j z_j^2 is the variance of the estimate, clustered by user, across strata and with random shares.
The same in SQL: tests/metrics/moments.sql; the tests hold the two equal.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]

CELL_COLUMNS = ("population", "n", "total", "total_squares", "size_squares", "residual_squares")
GROUP_COLUMNS = ("users", "weight_squares", "influence_squares", "influence_fourths")


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Columns over C cells and G groups; every group has a cell, cells with population 0 do not exist.

    cell_group         (C,) position of the cell's group, 0 <= . < G, in any order
    population         (C,) N_h, eligible responses, judged or not
    n                  (C,) n_h, judged responses; the columns below count these, and are 0 where n is 0
    total              (C,) sum of y
    total_squares      (C,) sum of y^2
    size_squares       (C,) sum over users of n_hj^2
    residual_squares   (C,) sum over users of (t_hj - ybar_h n_hj)^2
    users              (G,) distinct users with a judged response, in any stratum
    weight_squares     (G,) sum over users of (sum_h W_h n_hj / n_h)^2; 1 / it is the effective number of users
    influence_squares  (G,) sum over users of z_j^2
    influence_fourths  (G,) sum over users of z_j^4: how far the variance hangs on a few users
    lost               (C,) responses that were drawn and have no value for good: failed and shed

    Where n_h is 0, ybar_h is taken as ybar, the mean over the judged strata. Rows add up, users do not: a user's
    rows of a group must be summed before squaring, so moments of two windows cannot be added.
    """

    cell_group: Indices
    population: Floats
    n: Floats
    total: Floats
    total_squares: Floats
    size_squares: Floats
    residual_squares: Floats
    users: Floats
    weight_squares: Floats
    influence_squares: Floats
    influence_fourths: Floats
    lost: Floats

    @property
    def groups(self) -> int:
        return len(self.users)

    def sum_of_cells(self, column: Floats) -> Floats:
        """Add a column of cells up to a column of groups."""
        return sums(self.cell_group, column, self.groups)


def sums(position: Indices, column: Floats, length: int) -> Floats:
    """Add up a column by position, into `length` sums."""
    return np.asarray(np.bincount(position, weights=column, minlength=length), dtype=np.float64)


def moments_from_cells(cell_group: ArrayLike, columns: Mapping[str, ArrayLike]) -> Moments:
    """Moments from the one table that SQL delivers: a row a cell, the group's columns repeated on each of its cells.

    `cell_group` numbers the groups from 0 without gaps: `np.unique(key, return_inverse=True)[1]` of their keys. Without
    a column `lost` nothing was.
    """
    position = np.asarray(cell_group, dtype=np.int64)
    cells = {name: np.asarray(columns[name], dtype=np.float64) for name in CELL_COLUMNS}
    _, first = np.unique(position, return_index=True)
    groups = {name: np.asarray(columns[name], dtype=np.float64)[first] for name in GROUP_COLUMNS}
    lost = np.asarray(columns.get("lost", np.zeros(len(position))), dtype=np.float64)
    return Moments(cell_group=position, **cells, **groups, lost=lost)


def moments_from_rows(group: ArrayLike, stratum: ArrayLike, user: ArrayLike, value: ArrayLike) -> Moments:
    """Moments of rows, one an eligible response, NaN where it was not judged. Groups are in the order of their keys.

    The reference for the SQL, and the way from a simulation to an estimate. Cells are ordered by group and stratum.
    """
    y = np.asarray(value, dtype=np.float64)
    judged = ~np.isnan(y)
    y = np.where(judged, y, 0.0)
    group_at, groups = _codes(group)
    stratum_at, strata = _codes(stratum)
    user_at, _ = _codes(user)
    member_of_row = user_at * groups + group_at  # a user within a group
    # The only sort of all rows, fast when they come by user.
    _, row, part_at = np.unique(member_of_row * strata + stratum_at, return_index=True, return_inverse=True)
    member_of_part, _ = _codes(member_of_row[row])
    cell_of_part, cells = _codes(group_at[row] * strata + stratum_at[row])
    parts = len(row)
    cell_group = np.zeros(cells, dtype=np.int64)
    cell_group[cell_of_part] = group_at[row]
    return _moments(
        cell_group=cell_group,
        cell_of_part=cell_of_part,
        member_of_part=member_of_part,
        group_of_part=group_at[row],
        size=sums(part_at, np.ones(len(y)), parts),
        judged=sums(part_at, judged, parts),
        total=sums(part_at, y, parts),
        squares=sums(part_at, y * y, parts),
        shape=(cells, groups),
    )


def moments_from_parts(
    group: ArrayLike, stratum: ArrayLike, user: ArrayLike, columns: Mapping[str, ArrayLike]
) -> Moments:
    """Moments of parts, one for each user, or bucket of users, in a stratum of a group. Groups are ordered by key.

    columns  size: eligible responses; judged: those with a value; total, squares: of the values; lost: see Moments
    """
    group_at, groups = _codes(group)
    stratum_at, strata = _codes(stratum)
    user_at, _ = _codes(user)
    cell_at, cells = _codes(group_at * strata + stratum_at)
    member_at, _ = _codes(user_at * groups + group_at)
    cell_group = np.zeros(cells, dtype=np.int64)
    cell_group[cell_at] = group_at
    sized = {name: np.asarray(columns[name], dtype=np.float64) for name in ("size", "judged", "total", "squares")}
    made = _moments(
        cell_group=cell_group,
        cell_of_part=cell_at,
        member_of_part=member_at,
        group_of_part=group_at,
        shape=(cells, groups),
        **sized,
    )
    return replace(made, lost=sums(cell_at, np.asarray(columns["lost"], dtype=np.float64), cells))


def _codes(keys: ArrayLike) -> tuple[Indices, int]:
    """Number the distinct keys from 0 in their order."""
    values = np.asarray(keys)
    if values.dtype.kind == "i" and len(values) and values.min() >= 0 and values.max() < 4 * len(values):
        known = np.bincount(values) > 0  # without a sort
        return (np.cumsum(known) - 1)[values], int(known.sum())
    distinct, code = np.unique(values, return_inverse=True)
    return code.astype(np.int64, copy=False), len(distinct)


def _moments(
    *,
    cell_group: Indices,
    cell_of_part: Indices,
    member_of_part: Indices,
    group_of_part: Indices,
    size: Floats,
    judged: Floats,
    total: Floats,
    squares: Floats,
    shape: tuple[int, int],
) -> Moments:
    """Moments from parts: the rows of one user in one stratum of one group, summed."""
    cells, groups = shape

    def by_cell(column: Floats) -> Floats:
        return sums(cell_of_part, column, cells)

    def by_group(column: Floats) -> Floats:
        return sums(cell_group, column, groups)

    population, n = by_cell(size), by_cell(judged)
    share = population / by_group(population)[cell_group]
    mean = by_cell(total) / np.maximum(n, 1)
    overall = by_group(np.where(n > 0, share * mean, 0)) / np.maximum(by_group(np.where(n > 0, share, 0)), 1e-300)
    shift = np.where(n > 0, mean - overall[cell_group], 0) / by_group(population)[cell_group]
    per_judged = share / np.maximum(n, 1)

    residual = total - mean[cell_of_part] * judged
    members = int(member_of_part.max(initial=-1)) + 1
    group_of_member = np.zeros(members, dtype=np.int64)
    group_of_member[member_of_part] = group_of_part

    def by_member(column: Floats) -> Floats:
        return sums(member_of_part, column, members)

    def squared(column: Floats) -> Floats:
        return sums(group_of_member, column**2, groups)

    between = by_member(shift[cell_of_part] * size)
    within = by_member(per_judged[cell_of_part] * residual)
    return Moments(
        cell_group=cell_group,
        population=population,
        n=n,
        total=by_cell(total),
        total_squares=by_cell(squares),
        size_squares=by_cell(judged**2),
        residual_squares=by_cell(residual**2),
        users=squared((by_member(judged) > 0).astype(np.float64)),
        weight_squares=squared(by_member(per_judged[cell_of_part] * judged)),
        influence_squares=squared(within + between),
        influence_fourths=squared((within + between) ** 2),
        lost=np.zeros(cells),
    )
