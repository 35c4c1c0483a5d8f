"""All source dialects by name, and the one way in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.sources.columns import Columns, columns
from onlineeval_dagster.sources.jsonl import read_jsonl
from onlineeval_dagster.sources.rows import BadRow, Defaults


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One kind of foreign payload. `read` looks at all files before it yields anything."""

    name: str
    description: str
    read: Callable[[Sequence[Path], Columns, Defaults], Iterator[LogEvent | BadRow]]


DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            name="jsonl",
            description="JSONL (also .gz) or Parquet: our own events, OpenAI request/response pairs, or flat rows",
            read=read_jsonl,
        ),
    )
}


def read_source(
    dialect: str,
    paths: Sequence[Path],
    *,
    now: datetime,
    column_map: Mapping[str, str] | None = None,
    environment: str = "production",
    app: str = "default",
    occurred_at: datetime | None = None,
    zone: tzinfo | None = None,
) -> Iterator[LogEvent | BadRow]:
    """The events in foreign files, and the rows that are none.

    column_map   our field → their column, or a dotted path into it
    occurred_at  the time of rows that have none        zone   of times that name none

    Raises SourceError (at the first `next`) naming place, value and remedy.
    """
    if dialect not in DIALECTS:
        raise SourceError(f"--source {dialect}: unknown; there are {', '.join(sorted(DIALECTS))}")
    if not paths:
        raise SourceError("import: no file was named; name one or more, such as logs/*.jsonl")
    defaults = Defaults(now=now, environment=environment, app=app, occurred_at=occurred_at, zone=zone)
    yield from DIALECTS[dialect].read([Path(path) for path in paths], columns(column_map or {}), defaults)
