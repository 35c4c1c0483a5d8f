"""`onlineeval signals`: the detectors there are, and what the signals are worth on labelled answers."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.settings import Settings, load_settings
from onlineeval_dagster.terminal import printed_on

if TYPE_CHECKING:
    from onlineeval_dagster.signals.evaluate import Labelled

signals_app = typer.Typer(no_args_is_help=True, help="Signals: the detectors, and what they are worth.")


@signals_app.command("list")
def list_(
    as_markdown: Annotated[bool, typer.Option("--markdown", help="The table of docs/signals.md.")] = False,
) -> None:
    """The detectors there are, with what each costs and cannot see."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.signals.detectors.registry import DETECTORS
    from onlineeval_dagster.signals.shown import detectors_markdown, detectors_table

    if as_markdown:
        typer.echo(detectors_markdown(DETECTORS.values()), nl=False)
        return
    used = load_catalog(load_settings().catalog).signals.detectors
    printed_on().print(detectors_table(DETECTORS.values(), used=used))


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
    from onlineeval_dagster.signals.detectors.registry import DETECTORS
    from onlineeval_dagster.signals.evaluate import evaluate
    from onlineeval_dagster.signals.shown import as_json as json_rows
    from onlineeval_dagster.signals.shown import markdown, tables

    sets = _sets(load_settings(), data=data, file=file, label=label, good_from=good_from)
    measured = [(found, evaluate(found, DETECTORS)) for found in sets]
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
    settings: Settings, *, data: Path | None, file: Path | None, label: str | None, good_from: float | None
) -> "list[Labelled]":
    from onlineeval_dagster.catalog.load import load_catalog
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
    return list(public_sets(folder, load_catalog(settings.catalog)))


@signals_app.command("validity")
def validity_() -> None:
    """Compare every signal with what people said of your answers in the last 28 days. Writes nothing."""
    from datetime import UTC, datetime

    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.signals.validity import measure_signals
    from onlineeval_dagster.signals.worth import READING, tables

    settings, out = load_settings(), printed_on()
    measured = measure_signals(Lake(settings.lake_folder), load_catalog(settings.catalog), now=datetime.now(UTC))
    for shown in tables(measured):
        out.print(shown)
    out.print(READING if measured.validity else "No axis has a judge or a human check.", markup=False)
