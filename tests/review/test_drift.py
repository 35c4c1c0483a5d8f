"""A judge on the frozen gold set: when it is asked again, and what counts as having moved."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.tables import DAY
from onlineeval_dagster.contracts.trials import JudgeTrial
from onlineeval_dagster.judges.gold_trials import EVERY, NAME, SET_VERSION, gold_set, is_due
from onlineeval_dagster.judges.trials import due_trials
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.review.drift import drift_told, drifted, judge_drift, markdown, write_drift
from onlineeval_dagster.review.gold import freeze_gold, gold_texts
from tests.review.task_worlds import AXIS, CATALOG, JUDGE, verdict
from tests.review.test_gold import catalog_with
from tests.review.test_people import KNOWN
from tests.worlds import NOW, answer, lake_of, settings_at

ITEMS = 60


def put_round(lake: Lake, scores, *, weeks: int, fingerprint: str = "a") -> None:
    """A round of the gold set, some weeks after NOW; the right score of every item is 3."""
    at = NOW + timedelta(weeks=weeks)
    said = [
        JudgeTrial(
            trial_set=NAME,
            set_version=SET_VERSION,
            item=f"i{n}",
            group="people",
            axis=AXIS,
            judge=JUDGE.name,
            judge_version=JUDGE.version,
            replicate=weeks,
            tried_at=at,
            expected=3.0,
            score=float(score),
            fingerprint=fingerprint,
        )
        for n, score in enumerate(scores)
    ]
    lake.append("judge_trials", to_table(list(said), JudgeTrial).append_column(DAY, pa.array([at.date()] * len(said))))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    lake = lake_of(settings_at(tmp_path), [answer(0)], now=NOW)
    freeze_gold(lake, catalog_with(KNOWN), now=NOW)
    return lake


def found(lake: Lake):
    (row,) = judge_drift(lake, CATALOG, now=NOW)
    return row


def test_noise_is_no_drift_and_a_shift_beyond_it_is(lake: Lake) -> None:
    rng = np.random.default_rng(1)
    first = np.where(rng.random(ITEMS) < 0.8, 3, 2)
    put_round(lake, first, weeks=0)
    assert "1 of 2" in str(found(lake).shift_reason) or "embedded" in str(found(lake).shift_reason)
    put_round(lake, np.where(rng.random(ITEMS) < 0.8, 3, 2), weeks=1)
    assert not found(lake).drifted and found(lake).shift_low < 0 < found(lake).shift_high
    put_round(lake, first - (np.arange(ITEMS) % 2), weeks=2, fingerprint="b")
    row = found(lake)
    assert row.drifted and row.shift == pytest.approx(-0.5) and (row.rounds, row.models) == (3, 2)
    assert row.right_latest < row.right_first and "has moved" in drift_told(row)
    write_drift(lake, CATALOG, now=NOW)
    assert [one.judge for one in drifted(lake)] == [JUDGE.name]


def test_a_judge_that_holds_still_is_seldom_called_moved() -> None:
    """One look a week at 99 %: about one false alarm in a hundred."""
    from onlineeval_dagster.review.versions import shift_of_mean

    rng = np.random.default_rng(2)
    alarms = 0
    for _ in range(2000):
        moved = np.where(rng.random((2, ITEMS)) < 0.85, 3.0, 2.0)
        said = shift_of_mean(
            moved[1] - moved[0], weights=np.ones(ITEMS), clusters=np.arange(ITEMS), span=2.0, level=0.99
        )
        alarms += said.low > 0 or said.high < 0  # type: ignore[union-attr]
    assert alarms / 2000 < 0.017  # 0.01 and three Monte-Carlo errors


def test_what_became_gold_since_the_first_round_does_not_thin_the_shift(lake: Lake) -> None:
    put_round(lake, [3] * 30, weeks=0)
    put_round(lake, [2] * 30 + [3] * 30, weeks=1)
    assert found(lake).items == 30 and found(lake).shift == -1


def test_before_the_set_was_put_to_anybody_nothing_is_said(lake: Lake) -> None:
    assert judge_drift(lake, CATALOG, now=NOW) == [] and "no judge yet" in markdown([])


def test_the_set_holds_the_axis_texts_redacted_and_the_right_score(lake: Lake) -> None:
    catalog = catalog_with(KNOWN)
    made = gold_set(JUDGE, gold_texts(lake, catalog), redact=str.upper)
    assert len(made.items) == len(KNOWN) and {one.expected for one in made.items} == {1.0}
    assert {one.response for one in made.items} == {"KETTLES."}
    assert {one.response_id for one in made.items} == {None}
    assert len(due_trials(lake, JUDGE, made, now=NOW)) == len(KNOWN)


def test_it_is_due_at_first_after_a_week_and_when_another_model_answers(tmp_path: Path) -> None:
    lake = lake_of(settings_at(tmp_path), [answer(0)], now=NOW)
    freeze_gold(lake, catalog_with(KNOWN), now=NOW)
    made = gold_set(JUDGE, gold_texts(lake, catalog_with(KNOWN)), redact=str)
    assert is_due(lake, JUDGE, made, now=NOW)
    put_round(lake, [3] * 5, weeks=0)
    assert is_due(lake, JUDGE, made, now=NOW + timedelta(hours=1)), "cut off, and finished on the same day"
    put_round(lake, [3] * len(KNOWN), weeks=0)
    later = NOW + timedelta(days=2)
    assert not is_due(lake, JUDGE, made, now=later)
    assert is_due(lake, JUDGE, made, now=NOW + EVERY)
    same = verdict(1, 3, at=later, fingerprint="a")
    lake_of(settings_at(tmp_path), [same], now=later + timedelta(hours=1))
    assert not is_due(lake, JUDGE, made, now=later + timedelta(hours=1))
    other = verdict(2, 3, at=later + timedelta(hours=2), fingerprint="b")
    lake_of(settings_at(tmp_path), [other], now=later + timedelta(hours=3))
    assert is_due(lake, JUDGE, made, now=later + timedelta(hours=3))
