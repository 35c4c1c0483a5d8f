"""A new version of a judge judges what the old one judged: the same answers, newest first, and nothing paid twice."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from onlineeval_dagster.catalog.judge_file import Judge, Price
from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.catalog.sampling_file import Budget
from onlineeval_dagster.contracts.arrow import INSTANT
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.judges.backfill import judge_to_ask, new_versions, plan_backfill, usd_allowed
from onlineeval_dagster.judges.client import Endpoint
from onlineeval_dagster.judges.looking_back import OUT_OF_MONEY, LookedBack, look_back, plan_now
from onlineeval_dagster.judges.stage import pending_work
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.sampling.select import select_responses
from onlineeval_dagster.settings import Settings
from tests.fake_endpoint import FakeEndpoint, completion, serving
from tests.judges.judge_worlds import AGREED, catalog_in, said
from tests.newcomer.files import REMOTE
from tests.pipeline import table
from tests.worlds import NOON, NOW, answer, lake_of, settings_at

ROOT = Path(__file__).parents[2]
COUNT = 30


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Thirty answers, one an hour back from noon; an old version of `tone` judged all of them but the last five."""
    home = settings_at(tmp_path / "home")
    answers = [answer(n, at=NOON - timedelta(hours=n)) for n in range(COUNT)]
    lake_of(home, [*answers, *(said(n) for n in range(5, COUNT))])
    return home


def run(settings: Settings, catalog: Catalog, fake: FakeEndpoint, *, limit: int = 200) -> LookedBack:
    return look_back(
        settings,
        catalog,
        judge_to_ask(catalog, "tone"),
        days=28,
        limit=limit,
        now=lambda: NOW,
        endpoint=lambda judge: Endpoint(base_url=fake.base_url, api_key="k"),
    )


def of_now(settings: Settings, catalog: Catalog) -> list[dict[str, Any]]:
    version = judge_to_ask(catalog, "tone").version
    return [row for row in table(settings, "verdicts") if row["judge_version"] == version]


def test_the_newest_answers_that_another_version_judged_come_first_with_the_chance_of_then(settings, tmp_path) -> None:
    catalog = load_catalog(catalog_in(tmp_path / "catalog"))
    with serving(lambda number, body: completion('{"score": 1}')) as fake:
        done = run(settings, catalog, fake, limit=10)
    assert (done.done, done.failed, done.stopped, len(fake.calls)) == (10, 0, None, 10)
    kept = of_now(settings, catalog)
    assert {row["response_id"] for row in kept} == {f"r{n}" for n in range(5, 15)}
    assert {(row["inclusion_probability"], row["stratum"], row["score"]) for row in kept} == {(0.25, "normal", 1.0)}


def test_a_second_call_goes_on_where_the_first_ended_and_a_third_finds_nothing(settings, tmp_path) -> None:
    catalog = load_catalog(catalog_in(tmp_path / "catalog"))
    with serving(lambda number, body: completion('{"score": 1}')) as fake:
        calls = [run(settings, catalog, fake, limit=15).done for _ in range(3)]
    assert calls == [15, 10, 0]
    assert len(fake.calls) == 25
    assert max(Counter(row["response_id"] for row in of_now(settings, catalog)).values()) == 1


def test_looking_back_writes_no_selection_and_a_later_selection_finds_its_verdict_there(settings, tmp_path) -> None:
    catalog, lake = load_catalog(catalog_in(tmp_path / "catalog")), Lake(settings.lake_folder)
    with serving(lambda number, body: completion('{"score": 1}')) as fake:
        run(settings, catalog, fake)
    assert table(settings, "selections") == []
    sampling = catalog.sampling.model_copy(update={"normal": catalog.sampling.normal.model_copy(update={"rate": 1.0})})
    whole = replace(catalog, sampling=sampling)
    select_responses(lake, whole, now=NOW)
    chances = {row["inclusion_probability"] for row in table(settings, "selections") if row["judge"] == "tone"}
    assert chances == {1.0}, "the row says with what chance the sampler drew it, not the old one"
    waiting = [row["response_id"] for row in pending_work(lake, whole).work.to_pylist() if row["judge"] == "tone"]
    assert sorted(waiting) == [f"r{n}" for n in range(5)]


def test_what_the_day_may_cost_ends_it_and_the_rest_waits_without_a_verdict(settings, tmp_path) -> None:
    cheap = REMOTE.replace("[scale]", "daily_budget_usd = 0.0008\nparameters = { max_tokens = 10 }\n\n[scale]")
    catalog = load_catalog(catalog_in(tmp_path / "catalog", judge=cheap))
    with serving(lambda number, body: completion('{"score": 1}')) as fake:
        done = run(settings, catalog, fake)
        assert done.stopped == OUT_OF_MONEY
        assert 0 < done.done < 25
        assert len(fake.calls) == done.done
        with JudgeState(settings.judge_state_file) as state:
            assert state.spent("tone", NOW.date()) <= 0.0008
    kept = of_now(settings, catalog)
    assert {row["error_kind"] for row in kept} == {None}
    assert len(kept) == done.done


def test_nobody_agreed_to_pay_for_answers_before_the_budget_was_confirmed(settings, tmp_path) -> None:
    since = NOON - timedelta(hours=9)
    agreed = f"\n[budget]\nmonthly_cap_usd = 5\nconfirmed_at = {since.isoformat()}\n"
    catalog = load_catalog(catalog_in(tmp_path / "catalog", agreed=agreed))
    plan = plan_now(settings, catalog, judge_to_ask(catalog, "tone"), days=28, limit=200, now=NOW)
    assert (len(plan.work), plan.waiting, plan.unpaid) == (5, 25, 20)
    with serving(lambda number, body: completion('{"score": 1}')) as fake:
        assert run(settings, catalog, fake).done == len(fake.calls) == 5


@pytest.mark.parametrize(
    ("judge", "agreed", "name", "told"),
    [
        (REMOTE, "", "tone", "confirm one first"),
        (REMOTE.replace("[scale]", 'status = "retired"\n\n[scale]'), AGREED, "tone", "status is retired"),
        (REMOTE, AGREED, "tune", "is no file in judges/; there are .*relevance, tone"),
    ],
)
def test_a_judge_that_may_not_be_asked_is_refused_with_the_reason(tmp_path, judge, agreed, name, told) -> None:
    catalog = load_catalog(catalog_in(tmp_path / "catalog", judge=judge, agreed=agreed))
    with pytest.raises(CatalogError, match=told):
        judge_to_ask(catalog, name)


def test_answers_that_another_judge_of_the_axis_judged_count_and_those_without_text_do_not(tmp_path) -> None:
    settings = settings_at(tmp_path / "home")
    lake_of(settings, [*(answer(n) for n in range(2)), *(said(n, judge="manners", version="m1") for n in range(4))])
    catalog = load_catalog(catalog_in(tmp_path / "catalog"))
    plan = plan_now(settings, catalog, judge_to_ask(catalog, "tone"), days=28, limit=200, now=NOW)
    assert {row["response_id"] for row in plan.work.to_pylist()} == {"r0", "r1"}
    assert plan.usd == pytest.approx(2 * plan.usd_each)
    assert 0.00001 < plan.usd_each < 0.001


def before(count: int, *, judged: int = 0, attempt: int = 0) -> pa.Table:
    columns = {
        "response_id": pa.array([f"r{n}" for n in range(count)], pa.string()),
        "response_at": pa.array([NOON - timedelta(hours=n) for n in range(count)], INSTANT),
        "attempt": pa.array([attempt] * count, pa.int64()),
        "judged": pa.array([n < judged for n in range(count)], pa.bool_()),
    }
    return pa.table(columns)


def remote(**more: Any) -> Judge:
    price = Price(input_usd_per_million=1.0, output_usd_per_million=1.0)
    fields: dict[str, Any] = {"prompt": "{response}", "scale": {1: "rude", 3: "kind"}, "good_from": 3}
    return Judge(name="tone", axis="tone", model="m", price=price, **fields, **more)


BUDGET = Budget(monthly_cap_usd=5, confirmed_at=datetime(2020, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("usd_left", "limit", "taken", "is_short"),
    [(None, 4, 4, False), (1.0, 4, 4, False), (0.3, 4, 3, True), (0.0, 4, 0, True), (0.3, 2, 2, False)],
)
def test_a_plan_takes_what_is_asked_for_or_what_money_allows(usd_left, limit, taken, is_short) -> None:
    plan = plan_backfill(remote(), before(10, judged=2), budget=BUDGET, limit=limit, usd_each=0.1, usd_left=usd_left)
    assert plan.work.column("response_id").to_pylist() == [f"r{n}" for n in range(2, 2 + taken)]
    assert (plan.judged, plan.waiting, plan.is_short) == (2, 8, is_short)


def test_an_answer_on_which_the_version_failed_three_times_is_given_up() -> None:
    assert len(plan_backfill(remote(), before(3, attempt=2), budget=BUDGET, limit=9).work) == 3
    plan = plan_backfill(remote(), before(3, attempt=3), budget=BUDGET, limit=9)
    assert (len(plan.work), plan.given_up) == (0, 3)


def test_looking_back_leaves_half_of_the_days_money_to_new_answers() -> None:
    assert usd_allowed(remote(daily_budget_usd=4.0), BUDGET, spent_today=1.0) == 1.5
    assert usd_allowed(remote(daily_budget_usd=4.0), BUDGET, spent_today=9.0) == 0.0
    assert usd_allowed(remote(daily_budget_usd=40.0), BUDGET, spent_today=0.0) == 5, "the month's cap"
    assert usd_allowed(replace(remote(), model="local/overlap"), None, spent_today=0.0) is None


def test_a_version_is_new_until_it_shares_enough_answers_with_another(settings, tmp_path) -> None:
    catalog, lake = load_catalog(catalog_in(tmp_path / "catalog")), Lake(settings.lake_folder)
    (new,) = new_versions(lake, catalog, known=(), now=NOW)
    assert (new.judge.name, new.judged, new.waiting) == ("tone", 0, 25)
    assert new_versions(lake, catalog, known=[new.key], now=NOW) == []
    with serving(lambda number, body: completion('{"score": 1}')) as fake:
        run(settings, catalog, fake, limit=10)
    assert new_versions(lake, catalog, known=(), now=NOW, limit=10) == []
    (half,) = new_versions(lake, catalog, known=(), now=NOW, limit=11)
    assert (half.judged, half.waiting) == (10, 11)


WORKER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.judges.backfill import judge_to_ask
from onlineeval_dagster.judges.client import Endpoint
from onlineeval_dagster.judges.looking_back import look_back
from onlineeval_dagster.settings import load_settings

base_url, home, catalog = sys.argv[1], Path(sys.argv[2]), load_catalog(Path(sys.argv[3]))
look_back(load_settings(home=home), catalog, judge_to_ask(catalog, "tone"), days=28, limit=200,
          now=lambda: datetime(2026, 11, 20, tzinfo=UTC),
          endpoint=lambda judge: Endpoint(base_url=base_url, api_key="k"))
"""


def test_a_killed_run_that_is_repeated_pays_twice_only_for_the_calls_in_flight(settings, tmp_path) -> None:
    folder, in_flight = catalog_in(tmp_path / "catalog"), 8
    with serving(lambda number, body: completion('{"score": 1}', delay_s=0.1)) as fake:
        command = [sys.executable, "-c", WORKER, fake.base_url, str(settings.home), str(folder)]
        killed = subprocess.Popen(command, cwd=ROOT)
        deadline = time.monotonic() + 60
        while len(fake.calls) < 12 and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(killed.pid, signal.SIGKILL)
        assert killed.wait(10) == -signal.SIGKILL, "it must have been killed at work"
        assert subprocess.run(command, cwd=ROOT, timeout=120, check=False).returncode == 0
    kept = of_now(settings, load_catalog(folder))
    assert Counter(row["response_id"] for row in kept) == {f"r{n}": 1 for n in range(5, COUNT)}
    assert 25 <= len(fake.calls) <= 25 + in_flight
