"""`onlineeval alerts …` on a home whose latency went up."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onlineeval_dagster.alerts.blame import attribute
from onlineeval_dagster.alerts.stage import evaluate, read_alerts, read_incidents
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.cli import app
from onlineeval_dagster.contracts.events import Event
from onlineeval_dagster.errors import AlertError, CatalogError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings, load_settings
from tests.alerts.alert_worlds import NOW, hourly, put, shifted
from tests.alerts.receivers import receiver
from tests.pipeline import living_at
from tests.worlds import deploy, log_events

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
BEGAN = TODAY - timedelta(hours=20)
RULES = """
[budget]
false_alarms_a_week = 0.25
[rules.slow]
title = "Answers take longer"
owner = "team:search"
kind = "relative"
metric = "latency"
limit = 0.1
[rules.dear]  # has no points
title = "Answers cost more"
owner = "team:search"
kind = "relative"
metric = "cost"
limit = 0.1
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("alerts")
    by = TODAY - NOW
    points = hourly(fall=(BEGAN - by, TODAY - by, 1.5))
    put(Lake(folder / "home" / "lake"), shifted(points, by))
    catalog = folder / "catalog"
    shutil.copytree(PACKAGED_CATALOG, catalog, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (catalog / "alerts.toml").write_text(RULES, encoding="utf-8")
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path):
    folder = Path(shutil.copytree(made, tmp_path / "copy"))
    with living_at(folder / "home", ONLINEEVAL_CATALOG=str(folder / "catalog")):
        yield load_settings()


def say(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["alerts", *arguments], env={"COLUMNS": "200"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def look(settings: Settings) -> Lake:
    lake = Lake(settings.lake_folder)
    ingest(settings, lake, now=datetime.now(UTC) + timedelta(minutes=5))
    evaluate(lake, load_catalog(settings.catalog), now=TODAY + timedelta(hours=1))
    return lake


def test_an_incident_is_listed_shown_and_taken(home: Settings) -> None:
    assert "No incident is open." in say("list")
    lake = look(home)
    (incident,) = read_incidents(lake)
    listed = say("list")
    assert incident.incident_id in listed and "watched" in listed and "2 rules watch" in listed
    told = say("show", incident.incident_id)
    assert "Answers take longer: 1," in told and "times its threshold" in told
    assert "Causes: not looked for" in told
    attribute(
        home.warehouse_file,
        lake,
        load_catalog(home.catalog),
        read_incidents(lake),
        read_alerts(lake),
        now=TODAY + timedelta(hours=1),
    )
    assert "Cause: No cause can be named: the warehouse has no answers yet." in say("show", incident.incident_id)
    draft = home.home / "draft.html"
    assert str(draft.with_suffix(".md")) in say("postmortem", incident.incident_id, "--out", str(draft))
    assert "Post-mortem of incident" in draft.read_text(encoding="utf-8")
    assert "ada has" in say("ack", incident.incident_id, "--by", "ada")
    look(home)
    assert "acknowledged (ada)" in say("list")
    with pytest.raises(AlertError, match="i-nothing"):
        say("ack", "i-nothing")


def test_a_silence_goes_through_the_log_and_a_past_one_is_refused(home: Settings) -> None:
    look(home)
    assert "silent until" in say("silence", "slow", "--hours", "4", "--reason", "a migration", "--by", "ada")
    lake = look(home)
    # The silence begins now, and the look above was told an earlier now: it holds for looks from now on.
    evaluate(lake, load_catalog(home.catalog), now=datetime.now(UTC) + timedelta(minutes=1))
    assert read_alerts(lake)[0].silenced_until is not None
    with pytest.raises(CatalogError, match="no rule 'quick'; there are slow, dear"):
        say("silence", "quick", "--hours", "4", "--reason", "none")
    with pytest.raises(AlertError, match="has no zone"):
        say("silence", "slow", "--hours", "1", "--reason", "none", "--from", "2026-11-01T00:00:00")
    with pytest.raises(AlertError, match="over already"):
        say("silence", "slow", "--hours", "1", "--reason", "none", "--from", "2020-11-01T00:00:00+01:00")


def test_a_backtest_tells_alerts_a_week_and_what_was_found_or_missed(home: Settings) -> None:
    log_events(
        home,
        [
            outage("search_down", BEGAN - timedelta(minutes=10)),
            outage("campaign", BEGAN - timedelta(days=9)),
            deploy("d1", at=BEGAN),
        ],
    )
    look(home)
    told = say("backtest", "--days", "30")
    assert "slow" in told and "1 incidents in" in told
    assert "Found: search_down, by slow after" in told
    assert "Not seen within a day: campaign" in told


def outage(name: str, at: datetime):
    return Event(event_id=f"e-{name}", occurred_at=at, received_at=at, name=name)


def test_a_rule_is_enabled_on_a_backtest_that_is_shown_or_by_force(home: Settings) -> None:
    assert "slow on 3" in say("enable", "slow")
    text = (home.catalog / "alerts.toml").read_text(encoding="utf-8")
    assert load_catalog(home.catalog).alerts.rules["slow"].status == "enabled"
    assert "[rules.dear]  # has no points" in text
    with pytest.raises(AlertError, match="tried on 0 of 14 days; --force enables it anyway"):
        say("enable", "dear")
    assert load_catalog(home.catalog).alerts.rules["dear"].status == "watch"
    say("enable", "dear", "--force")
    assert load_catalog(home.catalog).alerts.rules["dear"].status == "enabled"
    say("disable", "dear", "--off")
    assert load_catalog(home.catalog).alerts.rules["dear"].status == "off"


def test_a_rule_over_the_budget_is_refused(home: Settings) -> None:
    file = home.catalog / "alerts.toml"
    file.write_text(file.read_text(encoding="utf-8").replace("0.25", "0.01"), encoding="utf-8")
    with pytest.raises(AlertError, match=r"0\.2 alerts a week, and the budget of all rules is 0\.01"):
        say("enable", "slow")


def test_the_packaged_catalog_is_not_written(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONLINEEVAL_CATALOG", str(PACKAGED_CATALOG))
    before = (PACKAGED_CATALOG / "alerts.toml").read_bytes()
    with pytest.raises(CatalogError, match="onlineeval init"):
        say("enable", "latency_high", "--force")
    assert (PACKAGED_CATALOG / "alerts.toml").read_bytes() == before


def test_a_channel_is_tried_and_what_was_told_is_listed(home: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERTS_SECRET", "a secret")
    with receiver() as hook:
        channel = f'kind = "webhook"\nurl = "{hook.url}"\nsecret = "${{ALERTS_SECRET}}"\n'
        with (home.catalog / "alerts.toml").open("a", encoding="utf-8") as file:
            file.write(f"[channels.ops]\n{channel}[channels.dry]\n{channel}dry_run = true\n")
        assert "ops has it." in say("test", "ops") and "this is a test" in say("test", "dry")
        assert len(hook.got) == 1
        hook.answers[:] = [404]
        with pytest.raises(AlertError, match=r"channels\.ops: 127\.0\.0\.1 answered HTTP 404"):
            say("test", "ops")
    listed = say("deliveries")
    assert all(word in listed for word in ("sent", "dry_run", "given_up", "HTTP 404"))
    with pytest.raises(CatalogError, match="no channel 'pager'; there are ops, dry"):
        say("test", "pager")
