"""A person's way through the whole house, and out of it: imported, counted, judged, quoted; then in no file."""

import json
import re
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onlineeval_dagster.cli import app
from onlineeval_dagster.privacy.policy import load_privacy
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.keeping.homes import holding_files, tables
from tests.pipeline import living_at

MARK = "Zq7marker"
YESTERDAY = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)


def rows_of(mark: str, users: int) -> list[dict]:
    others = [
        {"user_id": f"u{n}", "query": "Where is my parcel?", "response": "Your parcel is on its way to you."}
        for n in range(users)
    ]
    theirs = [
        # Bad enough that the report quotes it.
        {"user_id": f"user-{mark}", "query": f"I am {mark}: how do I cancel?", "response": "Blue socks and hats."}
        for _ in range(3)
    ]
    return [
        row | {"response_id": f"r{n}", "occurred_at": (YESTERDAY + timedelta(minutes=n)).isoformat()}
        for n, row in enumerate(others + theirs)
    ]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a command says. Every answer is judged, so that the report has something to quote."""
    catalog = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, catalog, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    sampling = catalog / "sampling.toml"
    sampling.write_text(re.sub(r"(?m)^rate = .*", "rate = 1.0", sampling.read_text()))
    monkeypatch.setenv("ONLINEEVAL_CATALOG", str(catalog))
    return lambda *arguments: _say(tmp_path / "home", *arguments)


def _say(home: Path, *arguments: str) -> str:
    with living_at(home):
        done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 0, (arguments, done.output, done.exception)
    return done.output


@pytest.mark.slow
def test_a_person_is_in_no_file_after_an_erasure_and_the_same_import_does_not_bring_them_back(tmp_path, say):
    home, file = tmp_path / "home", tmp_path / "answers.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows_of(MARK, 40)))
    say("import", str(file))
    say("run")
    with living_at(home) as settings:
        points = tables(settings, ("metric_points",))
        key = load_privacy(settings).user_key(f"user-{MARK}")
    before = {*holding_files(home, MARK), *holding_files(home, key)}
    pages = [f"reports/daily/{YESTERDAY.date()}{suffix}" for suffix in (".html", ".md")]
    assert {*pages, "warehouse/onlineeval.duckdb"} <= before, "the report quotes them"
    told = say("erase", "--user", f"user-{MARK}")
    assert "3 of responses" in told
    assert holding_files(home, MARK) == []
    assert holding_files(home, key) == []
    assert all((home / page).exists() for page in pages)
    assert "are accounted for" in say("coverage", "--days", "3")
    say("run")
    say("import", str(file))
    say("run")
    again = {*holding_files(home, MARK), *holding_files(home, key)}
    assert {Path(name).parent.name for name in again} == {"log"}, (
        "what was sent again is in the log, and goes no further"
    )
    assert "are accounted for" in say("coverage", "--days", "3")
    say("erase", "--user", f"user-{MARK}")
    assert {*holding_files(home, MARK), *holding_files(home, key)} == set()
    assert len({row["response_id"] for row in tables(settings, ("responses",))["responses"]}) == 40
    assert len(tables(settings, ("metric_points",))["metric_points"]) == len(points["metric_points"])
