"""A judged metric has two rows: the judge's word, and what people would say; the plan names the one that decides."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.contracts.experiments import ExperimentResult
from onlineeval_dagster.experiments.counted import Counted
from onlineeval_dagster.experiments.results import results
from onlineeval_dagster.experiments.totals import count_units
from onlineeval_dagster.reports.experiment import build_page
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.experiments.facts import START, midnight, write_judged_facts

CATALOG = load_catalog(PACKAGED_CATALOG)
JUDGE = next(judge for judge in CATALOG.judges if judge.name == "relevance")
TONE = Experiment.model_validate(
    {
        "hypothesis": "Warm answers are good more often",
        "variants": {"control": 0.5, "warm": 0.5},
        "starts_on": START,
        "weeks": 1,
        "primary": "good_answers",
        "decides": "people",
    }
)


def counted(file: Path, exposures: pa.Table, labels: pa.Table, one: Experiment = TONE) -> Counted:
    end = midnight(START) + timedelta(weeks=1)
    return count_units(file, CATALOG, "tone", one, exposures, looks=[end], labels=labels)[0]


def rows_of(told: Counted, one: Experiment = TONE, catalog: Catalog = CATALOG) -> dict[str | None, ExperimentResult]:
    found = results("tone", one, catalog.metrics.metrics, [told], planned=np.array([2.0 * sum(told.units)]))
    return {row.said_by: row for row in found}


@pytest.fixture(scope="module")
def flattered(tmp_path_factory: pytest.TempPathFactory) -> Counted:
    """A judge that passes half of what is bad in the treatment, where nothing is better."""
    file = tmp_path_factory.mktemp("people") / "w.duckdb"
    return counted(file, *write_judged_facts(file, JUDGE, flattered=0.5))


def test_a_flattered_judge_ships_nothing_where_people_decide(flattered: Counted) -> None:
    people, judge = (rows_of(flattered)[who] for who in ("people", "judge"))
    assert judge.lift_low is not None and judge.lift_low > 0.05, "the judge sees a win that is none"
    assert people.lift_low is not None and people.lift_low < 0 < people.lift_high  # type: ignore[operator]
    assert (judge.decides, people.decides) == (False, True)
    assert (judge.outcome, people.outcome) == (None, "no_decision")
    assert people.bias_low is not None and people.bias_low > 0.03, "the labels show whom it favours"
    page = build_page("tone", TONE, CATALOG.metrics.metrics, [judge, people])
    assert any("it favours warm; the decision rests on human checks" in line for line in page.why)


def test_the_plan_names_the_row_that_decides(flattered: Counted) -> None:
    told = rows_of(flattered, TONE.model_copy(update={"decides": "judge"}))
    assert told["judge"].outcome == "ship" and told["people"].outcome is None


def test_the_corrected_value_is_that_of_people_and_narrower_than_labels_alone(flattered: Counted) -> None:
    people = rows_of(flattered)["people"]
    assert people.value == pytest.approx(0.75, abs=0.06) and people.control_value == pytest.approx(0.75, abs=0.06)
    assert people.removed is not None and 0.05 < people.removed < 0.9
    assert people.units == int(flattered.people.users[1])


def test_without_labels_the_row_of_people_says_so(flattered: Counted) -> None:
    none = flattered.people.take(np.arange(2))
    none = replace(none, sums=none.sums * [1, 1, 0, 0, 0], users=none.users * 0, labels=none.labels * 0)
    told = rows_of(replace(flattered, people=none))
    assert told["people"].reason == "too few labels" and told["people"].value is None
    assert told["people"].outcome == "no_decision" and "no number" in (told["people"].rule or "")


def test_the_sql_of_labels_counts_what_a_loop_counts(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    exposures, labels = write_judged_facts(file, JUDGE, users=200)
    found = counted(file, exposures, labels)
    said = {row["response_id"]: row for row in labels.to_pylist()}
    weight = {row["response_id"]: 1 / row["probability"] for row in labels.to_pylist()}
    of_control = [one for one in said if (int(one[1:]) // 2) % 2 == 0]
    assert found.people.labels[0] == len(of_control)
    assert found.people.sums[0, 2] == pytest.approx(sum(weight[one] for one in of_control))
    assert found.people.sums[0, 3] == pytest.approx(sum(weight[one] * (said[one]["score"] == 3) for one in of_control))
    by_user: dict[int, float] = {}
    for one in of_control:
        by_user[int(one[1:]) // 2] = by_user.get(int(one[1:]) // 2, 0) + weight[one]
    assert found.people.products[0, 2, 2] == pytest.approx(sum(total**2 for total in by_user.values()))
    assert found.people.users[0] == len(by_user)


def test_a_judge_that_fails_on_one_variant_more_breaks_the_trust_gate(tmp_path: Path) -> None:
    for name, failing, breaks in (("sound", 0.0, False), ("broken", 0.15, True)):
        file = tmp_path / f"{name}.duckdb"
        told = rows_of(counted(file, *write_judged_facts(file, JUDGE, failing=failing)))["people"]
        assert ("fails more often" in (told.broken or "")) == breaks
        assert ("fails alike" in (told.held or "")) != breaks
