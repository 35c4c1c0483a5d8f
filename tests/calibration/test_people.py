"""Rates corrected by people cover the truth, and are never wider than people's labels alone by more than 5 %."""

from collections.abc import Iterable

import numpy as np
import pytest

from tests.calibration.people import RateLine, graded_lines, rate_lines, sampled_lines


def held_to_its_band(lines: Iterable[RateLine], windows: int) -> list[RateLine]:
    """Lines that leave 94 to 96 %, beyond three Monte-Carlo errors. Where some windows have no answer the others are
    chosen by what they saw: there an interval may hold more often, and no more than one in twenty may mislead.
    """
    wrong = []
    for line in lines:
        error = np.sqrt(0.95 * 0.05 / (windows * max(line.answered, 0.01)))
        if np.isnan(line.coverage):
            holds = line.wrong <= 0.05
        else:
            most = 0.96 + 3 * error if line.answered > 0.99 else 1.0
            holds = 0.94 - 3 * error <= line.coverage <= most and line.width <= 1.05
        others = (line.difference, line.borrowed)  # NaN where few have an answer
        if not holds or any(share < 0.94 - 3 * error for share in others):
            wrong.append(line)
    return wrong


@pytest.mark.slow
def test_rates_of_independent_answers_hold() -> None:
    assert held_to_its_band(rate_lines(10_000, seed=5), 10_000) == []


@pytest.mark.slow
def test_weighted_rates_of_users_who_come_again_hold() -> None:
    assert held_to_its_band(sampled_lines(1_000, seed=5), 1_000) == []


@pytest.mark.slow
@pytest.mark.parametrize("is_sampled", [False, True])
def test_means_of_skewed_scores_hold(is_sampled: bool) -> None:
    assert held_to_its_band(graded_lines(1_000, is_sampled=is_sampled, seed=5), 1_000) == []
