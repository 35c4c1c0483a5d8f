"""Corrected points of a warehouse whose answers have a known quality, and a judge that flatters long ones."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.estimates import SLICES
from onlineeval_dagster.contracts.events import Label
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.review.stage import DAYS, correct_points
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from onlineeval_dagster.warehouse.duckdb import Build, connection, finish
from tests.worlds import answer, lake_of, settings_at

CATALOG = load_catalog(PACKAGED_CATALOG)
JUDGE = next(judge for judge in CATALOG.live_judges if judge.name == "relevance")
LAST = date(2026, 11, 22)  # a Sunday
LATER = datetime(2026, 11, 24, tzinfo=UTC)
TRUTH = 0.8
A_DAY, AUDIT = 400, 0.05


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Settings, Lake]:
    """28 days of 400 answers, all judged; one in twenty labelled. The judge passes nearly all of the long answers."""
    settings = settings_at(tmp_path_factory.mktemp("home"))
    rng = np.random.default_rng(50)
    facts, labels, answers = [], [], []
    for back in range(DAYS):
        day = LAST - timedelta(days=back)
        for number in range(A_DAY):
            name = f"r-{back}-{number}"
            good, long = rng.random() < TRUTH, rng.random() < 0.5
            score = 3 if rng.random() < (0.95 if good or long else 0.1) else int(rng.integers(1, 3))
            at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
            facts.append((name, day, at, f"u{number % 150}", "long" if long else "short", score))
            if number == 0:
                answers.append(answer(name, at=at))
            if rng.random() < AUDIT:
                labels.append(labelled(name, at, 3 if good else 1))
    lake = lake_of(settings, [*answers, *labels], now=LATER)
    write_facts(settings.warehouse_file, facts)
    done = correct_points(settings.warehouse_file, lake, CATALOG)
    assert done.answered > 0
    return settings, lake


def labelled(response_id: str, at: datetime, score: float, **more: object) -> Label:
    said = {"event_id": f"{response_id}:label", "stream": "audit", "inclusion_probability": AUDIT, "axis": "relevance"}
    said |= {
        "environment": "production",
        "app": "shop",
        "reviewer": "ann",
        "received_at": at + timedelta(hours=2),
        **more,
    }
    return Label(response_id=response_id, response_at=at, occurred_at=at + timedelta(hours=1), score=score, **said)  # type: ignore[arg-type]


def write_facts(file: Path, facts: list[tuple]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with connection(file) as warehouse:
        warehouse.execute("create schema marts; create schema tick")
        others = ", ".join(f"null::varchar as {name}" for name in SLICES if name != "variant")
        names = ("response_id", "day", "occurred_at", "user_key", "variant", "relevance_score")
        columns = zip(names, zip(*facts, strict=True), strict=True)
        warehouse.register("facts", pa.table({name: pa.array(list(column)) for name, column in columns}))
        warehouse.execute(
            f"create table marts.response_facts as select * replace (relevance_score::double as relevance_score), "
            f"{others}, 'production' as environment, 'done' as relevance_state, "
            f"'{JUDGE.version}' as relevance_version, "
            f"1.0 as relevance_probability, relevance_score >= {JUDGE.good_from} as relevance_good from facts"
        )
    days = tuple(sorted({fact[1] for fact in facts}))
    finish(file, Build(days=days, reads={}, catalog_version="c"))


def points(lake: Lake, **of: str) -> list[dict]:
    where = " and ".join(f"{name} = '{value}'" for name, value in of.items())
    sql = f"select * from corrected_points where {where} order by as_of, slice, slice_value"
    return rows(lake, sql, {"corrected_points": None}).to_pylist()


def test_the_raw_share_of_a_flattering_judge_is_wrong_and_the_corrected_one_covers_the_truth(world):
    found = points(world[1], metric="good_answers", grain="days28", slice="all", as_of=f"{LAST} 00:00+00")
    (point,) = found
    assert point["raw"] > TRUTH + 0.04
    assert point["low"] < TRUTH < point["high"] < point["raw"]
    assert point["method"] == "beta-cells" and point["labels"] > 400


def test_a_slice_with_enough_labels_is_corrected_by_its_own(world):
    found = points(world[1], metric="good_answers", grain="days28", slice="variant", as_of=f"{LAST} 00:00+00")
    assert [point["slice_value"] for point in found] == ["long", "short"]
    for point in found:
        assert point["method"] == "beta-cells" and point["low"] < TRUTH < point["high"]
    # It flatters the long ones: by the labels of all answers theirs would stay too high.
    assert found[0]["raw"] - found[1]["raw"] > 0.08 > abs(found[0]["value"] - found[1]["value"])


def test_a_day_borrows_the_labels_of_28_days_and_says_so(world):
    found = points(world[1], metric="good_answers", grain="day", slice="all")
    assert len(found) == DAYS
    last = found[-1]
    assert last["method"] == "beta-cells-borrowed" and last["labels_from"].date() == LAST - timedelta(days=DAYS - 1)
    inside = [point["low"] <= TRUTH <= point["high"] for point in found if point["value"] is not None]
    assert len(inside) > 20 and np.mean(inside) > 0.8  # the days share the error of one correction


def test_the_first_days_have_too_few_labels_and_no_number(world):
    found = points(world[1], metric="good_answers", grain="day", slice="all")[0]
    assert found["value"] is None and found["reason"] == "too few labels"
    assert found["method"] == "uncorrected" and found["raw_low"] < found["raw"] < found["raw_high"]


def test_means_are_corrected_too(world):
    (point,) = points(world[1], metric="relevance_score", grain="days28", slice="all", as_of=f"{LAST} 00:00+00")
    assert point["method"] == "ppi" and point["low"] < 1 + 2 * TRUTH < point["high"] < point["raw"]
    assert 0 < point["power"] < 1.5


def test_a_point_names_its_calibration_and_days_of_one_month_are_compared_without_its_error(world):
    found = points(world[1], metric="good_answers", grain="day", slice="all")[-7:]
    assert len({point["calibration_version"] for point in found}) == 7  # each day has 28 days of its own
    assert all(0 < point["own_error"] < point["error"] for point in found)
    for point in found:
        assert point["change_low"] < point["change"] < point["change_high"]
        assert point["change_high"] - point["change_low"] < 2 * 1.96 * np.sqrt(2) * point["error"]
    held = [point["change_low"] <= 0 <= point["change_high"] for point in found]
    assert sum(held) >= 5  # nothing changed; seven at 95 %


def test_a_new_judge_version_does_not_take_the_points_of_the_old_one_away(world, tmp_path):
    settings = settings_at(tmp_path)
    at = [datetime(2026, 11, 20 + n, 12, tzinfo=UTC) for n in range(2)]
    lake = lake_of(settings, [answer(f"r-{n}", at=moment) for n, moment in enumerate(at)], now=LATER)
    write_facts(
        settings.warehouse_file,
        [(f"r-{n}-{i}", moment.date(), moment, f"u{i}", "v", 3) for n, moment in enumerate(at) for i in range(40)],
    )
    with connection(settings.warehouse_file) as warehouse:
        warehouse.execute(f"update marts.response_facts set relevance_version = 'old' where day = '{at[0].date()}'")
    correct_points(settings.warehouse_file, lake, CATALOG)
    found = points(lake, metric="good_answers", grain="day", slice="all")
    assert [(point["as_of"], point["judge_version"]) for point in found] == [
        (datetime(2026, 11, 20, tzinfo=UTC), "old"),
        (datetime(2026, 11, 21, tzinfo=UTC), JUDGE.version),
    ]


def test_a_days_points_do_not_depend_on_how_many_days_are_corrected_at_once(world):
    settings, lake = world
    name = "select * exclude (file_name) from corrected_points where as_of >= '2026-11-15' order by all"
    before = rows(lake, name, {"corrected_points": None})
    for day in (15, 18, 22):
        correct_points(settings.warehouse_file, lake, CATALOG, days=[date(2026, 11, day)])
    assert rows(lake, name, {"corrected_points": None}).equals(before)


def test_a_rate_may_be_corrected_by_rogan_and_gladen_instead(world):
    settings, lake = world
    metrics = CATALOG.metrics.metrics
    simple = metrics["good_answers"].model_copy(update={"correction": "rogan-gladen"})
    chosen = replace(
        CATALOG, metrics=CATALOG.metrics.model_copy(update={"metrics": metrics | {"good_answers": simple}})
    )
    (before,) = points(lake, metric="good_answers", grain="days28", slice="all", as_of=f"{LAST} 00:00+00")
    try:
        correct_points(settings.warehouse_file, lake, chosen, days=[LAST])
        (month,) = points(lake, metric="good_answers", grain="days28", slice="all", as_of=f"{LAST} 00:00+00")
        (day,) = points(lake, metric="good_answers", grain="day", slice="all", as_of=f"{LAST} 00:00+00")
    finally:
        correct_points(settings.warehouse_file, lake, CATALOG, days=[LAST])
    assert (month["method"], day["method"]) == ("rogan-gladen", "rogan-gladen-borrowed")
    assert month["low"] < TRUTH < month["high"] < month["raw"] == before["raw"]
    assert 0 < day["own_error"] < day["error"] and day["change_low"] < day["change"] < day["change_high"]
    assert month["value"] == pytest.approx(before["value"], abs=0.03) and month["labels"] == before["labels"]


def test_a_second_call_finds_nothing_to_do_and_a_late_label_brings_its_day_up_again(world):
    settings, lake = world
    again = correct_points(settings.warehouse_file, lake, CATALOG)
    assert again.days == ()
    before = points(lake, metric="good_answers", grain="days28", slice="all", as_of=f"{LAST} 00:00+00")[0]["labels"]
    at = datetime(2026, 11, 22, 12, tzinfo=UTC)
    late = [labelled("r-0-1", at, 1, reviewer="bo", event_id="late"), labelled("nobody", at, 1, event_id="unknown")]
    late.append(labelled("r-0-2", at, 1, stream="targeted", event_id="targeted"))
    lake_of(settings, late, now=LATER)
    done = correct_points(settings.warehouse_file, lake, CATALOG)
    assert done.days == (LAST,)
    after = points(lake, metric="good_answers", grain="days28", slice="all", as_of=f"{LAST} 00:00+00")[0]["labels"]
    assert after - before in (
        0,
        1,
    )  # 0 where that answer had a label: several people's are one mean; others never count
