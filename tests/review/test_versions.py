"""Two versions of a judge on the same answers: the shift that was planted comes out, with a range that covers it."""

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.cli import app
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.contracts.tables import DAY
from onlineeval_dagster.contracts.trials import JudgeReliability
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.review.versions import compare_versions, read_comparisons, shift_of_mean, write_comparisons
from onlineeval_dagster.review.versions_shown import markdown, texts_of
from onlineeval_dagster.settings import Settings
from tests.judges.judge_worlds import catalog_in, said
from tests.newcomer.files import REMOTE
from tests.pipeline import definitions, instance_at, living_at
from tests.worlds import NOON, NOW, answer, lake_of, settings_at

COUNT = 40


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return load_catalog(catalog_in(tmp_path / "catalog"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path / "home", catalog=tmp_path / "catalog")


def version(catalog: Catalog, name: str = "tone") -> str:
    return next(judge.version for judge in catalog.judges if judge.name == name)


def both(catalog: Catalog, numbers: range = range(COUNT)) -> list[LogEvent]:
    """The old version says 3 of every answer; the new one 1 of each fourth, at twice the price and half the time."""
    new = version(catalog)
    return [
        *(answer(n, at=NOON - timedelta(hours=n)) for n in numbers),
        *(said(n, cost_usd=0.001, latency_ms=900.0) for n in numbers),
        *(said(n, version=new, score=1.0 if n % 4 == 0 else 3.0, cost_usd=0.002, latency_ms=450.0) for n in numbers),
    ]


def test_what_a_new_version_changes_is_counted_on_the_answers_that_both_judged(settings, catalog) -> None:
    lonely = [answer(n, at=NOON) for n in (90, 91)] + [said(90), said(91, version=version(catalog))]
    lake = lake_of(settings, [*both(catalog), *lonely])
    (one,) = compare_versions(lake, catalog, now=NOW)
    row = one.row
    assert (row.judge, row.judge_version, row.against, row.against_version) == ("tone", version(catalog), "tone", "old")
    assert (row.responses, row.users, row.design) == (COUNT, COUNT, "sampled")
    assert (row.shift, row.good_shift, row.same) == pytest.approx((-0.5, -0.25, 0.75))
    assert row.shift_low is not None and row.shift_high is not None
    assert row.shift_low < -0.5 < row.shift_high < 0
    assert row.kappa == pytest.approx(0.0), "one of the two never moves: no better than chance"
    assert (row.usd_a_verdict, row.against_usd_a_verdict) == pytest.approx((0.002, 0.001))
    assert (row.latency_ms, row.against_latency_ms) == (450.0, 900.0)
    assert [(it.response_id, it.against_score, it.score) for it in one.furthest] == [
        (f"r{n}", 3.0, 1.0) for n in sorted(range(0, COUNT, 4), key=str)
    ]


def test_an_answer_that_was_rarely_drawn_stands_for_more(settings, catalog) -> None:
    new = version(catalog)
    events: list[LogEvent] = [answer(n, at=NOON - timedelta(hours=n)) for n in range(40)]
    for n in range(40):
        chance = 0.1 if n < 20 else 1.0
        events.append(said(n, inclusion_probability=chance))
        events.append(said(n, version=new, inclusion_probability=1.0, score=1.0 if n < 20 else 3.0))
    (one,) = compare_versions(lake_of(settings, events), catalog, now=NOW)
    assert one.row.shift == pytest.approx(-2 * 10 / 11), "a tenth of the first, all of the others"


def test_verdicts_without_a_stated_chance_are_compared_as_they_came_and_said_to_be(settings, catalog) -> None:
    new = version(catalog)
    events: list[LogEvent] = [answer(n, at=NOON) for n in range(12)]
    events += [said(n, inclusion_probability=None, stratum=None, response_at=NOON) for n in range(12)]
    events += [said(n, version=new, inclusion_probability=None, stratum=None, response_at=NOON) for n in range(12)]
    (one,) = compare_versions(lake_of(settings, events), catalog, now=NOW)
    assert (one.row.design, one.row.shift, one.row.shift_high) == ("undesigned", 0.0, pytest.approx(0.5))
    assert one.row.kappa_reason == "all scores are equal: nothing to agree on: 1 of 2"
    assert "12 (as they came)" in markdown([one])


def test_each_comparison_tells_the_noise_floor_of_both_versions(settings, catalog) -> None:
    """The score of one answer moves by so much when nothing is changed: what is less is no disagreement."""
    lake = lake_of(settings, both(catalog))
    (one,) = compare_versions(lake, catalog, now=NOW, judge="tone")
    assert (one.row.noise, one.row.against_noise) == (None, None)
    assert "| – → – |" in markdown([one])
    known: dict[str, Any] = {"computed_at": NOW, "since": NOW, "axis": "tone", "judge": "tone", "canary_trials": 0}
    known |= {"canaries": 0, "obeyed_reason": "none", "repeats": 90, "users": 40, "moved": 0.1, "moved_low": 0.05}
    known |= {"moved_high": 0.2, "noise_low": 0.1, "noise_high": 0.9, "kappa_reason": "none"}
    measured = [
        JudgeReliability(**known, judge_version=version(catalog), noise=0.31),
        JudgeReliability(**known, judge_version="old", noise=0.42),
    ]
    day = pa.array([NOW.date()] * 2, DAY.type)
    lake.append("judge_reliability", to_table(measured, JudgeReliability).append_column(DAY, day))
    (one,) = write_comparisons(lake, catalog, now=NOW)
    assert (one.row.noise, one.row.against_noise) == (0.31, 0.42)
    assert "| 0.42 → 0.31 |" in markdown([one])
    assert read_comparisons(lake) == [one.row]


def test_few_users_and_another_scale_are_reasons_and_no_numbers(settings, catalog) -> None:
    (few,) = compare_versions(lake_of(settings, both(catalog, range(9))), catalog, now=NOW)
    assert few.row.shift is None
    assert few.row.shift_reason == "too few users with answers that both judged: 9 of 10"
    other = settings.model_copy(update={"home": settings.home.parent / "other"})
    events = [*(answer(n) for n in range(30)), *(said(n, score=5.0, response_at=NOON) for n in range(30))]
    events += [said(n, version=version(catalog), response_at=NOON) for n in range(30)]
    (row,) = [one.row for one in compare_versions(lake_of(other, events), catalog, now=NOW)]
    reasons = {row.shift_reason, row.kappa_reason, row.good_shift_reason}
    assert reasons == {"the other scored on another scale: 0 of 30"}


def test_a_shadow_is_compared_with_the_active_judge_and_brings_its_past_along_when_it_is_promoted(
    settings, tmp_path
) -> None:
    shadow = REMOTE.replace("[scale]", 'status = "shadow"\n\n[scale]').replace("temperature = 0", "temperature = 0.5")
    folder = catalog_in(tmp_path / "catalog")
    stricter = shadow + "\nBe strict.\n"
    (folder / "judges" / "tone-2.md").write_text(stricter, encoding="utf-8")
    catalog = load_catalog(folder)
    old, new = version(catalog), version(catalog, "tone-2")
    events: list[LogEvent] = [answer(n, at=NOON - timedelta(hours=n)) for n in range(COUNT)]
    events += [said(n, version=old) for n in range(COUNT)]
    events += [said(n, judge="tone-2", version=new, score=1.0) for n in range(COUNT)]
    lake = lake_of(settings, events)
    (one,) = compare_versions(lake, catalog, now=NOW)
    assert (one.row.judge, one.row.against, one.row.shift) == ("tone-2", "tone", -2.0)
    (folder / "judges" / "tone.md").write_text(stricter.replace('status = "shadow"\n', ""), encoding="utf-8")
    (folder / "judges" / "tone-2.md").unlink()
    promoted = load_catalog(folder)
    assert version(promoted) == new, "a version is what can change a score; name and status are not"
    (after,) = compare_versions(lake, promoted, now=NOW)
    assert (after.row.judge, after.row.against_version, after.row.shift) == ("tone", old, -2.0)


def test_a_day_that_is_compared_again_replaces_its_rows_and_the_latest_of_each_pair_is_read(settings, catalog) -> None:
    lake = lake_of(settings, both(catalog))
    write_comparisons(lake, catalog, now=NOW - timedelta(days=1))
    for _ in range(2):
        write_comparisons(lake, catalog, now=NOW)
    (row,) = read_comparisons(lake)
    assert row.computed_at == NOW
    assert len(lake.days("judge_comparisons")) == 2


def test_answers_whose_text_is_gone_are_not_shown_and_what_is_shown_is_redacted(settings, catalog) -> None:
    events = [*both(catalog)[COUNT:], *(answer(n, query="Write to anna@example.com") for n in range(COUNT))]
    lake = lake_of(settings, [event for event in events if event.event_id != "r0"])
    (one,) = compare_versions(lake, catalog, now=NOW)
    shown = texts_of(lake, [dataclasses.replace(it, day=NOON.date()) for it in one.furthest], redact=str.upper)
    assert "r0" not in shown
    assert shown["r4"][0] == "WRITE TO ANNA@EXAMPLE.COM"


def test_in_dagster_the_comparison_is_a_table_with_its_check_and_a_page_without_texts(settings, catalog) -> None:
    lake_of(settings, both(catalog))
    with living_at(settings.home, ONLINEEVAL_CATALOG=str(settings.catalog)) as there, instance_at(there) as instance:
        done = definitions().resolve_job_def("compare_judges").execute_in_process(instance=instance)
    (event,) = done.asset_materializations_for_node("judge_comparisons")
    assert [(it.check_name, it.passed) for it in done.get_asset_check_evaluations()] == [("contract", True)]
    page = str(event.metadata["old → new"].value)
    assert "-0.50 (" in page and "- r0: 3 → 1" in page and "parcel" not in page
    assert isinstance(event.asset_key, dg.AssetKey)
    assert len(read_comparisons(Lake(settings.lake_folder))) == 1


def test_the_command_shows_the_table_and_texts_only_when_asked(settings, catalog, monkeypatch) -> None:
    late = datetime.now(UTC) - timedelta(days=1)
    times = ("occurred_at", "received_at", "response_at")
    events = [event.model_copy(update={n: late for n in times if hasattr(event, n)}) for event in both(catalog)]
    lake_of(settings, events, now=datetime.now(UTC))
    monkeypatch.setenv("ONLINEEVAL_HOME", str(settings.home))
    monkeypatch.setenv("ONLINEEVAL_CATALOG", str(settings.catalog))
    bare = CliRunner().invoke(app, ["judge", "compare"])
    assert bare.exit_code == 0, bare.output
    assert "-0.50 (" in bare.output and "r0: 3 → 1" in bare.output and "parcel" not in bare.output
    assert "parcel" in CliRunner().invoke(app, ["judge", "compare", "--judge", "tone", "--texts"]).output
    planned = CliRunner().invoke(app, ["judge", "backfill", "--judge", "tone", "--dry-run"])
    assert "0 answers of the last 28 days were judged by another version only, 40 by both" in planned.output


@pytest.mark.parametrize(("users", "rate"), [(20, 0.15), (60, 0.05), (200, 0.1)])
def test_the_shift_covers_the_truth_though_users_are_alike(users, rate) -> None:
    rng, hits, worlds = np.random.default_rng(5), 0, 1_000
    for _ in range(worlds):
        prone = rng.beta(2 * rate, 2 * (1 - rate), users)  # some users' answers are where the two differ
        sizes = rng.integers(1, 8, users)
        user = np.repeat(np.arange(users), sizes)
        chance = np.where(rng.random(len(user)) < 0.3, 1.0, 0.25)
        difference = -2.0 * (rng.random(len(user)) < prone[user])
        found = shift_of_mean(difference, weights=1 / chance, clusters=user, span=2.0)
        assert isinstance(found, Estimate)
        hits += found.low <= -2 * rate <= found.high
    assert 0.88 <= hits / worlds <= 0.985


def test_nine_users_are_too_few_and_no_difference_at_all_is_not_taken_for_certainty() -> None:
    nine = shift_of_mean(np.zeros(9), weights=np.ones(9), clusters=np.arange(9), span=2.0)
    assert nine == NotEnough(have=9, needed=10, reason="too few users with answers that both judged")
    found = shift_of_mean(np.zeros(30), weights=np.ones(30), clusters=np.arange(30), span=2.0)
    assert isinstance(found, Estimate)
    assert (found.low, found.high) == pytest.approx((-0.2, 0.2))
