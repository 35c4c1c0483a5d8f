"""Batches for detectors: the columns they ask for, typed as the lake gives them, null where a test says nothing."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from onlineeval_dagster.signals.detectors.interface import COLUMNS


def batch(needs: Iterable[str], **columns: Sequence[Any] | np.ndarray) -> pa.Table:
    """`response_id` r0, r1, … and the columns of `needs`, of the length that the given ones have."""
    count = max(len(values) for values in columns.values())
    given = {name: columns.get(name, [None] * count) for name in needs}
    ids = pa.array([f"r{place}" for place in range(count)], pa.string())
    types = {name: COLUMNS.field(name).type for name in given}
    return pa.table({"response_id": ids} | {name: pa.array(given[name], types[name]) for name in given})
