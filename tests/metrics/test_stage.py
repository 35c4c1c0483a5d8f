"""From the warehouse's moments to deploy effects."""

from datetime import UTC, date, datetime

import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.metrics.moments import CELL_COLUMNS, GROUP_COLUMNS
from onlineeval_dagster.metrics.stage import estimate_effects
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.warehouse.duckdb import Build, connection, finish

CATALOG = load_catalog(PACKAGED_CATALOG)
AT = datetime(2026, 11, 10, 12, tzinfo=UTC)
KEY = {"metric": "varchar", "judge_version": "varchar", "deploy_id": "varchar", "deployed_at": "timestamptz"}


def copied(deploy: str, side: str, *, share: float, n: int = 1000) -> dict[str, object]:
    """Moments of `n` answers of as many users, of which `share` were copied."""
    total = share * n
    spread = n * share * (1 - share)
    moments = {"population": n, "n": n, "total": total, "total_squares": total, "size_squares": n}
    moments |= {"residual_squares": spread, "users": n, "weight_squares": 1 / n, "influence_squares": spread / n**2}
    moments |= {"influence_fourths": spread / n**4, "lost": 0}
    key = {"metric": "copied", "judge_version": "none", "deploy_id": deploy, "deployed_at": AT}
    return key | {"side": side, "stratum": "all"} | moments


def effects_of(folder, moments):
    file = folder / "warehouse.duckdb"
    with connection(file) as warehouse:
        warehouse.execute("create schema marts")
        warehouse.execute("create schema tick")
        columns = KEY | {"side": "varchar", "stratum": "varchar"}
        columns |= dict.fromkeys((*CELL_COLUMNS, *GROUP_COLUMNS, "lost"), "double")
        listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        warehouse.execute(f"create table marts.deploy_moments ({listed})")
        for row in moments:
            marks = ", ".join("?" for _ in columns)
            warehouse.execute(f"insert into marts.deploy_moments values ({marks})", [row[name] for name in columns])
    finish(file, Build(days=(date(2026, 11, 10),), reads={}, catalog_version="c"))
    lake = Lake(folder / "lake")
    estimate_effects(file, lake, CATALOG)
    found = rows(lake, "select * from deploy_effects", {"deploy_effects": None}).to_pylist()
    return {row["deploy_id"]: row for row in found}


def test_a_fall_beyond_its_likely_range_is_found_worse_in_the_metrics_own_direction(tmp_path):
    found = effects_of(
        tmp_path,
        [
            copied("bad", "before", share=0.40),
            copied("bad", "after", share=0.30),
            copied("harmless", "before", share=0.40),
            copied("harmless", "after", share=0.41),
            copied("good", "before", share=0.30),
            copied("good", "after", share=0.40),
        ],
    )
    assert {name: row["found"] for name, row in found.items()} == {
        "bad": "worse",
        "harmless": "no_clear_change",
        "good": "better",
    }
    assert found["bad"]["difference"] == pytest.approx(-0.10)
    assert found["bad"]["low"] < -0.10 < found["bad"]["high"] < 0


def test_a_deploy_with_one_side_only_is_a_row_that_says_so(tmp_path):
    found = effects_of(tmp_path, [copied("first", "after", share=0.4), copied("last", "before", share=0.4)])
    assert found["first"]["reason"] == "no answers before the deploy"
    assert (found["first"]["n_before"], found["first"]["n_after"]) == (0, 1000)
    assert found["last"]["reason"] == "no answers after the deploy"
    assert found["last"]["found"] is None
