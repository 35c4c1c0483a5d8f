"""`onlineeval alerts …`: what is going on, who has it, what is quiet, and what rules would have done."""

import getpass
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from onlineeval_dagster.errors import AlertError, CatalogError
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings, load_settings
from onlineeval_dagster.terminal import printed_on

if TYPE_CHECKING:
    from onlineeval_dagster.catalog.load import Catalog
    from onlineeval_dagster.contracts.base import LogEvent

alerts_app = typer.Typer(no_args_is_help=True, help="Alerts and incidents: rules of the catalog's alerts.toml.")

By = Annotated[str | None, typer.Option(help="Who says so; the name of the account by default.")]


@alerts_app.command("list")
def list_(
    all_: Annotated[bool, typer.Option("--all", help="Resolved incidents too, the last 50.")] = False,
) -> None:
    """Open incidents, the latest first; how many rules watch and how many are enabled."""
    from onlineeval_dagster.alerts.stage import read_incidents
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.lake.delta import Lake

    settings, out = load_settings(), printed_on()
    rules = load_catalog(settings.catalog).alerts.rules
    found = [one for one in read_incidents(Lake(settings.lake_folder)) if all_ or one.state != "resolved"]
    table = Table("incident", "state", "since (UTC)", "severity", "owner", "what", title_justify="left")
    for one in sorted(found, key=lambda one: one.opened_at, reverse=True)[:50]:
        state = one.state if one.acknowledged_by is None else f"{one.state} ({one.acknowledged_by})"
        quiet = "" if one.silenced_until is None else f", silenced until {one.silenced_until:%m-%d %H:%M}"
        watched = ", watched" if one.watched else ""
        cells = (one.incident_id, f"{state}{watched}{quiet}", f"{one.began_at:%Y-%m-%d %H:%M}", one.severity)
        table.add_row(*map(escape, (*cells, one.owner, one.title)))
    out.print(table if table.rows else "No incident is open." if not all_ else "There was no incident yet.")
    counts = {status: sum(rule.status == status for rule in rules.values()) for status in ("enabled", "watch", "off")}
    out.print(", ".join(f"{count} rules {status}" for status, count in counts.items() if count) or "No rules.")


@alerts_app.command("show")
def show(name: Annotated[str, typer.Argument(help="An incident or an alert, as `list` names it.")]) -> None:
    """An incident with the evidence of each of its alerts, and what may be behind it."""
    from onlineeval_dagster.alerts.blame import read_causes
    from onlineeval_dagster.alerts.incidents import ranked
    from onlineeval_dagster.alerts.shown import cause_lines
    from onlineeval_dagster.alerts.stage import read_alerts, read_incidents
    from onlineeval_dagster.lake.delta import Lake

    settings, out = load_settings(), printed_on()
    lake = Lake(settings.lake_folder)
    every = read_alerts(lake)
    own = [alert for alert in every if name in (alert.incident_id, alert.alert_id)]
    if not own:
        raise AlertError(f"alerts show: no incident or alert {name!r}; `onlineeval alerts list --all` names them")
    for incident in read_incidents(lake):
        if incident.incident_id == own[0].incident_id:
            heard = f", {incident.acknowledged_by} has it" if incident.acknowledged_by else ""
            out.print(f"{incident.title} – {incident.state}{heard}, {incident.owner}", markup=False)
            for line in cause_lines([one for one in read_causes(lake) if one.incident_id == incident.incident_id]):
                out.print(line, markup=False)
    for alert in ranked(own):
        out.print(f"· {alert.told}", markup=False)
        over = f", over {alert.resolved_at:%Y-%m-%d %H:%M}: {alert.ending}" if alert.resolved_at is not None else ""
        fired = f"evident {alert.fired_at:%Y-%m-%d %H:%M} UTC" if alert.fired_at else "not confirmed yet"
        began = f"began {alert.began_at:%Y-%m-%d %H:%M}, {fired}{over}"
        out.print(f"  {alert.alert_id}, rule {alert.rule}, {alert.state}, {began}", markup=False)
        out.print(
            f"  {alert.strength or 0:.1f} times its threshold, reached by one in {1 / alert.chance:,.0f} quiet looks",
            markup=False,
        )


@alerts_app.command("postmortem")
def postmortem(
    name: Annotated[str, typer.Argument(help="An incident, as `list` names it.")],
    out: Annotated[Path | None, typer.Option(help="A file for the page; its Markdown lies beside it.")] = None,
) -> None:
    """Draft a post-mortem: every metric before and during, causes, timeline, what was tried, what is open."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.reports.incident_page import post_mortem
    from onlineeval_dagster.reports.incident_stage import gathered, write_page

    settings = load_settings()
    lake, catalog = Lake(settings.lake_folder), load_catalog(settings.catalog).whole()
    draft = post_mortem(gathered(settings, lake, catalog, name, now=datetime.now(UTC)))
    file = write_page(draft, out or settings.report_folder / "incidents" / f"{name}-post-mortem.html")
    printed_on().print(f"{file}\n{file.with_suffix('.md')}", markup=False, soft_wrap=True)


@alerts_app.command("ack")
def ack(
    name: Annotated[str, typer.Argument(help="An incident or an alert.")],
    by: By = None,
    note: Annotated[str | None, typer.Option(help="What you know already.")] = None,
) -> None:
    """Say that you have it: what escalates to others stops. It goes through the log and holds from the next run on."""
    from onlineeval_dagster.alerts.said import acknowledgement
    from onlineeval_dagster.alerts.stage import read_alerts
    from onlineeval_dagster.lake.delta import Lake

    settings, now = load_settings(), datetime.now(UTC)
    own = [one for one in read_alerts(Lake(settings.lake_folder)) if name in (one.incident_id, one.alert_id)]
    if not own:
        raise AlertError(f"alerts ack: there is no incident or alert {name!r}; `onlineeval alerts list` names them")
    if all(alert.state == "resolved" for alert in own):
        raise AlertError(f"alerts ack: {name} is over already; `onlineeval alerts show {name}` says when and why")
    who = by or account()
    log_event(settings, acknowledgement(name, by=who, note=note, now=now))
    printed_on().print(f"{who} has {name}.", markup=False)


@alerts_app.command("silence")
def silence(
    rule: Annotated[str, typer.Argument(help="A rule of alerts.toml, or '*' for all.")],
    hours: Annotated[float, typer.Option(min=0.1, max=744, help="For how long.")],
    reason: Annotated[str, typer.Option(help="Why; shown to those who wonder.")],
    since: Annotated[
        str | None, typer.Option("--from", help="A beginning in the future (ISO 8601 with zone): a maintenance window.")
    ] = None,
    slice_value: Annotated[str, typer.Option("--slice", help="Only this value of a slice.")] = "*",
    by: By = None,
) -> None:
    """Tell nobody of a rule for some time. What it sees is recorded all the same."""
    from onlineeval_dagster.alerts import said
    from onlineeval_dagster.catalog.load import load_catalog

    settings, now = load_settings(), datetime.now(UTC)
    if rule != said.EVERY:
        _known(load_catalog(settings.catalog), rule)
    begin = now if since is None else _instant(since)
    end = begin + timedelta(hours=hours)
    if end <= now:
        raise AlertError(f"--from {since}: the silence would be over already; name a time that is to come")
    event = said.silence(rule, slice_value, begins_at=begin, ends_at=end, by=by or account(), reason=reason, now=now)
    log_event(settings, event)
    printed_on().print(f"{rule} is silent until {end:%Y-%m-%d %H:%M} UTC.", markup=False)


@alerts_app.command("backtest")
def backtest_(
    days: Annotated[int, typer.Option(min=1, max=400, help="How far to look back.")] = 90,
    rule: Annotated[str | None, typer.Option(help="Only this rule.")] = None,
) -> None:
    """What the rules would have done on history: incidents a week, what they found and how late, what they missed."""
    from onlineeval_dagster.alerts.backtest import as_if_watched, backtest
    from onlineeval_dagster.alerts.shown import backtest_lines, backtest_table
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.lake.delta import Lake

    settings, out = load_settings(), printed_on()
    catalog = load_catalog(settings.catalog)
    if rule is not None:
        _known(catalog, rule)
        catalog = as_if_watched(catalog, rule)
    done = backtest(
        Lake(settings.lake_folder), catalog, now=datetime.now(UTC), days=days, only=None if rule is None else [rule]
    )
    out.print(backtest_table(done))
    for line in backtest_lines(done, catalog):
        out.print(line, markup=False)


@alerts_app.command("enable")
def enable(
    rule: Annotated[str, typer.Argument(help="A rule of alerts.toml.")],
    force: Annotated[bool, typer.Option("--force", help="Enable it although the backtest speaks against it.")] = False,
) -> None:
    """Let a rule tell people, once its backtest is shown: at least 14 days, and within the budget of false alarms."""
    from onlineeval_dagster.alerts.backtest import as_if_watched, backtest, refusal
    from onlineeval_dagster.alerts.shown import tried_lines
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.lake.delta import Lake

    settings, out = load_settings(), printed_on()
    catalog = load_catalog(settings.catalog)
    _known(catalog, rule)
    done = backtest(Lake(settings.lake_folder), as_if_watched(catalog, rule), now=datetime.now(UTC), only=[rule])
    (tried,) = done.rules
    for line in tried_lines(tried):
        out.print(line, markup=False)
    against = refusal(catalog, tried)
    if against is not None and not force:
        raise AlertError(
            f"rule {rule} stays on {catalog.alerts.rules[rule].status}: {against}; --force enables it anyway"
        )
    _set_status(settings, rule, "enabled")
    told = ", ".join(catalog.alerts.channels) or "nobody yet: alerts.toml has no [channels.…]"
    out.print(f"{rule} is enabled. Told: {told}.", markup=False)


@alerts_app.command("disable")
def disable(
    rule: Annotated[str, typer.Argument(help="A rule of alerts.toml.")],
    off: Annotated[bool, typer.Option("--off", help="Do not look at all, instead of watching.")] = False,
) -> None:
    """Back to `watch`: recorded, sent nowhere; or off."""
    from onlineeval_dagster.catalog.load import load_catalog

    settings = load_settings()
    _known(load_catalog(settings.catalog), rule)
    status = "off" if off else "watch"
    _set_status(settings, rule, status)
    printed_on().print(f"{rule} is on {status}." if not off else f"{rule} is off.", markup=False)


@alerts_app.command("test")
def test_channel(channel: Annotated[str, typer.Argument(help="A channel of alerts.toml.")]) -> None:
    """Send a channel a message that says it is a test; exit 1 where it does not arrive. A dry run shows it instead."""
    from onlineeval_dagster.alerts.messages import a_test
    from onlineeval_dagster.alerts.outbox import Outbox
    from onlineeval_dagster.alerts.telling import send_test
    from onlineeval_dagster.catalog.load import load_catalog

    settings, out, now = load_settings(), printed_on(), datetime.now(UTC)
    channels = load_catalog(settings.catalog).alerts.channels
    if channel not in channels:
        there = ", ".join(channels) or "none; the packaged alerts.toml shows two"
        raise CatalogError(f"alerts.toml: no channel {channel!r}; there are {there}")
    message = a_test(channel, channels[channel], now=now)
    with Outbox(settings.outbox_file) as outbox:
        error = send_test(outbox, message, channels, now=now)
    if error is not None:
        raise AlertError(f"channels.{channel}: {error}")
    out.print(message.body if message.state == "dry_run" else f"{channel} has it.", markup=False)


@alerts_app.command("deliveries")
def deliveries(last: Annotated[int, typer.Option(min=1, help="How many.")] = 20) -> None:
    """What was told to whom, the latest first: sent, waiting to be tried again, given up, and why."""
    from onlineeval_dagster.alerts.outbox import Outbox

    settings, out = load_settings(), printed_on()
    with Outbox(settings.outbox_file) as outbox:
        found = outbox.all()
    table = Table("made (UTC)", "channel", "event", "incident", "state", "attempts", "error")
    for one in found[::-1][:last]:
        cells = (f"{one.made_at:%Y-%m-%d %H:%M}", one.channel, one.event, one.incident_id, one.state)
        table.add_row(*map(escape, (*cells, str(one.attempts), one.error or "")))
    out.print(table if table.rows else "Nobody was told anything yet.")


def _set_status(settings: Settings, rule: str, status: str) -> None:
    """Write the status into alerts.toml, whole or not at all; all else in the file stays."""
    from onlineeval_dagster.catalog.alert_file import FILE
    from onlineeval_dagster.newcomer.lines import toml, with_value

    if settings.catalog.resolve() == PACKAGED_CATALOG.resolve():
        raise CatalogError(
            "the packaged catalog is not written; copy it (`onlineeval init` does), set ONLINEEVAL_CATALOG to the copy"
        )
    file = settings.catalog / FILE
    text = with_value(file.read_text(encoding="utf-8"), f"rules.{rule}", "status", toml(status), place=FILE)
    draft = file.with_suffix(f".{os.getpid()}.part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)


def _known(catalog: "Catalog", rule: str) -> None:
    if rule not in catalog.alerts.rules:
        there = ", ".join(catalog.alerts.rules) or "none; copy the packaged alerts.toml"
        raise CatalogError(f"alerts.toml: no rule {rule!r}; there are {there}")


def log_event(settings: Settings, event: "LogEvent") -> None:
    """What people say goes through the log like everything else."""
    from onlineeval_dagster.log.segments import encode, open_log

    with open_log(settings, door="alerts") as log:
        log.append(encode(event))


def _instant(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise AlertError(f"--from {text!r} is no time; write 2026-11-23T22:00:00+01:00") from error
    if found.tzinfo is None:
        raise AlertError(f"--from {text!r} has no zone; write {text}Z for UTC")
    return found.astimezone(UTC)


def account() -> str:
    """Who runs this. Raises AlertError where the account has no name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        raise AlertError("this account has no name; say who you are with --by") from None
