"""The user's own logs as JSONL or Parquet: our event lines, OpenAI-style pairs, or flat rows, also mixed."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import EVENTS
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.sources.columns import Columns, absent_column
from onlineeval_dagster.sources.files import rows_of
from onlineeval_dagster.sources.flat import flat_events
from onlineeval_dagster.sources.openai_pairs import is_pair, pair_events
from onlineeval_dagster.sources.rows import BadRow, Defaults, Row, Unusable, at_path, bad


def read_jsonl(paths: Sequence[Path], columns: Columns, defaults: Defaults) -> Iterator[LogEvent | BadRow]:
    """Events and bad rows of all files. Every file is looked at first, so that a wrong column imports nothing.

    Raises SourceError: a file missing, unreadable or without rows; a column that no row has.
    """
    for path in paths:
        _survey(path, columns, defaults)
    for path in paths:
        for row in rows_of(path):
            if isinstance(row, BadRow):
                yield row
                continue
            try:
                # All events of a row or none: a response without its rating would look like a whole row.
                yield from list(row_events(row, columns, defaults))
            except Unusable as error:
                yield bad(row, str(error))


def row_events(row: Row, columns: Columns, defaults: Defaults) -> Iterator[LogEvent]:
    """The events in one row of any of the three shapes. Raises Unusable."""
    if _is_own(row):
        yield _own(row, defaults)
    elif is_pair(row.value) and "query" not in columns.mapped:
        yield from pair_events(row, columns, defaults)
    else:
        yield from flat_events(row, columns, defaults)


def _is_own(row: Row) -> bool:
    return row.value.get("kind") in EVENTS and "event_id" in row.value


def _own(row: Row, defaults: Defaults) -> LogEvent:
    """One of our own lines, as it stands; only `received_at` is filled in where it is missing."""
    fields = {"received_at": defaults.now, **row.value}
    try:
        return EVENTS[row.value["kind"]].model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise Unusable(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error


def _survey(path: Path, columns: Columns, defaults: Defaults) -> None:
    """Raise unless the file has rows, all mapped columns, and what a flat row needs. Stops once all were seen."""
    wanted: dict[str, str | None] = dict(columns.mapped)
    if defaults.occurred_at is None:
        wanted.setdefault("occurred_at", None)
    wanted = {"query": None, "response": None} | wanted
    seen: dict[str, None] = {}
    rows = bad_rows = 0
    for row in rows_of(path):
        if isinstance(row, BadRow):
            bad_rows += 1
            continue
        rows += 1
        seen |= dict.fromkeys(row.value)
        other_shape = _is_own(row) or (is_pair(row.value) and "query" not in columns.mapped)
        for field, column in list(wanted.items()):
            there = other_shape if column is None else at_path(row.value, column) is not None or column in row.value
            if there or (column is None and columns.pick(row.value, field)[0] is not None):
                del wanted[field]
        if not wanted:
            return
    if not rows:
        found = f"none of its {bad_rows} rows is a JSON object" if bad_rows else "has no rows"
        raise SourceError(f"{path}: {found}; give a file with one JSON object a line, or a Parquet file")
    field, column = next(iter(wanted.items()))
    raise absent_column(str(path), field, column, seen)
