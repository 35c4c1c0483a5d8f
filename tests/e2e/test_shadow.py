"""A judge on trial says the worst of every answer: no number, comparison of deploys or page moves by it."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.events import Verdict
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from onlineeval_dagster.warehouse.dry_run import check_metrics, fact_columns
from tests.pipeline import definitions, run_in, table
from tests.worlds import action, answer, deploy, log_events, settings_at

SEES_ALL = {"verdicts", "selections", "judge_comparisons", "ingested_parts", "coverage", "review_tasks"}
"""Tables with a shadow's rows under its name, or with lines counted; and people's tasks: what it finds is looked at."""

READS_VERDICTS = {
    *("verdicts", "coverage", "arrivals", "stg_verdicts", "selection_outcomes"),  # rows, and counts of lines
    *("judge_comparisons", "judged_days"),
    *("judge_reliability", "promotion_evidence"),  # of each judge by itself, shadows too
    *("judge_agreement", "judge_calibration"),  # of each version by itself, beside people
    "alerts",  # how many checks of the judges in force failed, or were never made
    "review_tasks",
}
"""Assets that read verdicts themselves. Whatever decides reads `response_facts`, which has no column of a shadow."""

MADE = {"computed_at", "arrived_at", "log_segment", "log_offset", "file_name"}
"""When a row was made, and from which line."""
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)


def catalog_at(folder: Path, *, with_shadow: bool) -> Path:
    shutil.copytree(PACKAGED_CATALOG, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    if with_shadow:
        said = (folder / "judges" / "relevance.md").read_text(encoding="utf-8")
        strict = said.replace('"active"', '"shadow"').replace("one thing only", "one thing only, and strictly")
        (folder / "judges" / "relevance-strict.md").write_text(strict, encoding="utf-8")
    return folder


def test_a_metric_over_a_shadow_is_refused_and_its_columns_do_not_exist(tmp_path: Path) -> None:
    folder = catalog_at(tmp_path / "catalog", with_shadow=True)
    catalog = load_catalog(folder)
    assert "relevance-strict" in [judge.name for judge in catalog.asked_judges], "it does judge"
    assert not [name for name in fact_columns(catalog) if name.startswith("relevance_strict")]
    file = folder / "metrics.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('judge = "relevance"', 'judge = "relevance-strict"', 1), encoding="utf-8")
    with pytest.raises(CatalogError, match=r"good_answers\.judge is 'relevance-strict', which is a shadow"):
        load_catalog(folder)
    file.write_text(text.replace('numerator = "copy_seen"', 'numerator = "relevance_strict_good"'), encoding="utf-8")
    with pytest.raises(CatalogError, match=r"copied\.numerator 'relevance_strict_good' does not work"):
        check_metrics(load_catalog(folder))


def test_a_retired_judge_that_a_metric_names_keeps_its_columns(tmp_path: Path) -> None:
    folder = catalog_at(tmp_path / "catalog", with_shadow=False)
    file = folder / "judges" / "relevance.md"
    file.write_text(file.read_text(encoding="utf-8").replace('"active"', '"retired"'), encoding="utf-8")
    catalog = load_catalog(folder)
    assert "relevance_good" in fact_columns(catalog)
    assert "helpfulness_good" not in fact_columns(catalog)
    check_metrics(catalog)


def test_only_what_is_known_to_reads_verdicts_past_the_wall() -> None:
    graph = definitions().resolve_asset_graph()
    sources = {dg.AssetKey(name) for name in ("verdicts", "stg_verdicts")}
    found = {key.to_user_string() for key in graph.get_all_asset_keys() if sources & graph.get(key).parent_keys}
    assert found <= READS_VERDICTS, "an asset that decides anything reads response_facts"


def world(settings: Settings) -> None:
    """A day of answers before and after a deploy, and a shadow's verdict of 1 on every one of them."""
    log_events(settings, [answer(n, at=NOON + timedelta(minutes=n)) for n in range(-120, 120)])
    log_events(settings, [deploy("p2", at=NOON)])
    log_events(settings, [action(n, "thumbs_down", at=NOON + timedelta(minutes=n)) for n in range(0, 120, 7)])
    shadow = [judge for judge in load_catalog(settings.catalog).judges if judge.status == "shadow"]
    log_events(
        settings,
        [
            Verdict(
                event_id=f"s{n}",
                response_id=f"r{n}",
                response_at=NOON + timedelta(minutes=n),
                judge=judge.name,
                judge_version=judge.version,
                axis=judge.axis,
                score=1.0,
                occurred_at=NOON + timedelta(minutes=n),
                received_at=NOON + timedelta(minutes=n),
            )
            for judge in shadow
            for n in range(-120, 120)
        ],
    )


def everything(settings: Settings) -> dict[str, list[dict[str, Any]]]:
    """The rows of every table that may not know a shadow, without the times at which they were made."""
    return {
        name: sorted(
            ({k: v for k, v in row.items() if k not in MADE} for row in table(settings, name)),
            key=repr,
        )
        for name in set(TABLES) - SEES_ALL
    }


@pytest.mark.slow
def test_with_a_shadow_and_without_one_every_number_and_page_is_the_same(tmp_path: Path) -> None:
    found, pages = {}, {}
    for with_shadow in (False, True):
        place = tmp_path / f"shadow-{with_shadow}"
        catalog = catalog_at(place / "catalog", with_shadow=with_shadow)
        settings = settings_at(place / "home", catalog=catalog)
        world(settings)
        for job, day in (("tick", None), ("correct", None), ("compare_judges", None), ("report", str(NOON.date()))):
            done = run_in(settings.home, job, partition=day, ONLINEEVAL_CATALOG=str(catalog))
            assert done.success, done.failures
        found[with_shadow] = everything(settings)
        (page,) = (settings.report_folder / "daily").glob("*.md")
        pages[with_shadow] = [line for line in page.read_text().splitlines() if "UTC" not in line]
        said = table(settings, "verdicts", "select judge, score from verdicts")
        worst = [row for row in said if row["judge"] == "relevance-strict"]
        assert len(worst) == (240 if with_shadow else 0)
    assert found[True]["metric_points"], "there is something to move"
    assert found[True]["deploy_effects"]
    for name, kept in found[True].items():
        assert kept == found[False][name], f"{name} knows of the shadow"
    assert pages[True] == pages[False]
