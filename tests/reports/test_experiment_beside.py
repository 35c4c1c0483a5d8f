"""What stands beside an experiment: what judging cost each variant, changes while it ran, earlier definitions."""

from datetime import date, timedelta

import pytest

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.agreement import JudgeAgreement, JudgeCalibration
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.events import Exposure, Verdict
from onlineeval_dagster.contracts.experiments import ExperimentResult
from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.experiments.path import PathPoint
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.reports.experiment import build_page
from onlineeval_dagster.reports.experiment_beside import Beside, JudgingCost, Redefined, read_beside
from onlineeval_dagster.reports.experiment_shown import page_html, page_markdown
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.experiments.test_portfolio import row
from tests.worlds import NOON, NOW, answer, deploy, lake_of, settings_at

CATALOG = load_catalog(PACKAGED_CATALOG)
JUDGE = next(judge for judge in CATALOG.judges if judge.name == "relevance")
TONE = Experiment.model_validate(
    {
        "hypothesis": "Warm answers are good more often",
        "variants": {"control": 0.5, "warm": 0.5},
        "starts_on": date(2026, 11, 9),
        "weeks": 2,
        "primary": "good_answers",
    }
)
END = date(2026, 11, 23)


def exposure(unit: str, variant: str, *, key: str = "") -> Exposure:
    at = NOON - timedelta(hours=1)
    return Exposure(event_id=f"e{unit}{variant}", occurred_at=at, received_at=at, experiment="tone", variant=variant,
                    unit="user", unit_id=unit, propensity=0.5)  # fmt: skip


def verdict(number: int, usd: float, *, attempt: int = 0, error: str | None = None) -> Verdict:
    told = {"error_kind": error} if error else {"score": 3.0}
    return Verdict(event_id=f"v{number}-{attempt}", occurred_at=NOON, received_at=NOON, response_id=f"r{number}",
                   response_at=NOON, axis=JUDGE.axis, judge=JUDGE.name, judge_version=JUDGE.version, attempt=attempt,
                   cost_usd=usd, **told)  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    met = [exposure(f"u{n}", "warm" if n % 2 else "control") for n in range(6)] + [exposure("u5", "control")]
    paid = [verdict(n, 0.01) for n in range(6)]
    again = [verdict(1, 0.02, attempt=1), verdict(2, 0.0, attempt=1, error="shed")]
    before = answer("early", at=NOON - timedelta(hours=2), user_id="u0")
    answers = [*(answer(n) for n in range(6)), before]
    changes = [deploy("p4", prompt_version="p4"), deploy("old", at=NOON - timedelta(days=5), prompt_version="p3")]
    lake = lake_of(settings_at(tmp_path_factory.mktemp("beside")), [*met, *answers, *paid, *again, *changes], now=NOW)
    measured = {"computed_at": NOW, "since": NOON, "axis": JUDGE.axis, "judge": JUDGE.name, "slice": "all",
                "slice_value": "all", "measure": "kappa", "value": 0.61, "low": 0.5, "high": 0.7, "n": 200,
                "users": 150, "method": "jackknife"}  # fmt: skip
    rows = [JudgeAgreement.model_validate(measured | {"judge_version": one}) for one in (JUDGE.version, "older")]
    _store(lake, "judge_agreement", NOW.date(), rows, JudgeAgreement)
    worth = JudgeCalibration.model_validate(
        {"computed_at": NOW, "since": NOON, "axis": JUDGE.axis, "judge": JUDGE.name, "judge_version": JUDGE.version,
         "judge_score": 3, "people": 2.7, "people_low": 2.5, "people_high": 2.9, "labels": 90, "expected": 2.7,
         "block_labels": 90, "calibration_version": "c1"}
    )  # fmt: skip
    _store(lake, "judge_calibration", NOW.date(), [worth], JudgeCalibration)
    first = _result(1, "earlier").model_copy(update={"as_of": NOON.replace(day=16, hour=0)})
    _store(lake, "experiment_results", date(2026, 11, 16), [first], ExperimentResult)
    return lake


def _store(lake: Lake, name: str, day: date, rows: list, contract: type) -> None:
    table = to_table(rows, contract).append_column(DAY, [[day] * len(rows)])
    lake.replace_days(name, [day], table.select(TABLES[name].schema.names))


def _result(week: int, version: str) -> ExperimentResult:
    told = {"experiment": "tone", "metric": "good_answers", "week": week, "experiment_version": version}
    told |= {"rule": "no planned look", "said_by": "judge", "decides": True}
    return row("tone", "keep_running", 0.2).model_copy(update=told)


def test_what_stands_beside_is_of_the_experiments_own_answers_days_and_judges(lake: Lake) -> None:
    found = read_beside(lake, CATALOG, "tone", TONE, end=END)
    assert found.costs == (
        JudgingCost(judge="relevance", variant="control", calls=3, usd=pytest.approx(0.03)),  # type: ignore[arg-type]
        JudgingCost(judge="relevance", variant="warm", calls=3, usd=pytest.approx(0.04)),  # type: ignore[arg-type]
    ), "a retry is paid, what was shed is not, u5 met both"
    assert [change.title for change in found.changes] == ["prompt p4"]
    assert [one.judge_version for one in found.agreement] == [JUDGE.version] and len(found.calibration) == 1
    assert found.redefined == (Redefined(week=1, version="earlier"),)


def test_a_counted_experiment_has_no_judges_beside_it(lake: Lake) -> None:
    found = read_beside(lake, CATALOG, "tone", TONE.model_copy(update={"primary": "copied"}), end=date(2026, 11, 16))
    assert (found.costs, found.agreement, found.calibration, found.redefined) == ((), (), (), ())


def test_the_page_shows_it_all(lake: Lake) -> None:
    days = [PathPoint(variant="warm", until=NOON + timedelta(days=n), lift=0.02, low=-0.1, high=0.1 + n / 100)
            for n in range(-1, 5)]  # fmt: skip
    beside = read_beside(lake, CATALOG, "tone", TONE, end=END)
    judge = _result(2, TONE.version)
    rows = [judge, judge.model_copy(update={"said_by": "people", "decides": False, "outcome": None})]
    page = build_page("tone", TONE, CATALOG.metrics.metrics, rows, path=days, beside=beside)
    assert page.why[0].startswith("The experiment was changed after week 1 (definition earlier, now")
    html, markdown = page_html(page), page_markdown(page)
    for told in ("How far the AI reviewers agree with people", "0.61", "What reviewing cost", "0.04", "1: prompt p4"):
        assert told in html and told in markdown
    assert html.count("stroke-dasharray") == 1 and "it is too early to decide" in html
    bare = build_page("tone", TONE, CATALOG.metrics.metrics, rows, path=days, beside=Beside())
    assert "stroke-dasharray" not in page_html(bare) and "Nothing else changed" in page_html(bare)
