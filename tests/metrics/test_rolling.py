"""Rolling windows from sums by minute, against the reference that squares the rows themselves."""

from dataclasses import fields

import numpy as np
import pytest

from onlineeval_dagster.metrics.moments import Moments, moments_from_rows
from onlineeval_dagster.metrics.rolling import A_DAY, BUCKETS, STEPS, rolled_moments


@pytest.fixture(scope="module")
def answers():
    """Two days of some 3,000 answers: minute, bucket, value; none in the nights."""
    rng = np.random.default_rng(4)
    minute = rng.integers(480, 1320, 3_000) + A_DAY * rng.integers(0, 2, 3_000)
    return minute, rng.integers(0, BUCKETS, 3_000), rng.gamma(2.0, 400.0, 3_000)


def windows_of(answers, over=2 * A_DAY):
    minute, bucket, value = answers
    cell, at = np.unique(minute * BUCKETS + bucket, return_inverse=True)
    sums = np.stack([np.bincount(at, weights=weight) for weight in (np.ones_like(value), value, value**2)]).astype(
        np.float64
    )
    return list(rolled_moments(cell // BUCKETS, cell % BUCKETS, sums, over))


def test_each_window_has_the_moments_of_its_own_answers(answers):
    minute, bucket, value = answers
    for lengths, ends, moments in windows_of(answers):
        length = lengths[0]
        for at in np.linspace(0, len(ends) - 1, 7).astype(int):
            inside = (minute <= ends[at]) & (minute > ends[at] - length)
            wanted = moments_from_rows(np.zeros(inside.sum()), np.zeros(inside.sum()), bucket[inside], value[inside])
            for name, column in moments.items():
                assert column[at] == pytest.approx(getattr(wanted, name)[0], rel=1e-6, abs=1e-9), (length, name)


def test_a_minute_ends_each_window_and_each_fifth_one_a_window_of_a_day(answers):
    steps = {lengths[0]: np.diff(ends).min() for lengths, ends, _ in windows_of(answers)}
    assert steps == STEPS
    assert all((ends >= A_DAY).all() for _, ends, _ in windows_of(answers))


def test_windows_that_are_not_over_and_windows_without_answers_are_none(answers):
    for _, ends, moments in windows_of(answers, over=A_DAY + 600):
        assert ends.max() < A_DAY + 600 and (moments["n"] >= 1).all()
    minutes = dict(zip(STEPS, windows_of(answers), strict=True))[1][1]
    assert minutes.min() >= A_DAY + 480  # nobody asks at night


def test_late_answers_change_the_windows_that_hold_them_and_no_other(answers):
    minute, bucket, value = answers
    late = (np.append(minute, A_DAY + 700), np.append(bucket, 3), np.append(value, 9_000.0))
    for (lengths, ends, before), (_, ends_now, now) in zip(windows_of(answers), windows_of(late), strict=True):
        known = np.isin(ends_now, ends)
        changed = ends_now[known][now["n"][known] != before["n"]]
        assert changed.min() >= A_DAY + 700 and changed.max() < A_DAY + 700 + lengths[0] if len(changed) else True
        assert set(ends_now) - set(ends) <= set(range(A_DAY + 700, A_DAY + 700 + lengths[0]))


def test_every_moment_that_an_estimate_needs_is_there(answers):
    _, _, moments = windows_of(answers)[0]
    assert set(moments) | {"cell_group", "population", "lost"} == {field.name for field in fields(Moments)}
