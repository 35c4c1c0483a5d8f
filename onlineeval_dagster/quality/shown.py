"""Coverage as a person reads it: by hour and source, or by source for the last day."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.table import Table

from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows

_NUMBERS = {
    "received": "received",
    "ingested": "in the lake",
    "duplicate": "of them duplicates",
    "quarantined": "quarantined",
    "erased + taken_out": "erased or expired",
    "late": "late",
    "lost_by_sender": "lost by sender",
}
_SHARES = {"with_implicit": "implicit", "with_explicit": "explicit", "with_automated": "automated"}


def hours_shown(lake: Lake, *, since: datetime) -> Table | None:
    """One row an hour and source, newest first, from the hour of `since` on; None where nothing came in."""
    found = _sums(lake, "hour, source", since)
    table = Table(
        title="Lines by hour (UTC) and source; answers, and the share of them with … signals", title_justify="left"
    )
    for name in ("hour", "source", *_NUMBERS.values(), "answers", *_SHARES.values()):
        is_head = name in ("hour", "source")
        table.add_column(name, justify="left" if is_head else "right", no_wrap=is_head)
    for row in found:
        shares = (_share(row[name], row["responses"]) for name in _SHARES)
        answers = f"{row['responses']:,}"
        table.add_row(f"{row['hour']:%Y-%m-%d %H:%M}", row["source"], *_numbers(row), answers, *shares)
    return table if found else None


def sources_shown(lake: Lake, *, since: datetime, waiting: Mapping[str, int]) -> Table | None:
    """One row a source that was active since the hour of `since`; `waiting`: bytes not taken in yet, by source."""
    found = {row["source"]: row for row in _sums(lake, "source", since)}
    table = Table(title="Lines of the last 24 hours, by source", title_justify="left")
    for name in ("source", *_NUMBERS.values(), "waiting in the log"):
        table.add_column(name, justify="left" if name == "source" else "right", no_wrap=name == "source")
    for source in sorted(found.keys() | waiting):
        numbers = _numbers(found[source]) if source in found else ["0"] * len(_NUMBERS)
        table.add_row(source, *numbers, f"{waiting[source]:,} bytes" if source in waiting else "")
    return table if table.rows else None


def _sums(lake: Lake, by: str, since: datetime) -> list[dict[str, Any]]:
    sums = ", ".join(f'sum({name})::bigint as "{name}"' for name in (*_NUMBERS, "responses", *_SHARES))
    sql = (
        f"select {by}, {sums} from coverage where hour >= date_trunc('hour', timestamptz '{since.isoformat()}') "
        f"group by {by} order by {by.replace('hour', 'hour desc')}"
    )
    return rows(lake, sql, {"coverage": None}).to_pylist()


def _numbers(row: Mapping[str, Any]) -> list[str]:
    return [f"{row[name]:,}" for name in _NUMBERS]


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""
