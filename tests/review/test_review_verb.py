"""`onlineeval review` and a reviewer's key as a person meets them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onlineeval_dagster.cli import app
from onlineeval_dagster.collector.keys import ApiKeys
from onlineeval_dagster.errors import ReviewError
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.review.tasks import plan_tasks
from tests.pipeline import living_at
from tests.review.task_worlds import AXIS, CATALOG, label, put, selected
from tests.worlds import answer, lake_of, settings_at


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a verb in this process; what it prints, its error is raised."""

    def saying(home: Path, *arguments: str) -> str:
        with living_at(home):
            done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
        return capsys.readouterr().out + done.stdout

    return saying


def test_from_tasks_to_another_tool_and_back(say, tmp_path: Path) -> None:
    home, now = tmp_path / "home", datetime.now(UTC)
    at = now - timedelta(hours=3)
    assert "No task yet" in say(home, "review", "status")
    settings = settings_at(home)
    lake = lake_of(settings, [*(answer(n, at=at) for n in range(3)), label(0, at=at)], now=now)
    put(lake, "selections", [selected(n, at=at) for n in range(3)])
    plan_tasks(lake, CATALOG, now=now)
    file = tmp_path / "tasks.json"
    assert "2 rows are in" in say(home, "review", "tasks", "--to", str(file))
    tasks = json.loads(file.read_text())
    for task in tasks:
        rating = {"id": "x", "from_name": AXIS, "to_name": "response", "type": "rating", "value": {"rating": 3}}
        task["annotations"] = [{"completed_by": {"email": "bo"}, "result": [rating], "created_at": now.isoformat()}]
    tasks[0]["data"]["response_id"] = "nobody"
    file.write_text(json.dumps(tasks))
    told = say(home, "review", "import", str(file), "--format", "label-studio")
    assert "1 labels are in the log, 1 refused" in told and "task 1: response_id: no answer 'nobody'" in told
    ingest(settings, lake, now=now + timedelta(minutes=1))
    plan_tasks(lake, CATALOG, now=now)
    shown = say(home, "review", "status")
    assert "audit" in shown and "bo" in shown and "ann" in shown
    assert say(home, "review", "export").count("\n") == 3  # a line that names the columns, and two labels


def test_a_file_without_one_good_label_fails(say, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text(f"response_id,axis,reviewer,score\nnobody,{AXIS},ann,3\n")
    with pytest.raises(ReviewError, match="no label of it was taken"):
        say(tmp_path / "home", "review", "import", str(file))
    with pytest.raises(ReviewError, match="cannot be read"):
        say(tmp_path / "home", "review", "import", str(tmp_path / "absent.csv"))


def test_a_reviewers_key_is_made_with_its_scope(say, tmp_path: Path) -> None:
    say(tmp_path, "keys", "add", "Ann", "--scope", "review")
    (key,) = ApiKeys(settings_at(tmp_path).keys_file).all()
    assert (key.name, key.scope) == ("Ann", "review")
