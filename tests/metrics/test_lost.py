"""Judgements that failed or were shed: up to 2 % of the weight they are left out, above that they may be anything."""

from dataclasses import replace

import numpy as np
import pytest

from onlineeval_dagster.metrics.estimates import TOO_MANY_LOST, estimate_means, estimate_rates
from onlineeval_dagster.metrics.moments import moments_from_rows


def answers(lost, *, judged=2_000, passing=0.9):
    """A day of users with one answer each; of the judged ones the last `lost` brought no verdict."""
    value = (np.arange(judged) % 10 < 10 * passing).astype(float)
    value[judged - lost :] = np.nan
    population = np.r_[value, np.full(8_000, np.nan)]
    moments = moments_from_rows(
        np.zeros(len(population)), np.zeros(len(population)), np.arange(len(population)), population
    )
    return replace(moments, lost=np.array([float(lost)]))


def whole(moments):
    """The same with nothing lost: the rest was not drawn."""
    return replace(moments, lost=np.zeros_like(moments.lost))


def limits(found):
    return float(found.low[0]), float(found.high[0])


def test_a_loss_of_2_percent_changes_nothing():
    moments = answers(40)
    assert limits(estimate_rates(moments)) == limits(estimate_rates(whole(moments)))


def test_a_greater_loss_widens_the_interval_by_what_it_could_have_been():
    moments = answers(200)
    without, found = estimate_rates(whole(moments)), estimate_rates(moments)
    low, high = limits(without)
    assert limits(found) == pytest.approx((0.9 * low, 0.9 * high + 0.1))
    assert found.value == without.value and found.n_effective[0] < without.n_effective[0] / 5


@pytest.mark.parametrize("good_among_lost", [0.0, 1.0])
def test_the_interval_then_holds_whatever_was_lost(good_among_lost):
    truth = 0.9 * 0.5 + 0.1 * good_among_lost
    moments = answers(200, passing=0.5)
    low, high = limits(estimate_rates(moments))
    assert low < truth < high
    narrow_low, narrow_high = limits(estimate_rates(whole(moments)))
    assert not narrow_low < truth < narrow_high


def test_a_score_is_widened_to_the_ends_of_its_scale_and_a_value_without_ends_has_no_number():
    moments = answers(200)
    low, high = limits(estimate_means(whole(moments), bounds=(0, 3)))
    assert limits(estimate_means(moments, bounds=(0, 3))) == pytest.approx((0.9 * low, 0.9 * high + 0.3))
    unbounded = estimate_means(moments)
    assert not unbounded.answered[0]
    assert (unbounded.reason[0], unbounded.have[0], unbounded.needed[0]) == (TOO_MANY_LOST, 90, 98)


def test_of_two_strata_each_stands_for_its_share_of_the_weight():
    """Half of the flagged are lost, 5 % of the answers: 2.5 % of the weight."""
    stratum = np.repeat([0, 1], [9_500, 500])
    value = np.r_[np.where(np.arange(9_500) % 10 == 0, 1.0, np.nan), np.where(np.arange(500) % 2 == 0, 0.0, np.nan)]
    moments = moments_from_rows(np.zeros(10_000), stratum, np.arange(10_000), value)
    lost = replace(moments, lost=np.array([0.0, 250.0]))
    low, high = limits(estimate_rates(moments))
    assert limits(estimate_rates(lost)) == pytest.approx((0.975 * low, 0.975 * high + 0.025))
