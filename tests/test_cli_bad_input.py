"""Every mistake ends with one message that names place, value and remedy, exit code 1, and nothing lost."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from onlineeval_dagster import cli
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.status import show_status
from tests.pipeline import LAKE, run_assets, table
from tests.worlds import answer, log_events, settings_at

ROOT = Path(__file__).parents[1]
YESTERDAY = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)
ROW = {"question": "Where is it?", "answer": "On its way.", "created_at": YESTERDAY.isoformat()}
REMOTE = """---
axis = "tone"
model = "gpt-5-mini"
rate = 1.0
good_from = 3

[price]
input_usd_per_million = 0.25
output_usd_per_million = 2.0

[scale]
1 = "rude"
3 = "kind"
---
Is it kind? {response}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    folder = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return folder


def say(home: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code of `onlineeval …` in a process of its own, and what it said on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "onlineeval_dagster.cli", *arguments],
        cwd=ROOT,
        env={**os.environ, "ONLINEEVAL_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stderr.strip()


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, home: Path) -> Callable[..., str]:
    """The one error of a command in this process: the same entry point without the second that a start takes."""

    def run(*arguments: str, **environment: str) -> str:
        monkeypatch.setattr(sys, "argv", ["onlineeval", *arguments])
        said = Console(width=10_000, record=True, file=io.StringIO())
        monkeypatch.setattr(cli, "err", said)
        with monkeypatch.context() as patch:
            for name, value in {"ONLINEEVAL_HOME": str(home), **environment}.items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as ended:
                cli.main()
        assert ended.value.code == 1
        text = said.export_text().strip()
        assert text.startswith("error") and "Traceback" not in text
        return text

    return run


def rows_file(folder: Path, *rows: dict) -> Path:
    file = folder / "chats.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def log_bytes(home: Path) -> int:
    return sum(file.stat().st_size for file in (home / "log").glob("*")) if (home / "log").exists() else 0


def test_a_file_that_is_not_there_is_named(told, home: Path) -> None:
    assert "/no/such.jsonl" in told("import", "/no/such.jsonl")
    assert log_bytes(home) == 0


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_cannot_be_read_is_named(told, tmp_path: Path) -> None:
    file = rows_file(tmp_path, ROW)
    file.chmod(0)
    assert str(file) in told("import", str(file))


def test_a_folder_in_place_of_a_file_is_named(told, tmp_path: Path) -> None:
    assert str(tmp_path) in told("import", str(tmp_path))


@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe\x01" * 50, b"just text\n", b"PAR1 but not parquet"])
def test_a_file_without_rows_says_what_a_file_should_hold(told, tmp_path: Path, home: Path, content: bytes) -> None:
    file = tmp_path / "odd.jsonl"
    file.write_bytes(content)
    error = told("import", str(file))
    assert str(file) in error and "JSON object" in error
    assert log_bytes(home) == 0


def test_a_wrong_column_names_the_columns_there_are_and_imports_nothing(told, tmp_path: Path, home: Path) -> None:
    good, wrong = rows_file(tmp_path, ROW), tmp_path / "wrong.jsonl"
    wrong.write_text(json.dumps({"frage": "Wo?", "answer": "Da.", "created_at": ROW["created_at"]}) + "\n")
    error = told("import", str(good), str(wrong))
    assert "'query'" in error and "frage" in error and "--map query=" in error
    assert log_bytes(home) == 0, "one file is wrong, so none is imported"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--map", "question"], ["--map", "'question'", "="]),
        (["--map", "kwery=question"], ["kwery", "query"]),
        (["--source", "langfuze"], ["langfuze", "jsonl"]),
        (["--at", "yesterday"], ["--at", "yesterday", "2026-11-23T08:00:00Z"]),
        (["--at", "2026-11-23T08:00:00"], ["--at", "zone"]),
        (["--zone", "Mars/Olympus"], ["--zone", "Mars/Olympus", "Europe/Berlin"]),
    ],
)
def test_an_option_that_cannot_be_meant_is_explained(told, tmp_path: Path, arguments: list[str], words: list[str]):
    error = told("import", str(rows_file(tmp_path, ROW)), *arguments)
    assert all(word in error for word in words), error


def test_a_day_that_is_none_is_explained(told) -> None:
    assert "'soon'" in told("report", "--day", "soon")


def edit(catalog: Path, file: str, old: str, new: str) -> None:
    path = catalog / file
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("sampling.toml", "rate = 0.1", "rate = 10", ["sampling.toml", "normal.rate", "10", "0.1 for ten percent"]),
        ("sampling.toml", "rate = 0.1", "rat = 0.1", ["sampling.toml", "normal.rat", "rate"]),
        ("sampling.toml", "[normal]", "[normal", ["sampling.toml", "TOML"]),
        ("metrics.toml", "copy_seen", "copied_seen", ["metrics.toml", "copied", "copy_seen"]),
        ("metrics.toml", 'judge = "relevance"', 'judge = "relevence"', ["metrics.toml", "relevence", "relevance"]),
        ("metrics.toml", 'headline = "good', 'headline = "god', ["metrics.toml", "headline", "good_answers"]),
        ("signals.toml", "score = 0.8", "score = 8", ["signals.toml", "actions.copy.score", "8"]),
        ("signals.toml", "[detectors.truncated]", "[detectors.truncatd]", ["signals.toml", "truncatd", "truncated"]),
        ("judges/relevance.md", "local/overlap", "local/overlop", ["relevance.md", "local/overlop", "overlap"]),
        ("judges/relevance.md", 'axis = "relevance"', 'axes = "relevance"', ["relevance.md", "axes", "axis"]),
        ("judges/relevance.md", "{response}", "{answer}", ["relevance.md", "answer", "response"]),
        ("judges/relevance.md", "good_from = 3", "good_from = 7", ["relevance.md", "good_from", "7"]),
    ],
)
def test_a_mistake_in_the_catalog_names_file_key_value_and_what_was_meant(
    told, catalog: Path, file: str, old: str, new: str, words: list[str]
) -> None:
    edit(catalog, file, old, new)
    error = told("catalog", "check", ONLINEEVAL_CATALOG=str(catalog))
    assert all(word in error for word in words), error


def test_a_run_with_a_broken_catalog_stops_before_it_starts_and_keeps_the_log(told, catalog: Path, home: Path) -> None:
    log_events(settings_at(home), [answer(1, at=YESTERDAY)])
    before = log_bytes(home)
    edit(catalog, "sampling.toml", "rate = 0.1", "rate = 10")
    assert "rate" in told("run", ONLINEEVAL_CATALOG=str(catalog))
    assert log_bytes(home) == before


def test_a_catalog_that_is_not_there_is_named(told) -> None:
    assert "ONLINEEVAL_CATALOG" in told("catalog", "check", ONLINEEVAL_CATALOG="/no/catalog")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ONLINEEVAL_RETENTION_DAYS", "many"),
        ("ONLINEEVAL_ROTATE_BYTES", "3"),
        ("ONLINEEVAL_WAREHOUSE_WAIT_SECONDS", "-1"),
    ],
)
def test_a_variable_out_of_range_is_named_with_its_value(told, name: str, value: str) -> None:
    error = told("status", **{name: value})
    assert name in error and repr(value) in error and len(error.splitlines()) == 1


def test_a_home_that_is_a_file_is_one_clear_error(told, home: Path, tmp_path: Path) -> None:
    home.write_text("not a folder")
    assert str(home) in told("import", str(rows_file(tmp_path, ROW)))


def test_a_full_disk_is_one_clear_error_and_what_was_written_stays_readable(tmp_path: Path, home: Path) -> None:
    """A file may not grow beyond 64 KiB: what a full disk does, at a place that can be chosen."""
    file = tmp_path / "many.jsonl"
    file.write_text("".join(json.dumps({**ROW, "id": f"r{n}"}) + "\n" for n in range(2_000)))
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536));"
        "from onlineeval_dagster.cli import main; sys.argv = ['onlineeval', 'import', sys.argv[1]]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(file)],
        cwd=ROOT,
        env={**os.environ, "ONLINEEVAL_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert str(home / "log") in done.stderr and "Traceback" not in done.stderr
    code, error = say(home, "import", str(file))
    assert (code, error) == (0, "")
    assert run_assets(home, LAKE).success
    ids = {row["response_id"] for row in table(settings_at(home), "responses")}
    assert len(ids) == 2_000, "room was made, the import repeated: everything is there"


def test_a_second_run_names_the_process_that_holds_the_warehouse(home: Path) -> None:
    log_events(settings_at(home), [answer(1, at=YESTERDAY)])
    hold = (
        "import sys, time; from onlineeval_dagster.settings import load_settings;"
        "from onlineeval_dagster.warehouse.duckdb import warehouse_held\n"
        "with warehouse_held(load_settings().warehouse_file, wait_seconds=0, purpose='building'):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold],
        cwd=ROOT,
        env={**os.environ, "ONLINEEVAL_HOME": str(home)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        began = time.monotonic()
        code, error = say(home, "run", ONLINEEVAL_WAREHOUSE_WAIT_SECONDS="1")
        assert code == 1
        assert f"process {holder.pid} (building)" in error and "Traceback" not in error
        assert time.monotonic() - began > 1, "it waits before it gives up"
    finally:
        holder.kill()
        holder.wait()
    assert log_bytes(home) > 0
    code, error = say(home, "status", ONLINEEVAL_WAREHOUSE_WAIT_SECONDS="1")
    assert (code, error) == (0, ""), "a lock goes with its process"


def judged(home: Path, catalog: Path, **environment: str):
    """A run up to the verdicts, with a remote judge beside the local one."""
    (catalog / "judges" / "tone.md").write_text(REMOTE, encoding="utf-8")
    with (catalog / "sampling.toml").open("a", encoding="utf-8") as sampling:
        sampling.write("\n[budget]\nmonthly_cap_usd = 10\nconfirmed_at = 2026-01-01T00:00:00Z\n")
    log_events(settings_at(home), [answer(n, at=YESTERDAY) for n in range(40)])
    return run_assets(
        home, [*LAKE, "signals", "selections", "verdicts"], ONLINEEVAL_CATALOG=str(catalog), **environment
    )


def status(home: Path, catalog: Path) -> str:
    said = Console(width=200, record=True, file=io.StringIO())
    show_status(settings_at(home, catalog=catalog), now=datetime.now(UTC), out=said)
    return said.export_text()


def test_without_a_key_the_local_judge_works_and_the_rest_waits_for_it(home: Path, catalog: Path) -> None:
    result = judged(home, catalog)
    assert result.success
    (told,) = (
        done.metadata
        for done in result.asset_materializations_for_node("verdicts")
        if done.asset_key.to_user_string() == "verdicts"
    )
    assert "OPENAI_API_KEY: not set" in str(told["problem"].value) and "local/overlap" in str(told["problem"].value)
    judges = {row["judge"] for row in table(settings_at(home), "verdicts")}
    assert judges == {"relevance"}
    selected = [row for row in table(settings_at(home), "selections") if row["state"] == "selected"]
    assert sum(row["judge"] == "tone" for row in selected) == 40
    assert "40 responses to judge" in status(home, catalog)
    assert Lake(settings_at(home).lake_folder).read_through("verdicts", "selections") is not None


def test_a_judge_whose_endpoint_is_down_is_paused_by_name_and_loses_none_of_its_answers(
    home: Path, catalog: Path
) -> None:
    nowhere = "http://127.0.0.1:9/v1"
    assert judged(home, catalog, OPENAI_API_KEY="any", OPENAI_BASE_URL=nowhere).success
    judges = {row["judge"] for row in table(settings_at(home), "verdicts")}
    assert judges == {"relevance"}, "an outage costs no answer its attempts: they wait"
    said = status(home, catalog)
    assert "judge tone is paused since" in said and "127.0.0.1:9" in said and "asked again from" in said
