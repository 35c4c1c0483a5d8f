"""The first rule that fires, and which interval holds when."""

from datetime import date

import numpy as np
import pytest

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.experiments.compare import compare
from onlineeval_dagster.experiments.decide import Guarded, Primary, decide
from onlineeval_dagster.experiments.rules import rule_at
from onlineeval_dagster.experiments.spending import crossing_chance
from onlineeval_dagster.reports.experiment import BECAUSE
from tests.experiments.worlds import moments


def experiment(**more) -> Experiment:
    said = {
        "hypothesis": "Shorter is better",
        "variants": {"control": 0.5, "short": 0.5},
        "starts_on": date(2026, 11, 30),
        "weeks": 4,
        "primary": "copied",
    }
    return Experiment.model_validate(said | more)


def primary(worst: float | None, best: float | None, *, harm: bool = False) -> Primary:
    return Primary(metric="copied", worst=worst, best=best, certain_harm=harm)


def guard(state, *, testable: bool = True, harm: bool = False) -> Guarded:
    return Guarded(metric="latency", state=state, testable=testable, certain_harm=harm)


END, EARLY = rule_at(experiment(), weeks_done=4), rule_at(experiment(), weeks_done=2)


@pytest.mark.parametrize(
    ("rule", "told", "guards", "outcome"),
    [
        (EARLY, primary(0.01, 0.05), [], "keep_running"),
        (EARLY, primary(-0.05, -0.01), [], "keep_running"),
        (EARLY, primary(-0.05, -0.01, harm=True), [], "stop_for_harm"),
        (EARLY, primary(0.01, 0.05), [guard("breach", harm=True)], "stop_for_harm"),
        (END, primary(0.01, 0.05), [guard("pass"), guard("improved"), guard("harm_within_margin")], "ship"),
        (END, primary(0.01, 0.05), [guard("at_risk")], "no_decision"),
        (END, primary(0.01, 0.05), [guard("at_risk", testable=False)], "ship"),
        (END, primary(0.01, 0.05), [guard(None, testable=False)], "ship"),
        (END, primary(0.01, 0.05), [guard(None)], "no_decision"),
        (END, primary(0.01, 0.05), [guard("breach", testable=False)], "do_not_ship"),
        (END, primary(-0.05, -0.01), [guard("pass")], "do_not_ship"),
        (END, primary(-0.01, 0.01), [guard("pass")], "no_decision"),
        (END, primary(None, None), [], "no_decision"),
    ],
)
def test_the_first_rule_that_fires_decides(rule, told, guards, outcome: str) -> None:
    found = decide(rule, told, guards)
    assert found.outcome == outcome
    assert found.rule in BECAUSE, "the page has plain words for it"


def test_nothing_is_decided_on_numbers_that_cannot_be_trusted() -> None:
    told = decide(END, primary(-0.5, -0.4, harm=True), [guard("breach")], broken=["units by arm"])
    assert (told.outcome, told.metrics) == ("no_decision", ("units by arm",))
    assert told.rule in BECAUSE


def test_the_hybrid_looks_always_for_harm_and_once_for_wins() -> None:
    found = compare(moments(np.random.default_rng(1), 20_000, covariate=False))
    assert END.decides and not EARLY.decides
    assert END.quantile(found, 1.0)[0] == pytest.approx(2.24, abs=0.003)
    assert EARLY.quantile(found, 0.5)[0] > 3
    assert EARLY.harm_alpha == 0.0125


def test_several_treatments_share_alpha() -> None:
    three = experiment(variants={"control": 0.4, "short": 0.3, "long": 0.3}, design="fixed")
    assert rule_at(three, weeks_done=4).level == pytest.approx(0.975)


@pytest.mark.parametrize("spending", ["obrien_fleming", "pocock"])
def test_the_looks_of_a_group_sequential_design_err_five_percent_together(spending: str) -> None:
    one = experiment(design="group_sequential", looks=[1, 2, 4], spending=spending)
    bounds = [rule_at(one, weeks_done=week).bound for week in (1, 2, 4)]
    assert crossing_chance([0.25, 0.5, 1.0], [bound for bound in bounds if bound]) == pytest.approx(0.05, abs=1e-6)
    assert not rule_at(one, weeks_done=3).decides
    assert decide(rule_at(one, weeks_done=1), primary(-0.01, 0.02), []).outcome == "keep_running"
    assert decide(rule_at(one, weeks_done=1), primary(0.01, 0.02), []).outcome == "ship"
    waits = decide(rule_at(one, weeks_done=1), primary(0.01, 0.02), [guard("at_risk")])
    assert waits.outcome == "keep_running" and waits.rule in BECAUSE
