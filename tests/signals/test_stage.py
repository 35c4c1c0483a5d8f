"""Signals of whole touched days: behaviour, opinions, detectors; late and odd events."""

from dataclasses import replace
from datetime import timedelta

import pyarrow as pa
import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.catalog.retention import Kept, Retention
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.keeping.retention import apply
from onlineeval_dagster.lake.rewrite import drop_days
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.signals import automated, stage
from onlineeval_dagster.signals.detectors.interface import found
from onlineeval_dagster.signals.detectors.registry import DETECTORS, known_detectors
from onlineeval_dagster.signals.stage import derive_signals, touched_days
from tests.worlds import NOON, NOW, action, answer, lake_of, settings_at

CATALOG = load_catalog(PACKAGED_CATALOG)


def signals(lake):
    table = rows(lake, "select * from signals", {"signals": None})
    return {(row["response_id"], row["signal"]): row for row in table.to_pylist()}


@pytest.fixture
def settings(tmp_path):
    return settings_at(tmp_path)


SCALE = [
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
]


@pytest.fixture(scope="module")
def scaled(tmp_path_factory):
    """Each action of SCALE on an answer of its own."""
    said = [(answer(number), action(number, name, value=value)) for number, (name, value, _) in enumerate(SCALE)]
    lake = lake_of(settings_at(tmp_path_factory.mktemp("scaled")), [event for pair in said for event in pair])
    derive_signals(lake, CATALOG, now=NOW)
    return signals(lake)


@pytest.mark.parametrize("number", range(len(SCALE)), ids=[f"{name}-{value}" for name, value, _ in SCALE])
def test_the_score_table_puts_each_action_on_one_scale(scaled, number):
    name, value, score = SCALE[number]
    row = scaled[f"r{number}", name]
    assert (row["score"], row["raw_value"]) == (score, value)


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


def versions(lake):
    table = rows(lake, "select signal, version, count(*) as n from signals group by all", {"signals": None})
    return {(row["signal"], row["version"].split("+")[0]): row["n"] for row in table.to_pylist()}


@pytest.fixture
def rewritten(monkeypatch):
    """A second version of the detector `repetition`, which finds fault with everything and remembers what it read."""
    read = []

    def score(batch):
        read.extend(batch.column("response_id").to_pylist())
        everything = pa.repeat(True, batch.num_rows)
        return found(batch, flagged=everything, score=-1.0, reason=pa.repeat("all", batch.num_rows))

    monkeypatch.setitem(DETECTORS, "repetition", replace(DETECTORS["repetition"], version="2", score=score))
    return read


def test_a_new_version_of_a_detector_scores_a_day_again_by_backfill_and_the_others_stay(settings, request):
    lake = lake_of(settings, [answer(1), answer(2, at=NOON + timedelta(days=1))])
    derive_signals(lake, CATALOG, now=NOW)
    before = signals(lake)
    read = request.getfixturevalue("rewritten")
    assert derive_signals(lake, CATALOG, now=NOW).days == ()
    derive_signals(lake, CATALOG, now=NOW, days=[NOON.date()])
    assert read == ["r1"]
    after = signals(lake)
    assert after["r1", "repetition"]["version"].startswith("2+") and after["r1", "repetition"]["score"] == -1
    assert after["r2", "repetition"] == before["r2", "repetition"]
    assert after["r1", "truncated"]["arrived_at"] == before["r1", "truncated"]["arrived_at"]
    assert set(after) == set(before)


def test_a_new_version_of_a_detector_scores_a_touched_day_again(settings, request):
    lake = lake_of(settings, [answer(1), answer(2)])
    derive_signals(lake, CATALOG, now=NOW)
    read = request.getfixturevalue("rewritten")
    lake_of(settings, [action(1, "copy")])
    derive_signals(lake, CATALOG, now=NOW)
    assert sorted(read) == ["r1", "r2"]
    assert versions(lake)["repetition", "2"] == 2 and ("repetition", "1") not in versions(lake)


def test_an_answer_whose_text_is_gone_keeps_what_was_said_of_it_and_no_new_version_reads_it(settings, request):
    lake = lake_of(settings, [answer(1)])
    derive_signals(lake, CATALOG, now=NOW)
    apply(settings, lake, Retention(kept={"responses": Kept(text_days=5)}), now=NOW)
    before = signals(lake)
    derive_signals(lake, CATALOG, now=NOW, days=[NOON.date()])
    assert set(signals(lake)) == set(before)
    assert not signals(lake)["r1", "refusal_or_empty"]["flagged"]
    read = request.getfixturevalue("rewritten")
    derive_signals(lake, CATALOG, now=NOW, days=[NOON.date()])
    assert read == [] and ("r1", "repetition") not in signals(lake)


def test_the_texts_of_an_answer_are_read_once_for_all_detectors(settings, monkeypatch):
    lake = lake_of(settings, [answer(1), answer(2)])
    texts = []
    real = automated._texts_sql
    monkeypatch.setattr(automated, "_texts_sql", lambda files, used: texts.append(files) or real(files, used))
    derive_signals(lake, CATALOG, now=NOW)
    lake_of(settings, [answer(3)])
    derive_signals(lake, CATALOG, now=NOW)
    derive_signals(lake, CATALOG, now=NOW, days=[NOON.date()])
    # One read each for the first and the second arrival, of the new file only; none where nothing is missing.
    assert [len(files) for files in texts] == [1, 1]
    assert texts[0] != texts[1]


def test_commits_of_few_answers_and_of_many_give_the_same_rows_and_divide_no_day(settings, tmp_path, monkeypatch):
    events = [answer(number, at=NOON + timedelta(days=number // 2), user_id="u") for number in range(6)]
    whole, parted = lake_of(settings_at(tmp_path / "whole"), events), lake_of(settings_at(tmp_path / "parted"), events)
    derive_signals(whole, CATALOG, now=NOW)
    monkeypatch.setattr(stage, "_ANSWERS_A_COMMIT", 3)
    assert derive_signals(parted, CATALOG, now=NOW).days == tuple(sorted(whole.days("signals")))
    assert parted.version("signals") == whole.version("signals") + 2, "three commits, one a day"
    told = [{key: {**row, "file_name": ""} for key, row in signals(lake).items()} for lake in (whole, parted)]
    assert told[0] == told[1]
    assert derive_signals(parted, CATALOG, now=NOW).days == ()


def test_batches_of_any_size_give_the_same_rows(settings, monkeypatch):
    lake = lake_of(settings, [answer(number, response=f"{number} " * number) for number in range(1, 40)])
    derive_signals(lake, CATALOG, now=NOW)
    whole = signals(lake)
    drop_days(lake, "signals", before=NOW.date(), now=NOW)
    monkeypatch.setattr(automated, "_BATCH", 7)
    derive_signals(lake, CATALOG, now=NOW, days=[NOON.date()])
    assert {key: {**row, "file_name": ""} for key, row in signals(lake).items()} == {
        key: {**row, "file_name": ""} for key, row in whole.items()
    }


def test_a_detector_that_fails_is_told_as_it_is_and_leaves_the_table_as_it_was(settings, monkeypatch):
    lake = lake_of(settings, [answer(1)])
    derive_signals(lake, CATALOG, now=NOW)
    before = signals(lake)

    def broken(batch):
        raise ZeroDivisionError("no words")

    monkeypatch.setitem(DETECTORS, "repetition", replace(DETECTORS["repetition"], score=broken))
    lake_of(settings, [answer(2)])
    with pytest.raises(ZeroDivisionError, match="no words"):
        derive_signals(lake, CATALOG, now=NOW)
    assert signals(lake) == before
    assert touched_days(lake, CATALOG, now=NOW)[0] == {NOON.date()}


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
