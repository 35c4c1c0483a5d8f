"""Experiments that cannot be read, from exposures to results: each has a reason, and none a number made up.

Shares, roles, looks and slots are refused in tests/catalog/test_experiment_file.py; clocks and looks that overlap in
test_stage.py; comparisons of few or equal values in test_compare.py.
"""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.experiments import ExperimentResult
from onlineeval_dagster.experiments.compare import NO_SPREAD, TOO_FEW_RARE, TOO_FEW_UNITS
from onlineeval_dagster.experiments.counted import Counted
from onlineeval_dagster.experiments.results import results
from onlineeval_dagster.experiments.totals import count_units
from onlineeval_dagster.reports.experiment import build_page
from onlineeval_dagster.reports.experiment_shown import page_html
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.warehouse.duckdb import connection
from tests.experiments.facts import START, midnight, write_facts

PACKAGED = load_catalog(PACKAGED_CATALOG)
METRICS = PACKAGED.metrics.metrics | {
    "always": PACKAGED.metrics.metrics["copied"].model_copy(update={"numerator": "true"}),
    "same": PACKAGED.metrics.metrics["latency"].model_copy(update={"numerator": "7"}),
}
CATALOG = replace(PACKAGED, metrics=PACKAGED.metrics.model_copy(update={"metrics": METRICS}))
TONE = Experiment.model_validate(
    {
        "hypothesis": "Warm answers are copied more often",
        "variants": {"control": 0.5, "warm": 0.5},
        "starts_on": START,
        "weeks": 1,
        "primary": "copied",
        "secondary": ["always", "same"],
        "covariates": ["copied"],
        "segments": ["device"],
        "stratify_by": "device",
    }
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table]:
    file = tmp_path_factory.mktemp("bad") / "w.duckdb"
    return file, write_facts(file, users=300, weeks=1)


def counted(file: Path, exposures: pa.Table, one: Experiment = TONE) -> Counted:
    return count_units(file, CATALOG, "tone", one, exposures, looks=[midnight(START) + timedelta(weeks=1)])[0]


def rows(told: Counted, one: Experiment = TONE) -> list[ExperimentResult]:
    return list(results("tone", one, METRICS, [told], planned=np.array([2.0 * max(1, sum(told.units))])))


def reasons(told: Counted, one: Experiment = TONE) -> dict[str, str | None]:
    return {row.metric: row.reason for row in rows(told, one) if row.slice == "all"}


def test_a_metric_that_cannot_differ_has_a_reason_and_the_others_their_numbers(world: tuple[Path, pa.Table]) -> None:
    told = counted(*world)
    assert reasons(told) == {"copied": None, "always": TOO_FEW_RARE, "same": NO_SPREAD}
    assert NO_SPREAD in page_html(build_page("tone", TONE, METRICS, rows(told)))


def test_one_unit_is_no_experiment(world: tuple[Path, pa.Table]) -> None:
    file, exposures = world
    by_arm = [exposures.filter(pa.array([one == arm for one in exposures.column("variant").to_pylist()]))
              for arm in TONE.variants]  # fmt: skip
    alone = counted(file, pa.concat_tables([by_arm[0], by_arm[1].slice(0, 1)]))
    assert set(reasons(alone).values()) == {TOO_FEW_UNITS}
    single = counted(file, by_arm[0].slice(0, 1))
    found = rows(single)
    assert {row.value for row in found} == {None}
    assert next(row for row in found if row.outcome).outcome == "no_decision"
    assert "No decision on warm" in page_html(build_page("tone", TONE, METRICS, found))


def test_nothing_after_the_exposure_is_a_covariate(world: tuple[Path, pa.Table], tmp_path: Path) -> None:
    """All that users do after it is turned round, and what they brought along stays the same to the last digit."""
    file, exposures = world
    before = counted(file, exposures)
    turned = tmp_path / "w.duckdb"
    turned.write_bytes(file.read_bytes())
    with connection(turned) as warehouse:
        warehouse.register("met", exposures)
        warehouse.execute(
            "update marts.response_facts set copy_seen = not copy_seen from met "
            "where unit_id = user_id and response_facts.occurred_at >= met.occurred_at - interval 1 minute"
        )
    after = counted(turned, exposures)
    brought, outcome = (slice(3, 5), slice(1, 2))
    whole = [one.moments.products[0, 0] for one in (before, after)]
    assert (whole[0][:, brought, brought] == whole[1][:, brought, brought]).all()
    assert (whole[0][:, outcome, outcome] != whole[1][:, outcome, outcome]).any()


def test_units_that_met_a_variant_of_no_plan_count_for_nothing(world: tuple[Path, pa.Table]) -> None:
    file, exposures = world
    strange = pa.Table.from_pylist(
        [row | {"variant": "hot", "unit_id": f"x{n}"} for n, row in enumerate(exposures.to_pylist()[:40])],
        exposures.schema,
    )
    both = counted(file, pa.concat_tables([exposures, strange]))
    assert both.units == counted(file, exposures).units
