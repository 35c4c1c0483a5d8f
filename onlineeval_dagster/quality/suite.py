"""Data-quality suites as data: what the contract says of a table, and what suites.toml adds."""

import tomllib
import types
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

from onlineeval_dagster.contracts.tables import TABLES

Expectation = dict[str, Any]

# Text columns are never read by a check: they are most of a table's bytes, and no expectation is about them.
TEXT_COLUMNS = frozenset(
    {
        *("query", "response", "context", "conversation", "reference", "attributes", "text", "rationale", "note"),
        *("description", "error"),
    }
)


def suite(table: str) -> list[Expectation]:
    """The expectations on one table of the lake, each a Great Expectations type with its arguments."""
    return [*_from_contract(table), *_from_file(table)]


def checked_columns(table: str) -> list[str]:
    """The columns that a check reads."""
    return [name for name in TABLES[table].schema.names if name not in TEXT_COLUMNS]


def fresh_tables() -> list[str]:
    """The tables that are expected to get new rows."""
    return list(_file()["freshness"])


def freshness(table: str, *, now: datetime) -> list[Expectation]:
    """That the newest row of `table` is young enough."""
    rule = _file()["freshness"][table]
    oldest = now - timedelta(hours=rule["hours"])
    return [{"type": "expect_column_max_to_be_between", "column": rule["column"], "min_value": oldest}]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedLimits:
    """The largest share of actions without a response that is no warning, of those older than `hours`."""

    share: float
    hours: float


def joined_limits() -> JoinedLimits:
    """The limits for actions that speak of no known response."""
    return JoinedLimits(**_file()["joined"])


def _from_file(table: str) -> list[Expectation]:
    return [dict(entry) for entry in _file().get(table, [])]


@cache
def _file() -> dict[str, Any]:
    text = files("onlineeval_dagster.quality").joinpath("suites.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def _from_contract(table: str) -> list[Expectation]:
    columns = checked_columns(table)
    expectations: list[Expectation] = [
        {"type": "expect_table_columns_to_match_set", "column_set": columns, "exact_match": False}
    ]
    schema, contract = TABLES[table].schema, TABLES[table].contract
    for name in columns:
        if not schema.field(name).nullable:
            expectations.append({"type": "expect_column_values_to_not_be_null", "column": name})
        if name in contract.model_fields:
            info = contract.model_fields[name]
            expectations += _limits(name, _constraints(info.annotation) + list(info.metadata))
            expectations += _words(name, info.annotation)
    return expectations


def _limits(column: str, constraints: list[Any]) -> list[Expectation]:
    limits: Expectation = {}
    for limit in constraints:
        if isinstance(limit, Ge):
            limits |= {"min_value": limit.ge}
        elif isinstance(limit, Gt):
            limits |= {"min_value": limit.gt, "strict_min": True}
        elif isinstance(limit, Le):
            limits |= {"max_value": limit.le}
        elif isinstance(limit, Lt):
            limits |= {"max_value": limit.lt, "strict_max": True}
    return [{"type": "expect_column_values_to_be_between", "column": column} | limits] if limits else []


def _constraints(annotation: Any) -> list[Any]:
    """The limits inside Annotated types, also those of an optional field."""
    if get_origin(annotation) is Annotated:
        inner, *extra = get_args(annotation)
        flat = [limit for item in extra for limit in getattr(item, "metadata", [item])]
        return [*_constraints(inner), *flat]
    if get_origin(annotation) in (Union, types.UnionType):
        return [limit for part in get_args(annotation) for limit in _constraints(part)]
    return []


def _words(column: str, annotation: Any) -> list[Expectation]:
    options = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    words = [word for option in options if get_origin(option) is Literal for word in get_args(option)]
    return [{"type": "expect_column_values_to_be_in_set", "column": column, "value_set": words}] if words else []
