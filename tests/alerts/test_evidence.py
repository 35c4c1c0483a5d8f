"""What a rule takes for evidence, when an episode begins and ends, and what the budget allows."""

import numpy as np
import pytest

from onlineeval_dagster.alerts.budget import Allowance, allowance
from onlineeval_dagster.alerts.episodes import episodes
from onlineeval_dagster.alerts.evidence import HANG_TOGETHER, Judged, Looks, judge
from onlineeval_dagster.catalog.alert_file import Alerts, Rule
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.settings import PACKAGED_CATALOG

HOURLY = Allowance(chance=1e-5)


def rule(kind: str, **more) -> Rule:
    return Rule(**{"title": "a rule", "owner": "team:search", "kind": kind, "metric": "copied", **more})


def looks(value, *, expected=None, standardised=0.0, n=1000.0, error=0.01, is_share=False, slots=24) -> Looks:
    value = np.atleast_2d(np.asarray(value, dtype=float))

    def like(number) -> np.ndarray:
        return np.broadcast_to(np.asarray(number, dtype=float), value.shape)

    return Looks(
        value=value,
        low=value - 1.96 * error,
        high=value + 1.96 * error,
        n=like(n),
        n_effective=like(n),
        expected=like(value if expected is None else expected),
        standardised=like(standardised),
        history_days=like(28),
        slots=slots,
        is_share=is_share,
    )


def test_a_relative_rule_needs_a_change_that_is_certain_and_large_enough():
    one = rule("relative", limit=0.1)
    fell = {"certain and large": (0.85, -8), "certain, small": (0.95, -8), "large, uncertain": (0.85, -3)}
    for case, (value, deviations) in fell.items():
        found = judge(one, "down", looks([value], expected=1.0, standardised=deviations), HOURLY)
        assert bool(found.beyond[0, 0]) == (case == "certain and large"), case
    rose = judge(one, "down", looks([1.2], expected=1.0, standardised=8), HOURLY)
    assert not rose.beyond.any()
    assert judge(one, "both", looks([1.2], expected=1.0, standardised=8), HOURLY).beyond.all()


def test_the_threshold_grows_where_the_spread_is_hardly_known():
    one = rule("dynamic")
    hours = judge(one, "down", looks([1.0], standardised=-5.0), HOURLY)
    days = judge(one, "down", looks([1.0], standardised=-5.0, slots=1), HOURLY)
    assert hours.beyond.all() and not days.beyond.any()
    assert 1 / days.strength[0, 0] * 5 > 7 > 1 / hours.strength[0, 0] * 5 > 4.2


def test_a_few_answers_more_than_usual_are_no_evidence_however_many_deviations_they_are():
    one, part = rule("dynamic"), Allowance(chance=1e-3)
    small = {"expected": 0.02, "standardised": 6.0, "is_share": True}
    few = judge(one, "up", looks([4 / 60], n=60.0, **small), part)  # 4 of 60: chance .03
    many = judge(one, "up", looks([9 / 60], n=60.0, **small), part)
    assert not few.beyond.any() and many.beyond.all()


def test_an_absolute_limit_is_tested_as_such():
    one, part = rule("absolute", limit=0.15), Allowance(chance=1e-3)
    over = judge(one, "up", looks([0.2, 0.2, 0.14, np.nan], n=[[60.0, 600.0, 9000.0, 9.0]], is_share=True), part)
    assert over.beyond.tolist() == [[False, True, False, False]]
    assert over.clear.tolist() == [[False, False, True, False]]
    seconds = judge(rule("absolute", limit=2.0), "up", looks([2.5, 2.02], error=0.1), part)
    assert seconds.beyond.tolist() == [[True, False]]


def test_the_exact_test_keeps_its_chance():
    rng, part = np.random.default_rng(1), Allowance(chance=0.01)
    n, share, times = 60, 0.15, 40_000
    drawn = rng.binomial(n, share, times) / n
    found = judge(rule("absolute", limit=share), "up", looks(drawn, n=float(n), is_share=True), part)
    assert 0.002 < found.beyond.mean() <= 0.01 + 3 * np.sqrt(0.01 / times)


def test_charts_find_a_lasting_shift_that_no_single_look_shows():
    rng = np.random.default_rng(5)
    shifted = rng.normal(0, 1, (1, 300))
    shifted[0, 200:] -= 1.2
    for one in (rule("change_point"), rule("dynamic", chart="ewma")):
        found = judge(one, "down", looks(np.ones((1, 300)), standardised=shifted), HOURLY)
        (fired,) = {episode.fired for episode in episodes(found, confirm=1, recover=3)[:1]}
        assert 200 < fired < 240, one.kind
        assert not judge(one, "up", looks(np.ones((1, 300)), standardised=shifted), HOURLY).beyond.any()
    assert not judge(rule("dynamic"), "down", looks(np.ones((1, 300)), standardised=shifted), HOURLY).beyond.any()


@pytest.mark.parametrize(
    "one", [rule("dynamic"), rule("change_point"), rule("dynamic", chart="ewma")], ids=["looks", "cusum", "ewma"]
)
@pytest.mark.parametrize("worse", ["down", "both"])
def test_noise_alone_fires_as_often_as_it_may(one, worse):
    rng, part = np.random.default_rng(7), Allowance(chance=1 / 500)
    series, length = 400, 2000
    noise = rng.normal(0, 1, (series, length))
    found = judge(one, worse, looks(np.ones((series, length)), standardised=noise), part)
    is_chart = one.kind == "change_point" or one.chart == "ewma"
    expected = series * length / part.run_length / (HANG_TOGETHER if is_chart else 1)
    # A look's threshold leaves room for what is not known of the spread; charts begin at zero and are late at first.
    assert 0.55 * expected < found.beyond.sum() < expected + 3 * np.sqrt(expected)


def said(text: str) -> Judged:
    """b beyond, c clear, - neither, . no number."""
    letters = np.array([list(text)])
    strength = np.where(letters == "b", 1.5, 0.2)
    return Judged(
        beyond=letters == "b",
        clear=letters == "c",
        known=letters != ".",
        strength=strength,
        change=strength,
        began=np.arange(len(text))[None],
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cccbcccc", [(3, 3, 6)]),
        ("cbcbccc", [(1, 1, 6)]),  # no flapping
        ("cb--c-ccc", [(1, 1, 8)]),  # neither is not clear
        ("cb...ccc", [(1, 1, 7)]),
        ("ccb", [(2, 2, None)]),
        ("cccbcccbccc", [(3, 3, 6), (7, 7, 10)]),
    ],
)
def test_an_episode_ends_when_looks_in_a_row_are_clear(text, expected):
    assert [(one.began, one.fired, one.ended) for one in episodes(said(text), confirm=1, recover=3)] == expected


def test_what_is_not_confirmed_is_pending_and_passes():
    assert episodes(said("cbccb"), confirm=2, recover=3)[0].fired is None
    assert [(one.began, one.fired) for one in episodes(said("cbcbbc"), confirm=2, recover=3)] == [(3, 4)]
    assert episodes(said("cbccc"), confirm=2, recover=3) == []


def test_the_budget_is_shared_and_its_sum_is_what_was_asked_for():
    alerts = load_catalog(PACKAGED_CATALOG).alerts
    total = 0.0
    for one in alerts.timed.values():
        for grain, looks_a_week in (("hour", 168), ("day", 7)):
            part = allowance(alerts, one, grain, windows=2, series=50)
            total += part.chance * 50 * looks_a_week
    assert total == pytest.approx(alerts.budget.false_alarms_a_week)
    off = Alerts(
        rules={**alerts.rules, "latency_high": alerts.rules["latency_high"].model_copy(update={"status": "off"})}
    )
    kept = alerts.rules["errors_high"]
    assert (
        allowance(off, kept, "hour", windows=2, series=50).chance
        > allowance(alerts, kept, "hour", windows=2, series=50).chance
    )
