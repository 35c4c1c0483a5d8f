"""Selections: one row an eligible response and judge, with a stratum, a chance and a state, written once."""

import dataclasses
from datetime import timedelta

import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.sampling.chance import unit_interval
from onlineeval_dagster.sampling.select import select_responses
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.signals.stage import derive_signals
from tests.worlds import NOON, NOW, action, answer, deploy, lake_of, log_events, settings_at

CATALOG = load_catalog(PACKAGED_CATALOG)


def selections(lake):
    table = rows(lake, "select * from selections", {"selections": None})
    return {row["response_id"]: row for row in table.to_pylist()}


@pytest.fixture
def settings(tmp_path):
    return settings_at(tmp_path)


def run(settings, events):
    lake = lake_of(settings, events)
    derive_signals(lake, CATALOG, now=NOW)
    select_responses(lake, CATALOG, now=NOW)
    return lake


def test_each_eligible_response_has_one_row_with_the_chance_of_its_stratum(settings):
    old, new = NOON - timedelta(days=5), NOON
    events = [
        *(answer(n, at=old, prompt_version="p1") for n in range(200)),
        answer("flagged", at=old, prompt_version="p1"),
        action("flagged", "thumbs_down", at=old),
        deploy("p2", at=new, prompt_version="p2"),
        *(answer(f"watched{n}", at=new + timedelta(hours=1), prompt_version="p2") for n in range(50)),
        *(answer(f"new{n}", at=new + timedelta(hours=3), prompt_version="p2") for n in range(50)),
        answer("later", at=new + timedelta(hours=49), prompt_version="p2"),
        answer("staging", environment="staging"),
        answer("broken", error="HTTP 500", response=""),
    ]
    decided = selections(run(settings, events))
    assert "rstaging" not in decided
    assert len(decided) == 200 + 1 + 50 + 50 + 1 + 1
    assert decided["rflagged"]["stratum"] == "flagged"
    assert decided["rflagged"]["state"] == "selected"
    assert decided["rbroken"]["state"] == "filtered"
    assert decided["rbroken"]["inclusion_probability"] is None
    assert decided["rlater"]["stratum"] == "normal"
    for name, row in decided.items():
        if name.startswith("rwatched"):
            assert (row["stratum"], row["inclusion_probability"]) == ("watched", 0.5)
        if name.startswith("rnew"):
            assert (row["stratum"], row["inclusion_probability"]) == ("new_version", 0.3)
        if row["stratum"] == "normal" and row["state"] != "filtered":
            assert row["inclusion_probability"] == 0.1
            assert (row["state"] == "selected") == (unit_interval(name, "cohort-1") < 0.1)


def test_a_decision_is_never_made_twice_even_when_a_flag_comes_late(settings):
    lake = run(settings, [answer(n) for n in range(50)])
    before = selections(lake)
    quiet = next(name for name, row in before.items() if row["state"] == "not_selected")
    log_events(settings, [action(quiet[1:], "thumbs_down", at=NOON + timedelta(hours=2)), answer(1, model="again")])
    lake_of(settings, [])
    derive_signals(lake, CATALOG, now=NOW)
    again = select_responses(lake, CATALOG, now=NOW + timedelta(days=1))
    assert again.decided == 0
    assert selections(lake) == before


def test_the_order_of_arrival_does_not_matter(tmp_path):
    events = [answer(n) for n in range(60)]
    all_at_once = selections(run(settings_at(tmp_path / "a"), events))
    lake = run(settings_at(tmp_path / "b"), events[40:])
    log_events(settings_at(tmp_path / "b"), events[:40])
    lake = run(settings_at(tmp_path / "b"), [])
    assert {name: row["state"] for name, row in selections(lake).items()} == {
        name: row["state"] for name, row in all_at_once.items()
    }


def test_a_new_version_of_a_judge_goes_on_with_new_responses_and_keeps_the_old_rows(settings):
    lake = run(settings, [answer(n) for n in range(30)])
    changed = dataclasses.replace(CATALOG.live_judges[0], prompt=CATALOG.live_judges[0].prompt + "\nBe strict.\n")
    assert changed.version != CATALOG.live_judges[0].version
    catalog = dataclasses.replace(CATALOG, judges=(changed,))
    select_responses(lake, catalog, now=NOW)
    assert rows(lake, "select distinct judge_version from selections", {"selections": None}).num_rows == 1
    log_events(settings, [answer("next", at=NOON + timedelta(days=1))])
    lake_of(settings, [])
    select_responses(lake, catalog, now=NOW)
    assert selections(lake)["rnext"]["judge_version"] == changed.version


def test_a_judges_own_rate_replaces_the_one_of_normal_traffic(settings):
    lake = lake_of(settings, [answer(n) for n in range(30)])
    derive_signals(lake, CATALOG, now=NOW)
    always = dataclasses.replace(CATALOG, judges=(dataclasses.replace(CATALOG.live_judges[0], rate=1.0),))
    assert select_responses(lake, always, now=NOW).selected == 30
