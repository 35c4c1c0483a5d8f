"""The demo: simulated traffic through the same front door as production, the whole pipeline, and what it found."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from onlineeval_dagster.alerts.blame import read_causes
from onlineeval_dagster.alerts.causes import verdict
from onlineeval_dagster.alerts.stage import read_incidents
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.arrow import from_table
from onlineeval_dagster.contracts.estimates import DeployEffect, MetricPoint
from onlineeval_dagster.errors import SettingsError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.log.segments import open_log
from onlineeval_dagster.settings import Settings
from onlineeval_dagster.simulate.traffic import simulate
from onlineeval_dagster.simulate.truth import Truth, read_truth, write_truth
from onlineeval_dagster.simulate.write import Written, write_traffic
from onlineeval_dagster.status import show_status


def truth_file(settings: Settings) -> Path:
    return settings.home / "simulated" / "truth.json"


def write_simulation(settings: Settings, *, days: int, users: int, seed: int, now: datetime, out: Console) -> Written:
    """Write `days` days of simulated traffic, ending with yesterday, into the log; the truth beside it."""
    midnight = datetime.combine(now.astimezone(UTC).date(), time(), tzinfo=UTC)
    world = simulate(
        days=days,
        start=midnight - timedelta(days=days),
        seed=seed,
        daily_users=users,
        population=3 * users,
        responses_per_day=4 * users,
    )
    write_truth(world.truth, truth_file(settings))
    with Progress(console=out, transient=True) as progress, open_log(settings, door="simulation") as log:
        task = progress.add_task("simulating traffic", total=None)
        return write_traffic(log.append, world, progress=lambda lines: progress.advance(task, lines))


def run_demo(
    settings: Settings,
    *,
    days: int,
    seed: int,
    now: datetime,
    out: Console,
    run: Callable[[Settings, str], None],
    report: Callable[[Settings, date | None], None],
) -> bool:
    """Simulate, run everything, and say what was found; True when the planted regression was found and nothing else."""
    lake = Lake(settings.lake_folder)
    if lake.days("responses") and not truth_file(settings).exists():
        raise SettingsError(
            f"ONLINEEVAL_HOME={settings.home} holds real traffic; set it to another folder for the demo"
        )
    written = write_simulation(settings, days=days, users=800, seed=seed, now=now, out=out)
    out.print(f"[bold]Simulated traffic[/] {sum(written.events.values()):,} events are in the log; the pipeline starts")
    run(settings, "tick")
    report(settings, None)
    show_status(settings, now=now, out=out)
    return _summary(settings, lake, read_truth(truth_file(settings)), out=out)


def _summary(settings: Settings, lake: Lake, truth: Truth, *, out: Console) -> bool:
    catalog = load_catalog(settings.catalog).whole()
    headline = catalog.metrics.headline
    points = from_table(
        rows(
            lake,
            f"select * exclude (day) from metric_points where metric = '{headline}' and grain = 'day' "
            "and slice = 'all' order by window_start",
            {"metric_points": None},
        ),
        MetricPoint,
    )
    true_rates = {day.day: day.pass_rate for day in truth.days}
    title = f"{catalog.metrics.metrics[headline].title}, by day (simulated)"
    table = Table(title=title, title_justify="left")
    for name in ("day", "by the AI reviewer", "likely", "checked", "truth"):
        table.add_column(name, justify="left" if name == "day" else "right")
    for point in points:
        true = true_rates.get(point.window_start.date())
        shown = (
            (f"{100 * point.value:.1f} %", f"{100 * point.low:.1f} – {100 * point.high:.1f} %")
            if point.value is not None and point.low is not None and point.high is not None
            else ("not enough yet", point.reason or "")
        )
        table.add_row(
            str(point.window_start.date()), *shown, f"{point.n:,}", "" if true is None else f"{100 * true:.1f} %"
        )
    out.print(table)
    out.print(
        "This is what the AI reviewer says, from the share it checked: the small local one calls some good answers "
        "bad.\nChanges show all the same, and people who look at one answer in a hundred correct it:"
    )
    out.print(_corrected(lake, truth, headline))
    for line in _incidents(lake):
        out.print(line, markup=False)
    return _regression(lake, truth, headline, out=out)


def _incidents(lake: Lake) -> Iterator[str]:
    """What the rules raised of it, and what is said to be behind it."""
    causes = read_causes(lake)
    for one in read_incidents(lake):
        said = verdict([cause for cause in causes if cause.incident_id == one.incident_id])
        yield f"Incident {one.incident_id}: {one.title}. {f'Cause: {said}' if said else 'No cause was looked for.'}"


def _corrected(lake: Lake, truth: Truth, headline: str) -> str:
    """What people would say of all days together, beside the truth."""
    found = rows(
        lake,
        f"select value, low, high, raw, labels, reason from corrected_points where metric = '{headline}' "
        "and grain = 'days28' and slice = 'all' order by as_of desc limit 1",
        {"corrected_points": None},
    ).to_pylist()
    if not found or found[0]["value"] is None:
        return f"Corrected by people: not enough yet ({found[0]['reason'] if found else 'no labels'})"
    value, low, high, raw = (100 * found[0][name] for name in ("value", "low", "high", "raw"))
    true = 100 * sum(day.good for day in truth.days) / sum(day.responses for day in truth.days)
    return (
        f"Corrected by {found[0]['labels']:,} human checks: {value:.1f} %, likely {low:.1f} – {high:.1f} % "
        f"(the AI reviewer alone {raw:.1f} %, the truth {true:.1f} %)"
    )


def _regression(lake: Lake, truth: Truth, headline: str, *, out: Console) -> bool:
    effects = from_table(
        rows(
            lake,
            f"select * exclude (day) from deploy_effects where metric = '{headline}' order by deployed_at",
            {"deploy_effects": None},
        ),
        DeployEffect,
    )
    worse = [effect for effect in effects if effect.found == "worse"]
    if truth.regression is None:
        out.print("No regression was planted." if not worse else f"[red]False alarm[/]: {worse[0].deploy_id}")
        return not worse
    found = next((effect for effect in worse if effect.deploy_id == truth.regression.deploy_id), None)
    planted = f"planted at {truth.regression.deployed_at:%a %d %b %H:%M} UTC, {100 * truth.regression.size:+.1f} points"
    if found is None or found.difference is None or found.low is None or found.high is None:
        out.print(f"[red]The regression was not found[/] ({planted})")
        return False
    out.print(
        f"[green]The regression was found[/] ({planted}): deploy {found.deploy_id}, {100 * found.difference:+.1f} "
        f"points, likely {100 * found.low:+.1f} to {100 * found.high:+.1f}"
    )
    wrong = [effect.deploy_id for effect in worse if effect.deploy_id != found.deploy_id]
    out.print(f"Other deploys blamed: {', '.join(wrong) or 'none'}")
    return not wrong
