"""kill -9 of product, collector and ingest while all three work: what was acknowledged is in the lake exactly once.

A few kills of each; `python -m tests.bench faults` does fifty.
"""

import pytest

from tests.bench.faults import VICTIMS, Outcome, attack

KILLS = 3


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return attack(tmp_path_factory.mktemp("faults") / "home", dict.fromkeys(VICTIMS, KILLS), seed=3)


def test_there_was_load_on_every_door(outcome: Outcome) -> None:
    assert all(count > 50 for count in outcome.acknowledged.values())


def test_the_ingest_was_killed_in_more_than_its_first_batch(outcome: Outcome) -> None:
    assert outcome.batches > 2


def test_every_acknowledged_event_is_in_the_lake_exactly_once(outcome: Outcome) -> None:
    assert outcome.missing == []
    assert outcome.doubled == []


def test_no_line_was_taken_in_twice(outcome: Outcome) -> None:
    assert outcome.lines >= sum(outcome.acknowledged.values())
    assert outcome.repeated == 0


def test_the_accounts_of_the_log_close(outcome: Outcome) -> None:
    assert outcome.closing.failures == ()
    assert outcome.closing.received >= outcome.lines
