"""Nothing goes to a model before somebody agreed to the cost, and then only what came after, unless they said more."""

import io
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from rich.console import Console

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.judges.client import Endpoint
from onlineeval_dagster.judges.stage import pending_work, run_judges
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.newcomer.waiting import waiting_for_budget
from onlineeval_dagster.sampling.select import select_responses
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.status import show_status
from tests.fake_endpoint import FakeEndpoint, completion, serving
from tests.newcomer.files import REMOTE
from tests.pipeline import table
from tests.worlds import NOON, NOW, answer, lake_of, settings_at

CONFIRMED = NOON + timedelta(hours=1)
OLD = [answer(f"old{n}", at=NOON - timedelta(minutes=n)) for n in range(10)]
NEW = [answer(f"new{n}", at=CONFIRMED + timedelta(minutes=n)) for n in range(5)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A catalog that judges everything, with a remote judge beside the local one."""
    copied = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, copied, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    text = (copied / "sampling.toml").read_text(encoding="utf-8")
    (copied / "sampling.toml").write_text(text.replace("rate = 0.1", "rate = 1.0"), encoding="utf-8")
    (copied / "judges" / "tone.md").write_text(REMOTE, encoding="utf-8")
    return copied


def with_budget(folder: Path, *, judge_history: bool = False) -> Catalog:
    said = f"\n[budget]\nmonthly_cap_usd = 5\nconfirmed_at = {CONFIRMED.isoformat()}\n"
    with (folder / "sampling.toml").open("a", encoding="utf-8") as file:
        file.write(said + f"judge_history = {str(judge_history).lower()}\n")
    return load_catalog(folder)


def judged(lake: Lake, catalog: Catalog, fake: FakeEndpoint) -> list[tuple[str, str]]:
    """One round of selecting and judging; (judge, response) of every verdict."""
    select_responses(lake, catalog, now=NOW)
    verdicts: list = []
    run_judges(
        lake,
        catalog,
        pending_work(lake, catalog),
        endpoint=lambda judge: Endpoint(base_url=fake.base_url, api_key="k"),
        record=verdicts.extend,
        now=lambda: NOW,
    )
    return [(verdict.judge, verdict.response_id) for verdict in verdicts]


def states(settings, judge: str) -> dict[str, str]:
    return {row["response_id"]: row["state"] for row in table(settings, "selections") if row["judge"] == judge}


def test_a_remote_judge_without_a_budget_gets_no_call_and_the_local_one_works(tmp_path: Path, folder: Path) -> None:
    lake = lake_of(settings_at(tmp_path / "home"), OLD + NEW)
    with serving(lambda number, body: completion('{"score": 3}')) as fake:
        done = judged(lake, load_catalog(folder), fake)
    assert fake.calls == []
    assert {judge for judge, _ in done} == {"relevance"} and len(done) == 15
    assert states(settings_at(tmp_path / "home"), "tone") == {}


def test_after_the_budget_new_answers_are_judged_and_imported_history_is_not(tmp_path: Path, folder: Path) -> None:
    settings = settings_at(tmp_path / "home")
    lake = lake_of(settings, OLD + NEW)
    with serving(lambda number, body: completion('{"score": 3}')) as fake:
        before = judged(lake, load_catalog(folder), fake)
        assert fake.calls == []
        after = judged(lake, with_budget(folder), fake)
    assert len(before) == 15
    remote = sorted(response for judge, response in after if judge == "tone")
    assert remote == sorted(said.response_id for said in NEW)
    assert len(fake.calls) == 5
    found = states(settings, "tone")
    assert {found[said.response_id] for said in OLD} == {"filtered"}
    assert {found[said.response_id] for said in NEW} == {"selected"}


def test_history_that_was_confirmed_is_judged_too(tmp_path: Path, folder: Path) -> None:
    lake = lake_of(settings_at(tmp_path / "home"), OLD + NEW)
    with serving(lambda number, body: completion('{"score": 3}')) as fake:
        judged(lake, with_budget(folder, judge_history=True), fake)
    assert len(fake.calls) == 15


def test_a_local_judge_sees_history_with_any_budget(tmp_path: Path, folder: Path) -> None:
    settings = settings_at(tmp_path / "home")
    lake = lake_of(settings, OLD)
    select_responses(lake, with_budget(folder), now=NOW)
    assert set(states(settings, "relevance").values()) == {"selected"}


def test_an_answer_of_the_past_that_comes_late_is_history(tmp_path: Path, folder: Path) -> None:
    settings = settings_at(tmp_path / "home")
    catalog = with_budget(folder)
    select_responses(lake_of(settings, NEW), catalog, now=NOW)
    select_responses(lake_of(settings, OLD), catalog, now=NOW)
    assert {states(settings, "tone")[said.response_id] for said in OLD} == {"filtered"}


def test_a_budget_moves_no_version_and_no_chance(tmp_path: Path, folder: Path) -> None:
    before = load_catalog(folder)
    after = with_budget(folder)
    assert after.sampling.budget is not None
    assert (after.version, after.sampling.version) == (before.version, before.sampling.version)


def test_who_waits_is_told_with_the_way_out(tmp_path: Path, folder: Path) -> None:
    said = waiting_for_budget(load_catalog(folder))
    assert said is not None
    for words in ("tone (gpt-4o-mini)", "onlineeval init LOGFILE", str(folder), "[budget]", "monthly_cap_usd"):
        assert words in said
    assert "relevance" not in said
    assert waiting_for_budget(with_budget(folder)) is None
    assert waiting_for_budget(load_catalog(PACKAGED_CATALOG)) is None


def test_status_says_that_a_judge_waits(tmp_path: Path, folder: Path) -> None:
    settings = settings_at(tmp_path / "home", catalog=folder)
    out = Console(width=10_000, record=True, file=io.StringIO())
    show_status(settings, now=datetime.now(UTC), out=out)
    said = out.export_text()
    assert "no monthly budget is confirmed, so nothing is sent to a model for tone" in said
    assert "or write [budget] with" in said


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("monthly_cap_usd = -1", r"sampling\.toml: budget\.monthly_cap_usd: .*greater than or equal to 0, got -1"),
        ("monthly_cap_usd = nan", r"sampling\.toml: budget\.monthly_cap_usd"),
        ("monthly_cap = 5", r"sampling\.toml: budget\.monthly_cap is not a known key; did you mean 'monthly_cap_usd'"),
    ],
)
def test_a_budget_with_a_mistake_names_it(folder: Path, line: str, error: str) -> None:
    with (folder / "sampling.toml").open("a", encoding="utf-8") as file:
        file.write(f"\n[budget]\nconfirmed_at = 2026-11-20T08:00:00Z\n{line}\n")
        if "cap_usd" not in line:
            file.write("monthly_cap_usd = 5\n")
    with pytest.raises(CatalogError, match=error):
        load_catalog(folder)


def test_a_confirmation_without_a_zone_is_refused(folder: Path) -> None:
    with (folder / "sampling.toml").open("a", encoding="utf-8") as file:
        file.write("\n[budget]\nmonthly_cap_usd = 5\nconfirmed_at = 2026-11-20T08:00:00\n")
    with pytest.raises(CatalogError, match=r"budget\.confirmed_at"):
        load_catalog(folder)
