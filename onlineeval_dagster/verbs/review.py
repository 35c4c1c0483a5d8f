"""`onlineeval review …`: how far people are, and their labels from and for other tools."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from onlineeval_dagster.errors import ReviewError
from onlineeval_dagster.settings import load_settings
from onlineeval_dagster.terminal import printed_on

if TYPE_CHECKING:
    from onlineeval_dagster.review.exchange import Row

review_app = typer.Typer(no_args_is_help=True, help="Human checks: how far they are, and exchange with other tools.")

Form = Annotated[Literal["csv", "label-studio", "argilla"], typer.Option("--format", help="How the file is written.")]
To = Annotated[Path | None, typer.Option("--to", help="The file; printed where none is named.", metavar="FILE")]
_SHOWN = 10


@review_app.command("status")
def status_() -> None:
    """Tasks and labels of the last 28 days, by axis and stream; who gave them, and how well they label."""
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.review.people import GOLD_LEAST, off_gold, reviewer_quality
    from onlineeval_dagster.review.people_shown import HEADINGS, quality_cells
    from onlineeval_dagster.review.progress import labels_by_person, tasks_by_stream

    settings, out, now = load_settings(), printed_on(), datetime.now(UTC)
    lake = Lake(settings.lake_folder)
    table = Table("axis", "stream", "tasks", "done", "labels", title="Human checks, last 28 days", title_justify="left")
    for row in tasks_by_stream(lake, now=now):
        table.add_row(row.axis, row.stream, *(f"{count:,}" for count in (row.tasks, row.done, row.labels)))
    if not table.rows:
        out.print("No task yet: sampling.toml has [review] rate = 0.01, then onlineeval run.", markup=False)
        return
    out.print(table)
    people = Table("reviewer", "labels", "seconds each (median)", title="By person", title_justify="left")
    for person in labels_by_person(lake, now=now):
        seconds = "" if person.seconds is None else f"{person.seconds:.0f}"
        people.add_row(escape(person.reviewer), f"{person.labels:,}", seconds)
    out.print(people if people.rows else "Nobody has answered yet: onlineeval keys add NAME --scope review")
    found = reviewer_quality(lake, now=now)
    if found:
        quality = Table(*HEADINGS, title="How well people label, last 90 days", title_justify="left")
        for one in found:
            quality.add_row(*map(escape, quality_cells(one)))
        out.print(quality)
    for one in off_gold(found):
        out.print(
            f"[yellow]![/] {escape(one.reviewer)} gets fewer than {GOLD_LEAST:.0%} of the known answers of "
            f"{escape(one.axis)} right: read the anchors together; what these labels say is in doubt until then."
        )


@review_app.command()
def plan(
    within: Annotated[
        float | None,
        typer.Option(help="Half of a week's 95 % range: in points (5), or of scores in their own unit (0.1)."),
    ] = None,
    of: Annotated[
        Literal["good", "score"], typer.Option(help="The share of good answers, or the mean score.")
    ] = "good",
    axis: Annotated[str | None, typer.Option(help="One axis; all by default.")] = None,
    by: Annotated[
        Literal["all", "stratum", "app", "prompt_version", "model", "language", "device"],
        typer.Option(help="For all answers together, or for each kind by itself."),
    ] = "all",
) -> None:
    """How many human checks a week the wanted range takes, from the last 28 days, and how much of people's time."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.review.planning import plan_labels, seen
    from onlineeval_dagster.review.planning_shown import HEADINGS, plan_cells, plan_words, wanted
    from onlineeval_dagster.review.tasks import asked_axes

    half = {"good": 5.0, "score": 0.1}[of] if within is None else within
    least, most = {"good": (0.5, 50), "score": (0.005, 5)}[of]
    if not least <= half <= most:
        raise ReviewError(f"--within: {half:g} is not between {least:g} and {most:g}, as --of {of} wants it")
    half = half / 100 if of == "good" else half
    settings, out, now = load_settings(), printed_on(), datetime.now(UTC)
    catalog, lake = load_catalog(settings.catalog), Lake(settings.lake_folder)
    judges = asked_axes(catalog.live_judges)
    if axis is not None and axis not in judges:
        raise ReviewError(f"--axis: {axis!r} has no live judge; there are {', '.join(judges) or 'none'}")
    for name, judge in judges.items():
        if axis not in (None, name):
            continue
        found = seen(lake, judge, by=by, now=now, of=of)
        if not found.groups:
            out.print(f"{name}: Nobody has labelled an answer of the audit that it judged in 28 days.", markup=False)
            continue
        plans = [plan_labels(group, half=half, of=of) for group in found.groups]
        title = (
            f"{name}: a week's {'share of good answers' if of == 'good' else 'mean score'}, {wanted(half, of)} wanted"
        )
        table = Table(*HEADINGS, title=title, title_justify="left")
        for one in plans:
            table.add_row(*map(escape, plan_cells(one, seconds=found.seconds)))
        out.print(table)
        rate = None if catalog.sampling.review is None else catalog.sampling.review.rate
        for line in plan_words(plans, found, half=half, rate=rate):
            out.print(f"· {escape(line)}")


@review_app.command("tasks")
def tasks_(form: Form = "label-studio", to: To = None) -> None:
    """Write the open tasks for another tool. Their texts leave this home."""
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.review.importing import open_tasks

    _write(open_tasks(Lake(load_settings().lake_folder)), form, to)


@review_app.command("export")
def export(form: Form = "csv", to: To = None) -> None:
    """Write every label with its answer's texts."""
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.review.importing import labels_of

    _write(labels_of(Lake(load_settings().lake_folder)), form, to)


@review_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What another tool, or export, wrote.")], form: Form = "csv"
) -> None:
    """Take labels into the log; what cannot be taken is told, the rest is. The same file again changes nothing."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.collector.intake import Terms
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.log.segments import open_log
    from onlineeval_dagster.privacy.policy import load_privacy
    from onlineeval_dagster.review.exchange import read
    from onlineeval_dagster.review.importing import judge_labels

    settings, out = load_settings(), printed_on()
    catalog = load_catalog(settings.catalog)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ReviewError(f"import {file}: cannot be read ({error}); it must be a UTF-8 text file") from error
    terms = Terms(event_bytes=settings.serve_event_bytes, batch_events=1, retention_days=settings.retention_days)
    judged = judge_labels(
        Lake(settings.lake_folder),
        catalog,
        read(text, form),
        terms=terms,
        cleaner=load_privacy(settings, catalog),
        now=datetime.now(UTC),
    )
    if judged.lines:
        with open_log(settings, door="import") as log:
            log.append(b"".join(judged.lines))
    out.print(
        f"{len(judged.lines):,} labels are in the log, {len(judged.refused):,} refused; onlineeval run takes them in"
    )
    for place, reason in judged.refused[:_SHOWN]:
        out.print(f"· {escape(place)}: {escape(reason)}")
    if len(judged.refused) > _SHOWN:
        fields = Counter(reason.partition(":")[0] for _, reason in judged.refused)
        out.print("· in all: " + ", ".join(f"{count:,} for {name}" for name, count in fields.most_common()))
    if judged.refused and not judged.lines:
        raise ReviewError(f"import {file}: no label of it was taken; the lines above say why")


def _write(rows: "Iterable[Row]", form: Literal["csv", "label-studio", "argilla"], to: Path | None) -> None:
    from onlineeval_dagster.review.exchange import written

    found = list(rows)
    text = written(found, form)
    if to is None:
        typer.echo(text, nl=False)
        return
    try:
        to.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ReviewError(f"--to {to}: {error.strerror}; name a file that can be written") from error
    printed_on().print(f"{len(found):,} rows are in {to}", markup=False)
