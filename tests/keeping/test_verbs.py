"""`onlineeval erase`, `retention`, `backup`, `restore`: what a person types, and what they are told."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onlineeval_dagster.cli import app
from onlineeval_dagster.errors import KeepingError, OnlineEvalError
from onlineeval_dagster.keeping.backup import back_up
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.privacy.policy import load_privacy
from onlineeval_dagster.quality.closing import close
from onlineeval_dagster.settings import Settings
from tests.keeping.homes import holding_files, tables
from tests.pipeline import living_at
from tests.worlds import action, answer, lake_of, log_events, settings_at

YESTERDAY = datetime.now(UTC).replace(microsecond=0) - timedelta(days=1)


def run(settings: Settings, *arguments: str) -> str:
    """What a command says; raises its error."""
    with living_at(settings.home, ONLINEEVAL_WAREHOUSE_WAIT_SECONDS="1"):
        done = CliRunner().invoke(app, list(arguments), catch_exceptions=True)
    if isinstance(done.exception, OnlineEvalError):
        raise done.exception
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Anna's two answers in two sessions, one with an action; Ben's answer."""
    settings = settings_at(tmp_path / "home", warehouse_wait_seconds=1)
    anna = {"user_id": "anna-q7", "query": "I am anna-q7."}
    events = [
        answer("a1", at=YESTERDAY, session_id="s1", **anna),
        answer("a2", at=YESTERDAY, session_id="s2", **anna),
        action("a1", "comment", at=YESTERDAY, text="thanks, anna-q7", user_id="anna-q7"),
        answer("b1", at=YESTERDAY, user_id="ben", session_id="s3"),
    ]
    lake_of(settings, events, now=datetime.now(UTC))
    return settings


def left(settings: Settings) -> list[str]:
    return [row["response_id"] for row in tables(settings, ("responses",))["responses"]]


def test_a_user_is_erased_and_it_is_told_what_went_where(settings):
    told = run(settings, "erase", "--user", "anna-q7")
    assert left(settings) == ["rb1"]
    assert holding_files(settings.home, "anna-q7") == []
    assert "log: 3 lines" in told
    assert "lake: 3 rows (1 of actions, 2 of responses)" in told
    assert "warehouse: 0 rows" in told
    assert "No backup of this home is known" in told
    assert "anna-q7" not in told


def test_a_user_is_found_under_the_key_that_privacy_keeps(settings):
    with living_at(settings.home):
        key = load_privacy(settings).user_key("carl")
    log_events(settings, [answer("c1", at=YESTERDAY, user_id=key), answer("c2", at=YESTERDAY, user_id="carl")])
    lake_of(settings, [], now=datetime.now(UTC))
    told = run(settings, "erase", "--user", "carl")
    assert "2 of responses" in told
    assert sorted(left(settings)) == ["ra1", "ra2", "rb1"]


@pytest.mark.parametrize(
    ("option", "name", "stay"), [("--session", "s1", ["ra2", "rb1"]), ("--response", "rb1", ["ra1", "ra2"])]
)
def test_a_session_or_an_answer_is_erased_alone(settings, option, name, stay):
    run(settings, "erase", option, name)
    assert sorted(left(settings)) == stay


def test_an_unknown_user_is_told_so_and_kept_out_from_now_on(settings):
    told = run(settings, "erase", "--user", "nobody")
    assert "Nothing of this user is here" in told
    assert len(left(settings)) == 3
    lake_of(settings, [answer("n1", at=YESTERDAY, user_id="nobody")], now=datetime.now(UTC))
    assert len(left(settings)) == 3


@pytest.mark.parametrize("options", [(), ("--user", "a", "--session", "b")])
def test_exactly_one_option_is_wanted(settings, options):
    with pytest.raises(KeepingError, match="say one of --user ID, --session ID, --response ID"):
        run(settings, "erase", *options)


def test_an_empty_id_erases_nobody(settings):
    with pytest.raises(KeepingError, match="1 to 256 characters"):
        run(settings, "erase", "--user", "")


@pytest.mark.parametrize(
    "words", [("erase", "--user", "anna"), ("retention", "--apply"), ("backup", "copies"), ("coverage",)]
)
def test_a_home_that_is_not_there_is_named_and_not_made(tmp_path, words):
    with pytest.raises(OnlineEvalError, match=r"no home at .*/typo; set ONLINEEVAL_HOME"):
        run(settings_at(tmp_path / "typo"), *words)
    assert not list(tmp_path.rglob("erasures"))


def test_backups_that_are_known_are_named_and_not_touched(settings, tmp_path):
    made = back_up(settings, tmp_path / "backups", now=YESTERDAY)
    before = {file: file.read_bytes() for file in made.folder.rglob("*") if file.is_file()}
    told = run(settings, "erase", "--user", "anna-q7")
    assert f"Not touched: 1 backup of this home, the oldest of {YESTERDAY:%Y-%m-%d}" in told
    assert str(made.folder) in told
    assert {file: file.read_bytes() for file in made.folder.rglob("*") if file.is_file()} == before


def test_the_accounts_of_the_log_close_after_an_erasure(settings):
    run(settings, "erase", "--user", "anna-q7")
    outcome = close(settings, Lake(settings.lake_folder))
    assert (outcome.failures, outcome.received) == ((), 4)
    assert sum(row["taken_out"] for row in tables(settings, ("coverage",))["coverage"]) == 3
