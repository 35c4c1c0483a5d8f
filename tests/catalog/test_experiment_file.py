"""experiments.toml: what is refused and how, and who meets what."""

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onlineeval_dagster.catalog.assignment import Assignment, AssignmentFile, position
from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.sampling.chance import unit_interval
from onlineeval_dagster.settings import PACKAGED_CATALOG

NOW = datetime(2026, 12, 2, tzinfo=UTC)
TOML = """
[experiments.short]
hypothesis = "Shorter answers are read to the end"
starts_on = 2026-11-30
weeks = 2
looks = [1, 2]
primary = "good_answers"
secondary = ["copied"]
covariates = ["good_answers"]
segments = ["device"]
[experiments.short.variants]
control = 0.5
short = 0.5
[experiments.short.guardrails]
latency = { margin = 0.05 }
errors = { margin = 0.2, testable = false }
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    catalog = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, catalog, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return catalog


def write(folder: Path, text: str) -> Path:
    (folder / "experiments.toml").write_text(text, encoding="utf-8")
    return folder


def shares(**variants: float) -> Assignment:
    return Assignment("tone", "user", variants, "tone", "tone", (0.0, 1.0), date(2026, 11, 30), False)


def test_an_experiment_is_one_table(folder: Path) -> None:
    one = load_catalog(write(folder, TOML)).experiments.experiments["short"]
    assert (one.control_name, one.treatments, one.planned_looks) == ("control", ("short",), (1, 2))
    assert one.metrics == ("good_answers", "copied", "latency", "errors")
    assert one.guardrails["errors"].testable is False
    assert one.ends_on == date(2026, 12, 14)
    assert "[experiments.short_answers]" in (PACKAGED_CATALOG / "experiments.toml").read_text()


def test_the_packaged_example_is_one_that_loads(folder: Path) -> None:
    lines = (PACKAGED_CATALOG / "experiments.toml").read_text().splitlines()
    begin = next(n for n, line in enumerate(lines) if line.startswith("# [experiments."))
    example = "\n".join(line.removeprefix("# ").partition("  ")[0].rstrip("#") for line in lines[begin:])
    assert [*load_catalog(write(folder, example)).experiments.experiments] == ["short_answers"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("short = 0.5", "short = 0.4", r"short\.variants: the shares add up to 0\.9; let them add up to 1"),
        ("short = 0.5", "short = 0.0", r"short\.variants: short is 0\.0; a share lies between 0 and 1"),
        ("control = 0.5\n", "", "two variants or more"),
        ("starts_on = 2026-11-30", "starts_on = 2026-12-01", "whole weeks begin on Monday, 2026-12-07"),
        ("looks = [1, 2]", "looks = [1, 3]", "looks are weeks 1 to 2"),
        ("looks = [1, 2]", "looks = [1]", "looks end before the experiment; add 2"),
        ('primary = "good_answers"', 'primary = "goodness"', "names the metric 'goodness', which is not in metrics"),
        ('primary = "good_answers"', 'primary = "copied"', "copied has two roles"),
        ('primary = "good_answers"', 'primary = "rated_share"', "'rated_share', which has no better direction"),
        ("margin = 0.05", "margin = 5", r"guardrails\.latency\.margin"),
        ('segments = ["device"]', 'segments = ["finish_reason"]', r"segments\.0"),
        ("weeks = 2", "weeks = 2\ncontrol = 'long'", "control is 'long', which is no variant"),
        ("weeks = 2", "weeks = 2\nslots = [0.6, 0.5]", r"slots is \[0\.6, 0\.5\]; it must rise"),
        ("weeks = 2", 'weeks = 2\nstratify_by = "language"', "add it to segments, of which there are device"),
        ("weeks = 2", "weeks = 2\nquantiles = { latency = 1.5 }", r"quantiles\.latency"),
        ("weeks = 2", "weeks = 2\nquantiles = { cost = 0.9 }", "quantiles names cost, which has no role"),
        ("weeks = 2", "weeks = 2\nquantiles = { copied = 0.9 }", "names 'copied', which is a rate; quantiles are of"),
        ("weeks = 2", "week = 2", "week is not a known key; did you mean 'weeks'|weeks is missing"),
        ("hypothesis", "hypothesys", "is not a known key; did you mean 'hypothesis'|hypothesis is missing"),
    ],
)
def test_a_mistake_names_its_file_its_place_and_the_remedy(folder: Path, old: str, new: str, told: str) -> None:
    assert old in TOML
    with pytest.raises(CatalogError, match=rf"(?s)^experiments\.toml: .*({told})"):
        load_catalog(write(folder, TOML.replace(old, new, 1)))


def test_two_experiments_of_one_layer_need_slots_apart(folder: Path) -> None:
    def with_slots(first: str, second: str) -> str:
        one = TOML.replace("weeks = 2", f'weeks = 2\nlayer = "prompts"\nslots = {first}')
        other = TOML.replace("weeks = 2", f'weeks = 2\nlayer = "prompts"\nslots = {second}')
        return one + other.replace("experiments.short", "experiments.long")

    load_catalog(write(folder, with_slots("[0.0, 0.5]", "[0.5, 1.0]")))
    with pytest.raises(CatalogError, match=r"long\.slots overlap those of short in layer 'prompts'"):
        load_catalog(write(folder, with_slots("[0.0, 0.6]", "[0.5, 1.0]")))


def test_the_hash_is_that_of_the_sampling() -> None:
    for identity in ("r-1", "", "ünïcode", "a:b"):
        assert position(identity, "cohort-1") == unit_interval(identity, "cohort-1")


def test_shares_are_kept_and_layers_cross_each_other_evenly() -> None:
    units = [f"u{n}" for n in range(20_000)]
    first, second = shares(a=0.2, b=0.5, c=0.3), shares(x=0.5, y=0.5)._replace(name="other", salt="other")
    met = [(first.assign(u, now=NOW).variant, second.assign(u, now=NOW).variant) for u in units]
    for variant, share in first.variants.items():
        with_it = [other for one, other in met if one == variant]
        assert abs(len(with_it) / len(units) - share) < 4 * np.sqrt(share * (1 - share) / len(units))
        assert abs(with_it.count("x") / len(with_it) - 0.5) < 4 * 0.5 / np.sqrt(len(with_it))


def test_slots_apart_never_meet_the_same_unit_and_wider_ones_only_add() -> None:
    half = shares(a=0.5, b=0.5)._replace(layer="l", slots=(0.0, 0.5))
    rest = half._replace(name="rest", salt="rest", slots=(0.5, 1.0))
    wide = half._replace(slots=(0.0, 0.8))
    for n in range(2_000):
        met = [one.assign(f"u{n}", now=NOW) for one in (half, rest, wide)]
        assert (met[0] is None) != (met[1] is None)
        assert met[0] is None or met[0].variant == met[2].variant
    assert half.version == wide.version != half._replace(variants={"a": 0.4, "b": 0.6}).version


@given(st.text(min_size=1, max_size=50), st.floats(0.01, 0.99))
def test_the_same_unit_meets_the_same_variant_for_ever(unit_id: str, share: float) -> None:
    one = shares(control=share, other=1 - share)
    met = one.assign(unit_id, now=NOW)
    assert met == one.assign(unit_id, now=NOW.replace(year=2030))
    assert met is not None and met.propensity == one.variants[met.variant]


def test_nobody_is_in_an_experiment_before_its_start_or_after_its_stop() -> None:
    one = shares(a=0.5, b=0.5)
    assert one.assign("u", now=datetime(2026, 11, 29, 23, tzinfo=UTC)) is None
    assert one._replace(is_stopped=True).assign("u", now=NOW) is None


def test_a_changed_file_is_read_again_within_five_seconds_and_a_broken_one_is_told(folder: Path) -> None:
    ticks = iter([0.0, 1.0, 6.0, 12.0])
    file = AssignmentFile(folder / "experiments.toml", clock=lambda: next(ticks))
    assert file.current() == {}
    write(folder, TOML)
    assert file.current() == {}
    assert [*file.current()] == ["short"]
    write(folder, "[experiments")
    with pytest.raises(CatalogError, match="cannot be read"):
        file.current()


def test_the_version_changes_with_what_decides_and_not_with_a_stop() -> None:
    one = Experiment.model_validate(
        {
            "hypothesis": "Shorter is better",
            "variants": {"a": 0.5, "b": 0.5},
            "starts_on": date(2026, 11, 30),
            "weeks": 2,
            "primary": "copied",
        }
    )
    assert one.model_copy(update={"status": "stopped"}).version == one.version
    assert one.model_copy(update={"alpha": 0.1}).version != one.version
