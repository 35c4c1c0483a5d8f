"""What is behind an incident: the deploy that did it, others that did not, and falls that no deploy explains."""

import re
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from onlineeval_dagster.alerts.blame import attribute, read_causes
from onlineeval_dagster.alerts.causes import Evidence, Found, causes_of, verdict
from onlineeval_dagster.alerts.onset import Shares
from onlineeval_dagster.alerts.stage import evaluate
from onlineeval_dagster.alerts.suspects import Suspect
from onlineeval_dagster.contracts.events import Event
from onlineeval_dagster.reports.incidents import incident_lines
from tests.alerts.alert_worlds import CATALOG, NOW, hourly, put
from tests.alerts.cause_worlds import BEGAN, FALL, GOOD, HOUR, RULES, facts, lake, warehouse
from tests.worlds import deploy

MINUTE = timedelta(minutes=1)
FIRED = BEGAN + 6 * HOUR


def step(made, after, rng):
    """All answers are worse since."""
    made.loc[after, "p"] *= FALL


def by_version(made, after, rng):
    """Half of the answers are served by a new prompt, and these are bad."""
    new = after & (rng.random(len(made)) < 0.5)
    made.loc[new, "prompt_version"] = "p2"
    made.loc[new, "p"] *= 2 * FALL - 1


def failing(made, after, rng):
    """A third of the answers fails at a provider, twenty minutes after a deploy."""
    late = made["occurred_at"] >= BEGAN + 20 * MINUTE
    made.loc[late, "is_error"] = rng.random(int(late.sum())) < 0.3
    made.loc[made["is_error"], "p"] = 0.2


def french(made, after, rng):
    """Ten times as many French users come, for whom answers were always worse."""
    made.loc[after, "language"] = np.where(rng.random(int(after.sum())) < 0.55, "fr", "en")
    made.loc[made["language"] == "fr", "p"] *= 0.6


def flagged_always(made, after, rng):
    """A tenth of the answers is flagged, bad and always judged; of the others, whose quality fell, every fifth is."""
    flagged = rng.random(len(made)) < 0.1
    made.loc[after, "p"] *= FALL
    made.loc[flagged, "p"] = 0.2
    made["judged"] = flagged | (rng.random(len(made)) < 0.2)
    made["relevance_probability"] = np.where(flagged, 1.0, 0.2)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """One lake for all: deploys ten hours before it began and then, and an event that goes with neither."""
    folder = tmp_path_factory.mktemp("causes")
    said = [
        deploy("d1", at=BEGAN - 10 * HOUR),
        deploy("d2", at=BEGAN + 1 * MINUTE, prompt_version="p2", traffic_share=0.5),
        Event(event_id="e1", name="campaign", occurred_at=BEGAN - 20 * HOUR, received_at=NOW),
    ]
    made = lake(folder / "home", said)
    done = evaluate(made, RULES, now=FIRED)
    assert len(done.incidents) == 1
    return made, done, folder


def causes(places, name, change):
    made, done, folder = places
    file = folder / f"{name}.duckdb"
    if not file.exists():
        warehouse(file, facts(change))
    return attribute(file, made, RULES, done.incidents, done.alerts, now=FIRED).causes


def test_the_deploy_at_which_answers_became_worse_is_named_with_its_numbers(places):
    found = causes(places, "step", step)
    first = found[0]
    assert (first.kind, first.name, first.verdict, first.rank) == ("deploy", "d2", "named", 1)
    assert first.low < -0.16 * 0.9 < first.high and first.high < 0
    assert first.after == pytest.approx(first.before + first.difference)
    assert first.placebo < 0.05 and first.placebos > 100
    others = {one.name: one for one in found[1:]}
    assert {others[name].verdict for name in ("d1", "campaign", "unexplained")} == {"unlikely"}
    chances = [one.probability for one in found if one.kind in ("deploy", "event", "unexplained")]
    assert sum(chances) == pytest.approx(1)
    assert verdict(found).startswith("Deploy d2 of 2026-11-09 16:01 UTC: chance ")


def test_answers_count_by_the_chance_with_which_they_were_judged(places):
    found = {one.name: one for one in causes(places, "flagged", flagged_always)}
    fell = found["d2"]
    assert fell.verdict == "named" and fell.low < 0.9 * -0.16 * 0.9 < fell.high < 0
    assert fell.after == pytest.approx(0.9 * 0.8 * FALL * 0.95 + 0.1 * 0.2, abs=0.06)


def test_answers_of_the_version_beside_it_tell_what_the_new_one_did(places):
    first = causes(places, "by_version", by_version)[0]
    assert (first.name, first.verdict) == ("d2", "named")
    assert first.beside_high < 0 and first.beside_low < -0.32 * 0.9 < first.beside_high


def test_failed_answers_explain_a_fall_that_began_when_they_did_and_no_deploy_is_blamed(places):
    found = causes(places, "failing", failing)
    (way,) = [one for one in found if one.kind == "failures"]
    assert way.verdict == "named" and way.explained == pytest.approx(1, abs=0.3)
    assert verdict(found).startswith("No deploy explains this; failed answers explain ")


def test_another_mix_of_users_explains_its_part_and_is_taken_out_before_deploys_are_weighed(places):
    found = causes(places, "french", french)
    (mix,) = [one for one in found if one.kind == "mix"]
    assert (mix.name, mix.verdict) == ("language", "named") and mix.explained_low < 1 < mix.explained_high + 0.2
    assert verdict(found).startswith("No deploy explains this; another mix of users explains ")


def test_looking_again_writes_nothing_and_what_is_settled_stays(places):
    made, done, folder = places
    first = causes(places, "step", step)
    again = attribute(folder / "step.duckdb", made, RULES, done.incidents, done.alerts, now=FIRED)
    assert (again.days, again.looked_at) == ((), 1) and again.causes == first
    assert read_causes(made) == list(first)
    later = attribute(folder / "gone.duckdb", made, RULES, done.incidents, done.alerts, now=FIRED + 4 * 24 * HOUR)
    assert (later.looked_at, later.causes) == (0, first)


def test_without_answers_it_says_so_and_names_nothing(places):
    made, done, folder = places
    found = attribute(folder / "none.duckdb", made, RULES, done.incidents, done.alerts, now=FIRED).causes
    assert {one.verdict for one in found} == {"unknown"}
    assert verdict(found) == "No cause can be named: the warehouse has no answers yet."


def test_deploys_that_cannot_be_told_apart_are_all_named(tmp_path):
    said = [deploy("d1", at=BEGAN - MINUTE), deploy("d2", at=BEGAN + MINUTE)]
    made = lake(tmp_path / "home", said)
    done = evaluate(made, RULES, now=FIRED)
    file = warehouse(tmp_path / "facts.duckdb", facts(step))
    found = attribute(file, made, RULES, done.incidents, done.alerts, now=FIRED).causes
    assert {one.name for one in found if one.verdict == "named"} == {"d1", "d2"}
    assert "cannot be told apart" in verdict(found)
    (line,) = incident_lines(done.incidents, RULES.alerts.rules, found, day=BEGAN.date())
    assert "cannot be told apart" in line


def test_a_metric_that_the_catalog_no_longer_has_is_not_looked_for(places):
    made, done, folder = places
    metrics = CATALOG.metrics.model_copy(update={"metrics": {"latency": CATALOG.metrics.metrics["latency"]}})
    found = attribute(
        folder / "step.duckdb", made, replace(RULES, metrics=metrics), done.incidents, done.alerts, now=FIRED
    )
    assert found.causes == ()


def test_a_deploy_to_one_model_is_held_against_the_models_that_it_did_not_touch(tmp_path):
    said = [deploy("d2", at=BEGAN, model="m1")]
    made = lake(tmp_path / "home", said)
    fall = (BEGAN, NOW, FALL)
    each = {
        "metric": "good_answers",
        "mean": 0.8,
        "judge_version": "v1",
        "noise": 0.01,
        "error": 0.02,
        "slice": "model",
    }
    put(
        made,
        [
            *hourly(**GOOD, noise=0.01, error=0.027, n=200, fall=fall),
            *hourly(**each, slice_value="m1", fall=fall, seed=5),
            *hourly(**each, slice_value="m2", seed=6),
            *hourly(**each, slice_value="m3", seed=7),
        ],
    )
    done = evaluate(made, RULES, now=FIRED)
    file = warehouse(tmp_path / "facts.duckdb", facts(step))
    first = attribute(file, made, RULES, done.incidents, done.alerts, now=FIRED).causes[0]
    assert (first.name, first.verdict) == ("d2", "named")
    assert first.structural_low < -0.16 * 0.9 < first.structural_high < 0
    assert "what it did not touch does not explain that" in first.told
    assert first.beside is None


@pytest.mark.parametrize(
    ("chances", "said"),
    [
        (
            [0.62, 0.02],
            r"^It cannot be told what did this: Deploy d1 of .* has chance 62 %, none of the deploys .* 36 %\.$",
        ),
        ([0.30, 0.02], r"^No deploy explains this: chance 68 %"),
        ([0.90, 0.02], r"^Deploy d1 of .*: chance 90 %"),
    ],
)
def test_no_deploy_explains_it_is_said_where_that_is_likely_and_not_where_nothing_can_be_named(places, chances, said):
    suspects = [Suspect(kind="deploy", name=name, app="shop", occurred_at=BEGAN) for name in ("d1", "d2")]
    nothing = Evidence(change=None, after=None, beside=None, structural=None, placebo=None)
    rest = 1 - sum(chances)
    found = Found(
        suspects=suspects,
        shares=Shares(suspects=np.array(chances), sudden=0.8 * rest, gradual=0.2 * rest, older=0.0),
        evidence=[nothing, nothing],
        ways={},
        mix_of=None,
        versions={},
        reason=None,
    )
    done = places[1]
    incident, alert = done.incidents[0], done.alerts[0]
    weighed = causes_of(incident, alert, CATALOG.metrics.metrics[alert.metric], found)
    assert re.search(said, verdict(weighed))
    first = next(one for one in weighed if one.name == "d1")
    assert (first.verdict, first.reason is None) == {
        0.62: ("unknown", False),
        0.30: ("unlikely", True),
        0.90: ("named", True),
    }[chances[0]]
