"""A judge's file that is wrong is one clear error; the other judges go on, and numbers wait for it."""

import shutil
from pathlib import Path

import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.newcomer.files import REMOTE
from tests.pipeline import LAKE, run_assets, table
from tests.worlds import answer, log_events, settings_at

LOCAL = REMOTE.replace("gpt-4o-mini", "local/overlap")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copied = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, copied, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return copied


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (LOCAL.replace('1 = "rude"', '1 = ""'), r"judges/tone\.md: scale: the anchor of 1 is missing"),
        (LOCAL.replace("{response}", "{response} {answer}"), r"names \{answer\}, which is not a field of a response"),
        (REMOTE.replace("price =", "# price ="), r"judges/tone\.md: price is missing; write price ="),
        (LOCAL.replace('1 = "rude"\n', ""), r"judges/tone\.md: scale has 1 value\(s\), two or more"),
        ("no front matter", r"judges/tone\.md: no front matter"),
    ],
    ids=["no anchor", "no such field", "no price", "a scale of one", "no judge at all"],
)
def test_each_mistake_is_one_error_and_the_other_judges_are_there(folder: Path, text: str, error: str) -> None:
    (folder / "judges" / "tone.md").write_text(text, encoding="utf-8")
    catalog = load_catalog(folder)
    assert [judge.name for judge in catalog.live_judges] == ["relevance"]
    assert list(catalog.broken) == ["tone"]
    with pytest.raises(CatalogError, match=error):
        catalog.whole()


def test_all_that_is_wrong_is_told_at_once(folder: Path) -> None:
    (folder / "judges" / "tone.md").write_text("one", encoding="utf-8")
    (folder / "judges" / "style.md").write_text("two", encoding="utf-8")
    with pytest.raises(CatalogError) as raised:
        load_catalog(folder).whole()
    assert [line.split(":")[0] for line in str(raised.value).splitlines()] == ["judges/style.md", "judges/tone.md"]


def test_a_metric_of_a_broken_judge_stops_no_judge(folder: Path) -> None:
    metric = '\n[metrics.tone]\ntitle = "Kind"\nkind = "rate"\nnumerator = "tone_good"\njudge = "tone"\n'
    with (folder / "metrics.toml").open("a", encoding="utf-8") as file:
        file.write(metric + 'unit = "share"\ndirection = "up"\n')
    (folder / "judges" / "tone.md").write_text("no front matter", encoding="utf-8")
    assert load_catalog(folder).asked_judges
    (folder / "judges" / "tone.md").unlink()
    with pytest.raises(CatalogError, match=r"metrics\.tone\.judge is 'tone', which is no file in judges/"):
        load_catalog(folder)


def test_in_a_run_the_others_judge_the_check_names_the_file_and_no_number_is_built(
    tmp_path: Path, folder: Path
) -> None:
    (folder / "judges" / "tone.md").write_text("no front matter", encoding="utf-8")
    settings = settings_at(tmp_path / "home")
    log_events(settings, [answer(n) for n in range(20)])
    where = {"ONLINEEVAL_CATALOG": str(folder)}
    result = run_assets(settings.home, [*LAKE, "signals", "selections", "verdicts"], **where)
    assert result.success
    assert {row["judge"] for row in table(settings, "verdicts")} == {"relevance"}
    (check,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "judges_answer"]
    assert not check.passed
    assert "judges/tone.md: no front matter" in str(check.metadata["found"].value)
    counted = run_assets(settings.home, ["minute_counts", "metric_points"], **where)
    assert not counted.success
