"""Watches of deploys find what they are to find, and blame as few as they say (docs/alerts.md has the table)."""

import numpy as np
import pytest

from tests.calibration.deploys import FALLS, QUIET, WATCHING, watched

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("name", ["mean score 10 % lower", "pass rate 0.80 to 0.72"])
def test_a_fall_is_found_within_two_hours(name: str) -> None:
    runs, world = FALLS[name]
    found = watched(world, runs, rules=WATCHING)
    assert np.mean(found.effects) == pytest.approx(1.5, abs=0.1)
    assert found.share >= 0.9


@pytest.mark.parametrize("name", QUIET)
def test_where_nothing_changed_few_deploys_are_blamed(name: str) -> None:
    runs, world = QUIET[name]
    assert watched(world, runs).share <= 0.01 + 3 * np.sqrt(0.01 * 0.99 / runs)
