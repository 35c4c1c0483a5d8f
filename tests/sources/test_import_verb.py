"""`onlineeval import`, `sources` and `catalog check` as a person meets them; what is imported passes privacy."""

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from onlineeval_dagster.catalog.source_file import Source
from onlineeval_dagster.cli import app
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.sources.place import opened
from onlineeval_dagster.sources.registry import DIALECTS
from tests.pipeline import living_at
from tests.sources.foreign import FLAT, NOW, lines


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    folder = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return folder


def say(tmp_path: Path, *arguments: str, **environment: str) -> None:
    """Run a verb in this process; its error is raised."""
    with living_at(tmp_path / "home", **environment):
        CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def in_log(tmp_path: Path) -> list[dict]:
    files = sorted((tmp_path / "home" / "log").iterdir())
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def test_a_map_reaches_into_the_columns_of_a_parquet_file(tmp_path):
    file = tmp_path / "log.parquet"
    payload = [{"frage": "Wo?", "antwort": ["Hier."]}]
    times = pa.array([datetime(2026, 11, 20, tzinfo=UTC)], pa.timestamp("ns", tz="UTC"))
    pq.write_table(pa.table({"payload": payload, "wann": times, "sterne": [4]}), file)
    maps = ["query=payload.frage", "response=payload.antwort.0", "occurred_at=wann", "rating=sterne"]
    say(tmp_path, "import", str(file), *(word for pair in maps for word in ("--map", pair)))
    answer, stars = in_log(tmp_path)
    assert (answer["query"], answer["response"], stars["value"]) == ("Wo?", "Hier.", 4.0)
    assert answer["occurred_at"].startswith("2026-11-20T00:00:00")


def test_what_is_imported_passes_through_privacy_also_where_it_could_not_be_read(tmp_path):
    row = FLAT | {"question": "I am ann.lee@example.com, where is it?", "user": "u-77"}
    say(tmp_path, "import", str(lines(tmp_path / "x.jsonl", row, row | {"created_at": "soon"})))
    answer, bad = in_log(tmp_path)
    assert answer["query"] == "I am [e-mail], where is it?" and answer["user_id"].startswith("u_")
    assert "[e-mail]" in bad["text"] and "kind" not in bad
    assert not any("ann.lee" in json.dumps(line) for line in (answer, bad))


def test_where_no_row_can_be_read_the_first_is_named_and_all_are_kept_for_the_quarantine(tmp_path):
    file = lines(tmp_path / "x.jsonl", *(FLAT | {"created_at": "soon, ann.lee@example.com"} for _ in range(3)))
    with pytest.raises(SourceError, match=r"source jsonl: none of 3 rows .* first: x\.jsonl:1: created_at.*--source"):
        say(tmp_path, "import", str(file))
    assert len(in_log(tmp_path)) == 3
    with pytest.raises(SourceError, match=r"source opik: none of 3 rows") as refused:
        say(tmp_path, "import", "--source", "opik", str(file))
    assert "ann.lee" not in str(refused.value)


def test_a_server_without_its_keys_is_one_error_that_names_them(tmp_path, monkeypatch):
    monkeypatch.delenv("LANGFUSE_PUBLIC_KEY", raising=False)
    told = r"^import --source langfuse: the environment variable LANGFUSE_PUBLIC_KEY is not set; set it, or write"
    with pytest.raises(SourceError, match=told):
        say(tmp_path, "import", "--source", "langfuse", "http://127.0.0.1:1")


def test_sources_lists_every_dialect_in_one_line_each(tmp_path):
    with living_at(tmp_path / "home"):  # in a process of its own: the verb prints where it was loaded
        done = subprocess.run(
            [sys.executable, "-m", "onlineeval_dagster.cli", "sources"], capture_output=True, text=True
        )
    told = done.stdout.splitlines()
    assert [line.split(":")[0] for line in told[1 : 1 + len(DIALECTS)]] == [f"· {name}" for name in DIALECTS]
    assert {"jsonl", "langfuse", "mlflow", "opik", "phoenix", "sql"} <= set(DIALECTS)
    assert max(map(len, told[1:])) <= 140


def test_catalog_check_names_a_dialect_or_a_field_that_is_not_there(tmp_path, catalog):
    file = catalog / "sources.toml"
    file.write_text('[sources.chats]\ndialect = "jsonl"\npath = "x"\n')
    say(tmp_path, "catalog", "check", ONLINEEVAL_CATALOG=str(catalog))
    file.write_text('[sources.chats]\ndialect = "langsmith"\npath = "x"\n')
    with pytest.raises(SourceError, match=r"sources\.toml: sources\.chats: dialect 'langsmith' is unknown; there are"):
        say(tmp_path, "catalog", "check", ONLINEEVAL_CATALOG=str(catalog))
    file.write_text('[sources.chats]\ndialect = "jsonl"\npath = "x"\nmap = { qurey = "q" }\n')
    with pytest.raises(SourceError, match="no field 'qurey'; did you mean 'query'"):
        say(tmp_path, "catalog", "check", ONLINEEVAL_CATALOG=str(catalog))


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u@h/x?password=geheim%2F1&sslmode=require",
        "mysql://h/x?user=u&passwd=geheim%2F1",
        "https://h/x?api_key=geheim%2F1",
        "https://u:geheim%2F1@h/x",
    ],
)
def test_a_secret_is_masked_wherever_in_a_url_it_stands(url):
    ready = opened(Source(dialect="sql", url=url), place="sources.x", now=NOW)
    assert "geheim" not in str(ready.failure(f"no way to {url}, with 'geheim/1'", "mend it"))
    assert "sslmode=require" in str(ready.failure("?sslmode=require", "mend it"))
