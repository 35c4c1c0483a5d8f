"""Changes without an assignment: known effects are found, none is not, and the answer says what it is."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.cli import app
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.estimates import MetricPoint, NotEnough
from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.experiments.before_after import BeforeAfter, Parallel, Weighted, before_after
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.pipeline import living_at
from tests.worlds import settings_at


def world(
    seed: int, *, effect: float = 0.0, rho: float = 0.3, donors: int = 4
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """35 days before and 7 since, with weekends and a common drift; what one day has is in the next by rho."""
    rng = np.random.default_rng([21, seed])
    noise = rng.normal(size=(donors + 1, 42))
    for day in range(1, 42):
        noise[:, day] = rho * noise[:, day - 1] + (1 - rho**2) ** 0.5 * noise[:, day]
    common = 50 + 0.3 * rng.normal(size=42).cumsum() + np.tile([0, 0, 0, 0, 0, -2, -2], 6)
    touched = common + noise[0]
    touched[35:] += effect
    return touched, {f"d{place}": common + noise[place + 1] for place in range(donors)}


def test_intervals_hold_no_effect_as_often_as_they_say_and_find_a_large_one() -> None:
    none = [before_after(*world(seed), before=35) for seed in range(80)]
    parallel = [one.parallel for one in none if isinstance(one, BeforeAfter) and isinstance(one.parallel, Parallel)]
    assert len(parallel) == 80
    assert np.mean([one.effect.low <= 0 <= one.effect.high for one in parallel]) >= 0.95 - 3 * (0.05 * 0.95 / 80) ** 0.5
    assert np.mean([one.structural.low <= 0 <= one.structural.high for one in none]) >= 0.95  # type: ignore[union-attr]
    found = before_after(*world(1, effect=4.0), before=35)
    assert isinstance(found, BeforeAfter) and isinstance(found.parallel, Parallel)
    assert found.parallel.effect.low > 0 and found.parallel.effect.value == pytest.approx(4, abs=1)
    assert found.parallel.placebo_p == 1 / 30, "the real date among the 29 others"
    assert found.earlier is not None and found.earlier.low < 0 < found.earlier.high, "nothing a week before"
    assert isinstance(found.weighted, Weighted)
    assert found.weighted.gap == pytest.approx(4, abs=1) and found.weighted.placebo_p == pytest.approx(0.2)
    assert sum(found.weighted.weights.values()) == pytest.approx(1, abs=0.02)


def test_what_was_not_touched_may_be_too_little() -> None:
    touched, donors = world(2)
    two = before_after(touched, dict([*donors.items()][:2]), before=35)
    assert isinstance(two, BeforeAfter) and isinstance(two.weighted, NotEnough) and two.weighted.have == 2
    alone = before_after(touched, {}, before=35)
    assert isinstance(alone, BeforeAfter) and isinstance(alone.parallel, NotEnough)
    assert alone.structural.low < alone.structural.high
    short = before_after(touched[12:], {}, before=23)
    assert isinstance(short, BeforeAfter) and short.earlier is None
    for days, why in ((10, "before the change"), (41, "since the change")):
        few = before_after(touched, donors, before=days)
        assert isinstance(few, NotEnough) and why in few.reason


def test_the_verb_says_first_that_nothing_was_randomised(tmp_path: Path) -> None:
    settings, start = settings_at(tmp_path), datetime(2026, 10, 5, tzinfo=UTC)
    metric = load_catalog(PACKAGED_CATALOG).metrics.metrics["copied"]
    touched, donors = world(3, effect=8.0)
    points = [
        MetricPoint(
            metric="copied", judge_version="none", grain="day", window_start=start + timedelta(days=day), slice="app",
            slice_value=name, metric_version=metric.version, population=100, n=100, value=value / 100, low=0, high=1,
        )
        for name, values in {"ios": touched, **donors, "new": touched[:9]}.items()
        for day, value in enumerate(values)
    ]  # fmt: skip
    table = to_table(points, MetricPoint)
    days = [point.window_start.date() for point in points]
    table = table.append_column(DAY, [days]).select(TABLES["metric_points"].schema.names)
    Lake(settings.lake_folder).replace_days("metric_points", sorted(set(days)), table)
    asked = ["experiment", "before-after", "copied", "--changed-on", "2026-11-09", "--by", "app"]
    with living_at(settings.home):
        told = CliRunner().invoke(app, [*asked, "--touched", "ios"])
        strange = CliRunner().invoke(app, [*asked, "--touched", "android"])
        wrong = CliRunner().invoke(app, ["experiment", "before-after", "copy", "--changed-on", "2026-11-09"])
    text = " ".join(told.output.split())
    assert told.exit_code == 0, told.output
    assert text.startswith("NOT RANDOMISED")
    for part in (
        "35 days before",
        "7 since",
        "days are missing: new",
        "Synthetic control",
        "7 days sooner",
        "something moved on that day",
    ):
        assert part in text
    assert strange.exit_code != 0 and "there are d0, d1, d2, d3, ios, new" in " ".join(str(strange.exception).split())
    assert "no metric 'copy'" in str(wrong.exception)


def test_walds_test_is_asked_answer_by_answer() -> None:
    asked = ["experiment", "choose", "--low", "0.01", "--high", "0.1", "--beta", "0.1"]
    told = CliRunner().invoke(app, [*asked, "--good", "0", "--answers", "24"])
    assert told.exit_code == 0 and "it is 0.01" in told.output, "NIST's table: accept at 0 of 24"
    assert "go on" in CliRunner().invoke(app, [*asked, "--good", "0", "--answers", "23"]).output
    for wrong in (["--low", "0.5"], ["--good", "3", "--answers", "2"]):
        refused = CliRunner().invoke(app, [*asked, *wrong])
        assert refused.exit_code != 0 and "--" in str(refused.exception)
