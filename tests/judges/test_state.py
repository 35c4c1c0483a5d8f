"""Pauses grow and end, and a day's money is spent once."""

import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from onlineeval_dagster.errors import JudgeError
from onlineeval_dagster.judges.state import FIRST_PAUSE, LONGEST_PAUSE, JudgeState

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = date(2026, 11, 23)


def test_a_pause_grows_with_each_probe_up_to_an_hour_and_outlives_the_process(tmp_path: Path) -> None:
    waits = []
    for _ in range(12):
        with JudgeState(tmp_path / "state" / "judges.sqlite") as state:
            waits.append(state.pause("tone", "HTTP 500", cause="c", now=NOW).next_probe_at - NOW)
    assert waits[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert waits[-1] == LONGEST_PAUSE
    with JudgeState(tmp_path / "state" / "judges.sqlite") as state:
        (pause,) = state.pauses()
        assert (pause.judge, pause.reason, pause.since, pause.probes) == ("tone", "HTTP 500", NOW, 11)
        state.resume("tone")
        assert state.pauses() == []


def test_an_endpoint_that_asked_for_longer_gets_it() -> None:
    with JudgeState() as state:
        pause = state.pause("tone", "HTTP 429", cause="c", now=NOW, at_least=timedelta(hours=3))
    assert pause.next_probe_at == NOW + timedelta(hours=3)


def test_a_new_key_or_model_is_tried_at_once() -> None:
    with JudgeState() as state:
        state.pause("tone", "HTTP 401", cause="old key", now=NOW)
        assert state.pause_of("tone", cause="old key") is not None
        assert state.pause_of("tone", cause="new key") is None
        assert state.pause("tone", "HTTP 401", cause="new key", now=NOW).probes == 0


def test_money_beyond_the_budget_is_not_spent_and_each_judge_and_day_has_its_own() -> None:
    with JudgeState() as state:
        assert state.spend("tone", DAY, 0.6, at_most=1.0)
        assert not state.spend("tone", DAY, 0.6, at_most=1.0)
        assert state.spend("tone", DAY, 0.4, at_most=1.0), "to the cent"
        assert state.spend("style", DAY, 0.6, at_most=1.0)
        assert state.spend("tone", DAY + timedelta(days=1), 0.6, at_most=1.0)
        assert not state.spend("new", DAY, 1.1, at_most=1.0)
        assert state.spend("tone", DAY, -0.3)
        assert state.spent("tone", DAY) == pytest.approx(0.7)
        assert state.spent("new", DAY) == 0.0


def test_two_processes_never_spend_the_same_money(tmp_path: Path) -> None:
    file = tmp_path / "judges.sqlite"
    JudgeState(file).__exit__()
    booked: list[bool] = []

    def spend() -> None:
        with JudgeState(file) as state:
            booked.extend([state.spend("tone", DAY, 0.01, at_most=1.0) for _ in range(60)])

    threads = [threading.Thread(target=spend) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(booked) == 100


def test_a_file_that_is_no_database_is_named_with_what_to_do(tmp_path: Path) -> None:
    file = tmp_path / "judges.sqlite"
    file.write_bytes(b"no database at all, but long enough to be looked at" * 20)
    with pytest.raises(JudgeError, match=r"judges\.sqlite: .*move it away"):
        JudgeState(file)
