"""Every dialect: a second import, later and from the same place, adds nothing once its days are built."""

import json
import sqlite3
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from onlineeval_dagster.catalog.source_file import Source
from onlineeval_dagster.contracts.tables import TABLE_OF
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.sources.importing import import_items
from onlineeval_dagster.sources.place import opened
from onlineeval_dagster.sources.registry import DIALECTS, read_items
from tests.sources import test_langfuse, test_mlflow_and_opik, test_phoenix, test_sql
from tests.sources.foreign import FLAT, NOW, lines
from tests.worlds import settings_at

BUILT = (  # as a day is built: the first of what has one id
    "select * exclude (log_segment, log_offset) from {} qualify row_number() over "
    "(partition by event_id order by received_at, log_segment, log_offset) = 1 order by event_id"
)


def _jsonl(folder: Path) -> dict[str, Any]:
    return {"path": str(lines(folder / "x.jsonl", FLAT | {"rating": 4}, FLAT | {"id": None}))}


def _langfuse(folder: Path) -> dict[str, Any]:
    shapes = test_langfuse
    person = shapes.SCORE | {"id": "c2", "source": "ANNOTATION", "name": "tone", "value": 2}
    return {"path": str(lines(folder / "x.jsonl", shapes.TRACE, shapes.STEP, shapes.SCORE, person))}


def _phoenix(folder: Path) -> dict[str, Any]:
    frames = {
        "s.parquet": test_phoenix.spans(),
        "a.csv": test_phoenix.downloaded(),
        "u.jsonl": test_phoenix.for_upload(),
    }
    return {"path": tuple(str(test_phoenix.write(frame, folder / name)) for name, frame in frames.items())}


def _mlflow(folder: Path) -> dict[str, Any]:
    shapes = test_mlflow_and_opik
    said = [shapes.assessment("relevant", "yes"), shapes.assessment("tone", 2, "HUMAN")]
    return {"path": str(lines(folder / "x.jsonl", shapes.mlflow_trace(*said)))}


def _opik(folder: Path) -> dict[str, Any]:
    shapes = test_mlflow_and_opik
    return {"path": str(lines(folder / "x.jsonl", shapes.opik_trace(shapes.given("tone", 2, "ui"))))}


def _sql(folder: Path) -> dict[str, Any]:
    file = folder / "chats.db"
    with sqlite3.connect(file) as connection:
        connection.execute(test_sql.TABLE)
    test_sql.put(file, test_sql.row(1, stars=4), test_sql.row(2))
    return {"url": f"sqlite:///{file}", "table": "answers", "cursor_column": "id"}


PAYLOADS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "jsonl": _jsonl,
    "langfuse": _langfuse,
    "mlflow": _mlflow,
    "opik": _opik,
    "phoenix": _phoenix,
    "sql": _sql,
}


@pytest.mark.parametrize("dialect", sorted(DIALECTS))
def test_importing_twice_adds_nothing(tmp_path: Path, dialect: str) -> None:
    settings = settings_at(tmp_path / "home")
    lake = Lake(settings.lake_folder)
    source = Source(dialect=dialect, **PAYLOADS[dialect](tmp_path))

    def imported(now: Any) -> dict[str, list[dict[str, Any]]]:
        done = import_items(settings, read_items(opened(source, place="sources.x", now=now), {}), door="import")
        assert done.events >= 2 and done.bad == 0
        ingest(settings, lake, now=now)
        names = {table.name for table in TABLE_OF.values()}
        return {name: rows(lake, BUILT.format(name), {name: None}).to_pylist() for name in names}

    once = imported(NOW)
    assert sum(map(len, once.values())) >= 2
    assert imported(NOW + timedelta(hours=1)) == once
    lines_written = [line for file in settings.log_folder.iterdir() for line in file.read_text().splitlines()]
    assert len({json.loads(line)["event_id"] for line in lines_written}) * 2 == len(lines_written)
