"""Run a suite over rows with Great Expectations, and say what failed in words."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Any

import pandas as pd

from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.quality.suite import Expectation, checked_columns, freshness, suite


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The outcome of a suite on `rows` rows: one line a failed expectation; none where all hold."""

    table: str
    rows: int
    expectations: int
    failures: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return not self.failures


# Eight expectations on a million rows take 0.8 s and some 300 MB.
_ROWS_AT_ONCE = 1_000_000


def check_table(lake: Lake, table: str, days: Collection[date] | None = None) -> Checked:
    """Check one table's rows of `days` (None: all of it), a million rows or one day at a time."""
    columns = ", ".join(f'"{name}"' for name in checked_columns(table))
    extra = ", coalesce(erased, 0) - lines as minus_lines" if table == "ingested_parts" else ""
    parts = [
        check_rows(table, rows(lake, f"select {columns}{extra} from {table}", {table: group}).to_pandas())
        for group in _groups(lake, table, days)
    ]
    return Checked(
        table=table,
        rows=sum(part.rows for part in parts),
        expectations=len(suite(table)),
        failures=tuple(dict.fromkeys(line for part in parts for line in part.failures)),
    )


def check_freshness(lake: Lake, table: str, *, now: datetime) -> Checked:
    """Check that the newest day of `table` has rows that are young enough; a table without rows passes."""
    expectations = freshness(table, now=now)
    last = max(lake.days(table), default=None)
    column = expectations[0]["column"]
    found = rows(lake, f"select max({column}) as {column} from {table}", {table: [] if last is None else [last]})
    frame = found.to_pandas().dropna()
    failures = () if frame.empty else tuple(_failures(frame, expectations))
    return Checked(table=table, rows=len(frame), expectations=1, failures=failures)


def _groups(lake: Lake, table: str, days: Collection[date] | None) -> list[list[date]]:
    groups: list[list[date]] = []
    size = 0
    for day, count in sorted(lake.rows_by_day(table, days).items()):
        if not groups or size + count > _ROWS_AT_ONCE:
            groups.append([])
            size = 0
        groups[-1].append(day)
        size += count
    return groups


def check_rows(table: str, frame: pd.DataFrame) -> Checked:
    """Check rows of one table, shape (rows, checked columns)."""
    expectations = suite(table)
    failures = () if frame.empty else tuple(_failures(frame, expectations))
    return Checked(table=table, rows=len(frame), expectations=len(expectations), failures=failures)


def _failures(frame: pd.DataFrame, expectations: list[Expectation]) -> list[str]:
    """A line for each expectation that does not hold."""
    # Whether all hold is asked at half the price of what a failure looks like.
    if not _failed(frame, expectations, "BOOLEAN_ONLY"):
        return []
    return [_in_words(outcome) for outcome in _failed(frame, expectations, "SUMMARY")]


def _failed(frame: pd.DataFrame, expectations: list[Expectation], result_format: str) -> list[Any]:
    from great_expectations import ExpectationSuite
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    gx_suite = ExpectationSuite(name="contract")
    for expectation in expectations:
        arguments = {name: value for name, value in expectation.items() if name != "type"}
        gx_suite.add_expectation_configuration(ExpectationConfiguration(type=expectation["type"], kwargs=arguments))
    batch = _rows().get_batch(batch_parameters={"dataframe": frame})
    outcomes = batch.validate(gx_suite, result_format=result_format).results
    return [outcome for outcome in outcomes if not outcome.success]


@cache
def _rows() -> Any:
    """Where Great Expectations takes a data frame from: one for all tables, as each costs 50 ms."""
    # The import takes 4 seconds and 250 MB: only where something is checked.
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return (
        context.data_sources.add_pandas("lake").add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    )


def _in_words(outcome: Any) -> str:
    config = outcome.expectation_config
    arguments = {name: value for name, value in config.kwargs.items() if name != "batch_id"}
    result = outcome.result or {}
    count = result.get("unexpected_count")
    examples = result.get("partial_unexpected_list", [])[:3]
    error = (outcome.exception_info or {}).get("exception_message")
    found = f"{count} rows, such as {examples}" if count else (error or str(result)[:200])
    return f"{config.type} {arguments}: {found}"
