"""All source dialects by name, and the one way in."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path

from onlineeval_dagster.catalog.source_file import Source
from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.sources import mlflow, opik
from onlineeval_dagster.sources.columns import columns
from onlineeval_dagster.sources.folder import from_files
from onlineeval_dagster.sources.jsonl import read_jsonl
from onlineeval_dagster.sources.langfuse import read_export
from onlineeval_dagster.sources.langfuse_scores import read_scores
from onlineeval_dagster.sources.phoenix import read_frames
from onlineeval_dagster.sources.phoenix_pages import read_project
from onlineeval_dagster.sources.place import Cursor, Item, Opened
from onlineeval_dagster.sources.rows import BadRow, Defaults
from onlineeval_dagster.sources.sql import read_sql

Read = Callable[[Opened, Cursor], Iterator[Item]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One kind of foreign payload. `read` yields what came after the cursor, and how far it got."""

    name: str
    description: str
    read: Read


def by_place(*, files: Read, url: Read) -> Read:
    """One dialect that is read from files, or from a server where the source has a url."""
    return lambda opened, cursor: (files if opened.source.url is None else url)(opened, cursor)


DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        Dialect(
            name="jsonl",
            description="JSONL (also .gz) or Parquet: our own events, OpenAI request/response pairs, or flat rows",
            read=from_files(lambda paths, opened: read_jsonl(paths, opened.columns, opened.defaults)),
        ),
        Dialect(
            name="langfuse",
            description="files of Langfuse's blob export (JSON, JSONL, CSV, Parquet); by a URL its scores API",
            read=by_place(files=from_files(read_export), url=read_scores),
        ),
        Dialect(
            name="mlflow",
            description="files of MLflow's exported traces with their assessments (JSON, JSONL)",
            read=from_files(mlflow.read_traces),
        ),
        Dialect(
            name="opik",
            description="files of Opik's exported traces with their feedback scores (JSON, JSONL)",
            read=from_files(opik.read_traces),
        ),
        Dialect(
            name="phoenix",
            description="files of Phoenix's frames of spans and annotations (Parquet, JSONL, CSV); by a URL its API",
            read=by_place(files=from_files(read_frames), url=read_project),
        ),
        Dialect(
            name="sql",
            description="any SQL database by URL: a table or a query with a cursor column",
            read=read_sql,
        ),
    )
}


def read_items(opened: Opened, cursor: Cursor) -> Iterator[Item]:
    """What a source holds beyond the cursor. Raises SourceError, at the first `next`, with place, value and remedy."""
    yield from dialect_of(opened.source, opened.place).read(opened, cursor)


def dialect_of(source: Source, place: str) -> Dialect:
    if source.dialect not in DIALECTS:
        known = ", ".join(sorted(DIALECTS))
        raise SourceError(f"{place}: dialect {source.dialect!r} is unknown; there are {known}")
    return DIALECTS[source.dialect]


def check_sources(sources: Mapping[str, Source]) -> None:
    """Raise SourceError unless every configured source has a dialect that there is, and maps fields of ours."""
    for name, source in sources.items():
        dialect_of(source, f"sources.toml: sources.{name}")
        columns(source.map)


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
    opened = Opened(
        place="import",
        source=Source(dialect=dialect, path=tuple(str(path) for path in paths)),
        columns=columns(column_map or {}),
        defaults=Defaults(now=now, environment=environment, app=app, occurred_at=occurred_at, zone=zone),
    )
    for item in read_items(opened, {}):
        if isinstance(item, LogEvent | BadRow):
            yield item
