"""Tests at several looks: published tables, exact characteristics, and two forms of one thing that agree."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlineeval_dagster.experiments.sequential import (
    always_valid_p,
    boundary,
    one_sided_boundary,
    running,
    tuned,
)
from onlineeval_dagster.experiments.spending import constant_bounds, crossing_chance, crossing_chances, spending_bounds
from onlineeval_dagster.experiments.sprt import exact, plan

# Jennison and Turnbull 2000, Group Sequential Methods, tables 2.1 and 2.3: two-sided .05, K equally spaced looks.
POCOCK = {1: 1.960, 2: 2.178, 3: 2.289, 4: 2.361, 5: 2.413, 10: 2.555}
OBRIEN_FLEMING = {1: 1.960, 2: 1.977, 3: 2.004, 4: 2.024, 5: 2.040, 10: 2.087}
# Lan and DeMets' bounds for five equal looks, two-sided .05, as Reboussin et al. 2000 (ldbounds) print them.
LAN_DEMETS = {
    "obrien_fleming": [4.877, 3.357, 2.680, 2.290, 2.031],
    "pocock": [2.438, 2.427, 2.410, 2.397, 2.386],
}


@pytest.mark.parametrize(("looks", "published"), POCOCK.items())
def test_pococks_table_is_reproduced(looks: int, published: float) -> None:
    assert round(float(constant_bounds(looks)[-1]), 3) == published


@pytest.mark.parametrize(("looks", "published"), OBRIEN_FLEMING.items())
def test_obrien_and_flemings_table_is_reproduced(looks: int, published: float) -> None:
    bounds = constant_bounds(looks, shape="obrien_fleming")
    assert round(float(bounds[-1]), 3) == published
    assert bounds[0] == pytest.approx(bounds[-1] * looks**0.5)


@pytest.mark.parametrize("kind", LAN_DEMETS)
def test_lan_and_demets_bounds_are_reproduced(kind) -> None:
    assert spending_bounds([0.2, 0.4, 0.6, 0.8, 1.0], kind=kind).round(3).tolist() == LAN_DEMETS[kind]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(0.05, 0.95), min_size=1, max_size=4, unique_by=lambda x: round(x, 2)))
def test_moved_looks_spend_the_same_alpha(looks: list[float]) -> None:
    times = [*sorted(round(look, 2) for look in looks), 1.0]
    bounds = spending_bounds(times)
    assert crossing_chance(times, bounds) == pytest.approx(0.05, abs=1e-6)


def test_peeking_at_five_looks_with_1_96_errs_as_published() -> None:
    # Armitage, McPherson, Rowe 1969, table 2: repeated tests at 5 %: .083, .107, .126, .142 for 2 to 5 looks.
    for looks, published in ((2, 0.083), (3, 0.107), (4, 0.126), (5, 0.142), (10, 0.193)):
        times = np.arange(1, looks + 1) / looks
        assert round(crossing_chance(times, np.full(looks, 1.959964)), 3) == published


def test_power_of_a_design_is_that_of_simulated_paths() -> None:
    bounds, drift = constant_bounds(3), 2.8
    rng = np.random.default_rng(1)
    steps = rng.normal(drift / 3, (1 / 3) ** 0.5, (40_000, 3)).cumsum(axis=1)
    z = steps / np.sqrt(np.arange(1, 4) / 3)
    first = np.argmax(np.abs(z) >= bounds, axis=1)
    crossed = (np.abs(z) >= bounds).any(axis=1)
    for look, chance in enumerate(crossing_chances([1 / 3, 2 / 3, 1], bounds, drift=drift)):
        assert (crossed & (first == look)).mean() == pytest.approx(chance, abs=0.01)


def test_looks_that_do_not_rise_are_refused() -> None:
    for wrong in ([], [0.5, 0.5], [0.0, 1.0], [0.5, 1.2]):
        with pytest.raises(ValueError, match=r"looks are fractions in \(0, 1\], rising"):
            spending_bounds(wrong)


def test_the_sequence_is_narrowest_where_it_was_tuned_for_and_wide_early() -> None:
    fractions = np.geomspace(0.02, 20, 400)
    relative = boundary(fractions, alpha=0.05) / np.sqrt(fractions)  # width in units of the planned end's error
    assert boundary(1.0, alpha=0.05) == pytest.approx(3.035, abs=0.001)
    assert boundary(1 / 20, alpha=0.05) == pytest.approx(4.7, abs=0.5)  # STATISTICS: 4.7 SE at n* / 20
    best = min(np.linspace(1, 30, 300), key=lambda r: (r + 1) / r * np.log((r + 1) / 0.05**2))
    assert tuned(0.05) == pytest.approx(best, abs=0.3)
    assert (np.diff(relative) < 0).all()


def test_the_p_value_and_the_sequence_say_the_same() -> None:
    fractions = np.array([0.05, 0.3, 1.0, 4.0])
    for alpha in (0.01, 0.05, 0.2):
        edge = boundary(fractions, alpha=alpha)
        np.testing.assert_allclose(always_valid_p(edge, fractions, alpha=alpha), alpha, rtol=1e-9)
    assert (one_sided_boundary(fractions, alpha=0.05) < boundary(fractions, alpha=0.05)).all()


def test_a_look_after_every_unit_errs_no_more_often_than_told() -> None:
    rng = np.random.default_rng(2)
    paths, planned = 1_500, 1_500
    n = np.arange(1, planned + 1)
    z = rng.normal(size=(paths, planned)).cumsum(axis=1) / np.sqrt(n)
    late = n >= 50
    two_sided = (np.abs(z) > boundary(n / planned, alpha=0.05))[:, late].any(axis=1).mean()
    harm = (z < -one_sided_boundary(n / planned, alpha=0.0125))[:, late].any(axis=1).mean()
    naive = (np.abs(z) > 1.96)[:, late].any(axis=1).mean()
    assert two_sided <= 0.05 + 3 * (0.05 * 0.95 / paths) ** 0.5
    assert harm <= 0.0125 + 3 * (0.0125 / paths) ** 0.5
    assert naive > 0.25


def test_what_was_once_proved_stays_proved() -> None:
    p = np.array([np.nan, 0.3, 0.01, np.nan, 0.5])
    assert running(p).tolist() == [1.0, 0.3, 0.01, 0.01, 0.01]


def test_the_published_plan_of_wald_is_reproduced() -> None:
    # NIST/SEMATECH e-Handbook 6.2.6: p1 .01, p2 .10, alpha .05, beta .10: x_a = -.939 + .0397 n, x_r = 1.205 + .0397 n
    lines = plan(0.01, 0.10, alpha=0.05, beta=0.10)
    assert (round(lines.lower, 3), round(lines.upper, 3), round(lines.slope, 4)) == (0.939, 1.205, 0.0397)
    assert [lines.verdict(0, n) for n in (23, 24)] == ["open", "lower"], "of its table: accept at 0 of 24"
    assert [lines.verdict(2, n) for n in (2, 19, 21)] == ["higher", "higher", "open"], "and reject at 2 up to some 20"


@pytest.mark.parametrize(("p0", "p1", "alpha", "beta"), [(0.1, 0.3, 0.02, 0.03), (0.85, 0.9, 0.05, 0.2)])
def test_walds_errors_keep_to_what_he_proves_and_the_sample_is_longer(p0, p1, alpha, beta) -> None:
    lines = plan(p0, p1, alpha=alpha, beta=beta)
    null, other = exact(lines, p0), exact(lines, p1)
    # What Wald proves (3.12): the sum; each by itself may be a little above what was asked for.
    assert null.accepts_higher + 1 - other.accepts_higher <= alpha + beta
    assert null.accepts_higher <= alpha / (1 - beta)
    # Wald's approximation of the mean number of answers under p1 (3.57 of the book), without the overshoot.
    gain = p1 * np.log(p1 / p0) + (1 - p1) * np.log((1 - p1) / (1 - p0))
    wald = (beta * np.log(beta / (1 - alpha)) + (1 - beta) * np.log((1 - beta) / alpha)) / gain
    assert 1.0 < other.mean_answers / wald < 1.2
    assert null.open < 1e-9


def test_exact_characteristics_are_those_of_simulated_answers() -> None:
    lines = plan(0.1, 0.3, alpha=0.05, beta=0.1)
    rng = np.random.default_rng(3)
    ends = []
    for _ in range(4_000):
        successes, n, said = 0, 0, "open"
        while said == "open":
            successes += rng.random() < 0.2
            n += 1
            said = lines.verdict(successes, n)
        ends.append((said == "higher", n))
    told = exact(lines, 0.2)
    assert np.mean([won for won, _ in ends]) == pytest.approx(told.accepts_higher, abs=0.025)
    assert np.mean([n for _, n in ends]) == pytest.approx(told.mean_answers, rel=0.05)
