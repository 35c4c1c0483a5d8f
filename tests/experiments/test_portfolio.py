"""All experiments together: one family of those that ended, what they taught, whether the ruler is straight."""

from datetime import UTC, date, datetime

import pytest

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.estimates import NotEnough
from onlineeval_dagster.contracts.experiments import ExperimentResult
from onlineeval_dagster.experiments.portfolio import portfolio
from onlineeval_dagster.reports.experiment_shown import page_html, page_markdown
from onlineeval_dagster.reports.portfolio import portfolio_page
from onlineeval_dagster.settings import PACKAGED_CATALOG

METRICS = load_catalog(PACKAGED_CATALOG).metrics.metrics
TWO_WEEKS = Experiment.model_validate(
    {
        "hypothesis": "Warm answers are copied more often",
        "variants": {"control": 0.5, "warm": 0.5},
        "starts_on": date(2026, 11, 2),
        "weeks": 2,
        "primary": "copied",
    }
)


def row(name: str, outcome: str | None, p: float, *, week: int = 2, lift: float = 0.03, hits: float | None = 0.05):
    return ExperimentResult.model_validate(
        {
            "experiment": name,
            "as_of": datetime(2026, 11, 16, tzinfo=UTC),
            "variant": "warm",
            "metric": "copied",
            "slice": "all",
            "slice_value": "all",
            "week": week,
            "experiment_version": "v",
            "role": "primary",
            "units": 500,
            "control_units": 500,
            "value": 0.5,
            "control_value": 0.48,
            "lift": lift,
            "lift_low": lift - 0.02,
            "lift_high": lift + 0.02,
            "level": 0.95,
            "method": "t",
            "p_value": p,
            "outcome": outcome,
            "rule": "so",
            "noise_hits": hits,
        }
    )


def test_a_win_must_stand_among_all_that_ended() -> None:
    rows = [row("a", "ship", 0.04), *(row(f"n{n}", "no_decision", 0.5) for n in range(3)), row("b", "ship", 0.001)]
    found = portfolio(dict.fromkeys(("a", "b"), TWO_WEEKS), rows)
    by = {one.row.experiment: one for one in found.entered}
    assert by["a"].adjusted_p == pytest.approx(0.1) and by["b"].adjusted_p == pytest.approx(0.005)
    assert (found.ended, found.learnt) == (5, 0.4)
    page = portfolio_page(found, METRICS)
    assert "2 won. 1 of them stand" in page.why[0]
    for text in (page_html(page), page_markdown(page)):
        assert "40 % of 5 ended comparisons taught something" in text


def test_what_still_runs_is_in_no_family_and_harm_ends_it() -> None:
    found = portfolio(
        {"a": TWO_WEEKS, "b": TWO_WEEKS},
        [row("a", "keep_running", 0.01, week=1), row("b", "stop_for_harm", 0.01, week=1)],
    )
    assert [one.ended for one in found.entered] == [False, True]
    assert found.entered[0].adjusted_p is None and found.learnt == 1.0
    none = portfolio({}, [])
    assert (
        isinstance(none.learnt, NotEnough) and "No experiment has ended" in portfolio_page(none, METRICS).sentences[0]
    )


def test_a_prior_needs_twenty_that_ended_and_a_crooked_ruler_is_named() -> None:
    few = portfolio({}, [row("a", "ship", 0.04, hits=0.14)])
    assert isinstance(few.prior, NotEnough)
    assert "intervals do not hold" in page_markdown(portfolio_page(few, METRICS))
    many = portfolio({}, [row(f"n{n:02}", "no_decision", 0.5, lift=0.06 if n % 2 else -0.06) for n in range(20)])
    assert isinstance(many.prior, float) and 0.04 < many.prior < 0.08
    assert "prior = { sd = 0.059" in page_markdown(portfolio_page(many, METRICS)).replace("\\", "")
