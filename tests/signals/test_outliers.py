"""Odd lengths and latencies: few false alarms whatever the distribution, and what was usual comes from the lake."""

import math
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.catalog.retention import Kept, Retention
from onlineeval_dagster.keeping.retention import apply
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.signals import usual
from onlineeval_dagster.signals.detectors.registry import DETECTORS
from onlineeval_dagster.signals.stage import derive_signals
from onlineeval_dagster.signals.usual import usual_before
from tests.signals.batches import batch
from tests.worlds import NOON, NOW, answer, lake_of, settings_at

CATALOG = load_catalog(PACKAGED_CATALOG)
DAY = timedelta(days=1)
NAMES = ("typical_length", "spread_length", "typical_latency_ms", "spread_latency")


def told(name, value, *, typical=1_000.0, spread=0.5):
    values = {"response": ["x" * int(value)]} if name == "length_outlier" else {"latency_ms": [value]}
    what = ("typical_length", "spread_length") if name == "length_outlier" else ("typical_latency_ms", "spread_latency")
    detector = DETECTORS[name]
    return detector.score(batch(detector.needs, **values, **dict(zip(what, ([typical], [spread]), strict=True))))


def row(name, value, **usually):
    return told(name, value, **usually).to_pylist()[0]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("length_outlier", 1_000, None),
        ("length_outlier", 90, None),  # 2.4 logarithms, 4.8 spreads
        ("length_outlier", 75, "far shorter than usual"),
        ("length_outlier", 11_000, None),
        ("length_outlier", 13_000, "far longer than usual"),
        ("latency_outlier", 1.0, None),
        ("latency_outlier", 11_000.0, None),
        ("latency_outlier", 13_000.0, "far slower than usual"),
    ],
)
def test_what_is_five_spreads_away_is_an_outlier_and_a_fast_answer_never_is(name, value, reason):
    found = row(name, value)
    assert found["reason"] == reason
    away = math.log(value / 1_000) / 0.5
    assert found["raw_value"] == pytest.approx(abs(away) if name == "length_outlier" else away)


def test_without_a_week_before_only_what_is_long_or_slow_anywhere_is_flagged():
    assert [row("length_outlier", n, typical=None, spread=None)["reason"] for n in (3, 20_000, 20_001)] == [
        None,
        None,
        "very long",
    ]
    slow = [row("latency_outlier", n, typical=None, spread=None) for n in (60_000.0, 60_001.0)]
    assert [each["reason"] for each in slow] == [None, "very slow"]
    assert [each["raw_value"] for each in slow] == [None, None]


def test_an_empty_answer_and_an_unknown_latency_are_no_outliers():
    assert (row("length_outlier", 0)["flagged"], row("length_outlier", 0)["raw_value"]) == (False, None)
    latency = DETECTORS["latency_outlier"]
    unknown = latency.score(batch(latency.needs, latency_ms=[None, 0.0], typical_latency_ms=[900.0] * 2))
    assert unknown.column("raw_value").to_pylist() == [None, None]


def test_a_template_with_a_word_more_is_no_outlier():
    assert not row("length_outlier", 1_100, spread=0.0)["flagged"]
    assert row("length_outlier", 2_000, spread=0.0)["flagged"]


def spread_of(logs):
    """The spread as `usual_before` has it, over a week held in memory."""
    far = (np.quantile(logs, 0.99) - np.quantile(logs, 0.01)) / 4.6527
    return max(1.4826 * float(np.median(np.abs(logs - np.median(logs)))), float(far))


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("normal", 5.7e-7),
        ("laplace", 2.2e-4),
        ("t with 3 degrees", 2.3e-3),
        ("one word or a page", 0.0),
    ],
)
def test_few_answers_are_outliers_whatever_the_shape_of_their_lengths(shape, expected):
    """A week of 200,000 answers and a day of 200,000 more of the same kind; the share beyond five spreads."""
    rng = np.random.default_rng(7)

    def logs(count):
        mixture = np.where(rng.random(count) < 0.1, rng.normal(1, 0.2, count), rng.normal(6, 0.3, count))
        return {
            "normal": rng.normal(6, 0.7, count),
            "laplace": rng.laplace(6, 0.3, count),
            "t with 3 degrees": 6 + 0.2 * rng.standard_t(3, count),
            "one word or a page": mixture,
        }[shape]

    week, day = logs(200_000), logs(200_000)
    latency = DETECTORS["latency_outlier"]
    # Both tails of the logarithm, through the detector of the upper one.
    both = np.concatenate([day, 2 * np.median(week) - day])
    table = batch(
        latency.needs,
        latency_ms=np.exp(both),
        typical_latency_ms=np.full(both.size, np.exp(np.median(week))),
        spread_latency=np.full(both.size, spread_of(week)),
    )
    share = np.mean([reason == "far slower than usual" for reason in latency.score(table).column("reason").to_pylist()])
    error = math.sqrt(max(expected, 1e-5) / both.size)
    # The spread is estimated too: one percent of it moves a tail of exp(-8.4) by some 9 %.
    assert abs(2 * share - expected) < 6 * error + 0.2 * expected
    assert 2 * share < 0.01


# The lake


@pytest.fixture
def settings(tmp_path):
    return settings_at(tmp_path)


@pytest.fixture
def enough(monkeypatch):
    """Twenty answers are enough, so that worlds may be small."""
    monkeypatch.setattr(usual, "_USUAL_SQL", usual._USUAL_SQL.replace(str(usual.ENOUGH), "20"))


def week(lengths, *, latencies=None, start=NOON - 7.5 * DAY, **more):
    """Answers of these lengths, evenly over the seven days from `start`."""
    latencies = latencies or [None] * len(lengths)
    gap = 7 * DAY / len(lengths)
    return [
        answer(f"{start:%d}-{n}", at=start + n * gap, response="x" * length, latency_ms=latency, **more)
        for n, (length, latency) in enumerate(zip(lengths, latencies, strict=True))
    ]


def lognormal(count, *, median, spread, seed):
    return np.exp(np.random.default_rng(seed).normal(math.log(median), spread, count))


def test_two_hundred_answers_tell_what_is_usual_and_one_fewer_does_not(settings):
    latencies = [float(value) for value in lognormal(200, median=900, spread=0.4, seed=1)]
    lengths = [max(1, int(value)) for value in lognormal(200, median=500, spread=0.6, seed=2)]
    lake = lake_of(settings, week(lengths, latencies=[*latencies[:199], None]))
    found = usual_before(lake, [NOON.date(), (NOON + DAY).date()]).to_pylist()
    # Of the day itself and of what comes after it nothing is known yet: each day looks back seven.
    assert [each["day"] for each in found if each["day"] == NOON.date()] == [NOON.date()]
    known = next(each for each in found if each["day"] == NOON.date())
    logs = np.log(lengths)
    assert known["typical_length"] == pytest.approx(np.exp(np.median(logs)))
    assert known["spread_length"] == pytest.approx(spread_of(logs), rel=1e-4)
    # Standard errors at n = 200: 1.25 spread / sqrt(n) of a median, some 8 % of a spread.
    assert abs(math.log(known["typical_length"] / 500)) < 4 * 1.25 * 0.6 / math.sqrt(200)
    assert known["spread_length"] == pytest.approx(0.6, rel=0.35)
    assert (known["typical_latency_ms"], known["spread_latency"]) == (None, None)


def test_only_the_seven_days_before_count_and_each_app_and_environment_for_itself(settings, enough):
    events = week([100] * 21)
    events += week([9_000] * 21, start=NOON - 14.5 * DAY)  # too old for this day
    events += week([2_000] * 21, start=NOON)  # the day itself and later
    events += [each.model_copy(update=_other(each, app="b", response="y" * 300)) for each in week([1] * 21)]
    events += [each.model_copy(update=_other(each, environment="test", response="z" * 50)) for each in week([1] * 21)]
    lake = lake_of(settings, events)
    found = usual_before(lake, [NOON.date()]).to_pylist()
    assert {(each["environment"], each["app"]): round(each["typical_length"]) for each in found} == {
        ("production", "default"): 100,
        ("production", "b"): 300,
        ("test", "default"): 50,
    }


def _other(event, **changes):
    name = "-".join(str(value)[:9] for value in changes.values())
    return {"event_id": f"{event.event_id}-{name}", "response_id": f"{event.response_id}-{name}"} | changes


def test_emptied_texts_tell_nothing_of_what_is_usual(settings, enough):
    lake = lake_of(settings, week([100] * 21, latencies=[900.0] * 21))
    apply(settings, lake, Retention(kept={"responses": Kept(text_days=5)}), now=NOW)
    (found,) = usual_before(lake, [NOON.date()]).to_pylist()
    assert (found["typical_length"], round(found["typical_latency_ms"])) == (None, 900)


def test_a_lake_without_a_past_has_nothing_usual(settings):
    assert usual_before(lake_of(settings, [answer(1)]), [NOON.date()]).num_rows == 0
    assert usual_before(lake_of(settings, []), []).num_rows == 0


def test_the_stage_gives_each_answer_what_was_usual_before_its_day(settings, enough):
    lengths = [int(value) for value in lognormal(70, median=500, spread=0.3, seed=3)]
    odd = [answer("long", response="x" * 15_000, latency_ms=59_000.0), answer("new", response="x" * 15_000, app="new")]
    lake = lake_of(settings, [*week(lengths, latencies=[800.0] * 70), *odd, answer("fine", response="x" * 400)])
    derive_signals(lake, CATALOG, now=NOW)
    found = {
        (each["response_id"], each["signal"]): each
        for each in rows(lake, "select * from signals", {"signals": None}).to_pylist()
    }
    assert found["rlong", "length_outlier"]["flagged"] and found["rlong", "latency_outlier"]["score"] == -0.3
    assert found["rlong", "length_outlier"]["raw_value"] > 5
    assert (found["rnew", "length_outlier"]["flagged"], found["rnew", "length_outlier"]["raw_value"]) == (False, None)
    assert not found["rfine", "length_outlier"]["flagged"] and found["rfine", "length_outlier"]["raw_value"] < 3


def test_an_answer_is_measured_once_by_what_was_known_then(settings, enough):
    lake = lake_of(settings, [*week([500, 520, 480] * 7), answer("odd", response="x" * 9_000)])
    derive_signals(lake, CATALOG, now=NOW)
    lake_of(settings, week([9_000] * 60, start=NOON - 6.5 * DAY))
    derive_signals(lake, CATALOG, now=NOW)
    table: pa.Table = rows(
        lake,
        "select flagged from signals where response_id = 'rodd' and signal = 'length_outlier'",
        {"signals": None},
    )
    assert table.column("flagged").to_pylist() == [True]
