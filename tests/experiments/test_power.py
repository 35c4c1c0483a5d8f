"""Power and sample size: R's examples, the tables of the notes, and the folk number."""

import numpy as np
import pytest
from scipy.special import ndtri
from statsmodels.stats.power import TTestIndPower

from onlineeval_dagster.experiments import power
from onlineeval_dagster.experiments.compare import compare
from onlineeval_dagster.experiments.power import Traffic, least_lift, needed_units, passes, rate_spread
from tests.experiments.worlds import moments


def test_rs_examples_are_met_to_the_normal_approximation() -> None:
    # R, ?power.t.test: n = 20, delta = 1, sd = 1 has power .8689528; power .90 needs n = 22.02110.
    assert TTestIndPower().power(1.0, 20, 0.05) == pytest.approx(0.8689528, abs=1e-4)
    assert needed_units(1.0, 1.0, power=0.9) == pytest.approx(22.02110 - 1.96**2 / 4, abs=0.06)
    assert least_lift(1.0, control=2_000, treatment=2_000, power=0.9) == pytest.approx(
        TTestIndPower().solve_power(nobs1=2_000, alpha=0.05, power=0.9), rel=1e-3
    )


def test_the_folk_number_is_one_percent_at_a_rate_of_a_quarter() -> None:
    assert round(needed_units(rate_spread(0.24), 0.01)) == 497_096
    assert round(2 * ((1.96 + 0.8416) * rate_spread(0.24) / 0.01) ** 2) == 497_101, "with rounded quantiles"
    assert round(needed_units(rate_spread(0.85), 0.01)) == 27_702


@pytest.mark.parametrize(
    ("units", "arms", "rate", "told"),
    [
        (2_100, 2, 0.60, (6.0, 6.6, 8.3)),
        (2_100, 2, 0.85, (4.4, 4.8, 6.0)),
        (4_900, 2, 0.85, (2.9, 3.2, 4.0)),
        (4_900, 3, 0.85, (3.5, 3.9, 4.8)),
        (7_000, 2, 0.95, (1.5, 1.6, 2.0)),
    ],
)
def test_the_table_of_what_a_week_can_find_is_reproduced(units: int, arms: int, rate: float, told) -> None:
    each = units / arms
    looks = ("fixed", "hybrid", "always_valid")
    found = [100 * rate * least_lift(rate_spread(rate), control=each, treatment=each, look=look) for look in looks]
    assert found == pytest.approx(told, abs=0.06)
    adjusted = 100 * rate * least_lift(rate_spread(rate), control=each, treatment=each, removed=0.25)
    assert adjusted == pytest.approx(told[0] * 0.75**0.5, abs=0.06)


def test_power_is_what_simulated_experiments_find() -> None:
    rng = np.random.default_rng(1)
    spread = 0.5  # of the worlds: sd .5 at a mean of 1
    lift = least_lift(spread, control=300, treatment=300, power=0.8)
    won = [compare(moments(rng, 600, covariate=False, answers=1, lift=lift)).p_value()[0] < 0.05 for _ in range(600)]
    assert np.mean(won) == pytest.approx(0.8, abs=3 * (0.16 / 600) ** 0.5)


def test_guardrails_must_be_payable() -> None:
    one = passes(rate_spread(0.85), 0.02, control=1_200, treatment=1_200)
    assert one == pytest.approx(0.21, abs=0.01)
    assert one**4 == pytest.approx(0.002, abs=0.0006)
    four = power.needed_to_pass(rate_spread(0.85), 0.02, guardrails=4)
    assert four == pytest.approx(11_200, rel=0.03)
    assert passes(rate_spread(0.85), 0.02, control=four, treatment=four) ** 4 == pytest.approx(0.8, abs=1e-6)


def test_labels_of_people_are_dear_and_a_good_judge_saves_some() -> None:
    # One week, 112 labels an arm, correlation .5, of 2,450 answers an arm at .85: 11.6 points against 2.9 raw.
    spread = rate_spread(0.85)
    people = power.label_spread(spread, labelled=112, judged=2_450, correlation=0.5)
    found = 100 * 0.85 * least_lift(people, control=2_450, treatment=2_450)
    assert found == pytest.approx(11.6, abs=0.15)
    assert power.label_spread(spread, labelled=2_450, judged=2_450, correlation=0.3) == pytest.approx(spread)


def test_answers_of_one_user_are_alike() -> None:
    assert rate_spread(0.8, answers=5, icc=1.0) == pytest.approx(rate_spread(0.8))
    assert rate_spread(0.8, answers=5, icc=0.0) == pytest.approx(rate_spread(0.8) / 5**0.5)
    assert rate_spread(0.8, answers=5, icc=0.0, judged=0.2) == pytest.approx(rate_spread(0.8))


def test_units_come_back_and_weeks_are_counted_in_new_ones() -> None:
    traffic = Traffic(by_week=(2_400.0, 3_400.0, 4_000.0))
    assert [traffic.units(week) for week in (1, 3, 5)] == [2_400, 4_000, 5_200]


def test_reaches_are_the_documented_ones() -> None:
    assert power.reach("fixed") == pytest.approx(ndtri(0.975))
    assert power.reach("hybrid") == pytest.approx(2.2414, abs=1e-4)
    assert power.reach("always_valid") == pytest.approx(3.0352, abs=1e-4)
