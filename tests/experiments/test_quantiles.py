"""Quantiles as means: what SQL counts is what numpy does, and their intervals cover."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.experiments.compare import NO_ROWS, compare
from onlineeval_dagster.experiments.moments import moments_of_units
from onlineeval_dagster.experiments.results import results
from onlineeval_dagster.experiments.totals import count_units
from onlineeval_dagster.reports.experiment import build_page
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.warehouse.duckdb import connection
from tests.experiments.facts import START, midnight, write_facts
from tests.experiments.worlds import recentred

CATALOG = load_catalog(PACKAGED_CATALOG)
TONE = Experiment.model_validate(
    {
        "hypothesis": "Warm answers are copied more often",
        "variants": {"control": 0.5, "warm": 0.5},
        "starts_on": START,
        "weeks": 1,
        "primary": "copied",
        "guardrails": {"latency": {"margin": 0.1}},
        "quantiles": {"latency": 0.9},
    }
)


def test_sql_compares_the_arms_quantiles_and_the_page_says_which(tmp_path: Path) -> None:
    exposures = write_facts(tmp_path / "w.duckdb", users=500, weeks=1, slower=0.3)
    found = count_units(tmp_path / "w.duckdb", CATALOG, "tone", TONE, exposures, looks=[midnight(START + timedelta(7))])
    row = next(row for row in results("tone", TONE, CATALOG.metrics.metrics, found, planned=np.array([300.0]))
               if row.metric == "latency" and row.slice == "all")  # fmt: skip
    with connection(tmp_path / "w.duckdb") as warehouse:
        read = warehouse.sql("select user_id, latency_ms from marts.response_facts where day >= date '2026-11-02'")
        facts = read.fetchall()
    arms = [np.array([ms for user, ms in facts if int(user[1:]) % 2 == arm]) for arm in (0, 1)]
    fewest = min(map(len, arms))
    told = [recentred(x, 0.9, fewest) for x in arms]
    assert (row.control_value, row.value) == pytest.approx(tuple(x.mean() for x in told))
    assert row.value == pytest.approx(np.quantile(arms[1], 0.9), rel=0.002), "its mean is the quantile"
    by_hand = np.quantile(arms[1], 0.9) / np.quantile(arms[0], 0.9) - 1
    assert row.state == "breach" and row.lift == pytest.approx(by_hand, abs=0.01)
    page = build_page("tone", TONE, CATALOG.metrics.metrics, [*results("tone", TONE, CATALOG.metrics.metrics, found,
                                                                     planned=np.array([300.0]))])  # fmt: skip
    assert any("Time to answer (90 % of answers are below)" in bar.title for bar in page.bars)


def test_too_few_answers_have_no_quantile(tmp_path: Path) -> None:
    exposures = write_facts(tmp_path / "w.duckdb", users=16, weeks=1)
    found = count_units(tmp_path / "w.duckdb", CATALOG, "tone", TONE, exposures, looks=[midnight(START + timedelta(7))])
    few = TONE.model_copy(update={"needed_units": 2})
    row = next(row for row in results("tone", few, CATALOG.metrics.metrics, found, planned=np.array([16.0]))
               if row.metric == "latency")  # fmt: skip
    assert (row.value, row.reason) == (None, NO_ROWS)


def test_intervals_of_clustered_quantiles_cover() -> None:
    """Users have a speed of their own; .9 of lognormal answers, 10 % slower in the treatment."""
    covered = []
    for seed in range(600):
        rng = np.random.default_rng([13, seed])
        user = np.repeat(np.arange(600), 1 + rng.poisson(2, 600))
        arm = np.arange(600) % 2
        slow = rng.normal(0, 0.3, 600)[user]
        x = np.exp(slow + rng.normal(0, 0.4, len(user))) * (1 + 0.1 * arm[user])
        fewest = min(np.bincount(arm[user]))
        y = np.zeros(len(x))
        for one in (0, 1):
            at = arm[user] == one
            y[at] = recentred(x[at], 0.9, fewest)
        totals = np.column_stack([np.bincount(user, y), np.bincount(user)])
        found = compare(moments_of_units(totals, arm, (2,)))
        low, high = found.lift_limits(found.quantile(0.05))
        covered.append(low[0] <= 0.1 <= high[0])
    assert np.mean(covered) == pytest.approx(0.95, abs=3 * (0.05 * 0.95 / 600) ** 0.5)
