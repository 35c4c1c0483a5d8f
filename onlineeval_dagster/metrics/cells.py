"""Cells of moments out of the warehouse: read, numbered by group, in the order of their keys."""

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.lake.scan import literals
from onlineeval_dagster.metrics.moments import CELL_COLUMNS, GROUP_COLUMNS, Indices, Moments, moments_from_cells
from onlineeval_dagster.warehouse.duckdb import query


def read_cells(file: Path, relation: str, key: Sequence[str], metrics: Collection[str]) -> tuple[pa.Table, Moments]:
    """The cells of `metrics` in a relation of the warehouse, and the same as moments; a group is one `key`."""
    columns = ", ".join([*key, "stratum", *CELL_COLUMNS, *GROUP_COLUMNS, "coalesce(lost, 0) as lost"])
    cells = query(file, f"select {columns} from {relation} where metric in ({literals(metrics)})")
    # Numbered here: DuckDB's window over nine columns, most of them strings, took six times as long as the estimates.
    number = codes(cells, key)
    groups, position = np.unique(number, return_inverse=True)
    if len(groups) == len(cells):
        position = np.arange(len(cells))
    else:  # in a fixed order, so that the same cells give the same sums to the last digit
        order = np.lexsort((codes(cells, ["stratum"]), position))
        cells, position = cells.take(pa.array(order)), position[order]
    counted = (*CELL_COLUMNS, *GROUP_COLUMNS, "lost")
    numbers = {name: cells.column(name).cast(pa.float64()).to_numpy() for name in counted}
    return cells, moments_from_cells(position, numbers)


def codes(table: pa.Table, key: Sequence[str]) -> Indices:
    """A number for each row that orders rows as their `key` does, and is the same just where the key is."""
    number = np.zeros(len(table), dtype=np.int64)
    for name in key:
        column = table.column(name).combine_chunks().dictionary_encode(null_encoding="encode")
        order = np.empty(len(column.dictionary), dtype=np.int64)
        in_order = pc.array_sort_indices(column.dictionary)  # pyright: ignore[reportAttributeAccessIssue]  # made when pyarrow loads
        order[in_order.to_numpy()] = np.arange(len(column.dictionary))
        own = order[column.indices.to_numpy()] if len(column) else number
        number = number * max(len(order), 1) + own
        # Numbered anew, so that ten columns of many values do not run out of 64 bits.
        if number.max(initial=0) > 2**31:
            _, number = np.unique(number, return_inverse=True)
    return number
