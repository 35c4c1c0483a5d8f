"""Chance is a function of id and salt."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.sampling.chance import is_selected, unit_interval, unit_interval_sql


def test_python_and_duckdb_draw_the_same_number(tmp_path):
    names = ["r-1", "", "é🙂", "x" * 300, "it's"]
    values = ", ".join("('" + name.replace("'", "''") + "')" for name in names)
    for salt in ("cohort-1", "it's"):
        sql = f"select {unit_interval_sql('name', salt)} as chance from (values {values}) as names(name)"
        assert rows(Lake(tmp_path), sql, {}).column(0).to_pylist() == [unit_interval(name, salt) for name in names]


@given(st.text(max_size=50), st.floats(0.001, 1), st.floats(0.001, 1))
def test_raising_a_rate_only_adds(name, one, other):
    low, high = sorted((one, other))
    assert not is_selected(name, salt="s", rate=low) or is_selected(name, salt="s", rate=high)


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.5])
def test_about_the_rate_is_selected(rate):
    count = 20_000
    hits = sum(is_selected(f"r{number}", salt="cohort-1", rate=rate) for number in range(count))
    assert abs(hits / count - rate) < 4 * math.sqrt(rate * (1 - rate) / count)


def test_two_salts_are_independent():
    both = sum(
        is_selected(f"r{n}", salt="a", rate=0.5) and is_selected(f"r{n}", salt="b", rate=0.5) for n in range(9000)
    )
    assert abs(both / 9000 - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 9000)
