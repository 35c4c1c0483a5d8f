"""Cells of the warehouse, numbered by group."""

import pyarrow as pa

from onlineeval_dagster.metrics.cells import codes


def test_rows_are_numbered_as_their_keys_order_them():
    table = pa.table({"metric": ["b", "a", "b", "a", None], "hour": [1, 2, 1, 1, 1]})
    assert codes(table, ["metric", "hour"]).argsort(kind="stable").tolist() == [3, 1, 0, 2, 4]
    assert len(set(codes(table, ["metric", "hour"]).tolist())) == 4


def test_keys_of_more_values_than_64_bits_hold_together_stay_apart():
    wide = {f"key_{number}": [f"{(row * (number + 1)) % 997}" for row in range(997)] for number in range(8)}
    assert len(set(codes(pa.table(wide), list(wide)).tolist())) == 997


def test_no_rows_have_no_numbers():
    assert len(codes(pa.table({"metric": pa.array([], pa.string())}), ["metric"])) == 0
