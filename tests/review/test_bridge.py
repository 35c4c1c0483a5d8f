"""A series never mixes judge versions silently: it breaks, or its past is moved by what was measured, error and all."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.estimates import MetricPoint
from onlineeval_dagster.contracts.tables import DAY
from onlineeval_dagster.contracts.versions import JudgeComparison
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.metrics.intervals import wilson
from onlineeval_dagster.reports.build import build_daily_report
from onlineeval_dagster.review.bridge import bridged
from onlineeval_dagster.review.versions import shift_of_mean
from onlineeval_dagster.status import _handovers
from tests.judges.judge_worlds import catalog_in
from tests.reports.report_worlds import COVERAGE, METRICS

DAY_0 = datetime(2026, 11, 1, tzinfo=UTC)
REBASE = '\nat_new_judge = "rebase"\n\n[metrics.relevance_score]'


def catalog_of(folder: Path, *, rebase: bool) -> Catalog:
    place = catalog_in(folder)
    file = place / "metrics.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("\n\n[metrics.relevance_score]", REBASE, 1) if rebase else text, encoding="utf-8")
    return load_catalog(place)


def version(catalog: Catalog) -> str:
    return next(judge.version for judge in catalog.judges if judge.name == "relevance")


def points(catalog: Catalog) -> list[MetricPoint]:
    """Fourteen days: the first seven at 90 % by an old version, the others at 80 % by the one in force."""
    return [
        MetricPoint(
            **{"metric": "good_answers", "grain": "day", "slice": "all", "slice_value": "all", "metric_version": "m"},
            judge_version="old" if day < 7 else version(catalog),
            window_start=DAY_0 + timedelta(days=day),
            population=400,
            n=200,
            n_effective=190.0,
            method="mover",
            **dict(zip(("low", "value", "high"), (0.86, 0.9, 0.93) if day < 7 else (0.74, 0.8, 0.85), strict=True)),
        )
        for day in range(14)
    ]


def compared(catalog: Catalog, **more: Any) -> JudgeComparison:
    fields: dict[str, Any] = {
        **{"computed_at": DAY_0, "since": DAY_0, "axis": "relevance", "judge": "relevance", "against": "relevance"},
        **{"judge_version": version(catalog), "against_version": "old", "design": "sampled"},
        **{"responses": 200, "users": 90, "mean": 2.4, "against_mean": 2.6, "same": 0.9},
        **{"shift": -0.2, "shift_low": -0.25, "shift_high": -0.15, "kappa": 0.7, "kappa_low": 0.6, "kappa_high": 0.8},
        **{"good_shift": -0.1, "good_shift_low": -0.13, "good_shift_high": -0.06},
    }
    return JudgeComparison(**(fields | more))


def test_by_default_the_series_breaks_and_it_is_said_where(tmp_path: Path) -> None:
    catalog = catalog_of(tmp_path / "catalog", rebase=False)
    moved, (over,) = bridged(points(catalog), catalog, [compared(catalog)])
    assert moved == points(catalog)
    assert (over.before, over.after, over.since) == ("old", version(catalog), DAY_0 + timedelta(days=7))
    assert over.shift is None
    plot = report_of(moved).by_day
    assert len({point.series for point in plot.points}) == 2
    assert "The line breaks where the AI reviewer or the way of counting changed: Sun 8 Nov." in plot.caption
    assert "another AI reviewer checked then" in report_of(moved).sentence


def test_a_past_that_is_rebased_is_moved_by_the_shift_and_its_range_is_wider_by_the_shifts_error(tmp_path) -> None:
    catalog = catalog_of(tmp_path / "catalog", rebase=True)
    moved, (over,) = bridged(points(catalog), catalog, [compared(catalog)])
    first = moved[0]
    assert (over.shift, first.judge_version, first.method) == (-0.1, version(catalog), "mover+rebased")
    assert first.value == pytest.approx(0.8)
    assert first.low == pytest.approx(0.8 - np.hypot(0.04, 0.03))
    assert first.high == pytest.approx(0.8 + np.hypot(0.03, 0.04))
    assert moved[7:] == points(catalog)[7:], "what the version in force said stays as it is"
    report = report_of(moved)
    assert len({point.series for point in report.by_day.points}) == 1
    assert "Up to Sat 7 Nov an earlier AI reviewer checked: those values are moved" in report.by_day.caption
    assert report.sentence.endswith("(moved to the scale of today's AI reviewer).")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (None, "no answer was judged by both"),
        ({"against_version": "older"}, "no answer was judged by both"),
        ({"design": "undesigned"}, "the answers that both judged were not drawn with a known chance"),
        (
            {
                "good_shift": None,
                "good_shift_low": None,
                "good_shift_high": None,
                "good_shift_reason": "too few: 2 of 10",
            },
            "too few: 2 of 10",
        ),
    ],
)
def test_without_a_measured_shift_the_series_breaks_and_says_why(tmp_path, more, reason) -> None:
    catalog = catalog_of(tmp_path / "catalog", rebase=True)
    moved, (over,) = bridged(points(catalog), catalog, [] if more is None else [compared(catalog, **more)])
    assert moved == points(catalog)
    assert over.reason == reason


def test_a_moved_share_stays_a_share_and_windows_without_a_number_stay_without(tmp_path) -> None:
    catalog = catalog_of(tmp_path / "catalog", rebase=True)
    nothing = points(catalog)[0].model_copy(update={"value": None, "low": None, "high": None, "reason": "too few"})
    up = compared(catalog, good_shift=0.2, good_shift_low=0.1, good_shift_high=0.3)
    moved, _ = bridged([nothing, *points(catalog)[1:]], catalog, [up])
    assert moved[0] == nothing
    assert (moved[1].value, moved[1].high) == (1.0, 1.0)


def test_before_the_new_version_has_a_number_nothing_is_moved(tmp_path) -> None:
    catalog = catalog_of(tmp_path / "catalog", rebase=True)
    assert bridged(points(catalog)[:7], catalog, [compared(catalog)]) == (points(catalog)[:7], [])


def test_only_what_versions_are_compared_by_can_be_rebased(tmp_path) -> None:
    folder = catalog_in(tmp_path / "catalog")
    file = folder / "metrics.toml"
    text = file.read_text(encoding="utf-8").replace("\n\n[metrics.relevance_score]", REBASE, 1)
    file.write_text(text.replace('"relevance_good"', '"relevance_score > 1"', 1), encoding="utf-8")
    with pytest.raises(CatalogError, match="the numerator relevance_good; write"):
        load_catalog(folder)


def test_how_a_past_is_shown_makes_no_other_metric(tmp_path) -> None:
    broken, rebased = (catalog_of(tmp_path / str(rebase), rebase=rebase) for rebase in (False, True))
    assert broken.version == rebased.version


def test_the_status_names_the_change_of_hands(tmp_path) -> None:
    for rebase, told in (
        (False, "older numbers (version old) are not comparable"),
        (True, "older numbers (version old)"),
    ):
        catalog, lake = catalog_of(tmp_path / str(rebase), rebase=rebase), Lake(tmp_path / f"lake{rebase}")
        rows: list[Any] = points(catalog)
        days = [point.window_start.date() for point in rows]
        table = to_table(rows, MetricPoint).append_column(DAY, pa.array(days, DAY.type))
        lake.replace_days("metric_points", days, table)
        (line,) = _handovers(lake, catalog, now=DAY_0 + timedelta(days=14))
        assert told in line and "since 2026-11-08" in line


@pytest.mark.parametrize(("day_n", "pairs"), [(100, 120), (300, 200), (60, 400)])
def test_a_rebased_point_covers_what_the_new_version_would_have_said(tmp_path, day_n, pairs) -> None:
    rng, worlds, hits = np.random.default_rng(3), 1_500, 0
    catalog = catalog_of(tmp_path / "catalog", rebase=True)
    old_rate, kept, gained = 0.85, 0.88, 0.10  # the new version passes 88 % of what the old passed, 10 % of the rest
    truth = old_rate * kept + (1 - old_rate) * gained
    base = points(catalog)
    for _ in range(worlds):
        seen = rng.random(day_n) < old_rate
        low, high = (float(limit) for limit in wilson(seen.mean(), day_n))
        old = rng.random(pairs) < old_rate
        new = rng.random(pairs) < np.where(old, kept, gained)
        shift = shift_of_mean(new.astype(float) - old, weights=np.ones(pairs), clusters=np.arange(pairs), span=1.0)
        row = compared(catalog, good_shift=shift.value, good_shift_low=shift.low, good_shift_high=shift.high)  # type: ignore[union-attr]
        point = base[0].model_copy(update={"value": float(seen.mean()), "low": low, "high": high})
        (moved, _), _ = bridged([point, base[8]], catalog, [row])
        assert moved.low is not None and moved.high is not None
        hits += moved.low <= truth <= moved.high
    assert 0.93 <= hits / worlds <= 0.975


def report_of(found: list[MetricPoint]) -> Any:
    day = found[-1].window_start
    return build_daily_report(
        day=day.date(),
        now=day + timedelta(days=1),
        points=found,
        effects=[],
        worst=[],
        coverage=COVERAGE,
        headline="good_answers",
        metrics=METRICS,
        simulated=False,
    )
