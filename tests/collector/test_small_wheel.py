"""The small wheel is the client, all of it and nothing else, and needs nothing but Python."""

import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import orjson
import pytest

from onlineeval_dagster.log.reader import read_lines

ROOT = Path(__file__).parents[2]
_USE = """
import sys
before = set(sys.modules)
from onlineeval_dagster.collector import middleware, openai_wrapper
from onlineeval_dagster.collector.client import Client
with Client(home=sys.argv[1]) as client:
    assert client.track_response(response_id="r", query="q", response="a")
with Client(url="http://127.0.0.1:1", spool=sys.argv[1] + "/spool") as client:
    assert client.track_user_action("r", "copy")
    assert client.counters.waiting == 1
names = {name.partition(".")[0] for name in set(sys.modules) - before}
print(*sorted(names - set(sys.stdlib_module_names)))
"""


def run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=120, check=False, cwd=ROOT / "sdk"
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT / "sdk")
    (built,) = folder.glob("*.whl")
    return built


def test_it_carries_the_modules_that_the_import_law_names_and_what_these_stand_on(wheel: Path) -> None:
    laws = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (law,) = [law for law in laws if law["name"] == "The client stands on the standard library"]
    named = {name.replace(".", "/") + ".py" for name in law["source_modules"]}
    rooms = {f"onlineeval_dagster/{room}__init__.py" for room in ("", "catalog/", "collector/", "log/")}
    found = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    assert found == named | rooms | {"onlineeval_dagster/errors.py"}


def test_it_has_the_version_of_the_whole_and_no_dependencies(wheel: Path) -> None:
    both = [tomllib.loads((ROOT / at / "pyproject.toml").read_text())["project"] for at in (".", "sdk")]
    assert both[0]["version"] == both[1]["version"]
    (name,) = [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith("METADATA")]
    asked = [line for line in zipfile.ZipFile(wheel).read(name).decode().splitlines() if "Requires-Dist" in line]
    assert [line for line in asked if "extra == 'fast'" not in line] == []
    assert len(asked) == 1


def test_in_a_bare_environment_it_tracks_to_a_home_and_to_a_spool(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "bare", with_pip=False)
    python = tmp_path / "bare" / "bin" / "python"
    (site,) = (tmp_path / "bare" / "lib").glob("*/site-packages")
    run(
        sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps", "--no-compile", "--target", site, wheel
    )
    said = run(python, "-I", "-c", _USE, tmp_path / "home")
    assert said.split() == ["onlineeval_dagster"]
    (segment,) = (tmp_path / "home" / "log").iterdir()
    (line,) = [line for _, line in read_lines(segment, 0, segment.stat().st_size)]
    assert orjson.loads(line)["response_id"] == "r"
