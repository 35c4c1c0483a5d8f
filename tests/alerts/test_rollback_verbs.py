"""`onlineeval rollback …` and `onlineeval alerts watches` on a home with a deploy that was looked at."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onlineeval_dagster.alerts.said import read_said
from onlineeval_dagster.cli import app
from onlineeval_dagster.contracts.alerts import DeployLook
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.errors import AlertError, CatalogError
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.settings import PACKAGED_CATALOG, load_settings
from tests.alerts.deploy_worlds import lake_with
from tests.alerts.receivers import receiver
from tests.alerts.test_rollback import look
from tests.pipeline import living_at

NOW = datetime.now(UTC)
DEPLOYED = NOW - timedelta(hours=1)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ROLLBACK_SECRET", "a secret")
    catalog = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, catalog, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    two = ({"deploy_id": "d1", "occurred_at": DEPLOYED}, {"deploy_id": "d2", "occurred_at": NOW, "model": "m2"})
    lake = lake_with(tmp_path / "home", *two)
    times = {"deployed_at": DEPLOYED, "began_at": DEPLOYED, "made_at": NOW}
    looks = [
        look(**times),
        look(rule="slow", beyond=False, **times),
        look(rule="few", beyond=None, reason="few", **times),
    ]
    table = to_table(looks, DeployLook).append_column(DAY, [[DEPLOYED.date()] * 3])
    lake.replace_days("deploy_looks", [DEPLOYED.date()], table.cast(TABLES["deploy_looks"].schema))
    with living_at(tmp_path / "home", ONLINEEVAL_CATALOG=str(catalog)):
        yield lake, catalog / "alerts.toml"


def say(*arguments: str) -> str:
    done = CliRunner().invoke(app, [*arguments], env={"COLUMNS": "220"})
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.stdout


def test_watches_are_listed_open_ones_too_and_one_is_told_look_by_look(home) -> None:
    listed = say("alerts", "watches")
    assert "broken: fail, 1 clear, 1 not known" in listed and "prompt_version v1" in listed
    assert "not looked yet" in next(line for line in listed.splitlines() if "d2" in line)
    assert "✗   60 min  fail: More than 2 % of answers fail" in say("alerts", "watches", "d1")
    with pytest.raises(AlertError, match="no look at a deploy 'd9' yet"):
        say("alerts", "watches", "d9")


def test_a_hold_is_an_event_that_outlives_the_machine(home) -> None:
    lake, _ = home
    with pytest.raises(AlertError, match=r"no deploy 'd9' is known; .* '\*' holds all"):
        say("rollback", "hold", "d9", "--reason", "none")
    said = say("rollback", "hold", "d1", "--reason", "a fix is on its way", "--by", "ada", "--hours", "3")
    assert "Deploy d1 will not be rolled back until" in said and "ada" in said
    ingest(load_settings(), lake, now=datetime.now(UTC) + timedelta(minutes=5))
    later = datetime.now(UTC) + timedelta(minutes=1)
    held = read_said(lake, now=later)
    assert held.hold_of("d1", now=later).reason == "a fix is on its way" and held.hold_of("d2", now=later) is None
    assert held.hold_of("d1", now=later + timedelta(hours=3)) is None


def test_a_test_reaches_the_endpoint_while_rollbacks_are_off_and_says_what_it_is(home) -> None:
    _, file = home
    with pytest.raises(CatalogError, match=r"no \[rollback\]"):
        say("rollback", "test")
    assert "has no [rollback]" in say("rollback", "status")
    with receiver() as hook:
        text = file.read_text(encoding="utf-8")
        file.write_text(f'{text}\n[rollback]\nurl = "{hook.url}"\nsecret = "${{ROLLBACK_SECRET}}"\n', encoding="utf-8")
        assert "took the test" in say("rollback", "test")
        ((headers, body),) = hook.got
        told = json.loads(body)
        assert (told["event"], told["test"], told["deploy"]) == ("rollback.test", True, None)
        assert headers["Idempotency-Key"] == told["idempotency_key"] and "X-Onlineeval-Signature" in headers
        hook.answers[:] = [500]
        with pytest.raises(AlertError, match=r"rollback: 127\.0\.0\.1 answered HTTP 500"):
            say("rollback", "test")
    listed = say("rollback", "status")
    assert "Rollbacks are off" in listed and "test, sent" in listed and "HTTP 500" in listed
    file.write_text(file.read_text(encoding="utf-8") + 'status = "on"\n', encoding="utf-8")
    assert "No rule may call: none after a deploy is enabled" in say("rollback", "status")
