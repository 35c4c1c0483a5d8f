"""A newcomer's first hour, as typed: init, import, run with the catalog that was written."""

import io
import os
import select
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from onlineeval_dagster import cli
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.defs.launch import RunOutcome
from onlineeval_dagster.settings import Settings
from onlineeval_dagster.verbs import newcomer, sources
from onlineeval_dagster.warehouse.duckdb import query
from tests.newcomer.files import REMOTE, flat, lines
from tests.pipeline import living_at, run_in, table
from tests.worlds import settings_at

ROOT = Path(__file__).parents[2]
START = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
ANSWERS = 240


def chats(folder: Path) -> Path:
    """Three days of answers, two in three to the point, some rated, some failed."""
    rows = []
    for n in range(ANSWERS):
        said: dict[str, Any] = {"created_at": (START + timedelta(minutes=18 * n)).isoformat(), "user": f"u{n % 30}"}
        said |= {"answer": "Bananas are yellow."} if n % 3 == 0 else {}
        said |= {"rating": 5 if n % 4 else 1} if n % 2 else {}
        said |= {"error": "HTTP 500", "answer": ""} if n % 40 == 0 else {}
        rows.append(flat(n, **said))
    return lines(folder / "chats.jsonl", rows)


class FirstHour:
    """What the three commands left behind."""

    def __init__(self, folder: Path) -> None:
        self.settings: Settings = settings_at(folder / "home", catalog=folder / "catalog")
        file = chats(folder)
        with living_at(folder / "home"):
            newcomer.init(file, to=folder / "catalog", cap=20.0, yes=True)
        with living_at(folder / "home", ONLINEEVAL_CATALOG=str(folder / "catalog")):
            sources.import_([str(file)])
        self.outcome: RunOutcome = run_in(folder / "home", ONLINEEVAL_CATALOG=str(folder / "catalog"))
        self.points = table(self.settings, "metric_points")


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> FirstHour:
    return FirstHour(tmp_path_factory.mktemp("first_hour"))


def test_the_run_succeeds_and_every_answer_that_did_not_fail_is_judged(hour: FirstHour) -> None:
    assert hour.outcome.success
    states = Counter(row["state"] for row in table(hour.settings, "selections"))
    assert states == {"selected": ANSWERS - 6, "filtered": 6}
    assert len(table(hour.settings, "verdicts")) == ANSWERS - 6


def test_numbers_come_by_day_and_by_week(hour: FirstHour) -> None:
    days = [(START + timedelta(days=back)).date() for back in range(3)]
    for grain, starts in (("day", set(days)), ("week", {day - timedelta(days=day.weekday()) for day in days})):
        points = [point for point in hour.points if point["grain"] == grain]
        assert {point["metric"] for point in points} >= {"good_answers", "errors", "copied"}
        assert {point["day"] for point in points if (point["metric"], point["slice"]) == ("copied", "all")} == starts
    assert {point["grain"] for point in hour.points} == {"day", "week"}
    (moments,) = query(hour.settings.warehouse_file, "select list(distinct grain) as grains from marts.metric_moments")[
        "grains"
    ].to_pylist()
    assert moments == ["day"], "what gets no point is not counted either"


def test_traffic_and_errors_come_by_minute(hour: FirstHour) -> None:
    minutes = table(hour.settings, "minute_counts")
    assert sum(row["responses"] for row in minutes) == ANSWERS
    assert sum(row["errors"] for row in minutes) == 6
    assert len({row["window_start"] for row in minutes}) == ANSWERS, "one answer in 18 minutes"


def test_catalog_check_passes_on_what_was_written(hour: FirstHour, monkeypatch: pytest.MonkeyPatch) -> None:
    out = Console(width=10_000, record=True, file=io.StringIO())
    monkeypatch.setattr(cli, "out", out)
    with living_at(hour.settings.home, ONLINEEVAL_CATALOG=str(hour.settings.catalog)):
        cli.catalog_check()
    assert "is in order" in out.export_text()


def test_a_tables_name_in_brackets_is_shown_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = (Console(width=10_000, record=True, file=io.StringIO()) for _ in range(2))
    monkeypatch.setattr(cli, "out", out)
    monkeypatch.setattr(cli, "err", err)
    typed = ["init", str(chats(tmp_path)), "--to", str(tmp_path / "catalog"), "--yes", "--cap"]
    with living_at(tmp_path / "home"):
        cli.app([*typed, "5"], standalone_mode=False)
    (tmp_path / "catalog" / "judges" / "tone.md").write_text(REMOTE, encoding="utf-8")
    with living_at(tmp_path / "home", ONLINEEVAL_CATALOG=str(tmp_path / "catalog")):
        cli.catalog_check()
    assert "or write [budget] with" in out.export_text()
    with living_at(tmp_path / "home"):
        cli.app([*typed, "5", "--force"], standalone_mode=False)
        monkeypatch.setattr(sys, "argv", ["onlineeval", *typed, "0", "--force"])
        with pytest.raises(SystemExit):
            cli.main()
    assert "has a [budget] from before" in err.export_text()


def test_the_report_of_a_day_is_written_without_hours(hour: FirstHour) -> None:
    day = str((START + timedelta(days=1)).date())
    done = run_in(hour.settings.home, "report", partition=day, ONLINEEVAL_CATALOG=str(hour.settings.catalog))
    assert done.success
    page = (hour.settings.report_folder / "daily" / f"{day}.html").read_text(encoding="utf-8")
    assert "by day</h2>" in page and "by week</h2>" in page
    assert "by hour" not in page and "by-hour" not in page
    text = (hour.settings.report_folder / "daily" / f"{day}.md").read_text(encoding="utf-8")
    assert "## Answers were good, by week" in text


def test_at_a_terminal_the_cap_is_asked_for(tmp_path: Path) -> None:
    """Through a terminal of its own: model, cap, history, confirmation."""
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "onlineeval_dagster.cli", "init", str(chats(tmp_path)), "--model", "gpt-4o-mini"]
    process = subprocess.Popen(
        [*command, "--to", str(tmp_path / "catalog")],
        cwd=ROOT,
        env={**os.environ, "ONLINEEVAL_HOME": str(tmp_path / "home")},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said, until = "", time.monotonic() + 60
    answers = {"may judging cost": "5\n", "of this file too": "n\n", "Write the catalog": "y\n"}
    try:
        while process.poll() is None and time.monotonic() < until:
            if not select.select([ours], [], [], 0.2)[0]:
                continue
            try:
                said += os.read(ours, 65_536).decode(errors="replace")
            except OSError:
                break  # Linux: the other end is closed
            for question in [question for question in answers if question in said]:
                os.write(ours, answers.pop(question).encode())
        assert process.wait(20) == 0, said
    finally:
        process.kill()
        os.close(ours)
    assert answers == {}
    budget = load_catalog(tmp_path / "catalog").sampling.budget
    assert budget is not None and (budget.monthly_cap_usd, budget.judge_history) == (5, False)
