"""`onlineeval judge new`: a file that works as it stands, and its first look at one's own answers."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onlineeval_dagster.catalog.judge_reading import load_judge
from onlineeval_dagster.cli import app
from onlineeval_dagster.errors import CatalogError, JudgeError
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.fake_endpoint import completion, refusal, serving
from tests.pipeline import living_at, table
from tests.worlds import answer, lake_of, settings_at

NOON = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)
KIND = ("new", "kind", "--question", "is the answer kind to the user?")
PAID = (*KIND, "--model", "gpt-4.1-mini")
Told = Callable[..., str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copied = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, copied, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return copied


@pytest.fixture
def told(tmp_path: Path, folder: Path) -> Told:
    """What the verb prints; its error is raised."""
    settings = settings_at(tmp_path / "home")
    lake_of(
        settings,
        [answer(n, at=NOON - timedelta(minutes=n), response=f"Mail anna{n}@example.com") for n in range(15)],
        now=NOON + timedelta(hours=1),
    )

    def run(*arguments: str, **environment: str) -> str:
        variables = {"ONLINEEVAL_CATALOG": str(folder)} | environment
        with living_at(settings.home, **variables):
            done = CliRunner().invoke(app, ["judge", *arguments])
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    return run


def agreed(folder: Path, *, after: timedelta = timedelta(minutes=-12)) -> None:
    text = f"\n[budget]\nmonthly_cap_usd = 5\nconfirmed_at = {(NOON + after).isoformat()}\n"
    with (folder / "sampling.toml").open("a", encoding="utf-8") as file:
        file.write(text)


def test_a_local_judge_is_written_asleep_and_tried_at_once_for_nothing(told: Told, folder: Path) -> None:
    said = told(*KIND)
    judge = load_judge(folder / "judges" / "kind.md")
    assert (judge.axis, judge.status, judge.is_local, list(judge.scale)) == ("kind", "retired", True, [1, 2, 3])
    assert "is the answer kind to the user?" in judge.prompt
    assert said.count("Where is my parcel?") == 10
    assert "10 scored, 0 failed" in said and "$0.0000" in said and "@example.com" not in said


def test_a_paid_judge_without_a_confirmed_budget_is_written_and_sends_nothing(told: Told, folder: Path) -> None:
    with serving(lambda number, body: completion('{"score": 3}')) as fake:
        said = told(*PAID, "--yes", OPENAI_BASE_URL=fake.base_url, OPENAI_API_KEY="k")
        assert fake.calls == []
    assert "Not tried: gpt-4.1-mini costs money, and sampling.toml has no [budget]" in said
    assert load_judge(folder / "judges" / "kind.md").daily_budget_usd == 1.0


def test_the_price_is_told_before_anything_is_sent_and_without_a_yes_nothing_is(told: Told, folder: Path) -> None:
    agreed(folder)
    with serving(lambda number, body: completion('{"score": 3}')) as fake:
        said = told(*PAID, OPENAI_BASE_URL=fake.base_url, OPENAI_API_KEY="k")
        assert fake.calls == []
    assert "10 of your answers go to gpt-4.1-mini" in said and "at the most" in said
    assert "Not tried: no terminal to ask at; say --yes" in said


def test_ten_of_ones_own_answers_are_judged_redacted_and_nothing_is_kept(
    told: Told, folder: Path, tmp_path: Path
) -> None:
    agreed(folder, after=timedelta(minutes=-7))
    with serving(lambda number, body: completion('{"score": 2, "reason": "a little short"}')) as fake:
        said = told(*PAID, "--yes", OPENAI_BASE_URL=fake.base_url, OPENAI_API_KEY="k")
    assert len(fake.calls) == 8, "those from before the budget are not sent"
    assert "@example.com" not in str(fake.calls) + said
    assert said.count("a little short") == 8
    cost = 8 * (100 * 0.4 + 10 * 1.6) / 1e6
    assert f"8 scored, 0 failed, 0 not paid for; ${cost:.4f}" in said
    assert table(settings_at(tmp_path / "home"), "verdicts") == []


def test_an_endpoint_of_its_own_is_written_down_and_a_refused_key_is_told_by_its_name(told: Told, folder: Path) -> None:
    agreed(folder)
    with serving(lambda number, body: refusal(401)) as fake:
        own = ("--base-url", fake.base_url, "--api-key-env", "MY_KEY", "--price-in", "1", "--price-out", "5")
        with pytest.raises(JudgeError, match=r"judge kind: HTTP 401 .* correct MY_KEY"):
            told(*KIND, "--model", "claude-haiku-4-5", *own, "--yes", MY_KEY="sk-mine")
        judge = load_judge(folder / "judges" / "kind.md")
        assert (judge.base_url, judge.api_key_env) == (fake.base_url, "MY_KEY")
        assert fake.keys[0] == "Bearer sk-mine"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("new", "relevance", "--question", "is it?"), r"relevance\.md is there already; edit it"),
        (("new", "Kind!", "--question", "is it?"), r"'Kind!' is no judge's name"),
        (("new", "kind", "--question", 'say "yes"'), r"--question: a plain text without quotes"),
        (("new", "kind", "--question", "is it?", "--model", "no-such"), r"its price is not in prices\.toml"),
        (("new", "a/../metrics", "--question", "is it?"), r"no judge's name"),
        (("new", "copy", "--question", "is it?"), r"'copy' is a signal as well"),
    ],
)
def test_what_cannot_be_written_is_one_error_and_leaves_no_file(
    told: Told, folder: Path, arguments: tuple[str, ...], error: str
) -> None:
    before = sorted(folder.rglob("*.md"))
    with pytest.raises(CatalogError, match=error):
        told(*arguments)
    assert sorted(folder.rglob("*.md")) == before


def test_the_packaged_catalog_is_nobodys_to_write_to(told: Told) -> None:
    with pytest.raises(CatalogError, match="the packaged catalog is not yours"):
        told(*KIND, ONLINEEVAL_CATALOG=str(PACKAGED_CATALOG))
