"""`onlineeval …`: thin verbs over the rooms. A mistake ends with one message and exit code 1."""

import sys
from datetime import UTC, date, datetime
from typing import Annotated

import typer
from rich.markup import escape

from onlineeval_dagster.errors import OnlineEvalError, SourceError
from onlineeval_dagster.settings import Settings, load_settings
from onlineeval_dagster.terminal import printed_on
from onlineeval_dagster.verbs.alerts import alerts_app
from onlineeval_dagster.verbs.coverage import coverage
from onlineeval_dagster.verbs.experiment import experiment_app
from onlineeval_dagster.verbs.judge import judge_app
from onlineeval_dagster.verbs.keeping import backup, erase, restore, retention
from onlineeval_dagster.verbs.newcomer import init
from onlineeval_dagster.verbs.queues import drain
from onlineeval_dagster.verbs.review import review_app
from onlineeval_dagster.verbs.rollback import rollback_app
from onlineeval_dagster.verbs.serve import keys_app, serve
from onlineeval_dagster.verbs.signals import signals_app
from onlineeval_dagster.verbs.sources import import_, sources
from onlineeval_dagster.verbs.watches import watches

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
catalog_app = typer.Typer(no_args_is_help=True, help="The catalog: judges, signals, sampling, metrics.")
app.add_typer(catalog_app, name="catalog")
app.add_typer(experiment_app, name="experiment")
alerts_app.command("watches")(watches)
app.add_typer(alerts_app, name="alerts")
app.add_typer(rollback_app, name="rollback")
# Bound to the stream as it is now: a run sends what dbt prints elsewhere.
out = printed_on()
err = printed_on(errors=True)


def main() -> None:
    """The entry point: every OnlineEvalError becomes one line on stderr and exit code 1."""
    try:
        app()
    except OnlineEvalError as error:
        err.print(f"[bold red]error[/]  {escape(str(error))}", markup=True)
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


@app.command()
def run() -> None:
    """Bring every table up to date with the log, then write the latest day's report."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.progress import trials_due, waiting

    settings = load_settings()
    catalog = load_catalog(settings.catalog)
    work = waiting(settings, catalog, now=datetime.now(UTC))
    if not work:
        out.print("Nothing new: every table is up to date.")
        return
    for line in work:
        out.print(f"· {line}")
    _run(settings, "tick")
    if trials_due(settings, catalog, now=datetime.now(UTC)):
        _run(settings, "try_judges")
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
    from onlineeval_dagster.catalog.load import load_catalog, load_sources
    from onlineeval_dagster.newcomer.waiting import waiting_for_budget
    from onlineeval_dagster.signals.detectors.registry import known_detectors
    from onlineeval_dagster.sources.registry import check_sources
    from onlineeval_dagster.warehouse.dry_run import check_metrics

    catalog = load_catalog(load_settings().catalog).whole()
    known_detectors(catalog)
    check_metrics(catalog)
    configured = load_sources(catalog.folder)
    check_sources(configured)
    out.print(f"{catalog.folder} is in order, version {catalog.version}:")
    for judge in catalog.judges:
        out.print(f"· judge {judge.name}: {judge.axis} by {judge.model}, {judge.status}, version {judge.version}")
    out.print(f"· {len(catalog.signals.actions)} actions, {len(catalog.signals.detectors)} detectors")
    out.print(f"· {len(catalog.metrics.metrics)} metrics, headline {catalog.metrics.headline}")
    out.print(f"· {len(catalog.alerts.rules)} alert rules, {len(catalog.alerts.channels)} channels")
    out.print(f"· {len(configured)} sources: {', '.join(configured) or 'none'}")
    if budget := catalog.sampling.budget:
        out.print(f"· budget ${budget.monthly_cap_usd:g} a month, confirmed {budget.confirmed_at:%Y-%m-%d %H:%M %Z}")
    if waits := waiting_for_budget(catalog):
        out.print(f"[yellow]![/] {escape(waits)}")


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
    _run(settings, "correct")
    _run(settings, "report", day.isoformat())
    page = settings.report_folder / "daily" / f"{day}.html"
    out.print((page.with_suffix(".md")).read_text(encoding="utf-8").splitlines()[0])
    out.print(f"Report: {page}")


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError as error:
        raise SourceError(f"--day: {text!r} is no date; write it as 2026-11-23") from error


app.command()(init)
app.command("import")(import_)
app.command()(sources)
app.command()(coverage)
app.command()(drain)
app.command()(serve)
app.command()(erase)
app.command()(retention)
app.command()(backup)
app.command()(restore)
app.add_typer(keys_app, name="keys")
app.add_typer(judge_app, name="judge")
app.add_typer(signals_app, name="signals")
app.add_typer(review_app, name="review")


if __name__ == "__main__":
    main()
