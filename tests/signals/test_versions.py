"""Versions of signals: what changes them, which days are behind, and how a day is scored again."""

import dataclasses
import shutil
from datetime import date, timedelta

import pytest
from typer.testing import CliRunner

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.catalog.retention import Kept, Retention
from onlineeval_dagster.cli import app
from onlineeval_dagster.keeping.retention import apply
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.signals.heard import heard, markdown
from onlineeval_dagster.signals.stage import derive_signals
from onlineeval_dagster.signals.versions import behind, versions_now
from tests.pipeline import run_assets
from tests.worlds import NOON, NOW, action, answer, lake_of, settings_at

CATALOG = load_catalog(PACKAGED_CATALOG)
DAY = timedelta(days=1)
FIRST, SECOND = NOON.date(), (NOON + DAY).date()


@pytest.fixture
def settings(tmp_path):
    return settings_at(tmp_path)


def catalog_with(**changed):
    return dataclasses.replace(CATALOG, signals=CATALOG.signals.model_copy(update=changed))


def without(detector):
    kept = {name: use for name, use in CATALOG.signals.detectors.items() if name != detector}
    return catalog_with(detectors=kept)


def two_days(settings):
    lake = lake_of(settings, [answer(1), answer(2, at=NOON + DAY), action(1, "copy")])
    derive_signals(lake, CATALOG, now=NOW)
    return lake


def test_what_a_signal_is_read_with_is_part_of_its_version_and_nothing_else_is():
    before = versions_now(CATALOG)
    phrases = catalog_with(corrections=CATALOG.signals.corrections | {"nl": ("dat klopt niet",)})
    silence = catalog_with(sessions=CATALOG.signals.sessions.model_copy(update={"idle_minutes": 45}))
    for catalog, expected in ((phrases, {"correction"}), (silence, {"retry", "correction", "abandonment", "dwell"})):
        changed = {name for name, version in versions_now(catalog).items() if version != before[name]}
        assert changed == expected


def test_days_in_the_present_version_are_not_behind(settings):
    assert behind(two_days(settings), CATALOG) == []


def test_days_that_hold_another_version_or_lack_a_detector_are_named(settings):
    lake = two_days(settings)
    copy = CATALOG.signals.actions["copy"].model_copy(update={"score": 0.5})
    changed = catalog_with(actions=CATALOG.signals.actions | {"copy": copy})
    assert [(one.signal, one.days, one.missing) for one in behind(lake, changed)] == [("copy", (FIRST,), False)]
    derive_signals(lake, without("toxicity"), now=NOW, days=[SECOND])
    assert [(one.signal, one.days, one.missing) for one in behind(lake, CATALOG)] == [("toxicity", (SECOND,), True)]
    assert behind(lake, CATALOG, [FIRST]) == []


def test_a_signal_that_the_catalog_no_longer_names_is_behind(settings):
    lake = two_days(settings)
    found = behind(lake, without("toxicity"))
    assert [(one.signal, one.days, one.missing) for one in found] == [("toxicity", (FIRST, SECOND), False)]


def test_a_day_whose_texts_are_gone_lacks_nothing(settings):
    lake = lake_of(settings, [answer(1)])
    derive_signals(lake, without("toxicity"), now=NOW)
    apply(settings, lake, Retention(kept={"responses": Kept(text_days=5)}), now=NOW)
    assert behind(lake, CATALOG) == []


def home_with_changed_catalog(settings, monkeypatch):
    """Two days scored by the packaged catalog, and a catalog in which a copy is worth less."""
    two_days(settings)
    folder = settings.home / "catalog"
    shutil.copytree(PACKAGED_CATALOG, folder)
    file = folder / "signals.toml"
    file.write_text(file.read_text().replace("score = 0.8", "score = 0.7", 1))
    monkeypatch.setenv("ONLINEEVAL_HOME", str(settings.home))
    monkeypatch.setenv("ONLINEEVAL_CATALOG", str(folder))
    return folder


def test_the_command_scores_the_days_that_are_behind_again_and_then_there_are_none(settings, monkeypatch):
    home_with_changed_catalog(settings, monkeypatch)
    before = CliRunner().invoke(app, ["signals", "rescore", "--since", "2026-11-11"])
    assert before.output == "Nothing to score again: every day asked for is in its present version.\n"
    done = CliRunner().invoke(app, ["signals", "rescore"])
    assert done.output.startswith("Scored again: 2026-11-10; ")
    sql = "select score from signals where signal = 'copy'"
    assert rows(Lake(settings.lake_folder), sql, {"signals": None}).column("score").to_pylist() == [0.7]
    assert CliRunner().invoke(app, ["signals", "rescore"]).output.startswith("Nothing to score again")


def test_bounds_in_the_wrong_order_are_named(settings, monkeypatch):
    monkeypatch.setenv("ONLINEEVAL_HOME", str(settings.home))
    done = CliRunner().invoke(app, ["signals", "rescore", "--since", "2026-11-12", "--until", "2026-11-11"])
    assert "--since 2026-11-12 is after --until 2026-11-11" in str(done.exception)


def test_dagster_warns_of_days_that_are_behind_and_says_what_the_signals_say(settings, monkeypatch):
    folder = home_with_changed_catalog(settings, monkeypatch)
    lake_of(settings, [action(2, "thumbs_down", at=NOON + DAY)])
    result = run_assets(settings.home, ["signals"], ONLINEEVAL_CATALOG=str(folder))
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    warned = checks["signals_in_their_present_version"]
    assert not warned.passed
    assert warned.metadata["copy, in an older version"].value == "2026-11-10"
    (made,) = result.asset_materializations_for_node("signals")[-1:]
    told = {name: value.value for name, value in made.metadata.items()}
    assert "| thumbs down | explicit | 1 | 100.0 % | 1 | -1.00 |" in told["what they say (2026-11-11)"]


def test_what_signals_say_is_counted_over_the_latest_seven_days(settings):
    lake = lake_of(settings, [answer(number, at=NOON + number * DAY, context=None) for number in range(9)])
    derive_signals(lake, CATALOG, now=NOW)
    found = {one.signal: one for one in heard(lake, lake.days("signals"))}
    assert found["refusal_or_empty"].answers == 7
    assert (found["lexical_groundedness"].answers, found["lexical_groundedness"].told) == (7, 0)
    assert found["abandonment"].score == pytest.approx(-0.3)
    assert markdown([]) == "nothing was heard of any answer"
    assert heard(lake, [date(2020, 1, 1)]) == []
