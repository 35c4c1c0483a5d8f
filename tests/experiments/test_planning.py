"""Plans from traffic as it was: distinct units, what can be found, what to do instead, what guardrails can pay."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.estimates import NotEnough
from onlineeval_dagster.experiments.health import Splits, resplit
from onlineeval_dagster.experiments.plan_shown import plan_lines, unfit_primary
from onlineeval_dagster.experiments.planning import PeoplesRow, Plan, plan
from onlineeval_dagster.experiments.power import Traffic, rate_spread
from onlineeval_dagster.experiments.seen import Seen, SeenMetric, SeenPeople, look_back
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.experiments.facts import START, midnight, write_facts, write_judged_facts

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


def seen(people: SeenPeople | NotEnough | None = None, **metrics) -> Seen:
    names = ("copied", "latency", "regenerated", "abandoned", "errors")
    told = dict.fromkeys(names, RATE) | metrics
    traffic = Traffic(by_week=(2_400.0, 3_200.0))
    return Seen(weeks=2, traffic=traffic, metrics=told, splits={"copied": splits()}, people=people)  # type: ignore[arg-type]


def splits(*, hits: float = 0.05) -> Splits:
    rng = np.random.default_rng(3)
    p = rng.random(1_000)
    return Splits(p_values=np.where(rng.random(1_000) < (hits - 0.05) / 0.95, 0.05 * p, p), noise=0.04)


def planned(one: Experiment, lift: float = 0.02, people: SeenPeople | NotEnough | None = None, **metrics) -> Plan:
    found = plan(one, seen(people, **metrics), wanted_lift=lift)
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


def test_the_label_budget_says_what_peoples_row_finds() -> None:
    """STATISTICS: one week, 112 labels an arm at .85, correlation .5: 11.6 points of 85."""
    people = SeenPeople(labels=448, judged=9_800, spread=rate_spread(0.85), correlation=0.5)
    fixed = experiment(design="fixed")
    found = plan(fixed, seen(people), wanted_lift=0.02)
    assert isinstance(found, Plan) and isinstance(found.people, PeoplesRow)
    assert found.people.labels == 112
    assert 0.85 * found.people.least_lift == pytest.approx(0.116, abs=0.001)
    assert found.people.of_labels_alone > found.people.least_lift > found.people.with_twice > found.least_lift
    paid = plan(fixed, seen(people), wanted_lift=0.02, labels_a_week=448)
    assert isinstance(paid, Plan) and isinstance(paid.people, PeoplesRow)
    assert paid.people.least_lift == pytest.approx(found.people.with_twice)
    text = "\n".join(plan_lines("tone", fixed, seen(people), found, is_judged=True))
    assert "with 112 human checks in the smallest arm in 1 week: finds 14 %" in text
    none = seen(NotEnough(have=3, needed=30, reason="too few labels"))
    text = "\n".join(plan_lines("tone", fixed, none, planned(fixed, people=none.people), is_judged=True))
    assert "cannot be told: 3 labelled answers or units so far, 30 needed" in text


def test_a_metric_that_fails_its_own_history_may_be_no_primary() -> None:
    one = experiment()
    assert unfit_primary(one, seen()) is None
    text = "\n".join(plan_lines("tone", one, seen(), planned(one)))
    assert "A/A of copied: in" in text and "not what they say" not in text
    assert "± 4.0 %" in text and "before-after" in text
    crooked = replace(seen(), splits={"copied": splits(hits=0.12)})
    told = unfit_primary(one, crooked)
    assert told is not None and "may not be a primary metric" in told and "winsorise" in told
    assert "not what they say" in "\n".join(plan_lines("tone", one, crooked, planned(one)))


def test_one_user_who_is_most_of_the_sum_fails_the_re_splits_and_ordinary_users_do_not() -> None:
    rng = np.random.default_rng(4)
    for seed in range(12):
        d = 1.0 + rng.poisson(3, 512)
        y = rng.normal(5, 1, 512) * d
        for whale, unfit in ((0.0, False), (200.0, True)):
            totals = np.column_stack([np.ones(512), y + whale * (np.arange(512) == 0) * y.mean() * 3, d])
            found = resplit(totals[:, :, None] * totals[:, None, :], splits=1_000, rng=np.random.default_rng(seed))
            assert (unfit_primary(experiment(), replace(seen(), splits={"copied": found})) is not None) == unfit


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
    assert found.people is None and found.splits["copied"].is_sound
    by_device = experiment(guardrails={}, segments=["device"], stratify_by="device")
    stratified = look_back(file, CATALOG, by_device, now=now)
    assert isinstance(stratified, Seen) and isinstance(stratified.metrics["copied"], SeenMetric)
    assert stratified.metrics["copied"].removed > 0.2, "levels of copying differ by device"
    # Beta(4, 4) levels: intra-class correlation 1 / 9; some 8.4 answers of a user.
    assert copied.spread == pytest.approx(rate_spread(0.5, answers=8.4, icc=1 / 9), rel=0.12)


def test_without_a_past_there_is_no_plan(tmp_path: Path) -> None:
    found = look_back(tmp_path / "none.duckdb", CATALOG, experiment(), now=datetime.fromisoformat("2026-11-30T00:00Z"))
    assert isinstance(found, NotEnough) and "no whole week" in found.reason


def test_past_labels_say_what_a_label_is_worth(tmp_path: Path) -> None:
    judge = next(judge for judge in CATALOG.judges if judge.name == "relevance")
    _, labels = write_judged_facts(tmp_path / "w.duckdb", judge, users=600)
    now = midnight(START) + timedelta(weeks=1)
    judged = experiment(primary="good_answers", guardrails={})
    found = look_back(tmp_path / "w.duckdb", CATALOG, judged, now=now, labels=labels)
    assert isinstance(found, Seen) and isinstance(found.people, SeenPeople)
    assert found.people.labels == len(labels)
    # A judge that errs on 15 % either way: correlation .7 of yes and no; some spread more by weights and users.
    assert 0.4 < found.people.correlation < 0.8
    assert found.people.spread == pytest.approx(rate_spread(0.75), rel=0.35)
    none = look_back(tmp_path / "w.duckdb", CATALOG, judged, now=now)
    assert isinstance(none, Seen) and isinstance(none.people, NotEnough)
