"""Plans from traffic as it was: distinct units, what can be found, what to do instead, what guardrails can pay."""

from datetime import date, datetime, timedelta
from pathlib import Path

import pytest

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.estimates import NotEnough
from onlineeval_dagster.experiments.plan_shown import plan_lines
from onlineeval_dagster.experiments.planning import Plan, plan
from onlineeval_dagster.experiments.power import Traffic, rate_spread
from onlineeval_dagster.experiments.seen import Seen, SeenMetric, look_back
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.experiments.facts import START, midnight, write_facts

CATALOG = load_catalog(PACKAGED_CATALOG)
SAID = {
    "hypothesis": "Warm answers are copied more often",
    "variants": {"control": 0.5, "warm": 0.5},
    "starts_on": date(2026, 12, 7),
    "weeks": 1,
    "primary": "copied",
    "guardrails": {name: {} for name in ("latency", "regenerated", "abandoned", "errors")},
}
RATE = SeenMetric(value=0.85, spread=rate_spread(0.85), removed=0.0)


def experiment(**more) -> Experiment:
    return Experiment.model_validate(SAID | more)


def seen(**metrics) -> Seen:
    names = ("copied", "latency", "regenerated", "abandoned", "errors")
    return Seen(weeks=2, traffic=Traffic(by_week=(2_400.0, 3_200.0)), metrics=dict.fromkeys(names, RATE) | metrics)  # type: ignore[arg-type]


def planned(one: Experiment, lift: float = 0.02, **metrics) -> Plan:
    found = plan(one, seen(**metrics), wanted_lift=lift)
    assert isinstance(found, Plan)
    return found


def test_a_plan_that_cannot_hold_says_what_to_do_instead_with_numbers() -> None:
    found = planned(experiment())
    assert found.units == 1_200
    assert not found.is_enough and found.weeks_needed is not None
    ways = {way.what.partition(" ")[0].rstrip(":"): way for way in found.instead}
    assert {*ways} == {"design", "covariates", "weeks"}
    assert all(way.least_lift < found.least_lift for way in found.instead)
    assert ways["covariates"].least_lift == pytest.approx(found.least_lift * 0.75**0.5)
    wider = planned(experiment(variants={"control": 0.4, "warm": 0.3, "cold": 0.3}))
    assert "two equal arms" in [way.what for way in wider.instead]
    assert planned(experiment(), lift=0.2).is_enough


def test_the_chance_that_all_guardrails_pass_is_computed_and_something_proposed() -> None:
    found = planned(experiment())
    assert found.all_pass == pytest.approx(0.002, abs=0.001)
    one = found.guardrails[0]
    assert one.margin_needed is not None and 0.04 < one.margin_needed < 0.08
    declared = experiment(guardrails={name: {"testable": False} for name in SAID["guardrails"]})
    assert planned(declared).all_pass == 1.0
    none = planned(experiment(), latency=NotEnough(have=3, needed=30, reason="too few units in an arm"))
    assert none.all_pass is None


def test_the_plan_in_words_names_distinct_users_and_the_folk_number() -> None:
    one = experiment()
    text = "\n".join(plan_lines("tone", one, seen(), planned(one)))
    for part in ("2,400, 3,200 different users", "1,200 in the smallest arm", "Instead:", "497,101", "27,702"):
        assert part in text
    assert "pass together 0.2 times in 100" in text


def test_the_plan_of_a_judged_metric_names_the_row_that_decides() -> None:
    for decides, told in (("judge", "The judge's row decides"), ("people", "People's row decides")):
        one = experiment(decides=decides)
        assert told in "\n".join(plan_lines("tone", one, seen(), planned(one), is_judged=True))
        assert "row decides" not in "\n".join(plan_lines("tone", one, seen(), planned(one)))


def test_past_traffic_is_counted_as_the_experiment_will_be(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    exposures = write_facts(file, users=400, weeks=4)
    now = midnight(START) + timedelta(weeks=4, days=2)
    found = look_back(file, CATALOG, experiment(guardrails={"latency": {}}, covariates=["copied"]), now=now)
    assert isinstance(found, Seen)
    assert found.weeks == 4
    week = [at for at in exposures.column("occurred_at").to_pylist() if at < midnight(START) + timedelta(weeks=1)]
    assert found.traffic.by_week[0] == len(week) < 0.3 * 7 * 400, "units, not unit-days"
    assert found.traffic.by_week[3] == len(exposures)
    copied = found.metrics["copied"]
    assert isinstance(copied, SeenMetric)
    assert copied.value == pytest.approx(0.5, abs=0.05)
    assert copied.removed > 0.1, "users keep their own level"
    # Beta(4, 4) levels: intra-class correlation 1 / 9; some 8.4 answers of a user.
    assert copied.spread == pytest.approx(rate_spread(0.5, answers=8.4, icc=1 / 9), rel=0.12)


def test_without_a_past_there_is_no_plan(tmp_path: Path) -> None:
    found = look_back(tmp_path / "none.duckdb", CATALOG, experiment(), now=datetime.fromisoformat("2026-11-30T00:00Z"))
    assert isinstance(found, NotEnough) and "no whole week" in found.reason
