"""Arrow schemas of the contracts: the same fields, in the same order, as the lake stores them."""

import types
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import orjson
import pyarrow as pa
from pydantic import AwareDatetime

from onlineeval_dagster.contracts.base import Contract

INSTANT = pa.timestamp("us", tz="UTC")
_PLAIN: dict[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    AwareDatetime: INSTANT,
}


@cache
def arrow_schema(contract: type[Contract]) -> pa.Schema:
    """The Arrow schema of a contract: one field each, nullable where it allows None. JSON maps and lists are text."""
    return pa.schema([_field(name, info.annotation) for name, info in contract.model_fields.items()])


def to_table(rows: list[Contract], contract: type[Contract]) -> pa.Table:
    """Contracts as an Arrow table; shape (len(rows), number of fields)."""
    schema = arrow_schema(contract)
    columns = [[_plain(getattr(row, name)) for row in rows] for name in schema.names]
    return pa.table(columns, schema=schema)


def from_table(table: pa.Table, contract: type[Contract]) -> list[Any]:
    """Rows of an Arrow table as contracts; columns the contract does not know are left out."""
    known = [name for name in table.column_names if name in contract.model_fields]
    json = [name for name in known if get_origin(contract.model_fields[name].annotation) in (dict, list)]
    return [contract.model_validate(_parsed(row, json)) for row in table.select(known).to_pylist()]


def _parsed(row: dict[str, Any], names: list[str]) -> dict[str, Any]:
    for name in names:
        row[name] = orjson.loads(row[name])
    return row


def _plain(value: Any) -> Any:
    return orjson.dumps(value).decode() if isinstance(value, dict | list) else value


def _field(name: str, annotation: Any) -> pa.Field:
    kind, nullable = _unwrapped(annotation)
    return pa.field(name, kind, nullable=nullable)


def _unwrapped(annotation: Any) -> tuple[pa.DataType, bool]:
    origin = get_origin(annotation)
    if origin is Annotated:
        return _unwrapped(get_args(annotation)[0])
    if origin in (Union, types.UnionType):
        inner = [part for part in get_args(annotation) if part is not type(None)]
        return _unwrapped(inner[0])[0], True
    if origin is Literal:
        return pa.string(), False
    if origin in (dict, list):
        return pa.string(), False
    return _PLAIN[annotation], False
