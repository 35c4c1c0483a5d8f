"""What would have been: known effects are found, no effect is not, and intervals hold as often as they say."""

import numpy as np
import pytest

from onlineeval_dagster.metrics.counterfactual import placebo_p, structural_effect, synthetic_control


@pytest.fixture
def rng():
    return np.random.default_rng(8)


def world(rng, *, points=80, drift=0.1):
    """A series that follows two others, with a level that wanders."""
    others = rng.normal(0, 1, (points, 2)).cumsum(axis=0)
    return 5 + others @ [0.7, -0.4] + rng.normal(0, drift, points).cumsum() + rng.normal(0, 0.5, points), others


def test_a_known_effect_is_found_and_its_intervals_do_not_reach_zero(rng):
    found = []
    for _ in range(40):
        values, others = world(rng)
        values[60:] += 3
        found.append(structural_effect(values, others, before=60))
    assert np.mean([one.value for one in found]) == pytest.approx(3, abs=0.25)
    assert np.mean([one.low > 0 for one in found]) >= 0.95


@pytest.mark.parametrize("drift", [0.0, 0.2])
def test_intervals_hold_no_effect_about_as_often_as_they_say(rng, drift):
    held = 0
    for _ in range(150):
        values, others = world(rng, drift=drift)
        found = structural_effect(values, others, before=60)
        held += found.low < 0 < found.high
    assert held / 150 >= 0.92, "95 % less two Monte-Carlo errors"


def test_the_unit_of_the_covariates_does_not_matter(rng):
    values, others = world(rng)
    found, scaled = (structural_effect(values, others * by, before=60) for by in (1.0, 1000.0))
    assert scaled.value == pytest.approx(found.value, rel=1e-6)


def test_a_series_made_of_donors_gets_their_weights(rng):
    donors = rng.normal(0, 1, (50, 6)).cumsum(axis=0) + 20
    treated = donors @ np.array([0.5, 0.3, 0.2, 0, 0, 0]) + rng.normal(0, 0.01, 50)
    treated[35:] -= 2
    found = synthetic_control(treated, donors, before=35)
    assert found.weights == pytest.approx([0.5, 0.3, 0.2, 0, 0, 0], abs=0.02)
    assert found.weights.sum() == pytest.approx(1, abs=1e-6) and found.weights.min() >= 0
    assert found.gaps[35:].mean() == pytest.approx(-2, abs=0.1)


def test_a_placebo_is_never_rarer_than_one_in_all_series(rng):
    common = rng.normal(0, 1, 60).cumsum()
    donors = common[:, None] + rng.normal(0, 0.3, (60, 9))
    treated = common + rng.normal(0, 0.3, 60)
    nothing = placebo_p(treated, donors, before=40)
    treated[40:] += 5
    assert placebo_p(treated, donors, before=40) == pytest.approx(0.1)
    assert nothing > 0.1
