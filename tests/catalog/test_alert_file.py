"""alerts.toml: what is refused and how."""

import shutil
from pathlib import Path

import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.settings import PACKAGED_CATALOG

RULE = """
[rules.slow]
title = "Answers take longer"
owner = "team:search"
kind = "relative"
metric = "latency"
limit = 0.1
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    catalog = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, catalog, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return catalog


def write(folder: Path, text: str) -> Path:
    (folder / "alerts.toml").write_text(text, encoding="utf-8")
    return folder


def test_the_packaged_rules_watch_and_tell_nobody(folder: Path) -> None:
    alerts = load_catalog(folder).alerts
    assert {rule.status for rule in alerts.rules.values()} == {"watch"} and not alerts.channels
    assert {rule.kind for rule in alerts.rules.values()} == {
        *("relative", "absolute", "dynamic", "change_point", "no_data")
    }


def test_the_packaged_rules_stand_where_there_are_no_hours(folder: Path) -> None:
    metrics = folder / "metrics.toml"
    metrics.write_text('profile = "weekly"\n' + metrics.read_text(encoding="utf-8"), encoding="utf-8")
    assert load_catalog(folder).alerts.live


def test_a_catalog_without_the_file_has_no_rules(folder: Path) -> None:
    (folder / "alerts.toml").unlink()
    assert load_catalog(folder).alerts.live == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("owner", None), ["alerts.toml", "rules.slow.owner is missing", "add it"]),
        (("owner", '"me"'), ["rules.slow", "'me'", "team:search"]),
        (("metric", '"latncy"'), ["rules.slow.metric", "'latncy'", "did you mean 'latency'"]),
        (("metric", '"rated_share"'), ["rated_share has no better direction", 'worse = "up"']),
        (("slices", '["modle"]'), ["rules.slow.slices", "'modle'", "prompt_version"]),
        (("limit", None), ["rules.slow", "kind relative needs a limit"]),
        (("limit", "10"), ["10 times what is expected", "write 0.1"]),
        (("kind", '"relativ"'), ["rules.slow.kind", "relativ", "change_point"]),
        (("chart", '"ewma"'), ["chart belongs to rules of kind dynamic"]),
        (("windows", '["hour", "hour"]'), ["windows names one of them twice"]),
        (("status", '"on"'), ["rules.slow.status", "'on'", "enabled"]),
        (("limt", "1"), ["rules.slow.limt is not a known key", "did you mean 'limit'"]),
    ],
)
def test_a_mistake_is_named_with_place_value_and_remedy(folder: Path, change: tuple, words: list[str]) -> None:
    key, value = change
    lines = [line for line in RULE.splitlines() if not line.startswith(f"{key} =")]
    text = "\n".join([*lines, *([f"{key} = {value}"] if value is not None else [])])
    with pytest.raises(CatalogError) as wrong:
        load_catalog(write(folder, text))
    for word in words:
        assert word in str(wrong.value)


@pytest.mark.parametrize(
    ("rule", "word"),
    [
        ('kind = "absolute"\nmetric = "errors"\nlimit = 15', "write 0.15 for 15 %"),
        ('kind = "absolute"\nmetric = "errors"\nlimit = 0.1\nworse = "both"', "lies on one side"),
        ('kind = "no_data"\nmetric = "latency"', 'metric = "answers"'),
        ('kind = "no_data"\nmetric = "answers"\nlimit = 3', "takes no limit"),
        ('kind = "relative"\nmetric = "answers"\nlimit = 0.1', 'have kind = "no_data"'),
        ('kind = "absolute"\nmetric = "unchecked"\nlimit = 0.1\nslices = ["model"]', 'slices = ["all"]'),
    ],
)
def test_rules_that_make_no_sense_are_refused(folder: Path, rule: str, word: str) -> None:
    with pytest.raises(CatalogError, match=r"rules\.odd") as wrong:
        load_catalog(write(folder, f'[rules.odd]\ntitle = "An odd rule"\nowner = "team:a"\n{rule}\n'))
    assert word in str(wrong.value)


def test_hours_that_nobody_counts_are_refused(folder: Path) -> None:
    metrics = folder / "metrics.toml"
    metrics.write_text('profile = "weekly"\n' + metrics.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(CatalogError, match="points by day, week only"):
        load_catalog(write(folder, RULE + 'windows = ["hour"]'))


@pytest.mark.parametrize(
    ("channel", "word"),
    [
        ('kind = "webhook"\nurl = "https://example.org"', "needs a secret"),
        ('kind = "webhook"\nurl = "ftp://example.org"\nsecret = "${S}"', "begins with https://"),
        ('kind = "apprise"\nurl = "slack://a/b/c"\nsecret = "x"', "take secret out"),
        ('kind = "pager"\nurl = "https://example.org"', "pager"),
    ],
)
def test_a_channel_that_cannot_work_is_refused(folder: Path, channel: str, word: str) -> None:
    with pytest.raises(CatalogError, match=r"channels\.ops") as wrong:
        load_catalog(write(folder, f"[channels.ops]\n{channel}\n"))
    assert word in str(wrong.value)


def test_rules_over_judged_metrics_wait_for_what_is_drawn_when_a_window_closes(folder: Path) -> None:
    before = load_catalog(folder).alerts.rules
    sampling = folder / "sampling.toml"
    sampling.write_text(sampling.read_text().replace("[normal]\nrate = 0.1", "[normal]\nsize = 40"))
    after = load_catalog(folder).alerts.rules
    longer = {name: after[name].wait_minutes - before[name].wait_minutes for name in before}
    assert longer["judge_score_low"] == longer["good_answers_shift"] == 60, "window_minutes"
    assert longer["latency_high"] == longer["thumbs_down_high"] == 0, "every answer says how long it took"


def test_the_packaged_rules_after_a_deploy_are_no_part_of_a_weeks_budget(folder: Path) -> None:
    alerts = load_catalog(folder).alerts
    assert {rule.metric for rule in alerts.after_deploys.values()} == {
        *("relevance_score", "good_answers", "latency", "errors"),
        *("thumbs_down_share", "regenerated", "refused_or_empty"),
    }
    assert not set(alerts.after_deploys) & set(alerts.timed) and alerts.deploy_watch.looks == (15, 30, 60, 120)
    assert alerts.rollback is None and alerts.callers == ()


AFTER = RULE + 'after = "deploy"\n'
ENDPOINT = 'url = "https://example.org/back"\nsecret = "${S}"\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (AFTER + 'slices = ["model"]', ["rules.slow", "take slices out"]),
        (AFTER.replace('"relative"', '"change_point"'), ["is relative or absolute", "change_point"]),
        (AFTER + 'worse = "both"', ["worse on one side"]),
        (AFTER.replace('"latency"', '"unchecked"'), ["unchecked is no metric of a version"]),
        (RULE + 'after = "deploys"', ["rules.slow.after", "'deploys'"]),
        ("[deploy_watch]\nlooks = [30, 15]", ["deploy_watch", "rising", "[15, 30, 60, 120]"]),
        ("[deploy_watch]\nfalse_alarms = 1", ["deploy_watch.false_alarms"]),
        ('[rollback]\nsecret = "x"', ["rollback.url is missing"]),
        (f'[rollback]\nstatus = "yes"\n{ENDPOINT}', ["rollback.status", "'yes'", "dry_run"]),
        ('[rollback]\nurl = "ftp://example.org"\nsecret = "x"', ["begins with https://"]),
        (f'[rollback]\nrules = ["slow"]\n{ENDPOINT}{RULE}', ["rollback.rules names 'slow'", 'after = "deploy"']),
        ('[channels.rollback]\nkind = "webhook"\nurl = "https://a.org"\nsecret = "x"', ["choose another name"]),
    ],
)
def test_a_watch_or_rollback_that_makes_no_sense_is_refused(folder: Path, text: str, words: list[str]) -> None:
    with pytest.raises(CatalogError) as wrong:
        load_catalog(write(folder, text))
    for word in words:
        assert word in str(wrong.value)
