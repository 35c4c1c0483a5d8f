"""The suites catch each kind of broken row, pass whole ones, and read no text."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.quality.progress import checked_through, passed
from onlineeval_dagster.quality.run import check_rows, check_table
from onlineeval_dagster.quality.suite import TEXT_COLUMNS, checked_columns, suite
from tests.worlds import NOON

DAY = NOON.date()
EVENT = {
    **{"event_id": "e", "occurred_at": NOON, "received_at": NOON, "environment": "production", "app": "shop"},
    **{"log_segment": "s", "log_offset": 0},
}
WHOLE: dict[str, dict[str, Any]] = {
    "responses": EVENT | {"kind": "response", "response_id": "r1", "latency_ms": 900.0, "input_tokens": 5},
    "verdicts": EVENT
    | {"kind": "verdict", "response_id": "r1", "axis": "tone", "judge": "tone", "judge_version": "v"}
    | {"replicate": 0, "attempt": 0, "score": 3.0, "inclusion_probability": 0.1},
    "ingested_parts": {"batch": 1, "log_segment": "s", "start_offset": 0, "end_offset": 9, "ingested_at": NOON}
    | {"lines": 3, "accepted": 2, "bad": 1},
    "signals": {"response_id": "r1", "response_at": NOON, "signal": "copy", "kind": "implicit", "score": 0.8}
    | {"flagged": False, "version": "v", "occurred_at": NOON, "arrived_at": NOON},
    "selections": {"response_id": "r1", "response_at": NOON, "judge": "tone", "axis": "tone", "judge_version": "v"}
    | {"stratum": "normal", "inclusion_probability": 0.1, "state": "selected", "policy_version": "p"}
    | {"selected_at": NOON},
    "metric_points": {"metric": "copied", "judge_version": "none", "grain": "day", "window_start": NOON, "slice": "all"}
    | {"slice_value": "all", "metric_version": "m", "population": 9, "n": 9, "value": 0.5, "low": 0.4, "high": 0.6}
    | {"estimand": "product"},
    "rolling_points": {"metric": "latency", "minutes": 5, "last_minute": NOON, "slice": "all", "slice_value": "all"}
    | {"metric_version": "m", "n": 90, "value": 800.0, "low": 700.0, "high": 900.0, "estimand": "product"},
    "minute_counts": {"window_start": NOON, "environment": "production", "app": "shop", "prompt_version": "p1"}
    | {"responses": 4, "errors": 1},
}
BROKEN: list[tuple[str, dict[str, Any], str]] = [
    ("selections", {"inclusion_probability": 1.5}, "inclusion_probability"),
    ("selections", {"inclusion_probability": 0.0}, "inclusion_probability"),
    ("selections", {"state": "maybe"}, "state"),
    ("selections", {"response_id": None}, "response_id"),
    ("responses", {"latency_ms": -1.0}, "latency_ms"),
    ("responses", {"input_tokens": -5}, "input_tokens"),
    ("responses", {"response_id": ""}, "response_id"),
    ("responses", {"response_id": "x" * 300}, "response_id"),
    ("responses", {"environment": None}, "environment"),
    ("signals", {"score": 1.2}, "score"),
    ("signals", {"kind": "guess"}, "kind"),
    ("signals", {"flagged": None}, "flagged"),
    ("ingested_parts", {"bad": 2}, "accepted"),
    ("metric_points", {"low": 0.7, "high": 0.6}, "high"),
    ("metric_points", {"population": -1}, "population"),
    ("metric_points", {"grain": "month"}, "grain"),
    ("metric_points", {"days_covered": 8}, "days_covered"),
    ("rolling_points", {"minutes": 0}, "minutes"),
    ("rolling_points", {"low": 950.0}, "high"),
    ("minute_counts", {"errors": 5}, "errors"),
    ("minute_counts", {"responses": 0, "errors": 0}, "responses"),
    ("verdicts", {"inclusion_probability": 2.0}, "inclusion_probability"),
    ("verdicts", {"attempt": -1}, "attempt"),
]


def stored(name: str, *rows: dict[str, Any]) -> pd.DataFrame:
    """Rows as they come out of the lake; a null column is no mistake there."""
    schema = pa.schema([field.with_nullable(True) for field in TABLES[name].schema])
    table = pa.Table.from_pylist([{"day": DAY, **row} for row in rows], schema).select(checked_columns(name))
    frame = table.to_pandas()
    if name == "ingested_parts":
        frame["minus_lines"] = -frame["lines"]
    return frame


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_row_passes(name: str) -> None:
    assert check_rows(name, stored(name, WHOLE[name])).failures == ()


@pytest.mark.parametrize(("name", "change", "told"), BROKEN, ids=lambda part: str(part)[:40])
def test_a_broken_row_is_caught_and_its_column_named(name: str, change: dict[str, Any], told: str) -> None:
    outcome = check_rows(name, stored(name, WHOLE[name] | change))
    assert not outcome.passed
    assert any(told in line for line in outcome.failures), outcome.failures


@pytest.mark.parametrize("name", WHOLE)
def test_a_row_that_stands_there_twice_is_caught(name: str) -> None:
    outcome = check_rows(name, stored(name, WHOLE[name], WHOLE[name]))
    assert any("unique" in line for line in outcome.failures)


@pytest.mark.parametrize("name", TABLES)
def test_every_table_has_a_unique_key_and_no_expectation_about_text(name: str) -> None:
    expectations = suite(name)
    assert any("unique" in expectation["type"] for expectation in expectations)
    columns = {
        str(value) for expectation in expectations for key, value in expectation.items() if "column" in key.lower()
    }
    assert not columns & TEXT_COLUMNS


@pytest.mark.parametrize("name", ["verdicts", "labels", "exposures", "selections"])
def test_every_chance_of_inclusion_lies_in_0_1(name: str) -> None:
    column = "propensity" if name == "exposures" else "inclusion_probability"
    (limits,) = [e for e in suite(name) if e.get("column") == column and "between" in e["type"]]
    assert (limits["min_value"], limits["strict_min"], limits["max_value"]) == (0, True, 1)


def test_a_missing_column_is_caught() -> None:
    outcome = check_rows("signals", stored("signals", WHOLE["signals"]).drop(columns="version"))
    assert any("version" in line for line in outcome.failures)


def test_no_rows_are_no_failure() -> None:
    assert check_rows("signals", stored("signals", WHOLE["signals"]).iloc[:0]).passed


def test_only_the_days_asked_for_are_read(tmp_path: Path) -> None:
    lake, other = Lake(tmp_path), DAY + timedelta(days=1)
    rows = [WHOLE["selections"] | {"day": DAY}, WHOLE["selections"] | {"day": other, "inclusion_probability": 7.0}]
    lake.append("selections", pa.Table.from_pylist(rows, TABLES["selections"].schema))
    assert check_table(lake, "selections", {DAY}).failures == ()
    assert not check_table(lake, "selections", {other}).passed
    assert check_table(lake, "selections").rows == 2


def test_a_version_is_remembered_by_table(tmp_path: Path) -> None:
    assert checked_through(tmp_path, "signals") is None
    passed(tmp_path, "signals", 4)
    passed(tmp_path, "actions", 2)
    assert (checked_through(tmp_path, "signals"), checked_through(tmp_path, "actions")) == (4, 2)
    assert [file.name for file in tmp_path.iterdir()] == ["checked.json"]
