"""The planner's rates are those of Neyman's optimum, and never worse than one rate for all at the same cost."""

import dataclasses
from datetime import timedelta
from math import sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from onlineeval_dagster.contracts.events import Verdict
from onlineeval_dagster.sampling.planner import LEAST_SHARE, StratumSeen, always, plan, uniform, valued
from onlineeval_dagster.sampling.seen import Seen, plans, strata_seen
from onlineeval_dagster.sampling.shown import plan_metadata, plan_sentence
from tests.sampling.worlds import catalog_with, decisions, drawn, select
from tests.worlds import NOON, NOW, action, answer, lake_of, settings_at

stratum = st.builds(
    StratumSeen,
    name=st.just(""),
    answers=st.floats(1, 1e6),
    variance=st.floats(0.002, 0.25),
    mean=st.floats(0.05, 0.95),
    cost=st.floats(1e-4, 1e-2),
)
strata_drawn = st.lists(stratum, min_size=1, max_size=6).map(
    lambda some: [dataclasses.replace(one, name=f"s{n}") for n, one in enumerate(some)]
)


def cost_of_all(strata):
    return sum(one.answers * one.cost for one in strata)


@given(strata_drawn, st.floats(0.001, 1.5))
@settings(max_examples=300, deadline=None)
def test_the_best_rates_cost_what_was_given_and_are_never_worse_than_uniform(strata, share):
    budget = share * cost_of_all(strata)
    best, even = plan(strata, budget), uniform(strata, budget)
    assert best.cost <= budget * (1 + 1e-9)
    assert best.cost == pytest.approx(min(budget, cost_of_all(strata)), rel=1e-6), "nothing is left over"
    assert best.variance <= even.variance * (1 + 1e-9)
    assert all(LEAST_SHARE * even.rates[one.name] * (1 - 1e-12) <= best.rates[one.name] <= 1 for one in strata)


@given(strata_drawn, st.floats(0.005, 0.9))
@settings(max_examples=40, deadline=None)
def test_the_rates_are_within_5_percent_of_what_a_numerical_optimiser_finds(strata, share):
    budget = share * cost_of_all(strata)
    even = uniform(strata, budget).rates
    best = plan(strata, budget)
    start = np.array([even[one.name] for one in strata])
    weight = np.array([one.answers**2 * one.variance / one.answers for one in strata])
    price = np.array([one.answers * one.cost for one in strata])

    # In logarithms of the rates, with everything scaled to 1: the solver then sees no difference of size.
    found = minimize(
        lambda x: np.log((weight / weight.sum() * np.exp(-x)).sum()),
        np.log(start),
        jac=lambda x: -(weight * np.exp(-x)) / (weight * np.exp(-x)).sum(),
        bounds=[(np.log(LEAST_SHARE * rate), 0.0) for rate in start],
        constraints={
            "type": "ineq",
            "fun": lambda x: 1 - (price * np.exp(x)).sum() / budget,
            "jac": lambda x: -(price * np.exp(x)) / budget,
        },
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    numeric = {one.name: float(np.exp(x)) for one, x in zip(strata, found.x, strict=True)}
    reached = valued(strata, numeric)
    assert best.variance <= reached.variance * (1 + 1e-6) or reached.cost > budget * (1 + 1e-9)
    # A stratum that hardly moves the variance can have any rate: those that matter are compared.
    for one in strata:
        if one.answers * sqrt(one.variance * one.cost) > 0.01 * max(
            other.answers * sqrt(other.variance * other.cost) for other in strata
        ):
            assert best.rates[one.name] == pytest.approx(numeric[one.name], rel=0.05)


TRAFFIC = [
    StratumSeen(name="flagged", answers=160, variance=0.24, mean=0.4),
    StratumSeen(name="normal", answers=3040, variance=0.09, mean=0.9),
]


def test_flagged_always_costs_precision():
    """5 % flagged that pass .4, the rest .9, one tenth of the calls: the rest is left with 5.3 %."""
    dear = always(TRAFFIC, 320)
    assert dear is not None and dear.cost == pytest.approx(320)
    assert dear.rates == pytest.approx({"flagged": 1.0, "normal": 160 / 3040})
    assert dear.variance / uniform(TRAFFIC, 320).variance == pytest.approx(1.7, abs=0.05)
    assert plan(TRAFFIC, 320).variance < uniform(TRAFFIC, 320).variance
    assert always(TRAFFIC, 150) is None, "the flagged alone cost 160"


def test_a_floor_is_kept_and_paid_by_the_others():
    best = plan(TRAFFIC, 320, floors={"flagged": 0.8})
    assert best.rates["flagged"] == 0.8
    assert best.cost == pytest.approx(320)


def test_a_dear_stratum_gets_fewer_calls():
    dear = [dataclasses.replace(TRAFFIC[0], cost=4.0), TRAFFIC[1]]
    assert plan(dear, 400).rates["flagged"] / plan(dear, 400).rates["normal"] == pytest.approx(
        sqrt(0.24 / 0.09) / sqrt(4)
    )


def test_what_was_seen_in_the_lake_becomes_strata_with_their_spread_and_price(tmp_path):
    home = settings_at(tmp_path)
    catalog = catalog_with(normal={"rate": 0.5})
    events = [*(answer(n) for n in range(200)), *(action(n, "thumbs_down") for n in range(20))]
    lake = lake_of(home, events)
    select(lake, catalog, now=NOW)
    (judge,) = catalog.judges
    judged = sorted(drawn(decisions(lake)))
    lake = lake_of(
        home,
        [
            Verdict(
                **{"event_id": f"v{name}", "occurred_at": NOON, "received_at": NOON, "response_id": name},
                **{"response_at": NOON, "judge": judge.name, "axis": judge.axis, "judge_version": judge.version},
                score=3.0 if int(name[1:]) % 4 else 1.0,
                cost_usd=0.002,
            )
            for name in judged
        ],
    )
    seen = strata_seen(lake, judge, now=NOON + timedelta(days=1))
    assert seen is not None and seen.usd_a_call == pytest.approx(0.002)
    flagged, normal = seen.strata
    assert (flagged.name, flagged.answers, flagged.judged) == ("flagged", 20, 20)
    assert (normal.answers, normal.judged) == (180, len(judged) - 20)
    good = sum(int(name[1:]) % 4 > 0 for name in judged if int(name[1:]) >= 20)
    assert normal.mean == pytest.approx((good + 1) / (normal.judged + 2))
    now, best, even, dear = plans(seen.strata, seen.rates, None)
    assert now.cost == pytest.approx(0.002 * (20 + 90))
    assert best.variance <= even.variance <= dear.variance
    assert strata_seen(lake, judge, now=NOON - timedelta(days=30)) is None


def test_the_page_prints_what_flagged_always_costs_beside_one_rate_for_all():
    strata = (
        StratumSeen(name="flagged", answers=50, variance=0.24, mean=0.4, judged=50),
        StratumSeen(name="normal", answers=950, variance=0.09, mean=0.9, judged=50),
    )
    judge = catalog_with().live_judges[0]
    seen = Seen(judge=judge, days=7, strata=strata, rates={"flagged": 1.0, "normal": 0.05}, usd_a_call=None)
    told = plan_metadata(seen)
    always_wide, uniform_wide = (told[f"plan/{judge.name}/width_{name}"] for name in ("flagged_always", "uniform"))
    assert told[f"plan/{judge.name}/width_best"] <= uniform_wide < always_wide
    assert f"{100 * (always_wide / uniform_wide - 1):.0f} % wider than with one rate for all" in plan_sentence(seen)
