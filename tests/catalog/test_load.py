"""The catalog folder: what loads, what is refused and how, and what makes a new version."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.signals.detectors.registry import known_detectors
from onlineeval_dagster.warehouse.dry_run import check_metrics

Edit = Callable[[str, str, str], Catalog]


@pytest.fixture
def edited(tmp_path: Path) -> Edit:
    """The packaged catalog with one text in one file replaced."""
    folder = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))

    def edit(file: str, old: str, new: str) -> Catalog:
        text = (folder / file).read_text(encoding="utf-8")
        assert old in text
        (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")
        return load_catalog(folder)

    return edit


def test_the_packaged_catalog_is_in_order() -> None:
    catalog = load_catalog(PACKAGED_CATALOG)
    known_detectors(catalog)
    check_metrics(catalog)
    assert catalog.metrics.metrics[catalog.metrics.headline].judge in {judge.name for judge in catalog.live_judges}


def test_the_default_scores_are_the_documented_ones() -> None:
    actions = load_catalog(PACKAGED_CATALOG).signals.actions
    scores = {name: actions[name].score for name in ("copy", "regenerate", "thumbs_up", "thumbs_down", "abandon")}
    assert scores == {"copy": 0.8, "regenerate": -0.5, "thumbs_up": 1, "thumbs_down": -1, "abandon": -0.3}


@pytest.mark.parametrize("rate", ["0", "-0.1", "10", "1.01", "nan", "'half'"])
@pytest.mark.parametrize("stratum", ["normal", "new_version", "flagged"])
def test_a_rate_outside_0_1_is_refused_with_its_place(edited: Edit, stratum: str, rate: str) -> None:
    rates = {"normal": "rate = 0.1", "new_version": "rate = 0.3", "flagged": "rate = 1.0"}
    with pytest.raises(CatalogError, match=rf"sampling\.toml: {stratum}\.rate"):
        edited("sampling.toml", rates[stratum], f"rate = {rate}")


@pytest.mark.parametrize(
    ("file", "old", "new", "error"),
    [
        (
            "sampling.toml",
            "hours = 48",
            "hour = 48",
            r"hour is not a known key|hours is missing",
        ),
        ("sampling.toml", 'salt = "cohort-1"', 'salt = ""', r"salt"),
        ("sampling.toml", 'environments = ["production"]', "environments = []", "environments"),
        ("metrics.toml", 'kind = "rate"', 'kind = "ratio"', r"metrics\.good_answers\.kind.*'ratio'"),
        ("metrics.toml", "[metrics.copied]", '[metrics."Copied!"]', "lower case letters, digits and _"),
        ("metrics.toml", 'headline = "good_answers"', 'headline = "best"', "headline is 'best'.*good_answers"),
        ("metrics.toml", 'judge = "relevance"', 'judge = "tone"', r"metrics\.good_answers\.judge is 'tone'.*relevance"),
        ("metrics.toml", 'numerator = "copy_seen"\n', "", r"metrics\.copied\.numerator is missing; add it"),
        (
            "metrics.toml",
            'kind = "mean"\njudge = "relevance"',
            'kind = "mean"\ncorrection = "rogan-gladen"\njudge = "relevance"',
            r"metrics\.relevance_score.*works for rates .*numerator relevance_good; leave it out",
        ),
        ("signals.toml", "score = 0.8", "score = 0.8\nrange = [1, 5]", r"actions\.copy.*needs one of score, range"),
        ("signals.toml", "score = 0.8", "score = -2", r"actions\.copy\.score.*-2"),
        ("signals.toml", "range = [1, 5]", "range = [5, 5]", "two different ends"),
        ("signals.toml", "[actions.copy]", "[actions.copy", "not TOML"),
    ],
)
def test_a_mistake_names_its_file_its_key_and_the_remedy(
    edited: Edit, file: str, old: str, new: str, error: str
) -> None:
    with pytest.raises(CatalogError, match=rf"(?s)^{file}: .*({error})"):
        edited(file, old, new)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    shutil.copytree(PACKAGED_CATALOG, tmp_path / "catalog")
    (tmp_path / "catalog" / "signals.toml").unlink()
    with pytest.raises(CatalogError, match=r"signals\.toml: not in .*catalog; copy the packaged one"):
        load_catalog(tmp_path / "catalog")


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    shutil.copytree(PACKAGED_CATALOG, tmp_path / "catalog")
    (tmp_path / "catalog" / "sampling.toml").write_bytes("salt = 'größe'".encode("latin-1"))
    with pytest.raises(CatalogError, match=r"sampling\.toml: cannot be read .*UTF-8"):
        load_catalog(tmp_path / "catalog")


def test_judges_that_would_share_a_column_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, folder)
    for name in ("tone-strict", "tone_strict"):
        shutil.copy(folder / "judges" / "relevance.md", folder / "judges" / f"{name}.md")
    with pytest.raises(CatalogError, match="tone_strict"):
        load_catalog(folder)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("sampling.toml", "rate = 0.1", "rate = 0.2"),
        ("signals.toml", "score = 0.8", "score = 0.7"),
        ("metrics.toml", 'numerator = "copy_seen"', 'numerator = "copy_seen or thumbs_up_seen"'),
        ("judges/relevance.md", "Judge one thing only", "Judge one single thing"),
        ("judges/relevance.md", 'status = "active"', 'status = "retired"'),
    ],
)
def test_whatever_moves_a_number_makes_a_new_version(edited: Edit, file: str, old: str, new: str) -> None:
    assert edited(file, old, new).version != load_catalog(PACKAGED_CATALOG).version


def test_a_comment_makes_no_new_version(edited: Edit) -> None:
    assert edited("sampling.toml", "[normal]", "# ours\n[normal]").version == load_catalog(PACKAGED_CATALOG).version


def test_a_retired_judge_judges_no_more_but_keeps_its_metrics(edited: Edit) -> None:
    catalog = edited("judges/relevance.md", 'status = "active"', 'status = "retired"')
    assert catalog.live_judges == ()
    assert "relevance" in [judge.name for judge in catalog.judges]


def test_a_profile_says_which_windows_get_points_and_windows_say_it_better(edited: Edit) -> None:
    packaged = load_catalog(PACKAGED_CATALOG)
    assert packaged.metrics.grains == ("hour", "day", "week")
    weekly = edited("metrics.toml", 'headline = "good_answers"\n', 'headline = "good_answers"\nprofile = "weekly"\n')
    assert weekly.metrics.grains == ("day", "week")
    own = edited(
        "metrics.toml", "[metrics.good_answers]", '[windows]\ngrains = ["hour", "day"]\n\n[metrics.good_answers]'
    )
    assert own.metrics.grains == ("hour", "day")
    versions = {catalog.version for catalog in (packaged, weekly, own)}
    assert len(versions) == 3, "other windows are counted on all days again"
    assert {catalog.metrics.version for catalog in (packaged, weekly, own)} == {packaged.metrics.version}


@pytest.mark.parametrize(
    ("grains", "error"),
    [('["week"]', r'needs "day"'), ('["day", "day"]', "twice"), ('["day", "month"]', "'hour', 'day' or 'week'")],
)
def test_windows_that_cannot_be_are_refused(edited: Edit, grains: str, error: str) -> None:
    with pytest.raises(CatalogError, match=rf"metrics\.toml: windows.*{error}"):
        edited("metrics.toml", "[metrics.good_answers]", f"[windows]\ngrains = {grains}\n\n[metrics.good_answers]")
