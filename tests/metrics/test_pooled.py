"""One metric over many days together."""

from datetime import date, timedelta

import numpy as np
import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.metrics.estimates import estimate_rates
from onlineeval_dagster.metrics.moments import moments_from_rows
from onlineeval_dagster.metrics.pooled import pooled_estimate
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.warehouse.dry_run import fact_columns
from onlineeval_dagster.warehouse.duckdb import connection

CATALOG = load_catalog(PACKAGED_CATALOG)
DAYS = [date(2026, 11, 1) + timedelta(days=number) for number in range(10)]


def warehouse(file, rows):
    columns = fact_columns(CATALOG)
    with connection(file) as opened:
        opened.execute("create schema marts")
        listed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        opened.execute(f"create table marts.response_facts ({listed})")
        for number, row in enumerate(rows):
            known = {
                "response_id": f"r{number}",
                "environment": "production",
                "relevance_version": CATALOG.live_judges[0].version,
                **row,
            }
            marks = ", ".join("?" for _ in known)
            opened.execute(
                f"insert into marts.response_facts ({', '.join(known)}) values ({marks})", list(known.values())
            )
    return file


def small_product(good_share, count=200):
    """Two strata; normal responses judged one in four."""
    rng = np.random.default_rng(4)
    rows = []
    for number in range(count):
        flagged = number % 10 == 0
        judged = flagged or number % 4 == 1
        rows.append(
            {
                "day": DAYS[number % 10],
                "user_key": f"user:{number % 60}",
                "relevance_stratum": "flagged" if flagged else "normal",
                "relevance_probability": 1.0 if flagged else 0.25,
                "relevance_good": bool(rng.random() < good_share) if judged else None,
            }
        )
    return rows


def test_days_are_estimated_together_with_each_users_responses_summed(tmp_path):
    rows = small_product(0.8)
    found = pooled_estimate(warehouse(tmp_path / "w.duckdb", rows), CATALOG, "good_answers", DAYS)
    assert isinstance(found, Estimate)
    strata = [f"{row['relevance_stratum']} at {row['relevance_probability']}" for row in rows]
    values = [np.nan if row["relevance_good"] is None else float(row["relevance_good"]) for row in rows]
    reference = estimate_rates(
        moments_from_rows(np.zeros(len(rows)), strata, [row["user_key"] for row in rows], values)
    )
    assert (found.value, found.low, found.high) == pytest.approx(
        (reference.value[0], reference.low[0], reference.high[0])
    )
    assert found.n == sum(row["relevance_good"] is not None for row in rows)


def test_what_does_not_count_is_left_out(tmp_path):
    rows = small_product(0.8)
    others = [{**row, "environment": "staging", "relevance_good": False} for row in rows]
    others += [{**row, "relevance_version": "older", "relevance_good": False} for row in rows]
    others += [{**row, "day": date(2026, 1, 1), "relevance_good": False} for row in rows]
    alone = pooled_estimate(warehouse(tmp_path / "a.duckdb", rows), CATALOG, "good_answers", DAYS)
    mixed = pooled_estimate(warehouse(tmp_path / "b.duckdb", rows + others), CATALOG, "good_answers", DAYS)
    assert mixed == alone


def test_too_little_is_said_with_how_much_is_missing(tmp_path):
    found = pooled_estimate(warehouse(tmp_path / "w.duckdb", small_product(0.8, 12)), CATALOG, "good_answers", DAYS)
    assert isinstance(found, NotEnough)
    assert found.have < found.needed
    assert "too few" in found.reason


def test_no_answer_at_all_is_said_too(tmp_path):
    found = pooled_estimate(warehouse(tmp_path / "w.duckdb", []), CATALOG, "good_answers", DAYS)
    assert found == NotEnough(have=0, needed=1, reason="no answer that counts")
