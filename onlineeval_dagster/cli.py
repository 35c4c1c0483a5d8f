"""`onlineeval …`: thin verbs over the rooms. A mistake ends with one message and exit code 1."""

import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer
from rich.console import Console

from onlineeval_dagster.errors import OnlineEvalError, SourceError
from onlineeval_dagster.settings import Settings, load_settings

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
catalog_app = typer.Typer(no_args_is_help=True, help="The catalog: judges, signals, sampling, metrics.")
app.add_typer(catalog_app, name="catalog")
# Bound to the stream as it is now: a run sends what dbt prints elsewhere.
out = Console(file=sys.stdout, highlight=False, soft_wrap=True)
err = Console(file=sys.stderr, highlight=False, soft_wrap=True)


def main() -> None:
    """The entry point: every OnlineEvalError becomes one line on stderr and exit code 1."""
    try:
        app()
    except OnlineEvalError as error:
        err.print(f"[bold red]error[/]  {error}", markup=True)
        sys.exit(1)


@app.command()
def simulate(
    days: Annotated[int, typer.Option(min=1, help="Days of traffic, ending yesterday.")] = 14,
    users: Annotated[int, typer.Option(min=10, help="Daily users; each asks some four times.")] = 800,
    seed: Annotated[int, typer.Option(help="The same seed gives the same traffic.")] = 1,
) -> None:
    """Write traffic whose truth is known into the log, labelled as simulated."""
    from onlineeval_dagster.demo import write_simulation

    written = write_simulation(load_settings(), days=days, users=users, seed=seed, now=datetime.now(UTC), out=out)
    out.print(f"{sum(written.events.values()):,} events and {written.bad_lines} broken lines are in the log")


@app.command("import")
def import_(
    paths: Annotated[list[Path], typer.Argument(help="Files to read.", metavar="FILE…")],
    source: Annotated[str, typer.Option(help="The dialect of the files.")] = "jsonl",
    column: Annotated[list[str] | None, typer.Option("--map", help="our_field=their.field, as often as needed")] = None,
    environment: Annotated[str, typer.Option(help="Metrics count production.")] = "production",
    app_name: Annotated[str, typer.Option("--app", help="Which product the rows are of.")] = "default",
    at: Annotated[str | None, typer.Option(help="When rows without a time of their own occurred: ISO 8601.")] = None,
    zone: Annotated[str | None, typer.Option(help="Zone of times that name none, such as Europe/Berlin.")] = None,
) -> None:
    """Send a team's own logs through the front door: files → log. Then: onlineeval run."""
    from onlineeval_dagster.sources.importing import import_files

    done = import_files(
        load_settings(),
        source,
        paths,
        column_map=_column_map(column or []),
        environment=environment,
        app=app_name,
        occurred_at=_instant(at),
        zone=_zone(zone),
        now=datetime.now(UTC),
    )
    out.print(f"{done.events:,} events from {len(paths)} files are in the log; {done.bad:,} rows could not be read")
    if done.bad:
        out.print("They will stand in the quarantine table, each with its reason: onlineeval status")


@app.command()
def run() -> None:
    """Bring every table up to date with the log, then write the latest day's report."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.progress import waiting

    settings = load_settings()
    work = waiting(settings, load_catalog(settings.catalog), now=datetime.now(UTC))
    if not work:
        out.print("Nothing new: every table is up to date.")
        return
    for line in work:
        out.print(f"· {line}")
    _run(settings, "tick")
    _report(settings, None)


@app.command()
def report(
    day: Annotated[str | None, typer.Option(help="YYYY-MM-DD (UTC); the latest whole day by default.")] = None,
) -> None:
    """Write the daily report."""
    _report(load_settings(), _day(day))


@app.command()
def status() -> None:
    """Coverage, the latest numbers, open problems."""
    from onlineeval_dagster.status import show_status

    show_status(load_settings(), now=datetime.now(UTC), out=out)


@app.command()
def doctor(
    mend: Annotated[bool, typer.Option("--mend", help="Mend what can be mended.")] = False,
) -> None:
    """Look for stale locks, leaked slots, wrong versions and catalog mistakes; say how to mend each."""
    from onlineeval_dagster.doctor import examine

    problems = examine(load_settings(), mend=mend, out=out)
    if problems:
        sys.exit(1)


@app.command()
def demo(
    days: Annotated[int, typer.Option(min=8, help="Days of traffic.")] = 14,
    seed: Annotated[int, typer.Option(help="The same seed gives the same traffic.")] = 1,
) -> None:
    """Two weeks of simulated traffic through the whole pipeline, and what it found."""
    from onlineeval_dagster.demo import run_demo

    if not run_demo(load_settings(), days=days, seed=seed, now=datetime.now(UTC), out=out, run=_run, report=_report):
        sys.exit(1)


@app.command()
def up(port: Annotated[int, typer.Option(help="Port of Dagster's UI.")] = 3000) -> None:
    """Start Dagster's UI with its daemon: lineage, schedules, sensors, backfills."""
    from onlineeval_dagster.defs.launch import serve_ui

    serve_ui(load_settings(), port=port)


@catalog_app.command("check")
def catalog_check() -> None:
    """Read every file of the catalog and try its metrics on an empty table."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.signals.stage import known_detectors
    from onlineeval_dagster.warehouse.dry_run import check_metrics

    catalog = load_catalog(load_settings().catalog)
    known_detectors(catalog)
    check_metrics(catalog)
    out.print(f"{catalog.folder} is in order, version {catalog.version}:")
    for judge in catalog.judges:
        out.print(f"· judge {judge.name}: {judge.axis} by {judge.model}, {judge.status}, version {judge.version}")
    out.print(f"· {len(catalog.signals.actions)} actions, {len(catalog.signals.detectors)} detectors")
    out.print(f"· {len(catalog.metrics.metrics)} metrics, headline {catalog.metrics.headline}")


def _run(settings: Settings, job: str, partition: str | None = None) -> None:
    """Run a job with a line a step; raises OnlineEvalError with the steps' own messages where it fails."""
    with out.status("starting") as spinner:
        # Dagster and dbt take two seconds to load: the spinner is up before.
        from onlineeval_dagster.definitions import defs
        from onlineeval_dagster.defs.launch import run_job

        def tell(step: str, state: str) -> None:
            if state == "started":
                spinner.update(f"{step} …")
            else:
                out.print(f"  {'✓' if state == 'done' else '✗'} {step}")

        outcome = run_job(settings, defs.resolve_job_def(job), tell=tell, partition=partition)
    if not outcome.success:
        lines = [f"run {outcome.run_id} failed", *outcome.failures, f"what dbt said: {outcome.details}"]
        raise OnlineEvalError("\n       ".join(lines))


def _report(settings: Settings, day: date | None) -> None:
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.reports.stage import latest_day

    day = day or latest_day(Lake(settings.lake_folder), now=datetime.now(UTC))
    if day is None:
        out.print("No report yet: no response is in the lake.")
        return
    _run(settings, "report", day.isoformat())
    page = settings.report_folder / "daily" / f"{day}.html"
    out.print((page.with_suffix(".md")).read_text(encoding="utf-8").splitlines()[0])
    out.print(f"Report: {page}")


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise SourceError(f"--day: {text!r} is no date; write it as 2026-11-23") from error


def _instant(text: str | None) -> datetime | None:
    try:
        moment = None if text is None else datetime.fromisoformat(text)
    except ValueError as error:
        raise SourceError(f"--at: {text!r} is no time; write it as 2026-11-23T08:00:00Z") from error
    if moment is not None and moment.tzinfo is None:
        raise SourceError(f"--at: {text!r} has no zone; write it as 2026-11-23T08:00:00Z")
    return moment


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise SourceError(f"--zone: {name!r} is no time zone; write it as Europe/Berlin or UTC") from error


def _column_map(pairs: list[str]) -> dict[str, str]:
    for pair in pairs:
        if "=" not in pair:
            raise SourceError(f"--map: {pair!r} has no =; write our_field=their_field, such as query=question")
    return dict(pair.split("=", 1) for pair in pairs)


if __name__ == "__main__":
    main()
