"""How the judges stand: every number is counted by hand here, from verdicts that went through the log."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.contracts.events import Verdict
from onlineeval_dagster.judges.answering import problems
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.judges.status import Counts, JudgeStatus, Memory, judge_status, remembered, tick_days
from onlineeval_dagster.judges.status_shown import notes, status_json, status_table
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.sampling.select import select_responses
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from tests.newcomer.files import REMOTE
from tests.worlds import answer, lake_of, log_events, settings_at

NOW = datetime(2026, 11, 20, 15, tzinfo=UTC)
TODAY, BEFORE = NOW - timedelta(hours=5), NOW - timedelta(days=3)
PAID = REMOTE.replace("[scale]", "daily_budget_usd = 0.5\nparameters = { max_tokens = 10 }\n\n[scale]")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """Everything is judged by a remote judge alone, whose cost somebody agreed to."""
    folder = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    text = (folder / "sampling.toml").read_text(encoding="utf-8").replace("rate = 0.1", "rate = 1.0")
    agreed = "\n[budget]\nmonthly_cap_usd = 5\nconfirmed_at = 2026-01-01T00:00:00Z\njudge_history = true\n"
    (folder / "sampling.toml").write_text(text + agreed, encoding="utf-8")
    (folder / "judges" / "tone.md").write_text(PAID, encoding="utf-8")
    relevance = folder / "judges" / "relevance.md"
    relevance.write_text(relevance.read_text(encoding="utf-8").replace('"active"', '"retired"'), encoding="utf-8")
    return load_catalog(folder)


def said(judge: Judge, number: int, *, at: datetime, response_at: datetime | None = None, **more: Any) -> Verdict:
    """A verdict on answer `number`: 100 tokens in, 10 out, of one HTTP call, unless it says otherwise."""
    fields: dict[str, Any] = {"score": 3.0, "judge_version": judge.version, "attempt": 0, "latency_ms": 200.0}
    if more.get("error_kind"):
        fields |= {"score": None}
    else:
        fields |= {"input_tokens": 100, "output_tokens": 10, "cost_usd": 0.001}
    fields |= more
    key = f"v{number}-{fields['judge_version']}-{fields['attempt']}"
    return Verdict(
        **{"event_id": key, "occurred_at": at, "received_at": at, "response_id": f"r{number}", "axis": judge.axis}
        | {"response_at": response_at or at, "judge": judge.name}
        | fields
    )


def tone(catalog: Catalog) -> Judge:
    (judge,) = catalog.live_judges
    return judge


def judged(settings: Settings, catalog: Catalog, verdicts: list[Verdict], *, answers: int = 6) -> Lake:
    """Answers of today and three days ago, even and odd, all selected, with these verdicts."""
    lake = lake_of(settings, [answer(n, at=BEFORE if n % 2 else TODAY) for n in range(answers)], now=NOW)
    select_responses(lake, catalog, now=NOW)
    log_events(settings, verdicts)
    ingest(settings, lake, now=NOW)
    return lake


def only(lake: Lake, catalog: Catalog, memory: Memory | None = None, **more: Any) -> JudgeStatus:
    (found,) = judge_status(lake, catalog, memory or Memory(), now=NOW, **more)
    return found


def test_states_add_up_to_the_selections_and_money_is_counted_on_the_day_it_was_spent(
    tmp_path: Path, catalog: Catalog
) -> None:
    judge, settings = tone(catalog), settings_at(tmp_path / "home")
    verdicts = [
        said(judge, 0, at=TODAY, error_kind="timeout", error="no reply", attributes={"tries": 1}, latency_ms=9000.0),
        said(judge, 0, at=NOW, attempt=1, response_at=TODAY, attributes={"tries": 3}, latency_ms=400.0),
        said(judge, 1, at=TODAY, response_at=BEFORE),  # of an older answer: today's money, an older state
        said(judge, 2, at=TODAY, error_kind="shed", error="used up", latency_ms=None),
        said(judge, 3, at=BEFORE, error_kind="refused", error="it refused"),
        said(judge, 9, at=BEFORE, judge_version="an-older-one", cost_usd=0.5),  # its money, not this version's state
        said(judge, 8, at=NOW - timedelta(days=8), cost_usd=100.0),  # before the week
    ]
    lake = judged(settings, catalog, [*verdicts, verdicts[1]])  # one came twice
    found = only(lake, catalog)
    assert found.today == Counts(
        pending=1, done=1, failed=0, shed=1, calls=5, input_tokens=200, output_tokens=20, cost_usd=pytest.approx(0.002)
    )
    assert found.week == Counts(
        pending=2, done=2, failed=1, shed=1, calls=7, input_tokens=300, output_tokens=30, cost_usd=pytest.approx(0.502)
    )
    assert found.latency_median_ms == 300.0  # of 200, 200, 400, 9000
    assert (found.answered.verdicts, found.answered.errors) == (4, 2)


def test_a_tick_looks_at_few_days_and_sees_the_same(tmp_path: Path, catalog: Catalog) -> None:
    judge, settings = tone(catalog), settings_at(tmp_path / "home")
    old = [said(judge, 100 + n, at=TODAY, response_at=NOW - timedelta(days=20 + n)) for n in range(20)]
    lake = judged(settings, catalog, [said(judge, 0, at=TODAY), said(judge, 1, at=BEFORE), *old])
    assert len(tick_days(lake)) == 14
    assert only(lake, catalog).today.calls == 21
    assert only(lake, catalog, days=tick_days(lake)).today.calls == 13
    assert only(lake, catalog, days=tick_days(lake)).week.done == only(lake, catalog).week.done == 2


def test_an_empty_home_says_so_and_is_left_empty(tmp_path: Path, catalog: Catalog) -> None:
    settings = settings_at(tmp_path / "home")
    memory = remembered(settings.judge_state_file, catalog.live_judges, today=NOW.date())
    found = only(Lake(settings.lake_folder), catalog, memory)
    assert (found.today, found.week, found.latency_median_ms, found.booked_usd) == (Counts(), Counts(), None, 0.0)
    assert not settings.home.exists()
    assert problems([found]) == []


def test_a_pause_is_told_with_its_reason_and_its_next_probe_and_is_over_with_another_key(
    tmp_path: Path, catalog: Catalog
) -> None:
    settings, judge = settings_at(tmp_path / "home"), tone(catalog)
    with JudgeState(settings.judge_state_file) as state:
        state.pause(judge.name, "HTTP 401: the key was refused", cause="old key", now=NOW)
        state.spend(judge.name, NOW.date(), 0.25)
    same = remembered(settings.judge_state_file, [judge], today=NOW.date(), cause=lambda judge: "old key")
    found = only(Lake(settings.lake_folder), catalog, same)
    (line,) = notes([found], retired=[], now=NOW)
    assert line == (
        "tone is paused since 2026-11-20 15:00:00 UTC, probed again from 2026-11-20 15:00:30 UTC: "
        "HTTP 401: the key was refused"
    )
    assert "probed again by the next run" in notes([found], retired=[], now=NOW + timedelta(minutes=1))[0]
    (problem,) = problems([found])
    assert problem.startswith("tone is paused since") and problem.endswith("the key was refused")
    (told,) = status_json([found])
    assert told["paused"]["next_probe_at"] == "2026-11-20T15:00:30+00:00"
    assert (told["booked_today_usd"], told["daily_budget_usd"]) == (0.25, 0.5)
    other = remembered(settings.judge_state_file, [judge], today=NOW.date(), cause=lambda judge: "new key")
    assert only(Lake(settings.lake_folder), catalog, other).pause is None


@pytest.mark.parametrize(("errors", "is_wrong"), [(5, False), (6, True)])
def test_a_judge_answers_while_no_more_than_five_percent_of_its_last_hundred_verdicts_are_errors(
    tmp_path: Path, catalog: Catalog, errors: int, is_wrong: bool
) -> None:
    """130 verdicts: the first 30, all errors, are too old to count; shed ones never do."""
    judge = tone(catalog)

    def at(number: int) -> datetime:
        return TODAY + timedelta(seconds=number)

    older = [said(judge, n, at=at(n), error_kind="endpoint", error="HTTP 500") for n in range(30)]
    wrong = [said(judge, n, at=at(n), error_kind="unreadable", error="no JSON") for n in range(30, 30 + errors)]
    right = [said(judge, n, at=at(n)) for n in range(30 + errors, 130)]
    shed = [said(judge, n, at=at(n), error_kind="shed", error="used up", latency_ms=None) for n in range(130, 150)]
    lake = judged(settings_at(tmp_path / "home"), catalog, older + wrong + right + shed)
    found = only(lake, catalog)
    assert (found.answered.verdicts, found.answered.errors) == (100, errors)
    said_wrong = ["tone: 6 of its last 100 verdicts are errors, most of them unreadable: no JSON"]
    assert problems([found]) == (said_wrong if is_wrong else [])


def test_of_few_verdicts_one_error_is_no_share(tmp_path: Path, catalog: Catalog) -> None:
    judge = tone(catalog)
    verdicts = [said(judge, n, at=TODAY, error_kind="timeout", error="slow") for n in range(19)]
    lake = judged(settings_at(tmp_path / "home"), catalog, verdicts)
    assert problems([only(lake, catalog)]) == []
    log_events(settings_at(tmp_path / "home"), [said(judge, 19, at=TODAY)])
    ingest(settings_at(tmp_path / "home"), lake, now=NOW)
    assert len(problems([only(lake, catalog)])) == 1


def test_the_table_has_two_rows_a_judge_and_names_who_waits_for_money(tmp_path: Path) -> None:
    folder = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    (folder / "judges" / "tone.md").write_text(PAID, encoding="utf-8")
    found = judge_status(Lake(tmp_path / "lake"), load_catalog(folder), Memory(), now=NOW)
    table = status_table(found)
    cells = {str(column.header): list(column.cells) for column in table.columns}
    assert cells["judge"] == ["relevance", "", "tone", ""]
    assert cells["status"][2] == "active, waits for a budget"
    assert cells["budget, $"] == ["–", "", "0.0000 of 0.5", ""]
