"""An experiment from exposures and answers to its results, its page and its gate."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from onlineeval_dagster.catalog.experiment_file import Experiment, Override, Prior
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.events import Exposure
from onlineeval_dagster.contracts.experiments import ExperimentResult
from onlineeval_dagster.experiments.bayes import rates_posterior
from onlineeval_dagster.experiments.counted import Counted
from onlineeval_dagster.experiments.gate import may_ship
from onlineeval_dagster.experiments.rates import score_lift_limits
from onlineeval_dagster.experiments.results import results
from onlineeval_dagster.experiments.stage import analyse_weeks, latest_results, week_ends
from onlineeval_dagster.experiments.totals import count_units
from onlineeval_dagster.reports.experiment import build_page
from onlineeval_dagster.reports.experiment_shown import page_html, page_markdown
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.warehouse.duckdb import connection
from tests.experiments.facts import START, midnight, write_facts
from tests.worlds import lake_of, settings_at

PACKAGED = load_catalog(PACKAGED_CATALOG)
COPIED = PACKAGED.metrics.metrics["copied"]
METRICS = PACKAGED.metrics.metrics | {"pasted": COPIED, "always": COPIED.model_copy(update={"numerator": "true"})}
CATALOG = replace(PACKAGED, metrics=PACKAGED.metrics.model_copy(update={"metrics": METRICS}))
TONE = Experiment.model_validate(
    {
        "hypothesis": "Warm answers are copied more often",
        "variants": {"control": 0.5, "warm": 0.5},
        "starts_on": START,
        "weeks": 2,
        "primary": "copied",
        "guardrails": {"latency": {"margin": 0.1}},
        "covariates": ["copied"],
        "segments": ["device"],
        "needed_units": 50,
    }
)


def counted(file: Path, exposures: pa.Table, *, one: Experiment = TONE, weeks: int = 2) -> list[Counted]:
    ends = [midnight(START) + timedelta(weeks=week) for week in range(1, weeks + 1)]
    return count_units(file, CATALOG, "tone", one, exposures, looks=ends)


def analysed(file: Path, exposures: pa.Table, *, one: Experiment = TONE, weeks: int = 2) -> list[ExperimentResult]:
    rows = counted(file, exposures, one=one, weeks=weeks)
    return list(results("tone", one, METRICS, rows, planned=np.array([2.0 * sum(rows[0].units)])))


def of(rows: list[ExperimentResult], metric: str, name: str = "all") -> ExperimentResult:
    return next(row for row in rows if row.metric == metric and row.slice == name)


def _told(row: ExperimentResult) -> dict[str, object]:
    """To nine digits: sums of floats depend on their order, and threads on their luck."""
    each = row.model_dump().items()
    return {name: float(f"{value:.9g}") if isinstance(value, float) else value for name, value in each}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pa.Table]:
    file = tmp_path_factory.mktemp("tone") / "w.duckdb"
    return file, write_facts(file, users=900, weeks=2, lift=0.12)


def test_the_sql_counts_what_a_loop_over_the_answers_counts(world: tuple[Path, pa.Table]) -> None:
    file, exposures = world
    last = counted(file, exposures)[-1]
    with connection(file) as warehouse:
        facts = warehouse.sql("select user_id, occurred_at, copy_seen from marts.response_facts").fetchall()
    met = {row["unit_id"]: (row["variant"], row["occurred_at"]) for row in exposures.to_pylist()}
    totals: dict[str, np.ndarray] = {unit: np.array([1.0, 0, 0, 0, 0]) for unit in met}
    for user, at, copied in facts:
        if user in met and at < midnight(START) + timedelta(weeks=2):
            after = at >= met[user][1] - timedelta(minutes=1)
            totals[user][(1 if after else 3)] += copied
            totals[user][(2 if after else 4)] += 1
    for place, arm in enumerate(TONE.variants):
        rows = np.array([totals[unit] for unit, (variant, _) in met.items() if variant == arm])
        np.testing.assert_allclose(last.moments.products[0, 0, place], rows.T @ rows)
        assert last.units[place] == last.answering[place] == len(rows)
    assert last.several == 0 and last.versions == ("v1",)


def test_a_real_lift_is_found_at_the_planned_end_and_not_called_before(world: tuple[Path, pa.Table]) -> None:
    early, end = (analysed(*world, weeks=weeks) for weeks in (1, 2))
    assert of(early, "copied").outcome == "keep_running"
    assert of(early, "copied").method == "always_valid"
    final = of(end, "copied")
    assert final.outcome == "ship", final
    assert final.lift_low is not None and 0 < final.lift_low < 0.24 < final.lift_high
    assert final.removed is not None and final.removed > 0.05
    assert final.posterior_lift is not None and 0 < final.posterior_lift < final.lift
    assert of(end, "latency").state in ("pass", "improved", "harm_within_margin")
    assert of(end, "copied", "device").shrunk_lift is not None


def test_a_secondary_counts_only_behind_a_primary_that_won(world: tuple[Path, pa.Table]) -> None:
    for primary, counts in (("copied", True), ("latency", False)):
        one = TONE.model_copy(update={"primary": primary, "secondary": ("pasted",), "guardrails": {}})
        told = of(analysed(*world, one=one), "pasted")
        assert told.adjusted_p is not None and told.adjusted_p < 0.001
        assert told.counts is counts
        assert of(analysed(*world, one=one, weeks=1), "pasted").counts is False, "no planned look"


def test_strata_take_out_what_a_segment_explains_and_the_page_says_so(world: tuple[Path, pa.Table]) -> None:
    file, exposures = world
    plain = TONE.model_copy(update={"covariates": ()})
    rows = [analysed(file, exposures, one=one) for one in (plain, plain.model_copy(update={"stratify_by": "device"}))]
    both = [of(one, "copied") for one in rows]
    assert both[0].removed == pytest.approx(0, abs=1e-9)
    assert both[1].removed is not None and both[1].removed > 0.2, "levels of copying differ by device"
    assert both[1].outcome == "ship"
    page = build_page("tone", plain.model_copy(update={"stratify_by": "device"}), METRICS, rows[1])
    assert any("within each device" in line for part in page.parts for line in part.lines)


@pytest.fixture(scope="module")
def sessions(world: tuple[Path, pa.Table]) -> tuple[Path, pa.Table]:
    """The same answers, one a session."""
    file, exposures = world
    with connection(file) as warehouse:
        warehouse.register("users", exposures)
        return file, warehouse.sql(
            "select users.* replace (session_id as unit_id, 'session' as unit, facts.occurred_at as occurred_at) "
            "from marts.response_facts as facts join users on unit_id = user_id where facts.day >= date '2026-11-02'"
        ).to_arrow_table()


def test_rates_of_one_answer_a_unit_are_two_binomials(sessions: tuple[Path, pa.Table]) -> None:
    one = TONE.model_copy(update={"unit": "session", "covariates": (), "secondary": ("always",)})
    told, always = (of(analysed(*sessions, one=one), metric) for metric in ("copied", "always"))
    assert (told.method, of(analysed(*sessions, one=one), "latency").method) == ("score", "t")
    yes, control_yes = round(told.value * told.units), round(told.control_value * told.control_units)  # type: ignore[operator]
    low, high = score_lift_limits(yes, told.units, control_yes, told.control_units, critical=2.241403)
    assert (told.lift_low, told.lift_high) == pytest.approx((float(low), float(high)), abs=1e-6)
    assert (always.value, always.lift, always.reason) == (1.0, 0.0, None), "all successes: a number, and its limits"
    assert always.lift_low is not None and -0.02 < always.lift_low < 0
    early = of(analysed(*sessions, one=one, weeks=1), "always")
    assert early.value is None and early.reason is not None, "a confidence sequence needs both outcomes"
    users = of(analysed(*sessions, one=TONE), "copied")
    assert users.method == "t"
    flat = one.model_copy(update={"prior": Prior(rates=(1, 1))})
    chances = rates_posterior(control_yes, told.control_units, yes, told.units)
    believed = of(analysed(*sessions, one=flat), "copied")
    assert believed.chance_better == pytest.approx(float(chances.higher))
    assert believed.expected_loss == pytest.approx(float(chances.loss_of_second) / told.control_value)  # type: ignore[operator]
    assert told.chance_better != believed.chance_better
    page = build_page("tone", flat, METRICS, analysed(*sessions, one=flat))
    told_lines = " ".join(page.parts[-1].lines)
    assert "Miettinen and Nurminen" in told_lines and "Beta(1, 1)" in told_lines


def test_units_that_did_not_fit_at_the_end_of_a_day_are_told_for_ever(world: tuple[Path, pa.Table]) -> None:
    weeks = counted(*world)
    for days, breaks in (([(400, 400), (800, 800)], False), ([(450, 150), (2_000, 1_900)], True)):
        found = results("tone", TONE, METRICS, weeks, planned=np.array([1_800.0]), days=days)
        told = of(list(found), "copied")
        assert ("did not fit their shares at the end of day 1" in (told.broken or "")) == breaks
        assert ("at the end of every day" in (told.held or "")) != breaks


def test_harm_stops_it_before_the_planned_end(tmp_path: Path) -> None:
    exposures = write_facts(tmp_path / "w.duckdb", users=900, weeks=2, slower=0.5)
    early = of(analysed(tmp_path / "w.duckdb", exposures, weeks=1), "copied")
    assert (early.outcome, early.because) == ("stop_for_harm", "latency")


def test_nothing_is_concluded_where_the_units_do_not_fit_their_shares(world: tuple[Path, pa.Table]) -> None:
    file, exposures = world
    is_lost = [row["variant"] == "warm" and int(row["unit_id"][1:]) % 8 == 1 for row in exposures.to_pylist()]
    told = of(analysed(file, exposures.filter(pa.array([not lost for lost in is_lost]))), "copied")
    assert told.outcome == "no_decision"
    assert told.broken is not None and "do not fit their shares" in told.broken


def test_a_unit_in_two_arms_is_left_out_and_a_changed_assignment_is_told(world: tuple[Path, pa.Table]) -> None:
    file, exposures = world
    again = [
        row | {"variant": "control", "assignment_version": "v2"}
        for row in exposures.to_pylist()
        if row["variant"] == "warm"
    ][:30]
    told = of(analysed(file, pa.concat_tables([exposures, pa.Table.from_pylist(again, exposures.schema)])), "copied")
    assert told.several == 30
    assert told.broken is not None
    assert "met several variants" in told.broken and "assignment changed" in told.broken


def test_an_arm_without_answers_has_a_reason_and_no_number(world: tuple[Path, pa.Table]) -> None:
    file, exposures = world
    control = exposures.filter(pa.array([variant == "control" for variant in exposures.column("variant").to_pylist()]))
    rows = analysed(file, control)
    assert all(row.value is None and row.reason for row in rows)
    assert of(rows, "copied").outcome == "no_decision"


def test_a_capped_metric_loses_its_tail(world: tuple[Path, pa.Table]) -> None:
    file, exposures = world
    capped = TONE.model_copy(update={"winsorise": 0.9})
    plain, cut = (of(analysed(file, exposures, one=one), "latency") for one in (TONE, capped))
    assert cut.value is not None and plain.value is not None and cut.value < plain.value
    assert cut.high - cut.low < plain.high - plain.low  # type: ignore[operator]


def test_results_are_stored_by_week_read_back_and_gate_a_deployment(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    exposures = write_facts(settings.warehouse_file, users=900, weeks=2, lift=0.12)
    events = [
        Exposure(event_id=f"e{n}", propensity=0.5, received_at=row["occurred_at"], **row)
        for n, row in enumerate(exposures.to_pylist())
    ]
    lake = lake_of(settings, events, now=midnight(START) + timedelta(weeks=3))
    catalog = replace(CATALOG, experiments=CATALOG.experiments.model_copy(update={"experiments": {"tone": TONE}}))
    ends = [START + timedelta(weeks=1), START + timedelta(weeks=2), START + timedelta(weeks=3)]
    done = analyse_weeks(settings.warehouse_file, lake, catalog, ends=ends)
    again = analyse_weeks(settings.warehouse_file, lake, catalog, ends=ends[1:2])
    second = [row for row in done.rows if row.week == 2]
    assert [_told(row) for row in again.rows] == [_told(row) for row in second], "a backfill gives the same rows"
    assert lake.days("experiment_results") == set(ends[:2])
    rows = latest_results(lake, "tone")
    assert sorted(map(repr, rows)) == sorted(map(repr, again.rows))
    assert may_ship("tone", TONE, "warm", rows).ships
    assert not may_ship("tone", TONE, "warm", []).ships
    assert "changed since" in may_ship("tone", TONE.model_copy(update={"alpha": 0.01}), "warm", rows).told
    override = Override(decision="stop", reason="support was swamped", by="Ann", decided_on=date(2026, 11, 20))
    refused = may_ship("tone", TONE.model_copy(update={"override": override}), "warm", rows)
    assert not refused.ships and "Ann decided `stop`" in refused.told
    page = build_page("tone", TONE, METRICS, rows, path=again.paths["tone", ends[1]])
    html, markdown = page_html(page), page_markdown(page)
    for text in (html, markdown):
        assert "Ship warm" in text and "clustered by user" in text and "without the luck" in text
        assert all(part.title in text for part in page.parts)
    assert "<script" not in html and "http" not in html.replace("http-equiv", "")
    assert "<polygon" in html and html.count("<circle") == 2
    assert [part.title.partition(":")[0] for part in page.parts] == [
        "Can it be trusted?", "Plan and actual", "Primary metric", "Guardrails", "Secondary metrics",
        "Segments named before the start", "AI reviewers", "Day by day", "How was this computed",
    ]  # fmt: skip


def test_a_mondays_run_writes_the_week_that_ended_and_the_one_before() -> None:
    assert week_ends(datetime.fromisoformat("2026-11-30T06:00Z")) == [date(2026, 11, 30), date(2026, 11, 23)]


def test_clocks_may_differ_by_a_minute_and_no_more(world: tuple[Path, pa.Table]) -> None:
    """Each unit's first answer came with its exposure: told some seconds late it counts as before, and after."""
    file, exposures = world

    def answers(late: timedelta) -> float:
        told = [row | {"occurred_at": row["occurred_at"] + late} for row in exposures.to_pylist()]
        return counted(file, pa.Table.from_pylist(told, exposures.schema))[-1].moments.products[0, 0, :, 0, 2].sum()

    in_time = answers(timedelta())
    assert answers(timedelta(seconds=59)) == in_time
    assert answers(timedelta(seconds=61)) < in_time - 800, "the answer of the exposure is of the past now"


def test_looks_are_whole_days_that_rise(world: tuple[Path, pa.Table]) -> None:
    file, exposures = world
    for looks in ([midnight(START) + timedelta(hours=30)], [midnight(START + timedelta(days=n)) for n in (7, 3)]):
        with pytest.raises(ValueError, match="looks are midnights"):
            count_units(file, CATALOG, "tone", TONE, exposures, looks=looks)


def test_a_look_counts_the_same_whatever_looks_came_before(world: tuple[Path, pa.Table]) -> None:
    file, exposures = world
    ends = [midnight(START) + timedelta(days=day) for day in range(1, 15)]
    last = count_units(file, CATALOG, "tone", TONE, exposures, looks=ends)[-1]
    alone = count_units(file, CATALOG, "tone", TONE, exposures, looks=ends[-1:])[0]
    np.testing.assert_allclose(last.moments.products, alone.moments.products)
    assert (last.segments, last.units, last.answering) == (alone.segments, alone.units, alone.answering)
