"""The file that the pages read: open tasks with their texts, and nothing that was let go."""

import dataclasses
import sqlite3
from datetime import timedelta
from pathlib import Path

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.sampling_file import Review
from onlineeval_dagster.keeping.erasure import ask, work
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.review.published import Published, publish, task_id
from onlineeval_dagster.review.tasks import plan_tasks
from onlineeval_dagster.settings import Settings
from tests.review.task_worlds import AXIS, CATALOG, JUDGE, label, put, selected
from tests.worlds import NOON, answer, lake_of, settings_at

NOW = NOON + timedelta(days=1)


def world(folder: Path, *events: object) -> tuple[Settings, Lake]:
    settings = settings_at(folder)
    answers = [answer(n, context=f"context {n}", response=f"secret {n}", user_id=f"u{n}") for n in range(3)]
    lake = lake_of(settings, [*answers, *events], now=NOW)  # type: ignore[list-item]
    put(lake, "selections", [selected(n) for n in range(3)])
    return settings, lake


def bring_up(settings: Settings, lake: Lake, catalog: Catalog = CATALOG, **more: object) -> Published:
    plan_tasks(lake, catalog, now=NOW)
    return publish(settings.review_tasks_file, lake, catalog, now=NOW, redact=more.get("redact", str))  # type: ignore[arg-type]


def ask_file(settings: Settings, sql: str) -> list[tuple]:
    with sqlite3.connect(settings.review_tasks_file) as file:
        return file.execute(sql).fetchall()


def test_open_tasks_stand_there_with_cleaned_texts_and_the_axis_own_scale(tmp_path: Path) -> None:
    settings, lake = world(tmp_path, label(1))
    assert bring_up(settings, lake, redact=lambda text: text.replace("secret", "…")).open == 2
    found = ask_file(settings, "select response_id, response, context from answers order by 1")
    assert found == [("r0", "… 0", "context 0"), ("r2", "… 2", "context 2")]
    assert {row[0] for row in ask_file(settings, "select task from tasks")} == {
        task_id(name, AXIS, "audit") for name in ("r0", "r2")
    }
    ((axis, scale),) = ask_file(settings, "select axis, scale from axes")
    assert axis == AXIS and all(anchor in scale for anchor in JUDGE.scale.values())
    assert settings.review_tasks_file.stat().st_mode & 0o077 == 0


def test_only_changed_days_are_written_and_a_label_closes_its_task(tmp_path: Path) -> None:
    settings, lake = world(tmp_path)
    assert bring_up(settings, lake) == Published(days=(NOON.date(),), open=3)
    assert bring_up(settings, lake) == Published(days=(), open=3)
    lake_of(settings, [label(0)], now=NOW)
    assert bring_up(settings, lake) == Published(days=(NOON.date(),), open=2)


def test_where_two_are_asked_the_file_knows_the_first(tmp_path: Path) -> None:
    settings, lake = world(tmp_path, label(1))
    sampling = CATALOG.sampling.model_copy(update={"review": Review(rate=0.05, raters={AXIS: 2})})
    assert bring_up(settings, lake, dataclasses.replace(CATALOG, sampling=sampling)).open == 3
    assert ask_file(settings, "select task, reviewer from known") == [(task_id("r1", AXIS, "audit"), "ann")]


def test_after_28_days_a_task_is_closed_whether_or_not_somebody_came(tmp_path: Path) -> None:
    settings, lake = world(tmp_path)
    bring_up(settings, lake)
    later = publish(settings.review_tasks_file, lake, CATALOG, now=NOW + timedelta(days=40), redact=str)
    assert later == Published(days=(), open=0)
    assert ask_file(settings, "select * from answers") == []


def test_an_erased_answer_is_gone_from_the_pages_and_from_the_file_itself(tmp_path: Path) -> None:
    settings, lake = world(tmp_path)
    bring_up(settings, lake)
    work(settings, ask(settings, "user", ["u1"], now=NOW), now=NOW)
    assert [row[0] for row in ask_file(settings, "select response_id from answers order by 1")] == ["r0", "r2"]
    assert len(ask_file(settings, "select * from tasks")) == 2
    files = settings.review_tasks_file.parent.iterdir()
    assert not any(b"secret 1" in file.read_bytes() for file in files)
    assert bring_up(settings, lake).open == 2


def test_the_order_says_nothing_of_the_stream_or_the_time(tmp_path: Path) -> None:
    assert task_id("r", AXIS, "audit") != task_id("r", AXIS, "targeted")
    settings, lake = world(tmp_path)
    bring_up(settings, lake)
    places = [row[0] for row in ask_file(settings, "select place from tasks order by response_id")]
    assert len(set(places)) == 3 and all(0 <= place < 1 for place in places)
