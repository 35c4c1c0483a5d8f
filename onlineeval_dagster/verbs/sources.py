"""`onlineeval import` and `onlineeval sources`: other systems' rows through the front door."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.settings import Settings, load_settings
from onlineeval_dagster.terminal import printed_on

out = printed_on()
_FILES = "jsonl"


def import_(
    places: Annotated[
        list[str] | None, typer.Argument(help="Files or folders to read, or one URL.", metavar="PATH|URL…")
    ] = None,
    source: Annotated[str, typer.Option(help="The dialect: see onlineeval sources.")] = _FILES,
    column: Annotated[list[str] | None, typer.Option("--map", help="our_field=their.field, as often as needed")] = None,
    environment: Annotated[str, typer.Option(help="Metrics count production.")] = "production",
    app_name: Annotated[str, typer.Option("--app", help="Which product the rows are of.")] = "default",
    at: Annotated[str | None, typer.Option(help="When rows without a time of their own occurred: ISO 8601.")] = None,
    zone: Annotated[str | None, typer.Option(help="Zone of times that name none, such as Europe/Berlin.")] = None,
    query: Annotated[str | None, typer.Option(help="sql: select … where created_at > :cursor order by …")] = None,
    table: Annotated[str | None, typer.Option(help="sql: the table to read, instead of a query.")] = None,
    cursor_column: Annotated[str | None, typer.Option(help="sql: the column that grows.")] = None,
    start: Annotated[str | None, typer.Option(help="Where to begin: a time, or a number of the cursor column.")] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Pull every source of sources.toml, each from its cursor.")
    ] = False,
) -> None:
    """Send another system's rows through the front door: files, a database or a server → log. Then: onlineeval run."""
    settings = load_settings()
    if every:
        if places:
            raise SourceError(
                f"--all reads what sources.toml says, and {places[0]!r} was named too; leave one of them out"
            )
        _pull_all(settings)
        return
    if not places:
        raise SourceError("import: nothing was named; name files or a URL, or take what sources.toml says with --all")
    is_url = any("://" in place for place in places)
    if is_url and len(places) > 1:
        raise SourceError(f"import: {len(places)} places were named with a URL among them; import one URL at a time")
    said = {"url": places[0]} if is_url else {"path": tuple(places)}
    said |= {"query": query, "table": table, "cursor_column": cursor_column, "zone": zone}
    said |= {"environment": environment, "app": app_name, "start": _start(start), "map": column_map(column or [])}
    _import_once(settings, source, said, at=instant(at))


def sources() -> None:
    """The dialects there are, and how far each configured source has been read."""
    from onlineeval_dagster.catalog.load import load_sources
    from onlineeval_dagster.sources.incremental import read_state, shown
    from onlineeval_dagster.sources.registry import DIALECTS

    settings = load_settings()
    out.print("Dialects:")
    for dialect in DIALECTS.values():
        out.print(f"· {dialect.name}: {dialect.description}")
    configured = load_sources(settings.catalog)
    if not configured:
        out.print(f"No source is configured: add one to {settings.catalog / 'sources.toml'}")
        return
    out.print("Configured:")
    for name, entry in configured.items():
        reached = shown(read_state(settings, name)) or "not read yet"
        out.print(f"· {name} ({entry.dialect}): {reached}")


def _import_once(settings: Settings, dialect: str, said: dict[str, Any], *, at: datetime | None) -> None:
    from onlineeval_dagster.catalog.source_file import Source
    from onlineeval_dagster.sources.importing import import_items
    from onlineeval_dagster.sources.place import opened
    from onlineeval_dagster.sources.registry import dialect_of, read_items

    try:
        source = Source(dialect=dialect, **said)
    except ValidationError as error:
        first = error.errors()[0]
        option = "--" + "-".join(str(first["loc"][0] if first["loc"] else "source").split("_"))
        raise SourceError(f"import: {option}: {first['msg']}; correct it") from error
    dialect_of(source, f"--source {dialect}")
    ready = opened(source, place=f"import --source {dialect}", now=datetime.now(UTC), occurred_at=at)
    done = import_items(settings, read_items(ready, {}), door="import")
    if done.bad and not done.events:
        raise SourceError(
            f"import --source {dialect}: none of {done.bad:,} rows could be read; the first: {done.first_bad}; they "
            "will stand in the quarantine table: import again with what is missing, or with the right --source"
        )
    where = "the URL" if source.url is not None else f"{len(source.paths)} files"
    out.print(f"{done.events:,} events from {where} are in the log; {done.bad:,} rows could not be read")
    if done.bad:
        out.print("They will stand in the quarantine table, each with its reason: onlineeval status")


def _pull_all(settings: Settings) -> None:
    from onlineeval_dagster.catalog.load import load_sources
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.lake.pulls import record_pulls
    from onlineeval_dagster.sources.incremental import pull_all

    configured = load_sources(settings.catalog)
    if not configured:
        raise SourceError(f"--all: no source is configured; add one to {settings.catalog / 'sources.toml'}")
    pulls = []
    for pull in pull_all(settings, configured, now=datetime.now(UTC)):
        pulls.append(pull)
        out.print(
            f"· {pull.source}: {pull.events:,} events, {pull.bad:,} bad rows; now at {pull.cursor_to or 'the start'}"
        )
    record_pulls(Lake(settings.lake_folder), pulls)
    if failed := [pull for pull in pulls if pull.error]:
        raise SourceError("\n       ".join(str(pull.error) for pull in failed))


def _start(text: str | None) -> int | str | None:
    return int(text) if text is not None and text.lstrip("-").isdigit() else text


def instant(text: str | None) -> datetime | None:
    try:
        moment = None if text is None else datetime.fromisoformat(text)
    except ValueError as error:
        raise SourceError(f"--at: {text!r} is no time; write it as 2026-11-23T08:00:00Z") from error
    if moment is not None and moment.tzinfo is None:
        raise SourceError(f"--at: {text!r} has no zone; write it as 2026-11-23T08:00:00Z")
    return moment


def column_map(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise SourceError(f"--map: {pair!r} has no =; write our_field=their_field, such as query=question")
    return dict(pair.split("=", 1) for pair in pairs)
