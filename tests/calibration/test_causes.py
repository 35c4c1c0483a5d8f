"""The right deploy is named where it can be told, a set that holds it where not, and none where none did it."""

import numpy as np
import pytest

from tests.calibration.causes import SCENARIOS, all_counted

RUNS = 100
ALONE = ("100/h, 4–8 h apart, 0.80 to 0.64", "500/h, 1–2 h apart, 0.80 to 0.72")
CLOSE = ("100/h, ½–2 h apart, 0.80 to 0.64", "500/h, 10–40 min apart, 0.80 to 0.72")
NOBODY = tuple(name for name in SCENARIOS if name.startswith("none") and "sudden" not in name)


def slack(share: float) -> float:
    """Three Monte-Carlo errors."""
    return 3 * np.sqrt(share * (1 - share) / RUNS)


@pytest.mark.slow
def test_the_right_deploy_is_named_alone_or_among_those_that_cannot_be_told_apart():
    for name, row in all_counted(RUNS, seed=3, names=(*ALONE, *CLOSE)):
        assert row.incidents >= 0.9 * RUNS, name
        right = row.right if name in ALONE else row.held
        assert right / row.incidents >= 0.95 - slack(0.95), (name, row)


@pytest.mark.slow
def test_incidents_that_no_deploy_made_blame_one_in_at_most_a_tenth():
    for name, row in all_counted(RUNS, seed=3, names=NOBODY):
        assert row.incidents >= 0.9 * RUNS, name
        assert row.blamed / row.incidents <= 0.10 + slack(0.10), (name, row)
