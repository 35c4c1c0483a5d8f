"""Signals of whole touched days: behaviour, opinions, detectors; late and odd events."""

from datetime import timedelta

import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.signals.stage import derive_signals, known_detectors, touched_days
from tests.worlds import NOON, NOW, action, answer, lake_of, settings_at

CATALOG = load_catalog(PACKAGED_CATALOG)


def signals(lake):
    table = rows(lake, "select * from signals", {"signals": None})
    return {(row["response_id"], row["signal"]): row for row in table.to_pylist()}


@pytest.fixture
def settings(tmp_path):
    return settings_at(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "score"),
    [
        ("copy", None, 0.8),
        ("regenerate", None, -0.5),
        ("thumbs_up", None, 1),
        ("thumbs_down", None, -1),
        ("abandon", None, -0.3),
        ("star_rating", 5, 1),
        ("star_rating", 1, -1),
        ("star_rating", 4, 0.5),
        ("star_rating", 9, 1),
        ("star_rating", None, None),
        ("nps", 10, 1),
        ("nps", 5, 0),
        ("comment", None, None),
    ],
)
def test_the_score_table_puts_each_action_on_one_scale(settings, name, value, score):
    lake = lake_of(settings, [answer(1), action(1, name, value=value)])
    derive_signals(lake, CATALOG, now=NOW)
    row = signals(lake)["r1", name]
    assert row["score"] == score
    assert row["raw_value"] == value


def test_of_a_changed_rating_the_last_one_counts(settings):
    lake = lake_of(
        settings,
        [
            answer(1),
            action(1, "star_rating", key="b", value=5, at=NOON + timedelta(minutes=9)),
            action(1, "star_rating", key="a", value=1, at=NOON + timedelta(minutes=3)),
        ],
    )
    derive_signals(lake, CATALOG, now=NOW)
    assert signals(lake)["r1", "star_rating"]["raw_value"] == 5


def test_a_changed_mind_leaves_one_thumb_and_a_withdrawn_one_none(settings):
    events = [answer(1), action(1, "thumbs_up"), action(1, "thumbs_down", at=NOON + timedelta(minutes=3))]
    lake = lake_of(settings, events)
    derive_signals(lake, CATALOG, now=NOW)
    assert {signal for _, signal in signals(lake)} & {"thumbs_up", "thumbs_down"} == {"thumbs_down"}
    lake_of(settings, [action(1, "thumbs_withdrawn", at=NOON + timedelta(minutes=5))])
    derive_signals(lake, CATALOG, now=NOW)
    assert not {signal for _, signal in signals(lake) if signal.startswith("thumbs")}
    assert len(rows(lake, "select * from actions", {"actions": None})) == 3


def test_a_late_action_changes_its_responses_day_and_no_other(settings):
    other = NOON + timedelta(days=3)
    lake = lake_of(settings, [answer(1), answer(2, at=other)])
    derive_signals(lake, CATALOG, now=NOW)
    assert touched_days(lake, CATALOG, now=NOW)[0] == frozenset()
    lake_of(settings, [action(1, "copy", at=NOON + timedelta(days=7))])
    assert touched_days(lake, CATALOG, now=NOW)[0] == {NOON.date()}
    assert derive_signals(lake, CATALOG, now=NOW).days == (NOON.date(),)
    row = signals(lake)["r1", "copy"]
    assert row["day"] == NOON.date()
    assert row["arrived_at"] == NOON + timedelta(days=7, seconds=1)
    assert ("r2", "refusal_or_empty") in signals(lake)


def test_an_action_that_is_there_before_its_response_is_joined_when_that_arrives(settings):
    lake = lake_of(settings, [action(1, "copy", at=NOON + timedelta(minutes=1))])
    derive_signals(lake, CATALOG, now=NOW)
    assert signals(lake) == {}
    lake_of(settings, [answer(1)])
    derive_signals(lake, CATALOG, now=NOW)
    assert ("r1", "copy") in signals(lake)


def test_beyond_the_horizon_an_action_is_kept_and_not_joined(settings):
    from tests.worlds import NOW

    lake = lake_of(settings, [answer(1, at=NOW - timedelta(days=40)), action(1, "copy", at=NOW - timedelta(days=1))])
    derive_signals(lake, CATALOG, now=NOW)
    assert ("r1", "copy") not in signals(lake)
    assert rows(lake, "select * from actions", {"actions": None}).num_rows == 1


def test_every_response_is_looked_at_once_by_every_detector(settings):
    lake = lake_of(
        settings, [answer(1), answer(2, response=""), answer(3, response="I'm sorry, I can't help with that.")]
    )
    derive_signals(lake, CATALOG, now=NOW)
    found = {name: row["flagged"] for (name, signal), row in signals(lake).items() if signal == "refusal_or_empty"}
    assert found == {"r1": False, "r2": True, "r3": True}
    first = {key: row for key, row in signals(lake).items() if row["kind"] == "automated"}
    lake_of(settings, [answer(4), action(1, "copy")])
    derive_signals(lake, CATALOG, now=NOW)
    kept = {key: row for key, row in signals(lake).items() if key in first}
    assert {key: row["arrived_at"] for key, row in kept.items()} == {k: r["arrived_at"] for k, r in first.items()}
    automated = [row for row in signals(lake).values() if row["kind"] == "automated"]
    assert len(automated) == 4 * len(CATALOG.signals.detectors)


def test_a_backfill_of_a_day_gives_the_same_rows(settings):
    lake = lake_of(settings, [answer(1), answer(2), action(1, "copy"), action(2, "thumbs_down")])
    derive_signals(lake, CATALOG, now=NOW)
    before = signals(lake)
    derive_signals(lake, CATALOG, now=NOW, days=[NOON.date()])
    assert {k: {**v, "file_name": ""} for k, v in signals(lake).items()} == {
        k: {**v, "file_name": ""} for k, v in before.items()
    }


def test_an_action_the_catalog_does_not_know_is_kept_in_the_lake_and_is_no_signal(settings):
    lake = lake_of(settings, [answer(1), action(1, "wink")])
    derive_signals(lake, CATALOG, now=NOW)
    assert ("r1", "wink") not in signals(lake)
    assert rows(lake, "select * from actions", {"actions": None}).num_rows == 1


def test_an_unknown_detector_is_named_with_those_there_are():
    strange = CATALOG.signals.model_copy(update={"detectors": {"toxic": CATALOG.signals.detectors["refusal_or_empty"]}})
    import dataclasses

    with pytest.raises(CatalogError, match=r"detectors.toxic is unknown; there are .*refusal_or_empty"):
        known_detectors(dataclasses.replace(CATALOG, signals=strange))
