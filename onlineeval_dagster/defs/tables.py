"""What Dagster shows of a table: description, owner, kinds, columns, and the days a run touched."""

from collections.abc import Collection
from datetime import date

import dagster as dg

from onlineeval_dagster.contracts.base import Contract
from onlineeval_dagster.contracts.tables import TABLES, Table

# Partitions are for the eye and for backfills; the lake holds whatever days there are.
DAYS = dg.DailyPartitionsDefinition(start_date="2023-01-01", end_offset=1)
FULL = "onlineeval/full_check"
"""Tag of a run whose checks and dbt tests read every day, not the touched ones."""
RETRIES = dg.RetryPolicy(max_retries=2, delay=5, backoff=dg.Backoff.EXPONENTIAL)


def table_spec(name: str, *, group: str, deps: Collection[str] = (), by_day: bool = False) -> dg.AssetSpec:
    """The asset of one table of the lake."""
    table = TABLES[name]
    return dg.AssetSpec(
        key=name,
        description=f"{table.description}\n\nContract:\n\n{table.contract.__doc__}",
        group_name=group,
        owners=[table.owner],
        kinds={"delta", "parquet"},
        deps=list(deps),
        partitions_def=DAYS if by_day else None,
        metadata={
            "dagster/column_schema": columns(table),
            "dagster/table_name": f"lake.{name}",
            "key": ", ".join(table.key),
        },
    )


def columns(table: Table) -> dg.TableSchema:
    """The table's columns as Dagster shows them, explained by the contract's own docstring."""
    notes = _notes(table.contract)
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                field.name,
                str(field.type),
                description=notes.get(field.name),
                constraints=dg.TableColumnConstraints(nullable=field.nullable),
            )
            for field in table.schema
        ]
    )


def _notes(contract: type[Contract]) -> dict[str, str]:
    """What a contract and its bases say of each field: lines such as `low, high   null exactly when …`."""
    notes: dict[str, str] = {}
    for kind in reversed(contract.__mro__):
        for line in (kind.__doc__ or "").splitlines():
            names, gap, note = line.strip().partition("  ")
            if gap and all(name.strip() in contract.model_fields for name in names.split(",")):
                notes |= {name.strip(): note.strip() for name in names.split(",")}
    return notes


def backfill_days(context: dg.AssetExecutionContext) -> list[date] | None:
    """The days a backfill asks for; None in a tick, where the lake says what changed."""
    if not context.has_partition_key and not context.has_partition_key_range:
        return None
    return [date.fromisoformat(key) for key in context.partition_keys]


def tell_days(context: dg.AssetExecutionContext, key: str, days: Collection[date]) -> None:
    """Report the days a tick rewrote as partitions, so that the UI shows what is there."""
    for day in sorted(days):
        context.log_event(dg.AssetMaterialization(asset_key=key, partition=day.isoformat()))


def listed(days: Collection[date]) -> str:
    """`2026-11-01 … 2026-11-14 (14 days)`, or none."""
    if not days:
        return "none"
    first, last = min(days), max(days)
    return f"{first}" if first == last else f"{first} … {last} ({len(days)} days)"
