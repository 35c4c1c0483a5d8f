"""From the lake to the gate's evidence, and from there to the catalog: recorded, and never by halves."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.cli import app
from onlineeval_dagster.contracts.promotion import PromotionEvidence
from onlineeval_dagster.errors import CatalogError, JudgeError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.review.promoted import promotions, unbacked
from onlineeval_dagster.review.promoting import may_promote, promote, shadow_named
from onlineeval_dagster.review.promotion import gather, incumbent_of, read_evidence, write_evidence
from onlineeval_dagster.review.promotion_shown import evidence_markdown, evidence_page
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from tests.pipeline import living_at
from tests.review.task_worlds import AXIS, JUDGE, label, verdict
from tests.worlds import answer, lake_of, settings_at

NOW = datetime.now(UTC)
AT = NOW - timedelta(days=2)
ANSWERS = 150


def catalog_at(folder: Path) -> Path:
    """The packaged catalog with a shadow of its active judge beside it."""
    made = Path(shutil.copytree(PACKAGED_CATALOG, folder / "catalog"))
    text = (made / "judges" / f"{JUDGE.name}.md").read_text()
    assert 'status = "active"' in text
    shadow = text.replace('status = "active"', 'status = "shadow"').replace("Judge one thing only", "Judge one thing")
    (made / "judges" / f"{JUDGE.name}-2.md").write_text(shadow)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return catalog_at(tmp_path)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path / "home")


def world(settings: Settings, catalog: Catalog, *, hits: int = ANSWERS) -> Lake:
    """The active judge hits four labels of five; the shadow the first `hits`. Every second answer has two labels."""
    shadow = shadow_named(catalog, f"{JUDGE.name}-2")
    events: list = []
    for n in range(ANSWERS):
        truth = 1 + n % 3
        events += [answer(n, at=AT, user_id=f"u{n % 60}"), label(n, truth, at=AT)]
        events += [label(n, truth, reviewer="bo", at=AT)] if n % 2 else []
        events.append(verdict(n, truth if n % 5 else 1 + truth % 3, at=AT))
        said = truth if n < hits else 1 + truth % 3
        events.append(verdict(n, said, at=AT, judge=shadow.name, judge_version=shadow.version))
    return lake_of(settings, events, now=NOW)


def evidence_of(lake: Lake, catalog: Catalog) -> PromotionEvidence:
    ((evidence, _),) = gather(lake, catalog, now=NOW)
    return evidence


def test_the_evidence_says_what_holds_and_what_is_missing(settings: Settings, folder: Path) -> None:
    catalog = load_catalog(folder)
    found = evidence_of(world(settings, catalog), catalog)
    assert (found.judge, found.incumbent, found.responses, found.labels) == ("relevance-2", "relevance", 150, 225)
    assert found.people_kappa == pytest.approx(1) and found.limit == pytest.approx(0.8)
    assert found.kappa == pytest.approx(1) and found.same == 1 and found.incumbent_same < 0.9
    assert found.difference_low is not None and found.difference_low > 0
    assert found.failed == 0 and found.noise == 0 and found.power is not None and found.labels_needed is not None
    assert not found.ready and [line.partition(":")[0] for line in found.missing] == [
        "follows at most 5% of the orders hidden in answers"
    ]


def test_a_shadow_that_people_contradict_is_not_ready(settings: Settings, folder: Path) -> None:
    catalog = load_catalog(folder)
    found = evidence_of(world(settings, catalog, hits=100), catalog)
    told = " ".join(found.missing)
    assert "kappa" in told and "more rarely than the active judge" in told


def test_targeted_and_undesigned_labels_are_no_evidence(settings: Settings, folder: Path) -> None:
    catalog = load_catalog(folder)
    lake = world(settings, catalog)
    before = evidence_of(lake, catalog).labels
    more = [
        label(n, 1, reviewer="cy", at=AT, stream=stream, inclusion_probability=None)
        for n, stream in enumerate(("targeted", "gold", None))
    ]
    lake_of(settings, more, now=NOW)
    assert evidence_of(lake, catalog).labels == before


def test_evidence_is_kept_by_day_and_shown_as_text(settings: Settings, folder: Path) -> None:
    catalog = load_catalog(folder)
    lake = world(settings, catalog)
    write_evidence(lake, catalog, now=NOW)
    found = write_evidence(lake, catalog, now=NOW)
    assert read_evidence(lake) == [evidence for evidence, _ in found]
    assert "may not be promoted in place of relevance yet: 1 condition does not hold" in evidence_markdown(found)
    page = evidence_page(found)
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page
    assert "<script" not in page and "not tried yet" in page
    assert "No shadow judge" in evidence_markdown([]) and "No shadow judge" in evidence_page([])


def test_before_anybody_labelled_the_evidence_says_so(settings: Settings, folder: Path) -> None:
    lake = lake_of(settings, [answer(0, at=AT)], now=NOW)
    found = evidence_of(lake, load_catalog(folder))
    assert found.kappa is None and "no label" in (found.kappa_reason or "") and not found.ready


def test_a_promotion_swaps_the_texts_and_metrics_go_on_under_their_name(folder: Path) -> None:
    catalog = load_catalog(folder)
    shadow = shadow_named(catalog, "relevance-2")
    recorded: list[int] = []
    promote(catalog, shadow, incumbent_of(catalog, shadow), record=lambda: recorded.append(1))
    after = {one.name: one for one in load_catalog(folder).judges}
    assert (after["relevance"].version, after["relevance"].status) == (shadow.version, "active")
    assert (after["relevance-2"].version, after["relevance-2"].status) == (JUDGE.version, "retired")
    assert recorded == [1] and not list(folder.rglob("*.promoting"))


def test_a_promotion_that_was_killed_half_way_is_finished_by_the_same_command(folder: Path) -> None:
    catalog = load_catalog(folder)
    shadow, before = shadow_named(catalog, "relevance-2"), (folder / "judges" / "relevance.md").read_text()
    promote(catalog, shadow, incumbent_of(catalog, shadow), record=lambda: None)
    # As a kill between the two replacements leaves it.
    own = folder / "judges" / "relevance-2.md"
    own.rename(own.with_name(own.name + ".promoting"))
    new = (folder / "judges" / "relevance.md").read_text()
    own.write_text(new.replace('status = "active"', 'status = "shadow"'))
    catalog = load_catalog(folder)
    again = shadow_named(catalog, "relevance-2")
    promote(catalog, again, incumbent_of(catalog, again), record=lambda: None)
    assert own.read_text() == before.replace('status = "active"', 'status = "retired"')
    assert (folder / "judges" / "relevance.md").read_text() == new


def test_nothing_is_written_where_the_outcome_would_not_load_or_the_log_refuses(folder: Path) -> None:
    catalog = load_catalog(folder)
    shadow = shadow_named(catalog, "relevance-2")
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}

    def full() -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        promote(catalog, shadow, incumbent_of(catalog, shadow), record=full)
    (folder / "metrics.toml").write_text("headline = 3")
    with pytest.raises(CatalogError, match=r"metrics\.toml"):
        promote(catalog, shadow, incumbent_of(catalog, shadow), record=lambda: None)
    (folder / "metrics.toml").write_bytes(before[folder / "metrics.toml"])
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


def test_only_a_shadow_is_promoted_and_only_with_evidence_or_a_reason(settings: Settings, folder: Path) -> None:
    catalog = load_catalog(folder)
    with pytest.raises(CatalogError, match="only a shadow is promoted: relevance-2"):
        shadow_named(catalog, "relevance")
    with pytest.raises(CatalogError, match="no file in judges/"):
        shadow_named(catalog, "tone")
    found = evidence_of(world(settings, catalog), catalog)
    with pytest.raises(JudgeError, match="1 condition"):
        may_promote(found, override=False, reason=None)
    with pytest.raises(JudgeError, match="--reason"):
        may_promote(found, override=True, reason=" ")
    may_promote(found, override=True, reason="the price halves")


def test_the_command_shows_the_evidence_refuses_and_records_an_override(settings: Settings, folder: Path) -> None:
    lake = world(settings, load_catalog(folder))
    with living_at(settings.home, ONLINEEVAL_CATALOG=str(folder)):
        shown = CliRunner().invoke(app, ["judge", "promote", "relevance-2", "--dry-run"])
        assert shown.exit_code == 0 and "1 condition does not hold" in shown.output
        refused = CliRunner().invoke(app, ["judge", "promote", "relevance-2"])
        assert refused.exit_code == 1
        assert {one.status for one in load_catalog(folder).judges if one.name == "relevance-2"} == {"shadow"}
        said = ["judge", "promote", "relevance-2", "--override", "--reason", "the price halves"]
        assert CliRunner().invoke(app, said).exit_code == 0
    ingest(settings, lake, now=datetime.now(UTC) + timedelta(hours=1))
    (one,) = promotions(lake, now=NOW)
    assert (one.judge, one.ready, one.reason) == ("relevance-2", False, "the price halves")
    assert unbacked(lake, now=NOW) == [one]
    assert {j.status for j in load_catalog(folder).judges if j.axis == AXIS} == {"active", "retired"}
