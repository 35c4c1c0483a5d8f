"""`onlineeval signals`: the detectors there are, and what the signals are worth on labelled answers."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onlineeval_dagster.errors import CatalogError, SourceError
from onlineeval_dagster.settings import Settings, load_settings
from onlineeval_dagster.terminal import printed_on

if TYPE_CHECKING:
    from onlineeval_dagster.catalog.load import Catalog
    from onlineeval_dagster.signals.evaluate import Labelled

signals_app = typer.Typer(no_args_is_help=True, help="Signals: the detectors, and what they are worth.")


@signals_app.command("list")
def list_(
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The table of docs/signals.md.")] = False,
) -> None:
    """The detectors there are, with what each costs and cannot see."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.signals.detectors.registry import DETECTORS, OPTIONAL
    from onlineeval_dagster.signals.shown import detectors_markdown, detectors_table

    there_are = [*DETECTORS.values(), *OPTIONAL.values()]
    if as_markdown:
        typer.echo(detectors_markdown(there_are), nl=False)
        return
    used = load_catalog(load_settings().catalog).signals.detectors
    printed_on().print(detectors_table(there_are, used=used))


@signals_app.command("evaluate")
def evaluate_(
    data: Annotated[
        Path | None,
        typer.Option(help="Folder with the public labelled sets; ONLINEEVAL_LABELLED_DATA by default.", metavar="DIR"),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(help="Your own labelled answers: a Parquet file with a response's fields.")
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Column of --file: true or 1 for a bad answer, or a score.", metavar="COLUMN")
    ] = None,
    good_from: Annotated[float | None, typer.Option(help="The score that good answers reach, for a score.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="A list of rows, every field.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The table of docs/signals.md.")] = False,
) -> None:
    """Measure the detectors and the conversation signals on labelled answers, with baselines beside them."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.signals.detectors.registry import DETECTORS, known_detectors
    from onlineeval_dagster.signals.evaluate import evaluate
    from onlineeval_dagster.signals.shown import as_json as json_rows
    from onlineeval_dagster.signals.shown import markdown, tables

    settings = load_settings()
    catalog = load_catalog(settings.catalog)
    # Optional ones too, where signals.toml names them.
    detectors = DETECTORS | known_detectors(catalog)
    sets = _sets(settings, catalog, data=data, file=file, label=label, good_from=good_from)
    measured = [(found, evaluate(found, detectors)) for found in sets]
    rows = [row for _, of_set in measured for row in of_set]
    if as_json:
        typer.echo(json.dumps(json_rows(rows), indent=1, ensure_ascii=False))
    elif as_markdown:
        typer.echo(markdown(rows), nl=False)
    else:
        out = printed_on()
        for found, of_set in measured:
            for shown in tables(of_set):
                out.print(shown)
            if found.note:
                out.print(f"· {found.note}", markup=False)


def _sets(
    settings: Settings,
    catalog: "Catalog",
    *,
    data: Path | None,
    file: Path | None,
    label: str | None,
    good_from: float | None,
) -> "list[Labelled]":
    from onlineeval_dagster.signals.labelled import own_set, public_sets

    if (file is None) != (label is None):
        missing = "--label COLUMN" if label is None else "--file FILE"
        raise SourceError(f"signals evaluate: {missing} is missing; --file and --label go together")
    if file is not None and label is not None:
        return [own_set(file, label=label, good_from=good_from)]
    folder = data or settings.labelled_data
    if folder is None:
        raise SourceError(
            "signals evaluate: no labelled data is named; give --data FOLDER (or set ONLINEEVAL_LABELLED_DATA), or "
            "your own answers with --file FILE --label COLUMN"
        )
    return list(public_sets(folder, catalog))


@signals_app.command("rescore")
def rescore_(
    since: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="First day, UTC.", metavar="DAY")] = None,
    until: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="Last day, UTC.", metavar="DAY")] = None,
) -> None:
    """Score again what is behind signals.toml: a new detector, a changed entry, a new version. All days by default.

    The next `onlineeval run` builds what follows from it.
    """
    from onlineeval_dagster.signals.rescore import rescore

    if since and until and since > until:
        raise CatalogError(f"signals rescore: --since {since:%Y-%m-%d} is after --until {until:%Y-%m-%d}; swap them")
    first, last = (day.date() if day else None for day in (since, until))
    done = rescore(load_settings(), since=first, until=last, now=datetime.now(UTC))
    if not done.days:
        typer.echo("Nothing to score again: every day asked for is in its present version.")
        return
    span = f"{done.days[0]}" if len(done.days) == 1 else f"{len(done.days)} days, {done.days[0]} to {done.days[-1]}"
    typer.echo(f"Scored again: {span}; {done.rows:,} signals. What follows from them: onlineeval run")


@signals_app.command("validity")
def validity_() -> None:
    """Compare every signal with what people said of your answers in the last 28 days. Writes nothing."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.signals.validity import measure_signals
    from onlineeval_dagster.signals.worth import READING, tables

    settings, out = load_settings(), printed_on()
    measured = measure_signals(Lake(settings.lake_folder), load_catalog(settings.catalog), now=datetime.now(UTC))
    for shown in tables(measured):
        out.print(shown)
    out.print(READING if measured.validity else "No axis has a judge or a human check.", markup=False)
