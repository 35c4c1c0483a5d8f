"""Intervals of agreement hold the truth: AUC .55, .75 and .95 of 80 and 300 labelled answers, and correlations.

2,000 samples a scenario: a coverage of 95 % is measured to .0049 (one standard error).
"""

import pytest

from tests.calibration.agreement import KINDS, auc_coverage, correlation_coverage, scenarios

SAMPLES = 2_000
ERROR = (0.95 * 0.05 / SAMPLES) ** 0.5


@pytest.mark.slow
@pytest.mark.parametrize(("name", "true", "rows", "share"), scenarios())
def test_an_auc_is_covered(name: str, true: float, rows: int, share: float) -> None:
    found = auc_coverage(KINDS[name], true, rows, share, samples=SAMPLES)
    # Where few rows of the rarer kind are misplaced their count is coarse: the limits err on the safe side.
    assert found.covered >= 0.935 - 3 * ERROR / found.answered**0.5
    if share == 0.5 and true < 0.9 and not KINDS[name].users:
        assert found.covered <= 0.965 + 3 * ERROR


@pytest.mark.slow
@pytest.mark.parametrize("users", [0, 4])
@pytest.mark.parametrize("true", [0.0, 0.3, 0.8])
def test_a_rank_correlation_is_covered(true: float, users: int) -> None:
    found = correlation_coverage(true, 300, users, samples=SAMPLES)
    assert 0.94 - 3 * ERROR <= found.covered <= 0.96 + 3 * ERROR


def test_agreement_is_covered_quickly() -> None:
    for name in ("equal spread", "4 rows a user"):
        found = auc_coverage(KINDS[name], 0.75, 300, 0.5, samples=400)
        assert found.answered == 1
        assert 0.92 <= found.covered <= 0.98
