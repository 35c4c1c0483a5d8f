"""Try a catalog's metrics on an empty table, so that a mistake is named before a run meets it."""

from difflib import get_close_matches

import duckdb

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.lake.scan import scratch
from onlineeval_dagster.warehouse.duckdb import dbt_vars_of

_FIXED = {
    "response_id": "varchar",
    "day": "date",
    "occurred_at": "timestamptz",
    "received_at": "timestamptz",
    "environment": "varchar",
    "app": "varchar",
    "session_id": "varchar",
    "user_id": "varchar",
    "user_key": "varchar",
    "prompt_version": "varchar",
    "variant": "varchar",
    "model": "varchar",
    "provider": "varchar",
    "latency_ms": "double",
    "input_tokens": "bigint",
    "output_tokens": "bigint",
    "cost_usd": "double",
    "finish_reason": "varchar",
    "is_error": "boolean",
    "device": "varchar",
    "location": "varchar",
    "language": "varchar",
    "new_user": "boolean",
    "implicit_signals": "bigint",
    "explicit_signals": "bigint",
    "explicit_score": "double",
    "automated_signals": "bigint",
    "labels": "bigint",
}
_OF_A_SIGNAL = {"score": "double", "seen": "boolean"}
_OF_A_JUDGE = {
    "version": "varchar",
    "stratum": "varchar",
    "probability": "double",
    "state": "varchar",
    "score": "double",
    "good": "boolean",
}

_NO_NUMBERS = ("VARCHAR", "DATE", "TIME", "INTERVAL", "BLOB")


def fact_columns(catalog: Catalog) -> dict[str, str]:
    """The columns of response_facts under this catalog, with their DuckDB types."""
    known = dbt_vars_of(catalog)
    columns = dict(_FIXED)
    for signal in known["signals"]:
        columns |= {f"{signal}_{part}": kind for part, kind in _OF_A_SIGNAL.items()}
    for judge in known["judges"]:
        columns |= {f"{judge['column']}_{part}": kind for part, kind in _OF_A_JUDGE.items()}
    return columns


def check_metrics(catalog: Catalog) -> None:
    """Raises CatalogError naming the first metric whose SQL does not fit response_facts, and the columns near it."""
    columns = fact_columns(catalog)
    with scratch() as connection:
        listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        connection.execute(f"create temp table response_facts ({listed})")
        for name, metric in catalog.metrics.metrics.items():
            value = "boolean" if metric.kind == "rate" else "double"
            parts = {"numerator": value, "denominator": "boolean", "filter": "boolean"}
            for part, kind in parts.items():
                _try(connection, columns, f"metrics.{name}.{part}", getattr(metric, part), kind)


def _try(connection: duckdb.DuckDBPyConnection, columns: dict[str, str], place: str, sql: str, kind: str) -> None:
    try:
        connection.execute(f"select ({sql})::{kind} from response_facts")
        found = connection.execute(f"describe select ({sql}) as value from response_facts").fetchone()
    except duckdb.Error as error:
        words = [word.strip("\"'`()") for word in str(error).split()]
        unknown = next((word for word in words if word.isidentifier() and "_" in word and word not in columns), "")
        near = get_close_matches(unknown, columns, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "the columns are those of response_facts"
        first = str(error).splitlines()[0]
        raise CatalogError(f"metrics.toml: {place} {sql!r} does not work: {first}; {hint}") from error
    # Without rows every cast succeeds; with the first one a text or a time that is no number would not.
    if found and str(found[1]).startswith(_NO_NUMBERS):
        owed = "true or false" if kind == "boolean" else "a number"
        raise CatalogError(f"metrics.toml: {place} {sql!r} is {found[1]} and has to be {owed}; compare or convert it")
