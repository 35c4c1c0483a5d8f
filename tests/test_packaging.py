"""What is shipped works: the wheel from anywhere, the README says what there is, dbt's unit tests hold."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from typer.main import get_command

from onlineeval_dagster.cli import app
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.warehouse.duckdb import prepare
from tests.pipeline import living_at

ROOT = Path(__file__).parents[1]
SHIPPED = [
    "dbt_project/dbt_project.yml",
    "dbt_project/profiles.yml",
    "dbt_project/macros/moments.sql",
    "dbt_project/models/marts/response_facts.sql",
    "catalog/judges/relevance.md",
    "catalog/alerts.toml",
    "catalog/experiments.toml",
    "catalog/metrics.toml",
    "catalog/prices.toml",
    "catalog/sampling.toml",
    "catalog/privacy.toml",
    "catalog/retention.toml",
    "catalog/signals.toml",
    "catalog/sources.toml",
    "catalog/traces.toml",
    "simulate/topics.toml",
    "quality/suites.toml",
    "reports/daily.html.j2",
    "reports/daily.css",
    "reports/daily.js",
]


def run(command: list[str | Path], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT], folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def unpacked(wheel: Path) -> Path:
    folder = wheel.parent / "unpacked"
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home for what is started from the wheel: dbt's project is parsed once for all."""
    return tmp_path_factory.mktemp("home")


def tracked(folder: Path) -> list[Path]:
    """The files of a folder without what runs leave there."""
    left = {"target", "logs", ".user.yml"}
    return [path for path in folder.rglob("*") if path.is_file() and not left & set(path.relative_to(folder).parts)]


def test_the_wheel_carries_all_that_is_no_python(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"onlineeval_dagster/{name}" for name in SHIPPED} <= names


def test_the_wheel_carries_every_file_of_the_package_and_nothing_of_a_run(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [path.relative_to(ROOT) for path in (ROOT / "onlineeval_dagster").rglob("*") if path.is_file()]
    assert {str(path) for path in files if "__pycache__" not in path.parts} <= names
    assert [
        name for name in names if "/target/" in name or "/logs/" in name or name.endswith((".log", ".duckdb"))
    ] == []


def test_a_fresh_interpreter_loads_the_definitions_of_the_wheel_from_anywhere(
    unpacked: Path, home: Path, tmp_path: Path
) -> None:
    script = (
        "import json, onlineeval_dagster\n"
        "import dagster as dg\n"
        "from onlineeval_dagster.definitions import defs\n"
        "from onlineeval_dagster.defs.warehouse import project_folder\n"
        "dg.Definitions.validate_loadable(defs)\n"
        "keys = [key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()]\n"
        "print(json.dumps([onlineeval_dagster.__file__, str(project_folder()), keys]))"
    )
    said = run([sys.executable, "-c", script], tmp_path, PYTHONPATH=str(unpacked), ONLINEEVAL_HOME=str(home))
    package, project, keys = json.loads(next(line for line in said.splitlines() if line.startswith('["')))
    assert Path(package).is_relative_to(unpacked)
    assert Path(project) == unpacked / "onlineeval_dagster" / "dbt_project"
    assert {"responses", "response_facts", "metric_points", "daily_report"} <= set(keys)
    left = [path for path in unpacked.rglob("*") if path.name in {"target", "logs", "manifest.json"}]
    assert left == [], "an installed package is never written to"


def test_the_readme_names_every_command() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = get_command(app).commands  # pyright: ignore
    names = [name for name in commands if name != "catalog"] + [
        f"catalog {name}" for name in commands["catalog"].commands
    ]
    assert [name for name in names if f"onlineeval {name}" not in readme] == []


def test_the_readme_names_no_command_that_is_not_there() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"onlineeval ([a-z]+)(?= |`|$|\n)", readme))
    assert named - set(get_command(app).commands) == set()  # pyright: ignore


def test_the_readme_names_every_target_of_make() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(targets) > 8
    assert [target for target in targets if f"make {target}" not in readme] == []


def test_dbts_unit_tests_hold_on_empty_tables(tmp_path: Path) -> None:
    """dbt asks the columns of what a model stands on, so every model is built once over a lake without rows."""
    with living_at(tmp_path) as settings:
        settings.warehouse_file.parent.mkdir(parents=True)
        prepare(settings.warehouse_file, Lake(settings.lake_folder), [])
    project = ROOT / "dbt_project"
    where = ["--project-dir", project, "--profiles-dir", project, "--target-path", tmp_path, "--log-path", tmp_path]
    known = json.dumps({"warehouse": str(settings.warehouse_file)})
    kinds = ["--resource-type", "model", "--resource-type", "unit_test"]
    said = run([Path(sys.executable).with_name("dbt"), "build", *kinds, *where, "--vars", known], ROOT)
    models = {path.stem for path in (project / "models").rglob("*.sql")}
    tested = re.findall(r" PASS (\w+)::", said)
    assert len(tested) >= len(models), said[-2_000:]
    assert "ERROR=0" in said
