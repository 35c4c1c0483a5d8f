"""A product in which nothing happens: points of every metric of the standard set, with rhythm and clustered users.

Users come in visits: an hour or two of some answers each. A user has an own quality, so that the answers of a visit are
alike. Beyond VISITS_AT_MOST visits an hour the sums of an hour are drawn at once, from the law that visits lead to.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import pyarrow as pa
from scipy.special import ndtr

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.metrics.detrended import detrend_points
from onlineeval_dagster.metrics.moments import Moments
from onlineeval_dagster.metrics.stage import family_of, points_table
from tests.alerts.alert_worlds import received

FIRST = datetime(2026, 8, 3, tzinfo=UTC)  # a Monday
DAYS = 56
HOURS = 24 * DAYS
MODELS = np.array([0.34, 0.26, 0.2, 0.12, 0.08])
VISIT = 2.5
"""Answers of a visit, on average."""
VISITS_AT_MOST = 4_000
CHECKS_AT_MOST = 50
"""An hour, of which the rules over failing and missing checks are told: more would only make them surer."""

# Answers by hour of a day as a share of the mean, as of a consumer product: two peaks, and nights with next to none.
RHYTHM = np.array(
    [
        0.25,
        0.08,
        0.02,
        0.0,
        0.0,
        0.03,
        0.15,
        0.5,
        1.0,
        1.5,
        1.8,
        1.85,
        1.6,
        1.6,
        1.75,
        1.8,
        1.7,
        1.5,
        1.4,
        1.5,
        1.6,
        1.4,
        1.0,
        0.6,
    ]
)
WEEK = np.array([1.1, 1.12, 1.12, 1.1, 1.05, 0.8, 0.71])


@dataclass(frozen=True, kw_only=True)
class Truth:
    """A metric: its mean, how far that swings over day and week (a share of it), the share of answers that count, the
    correlation of two answers of one user, the law of one value, and whether only judged answers have one."""

    mean: float
    swing: float = 0.05
    counts: float = 1.0
    alike: float = 0.1
    law: Literal["rate", "score", "time"] = "rate"
    judged: bool = False


TRUTHS = {
    "good_answers": Truth(mean=0.80, swing=0.02, judged=True),
    "relevance_score": Truth(mean=2.5, swing=0.02, law="score", judged=True),
    "thumbs_down_share": Truth(mean=0.09, counts=0.06),
    "abandoned": Truth(mean=0.16),
    "regenerated": Truth(mean=0.05),
    "latency": Truth(mean=1_800.0, swing=0.12, law="time"),
    "errors": Truth(mean=0.006, swing=0.0, alike=0.05),
}
TIME_SPREAD = 0.6
"""Standard deviation of the logarithm of a time."""


@dataclass(frozen=True, kw_only=True)
class Fall:
    """From `hour` on the mean of `metrics` is `factor` of what it was."""

    hour: int
    factor: float
    metrics: tuple[str, ...] = ("good_answers", "relevance_score")


@dataclass(frozen=True, kw_only=True)
class World:
    """Answers an hour on average, the share of them that is judged, and the metrics that have points."""

    an_hour: float
    judging: float
    seed: int
    fall: Fall | None = None
    metrics: tuple[str, ...] = tuple(TRUTHS)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A visit's answers in one hour, one part each, and the positions of the parts' visits in a day."""

    visit: np.ndarray
    hour: np.ndarray
    model: np.ndarray
    answers: np.ndarray
    in_day: np.ndarray


def lake_of(lake: Lake, catalog: Catalog, world: World) -> Lake:
    """Points of DAYS days by hour and day, of all answers and by model, and what was expected of them."""
    rng = np.random.default_rng(world.seed)
    traffic = world.an_hour * RHYTHM[np.arange(HOURS) % 24] * WEEK[np.arange(HOURS) // 24 % 7]
    parts = _visits(traffic, rng) if world.an_hour / VISIT <= VISITS_AT_MOST else None
    tables = []
    for name in world.metrics:
        made = _of_visits(name, parts, world, rng) if parts is not None else _at_once(name, traffic, world, rng)
        tables += [points_table(keys, moments, family_of(catalog, name)) for keys, moments in made]
    points = pa.concat_tables(tables)
    lake.replace_days("metric_points", points.column("day").unique().to_pylist(), points)
    detrend_points(lake, catalog)
    arrivals = rng.poisson(traffic)
    received(lake, {FIRST + timedelta(hours=hour): int(count) for hour, count in enumerate(arrivals)})
    _checks(lake, catalog, np.minimum(rng.poisson(traffic * world.judging), CHECKS_AT_MOST), rng)
    return lake


def _checks(lake: Lake, catalog: Catalog, by_hour: np.ndarray, rng: np.random.Generator) -> None:
    """Answers selected for the judge, each with a verdict; one in fifty of these is an error."""
    hour = np.repeat(np.arange(HOURS), by_hour)
    judge = next(judge for judge in catalog.counted_judges if judge in catalog.asked_judges)
    starts = pa.array(np.datetime64(FIRST.replace(tzinfo=None), "us") + hour * np.timedelta64(1, "h"))
    said = {
        "response_id": pa.array([f"r{number}" for number in range(len(hour))]),
        "judge": pa.repeat(judge.name, len(hour)),
        "judge_version": pa.repeat(judge.version, len(hour)),
        "state": pa.repeat("selected", len(hour)),
        "response_at": starts.cast(pa.timestamp("us", "UTC")),
        "score": pa.array(np.full(len(hour), 3.0), mask=rng.random(len(hour)) < 0.02),
        "day": starts.cast(pa.timestamp("us")).cast(pa.date32()),
    }
    for name in ("selections", "verdicts"):
        schema = TABLES[name].schema
        columns = [said.get(field.name, _empty(field, len(hour))) for field in schema]
        table = pa.table(columns, schema=schema)
        lake.replace_days(name, table.column("day").unique().to_pylist(), table)


def _empty(field: pa.Field, count: int) -> pa.Array:
    """A column that no rule reads."""
    nothing = None if field.nullable else "" if field.type == pa.string() else 0
    return pa.repeat(pa.scalar(nothing, field.type), count)


def level(name: str, hours: np.ndarray, fall: Fall | None) -> np.ndarray:
    """The metric's true mean at each hour."""
    truth = TRUTHS[name]
    turn = np.sin((hours % 24 - 4) / 24 * 2 * np.pi) + 0.5 * (hours // 24 % 7 >= 5)
    mean = truth.mean * (1 + truth.swing * turn)
    fell = fall is not None and name in fall.metrics
    return np.where(hours >= fall.hour, mean * fall.factor, mean) if fall is not None and fell else mean


def _visits(traffic: np.ndarray, rng: np.random.Generator) -> Parts:
    hour = np.repeat(np.arange(HOURS), rng.poisson(traffic / VISIT))
    count = len(hour)
    answers = rng.geometric(1 / VISIT, count)
    later = rng.binomial(answers, 0.5) * (rng.random(count) < 0.3)  # a third of the visits go on into the next hour
    model = rng.choice(len(MODELS), count, p=MODELS)
    visit = np.tile(np.arange(count), 2)
    both = np.concatenate([hour, np.minimum(hour + 1, HOURS - 1)])
    sizes = np.concatenate([answers - later, later])
    some = np.flatnonzero(sizes)
    _, in_day = np.unique(visit[some] * DAYS + both[some] // 24, return_inverse=True)
    return Parts(visit=visit[some], hour=both[some], model=np.tile(model, 2)[some], answers=sizes[some], in_day=in_day)


def _of_visits(name: str, parts: Parts, world: World, rng: np.random.Generator) -> Iterator[tuple[pa.Table, Moments]]:
    truth = TRUTHS[name]
    population = rng.binomial(parts.answers, truth.counts)
    n = rng.binomial(population, world.judging) if truth.judged else population
    total, squares = _drawn(truth, level(name, parts.hour, world.fall), n, parts.visit, rng)
    rows = np.stack([population, n, total, squares]).astype(np.float64)
    for grain, length in (("hour", 1), ("day", 24)):
        member = np.arange(len(n)) if grain == "hour" else parts.in_day
        sums = np.stack([np.bincount(member, weights=row) for row in rows])
        first = np.zeros(sums.shape[1], dtype=np.int64)
        first[member] = np.arange(len(n))
        window, model = parts.hour[first] // length, parts.model[first]
        yield _keyed(name, grain, window, np.zeros_like(model), sums)
        yield _keyed(name, grain, window, model + 1, sums)


def _drawn(
    truth: Truth, mean: np.ndarray, n: np.ndarray, visit: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Totals of n values of each part, and of their squares; the values of a visit are alike."""
    weight = 1 / truth.alike - 1
    if truth.law == "rate":
        of_visit = np.zeros(visit.max() + 1)
        of_visit[visit] = mean
        share = rng.beta(of_visit * weight, (1 - of_visit) * weight)[visit]
        total = rng.binomial(n, share).astype(np.float64)
        return total, total
    part = np.repeat(np.arange(len(n)), n)
    own = rng.standard_normal(visit.max() + 1)[visit[part]]
    latent = np.sqrt(truth.alike) * own + np.sqrt(1 - truth.alike) * rng.standard_normal(len(part))
    if truth.law == "time":
        value = mean[part] * np.exp(TIME_SPREAD * latent - TIME_SPREAD**2 / 2)
    else:  # scores 1, 2, 3 with chances .2, .6 and the rest of what is missing to 3
        rank, missing = ndtr(latent), 3 - mean[part]
        value = 3.0 - (rank < 0.8 * missing) - (rank < 0.2 * missing)
    return np.bincount(part, weights=value, minlength=len(n)), np.bincount(part, weights=value**2, minlength=len(n))


def _keyed(
    name: str, grain: str, window: np.ndarray, slice_at: np.ndarray, sums: np.ndarray
) -> tuple[pa.Table, Moments]:
    """Keys and moments of the groups of some users, whose population, n, total and squares are in `sums`."""
    counted = sums[0] > 0
    key = window[counted] * (len(MODELS) + 1) + slice_at[counted]
    found, group = np.unique(key, return_inverse=True)
    population, n, total, squares = sums[:, counted]

    def by_group(column: np.ndarray) -> np.ndarray:
        return np.bincount(group, weights=column, minlength=len(found))

    all_n = by_group(n)
    residual = total - (by_group(total) / np.maximum(all_n, 1))[group] * n
    part = residual / np.maximum(all_n, 1)[group]
    moments = Moments(
        cell_group=np.arange(len(found)),
        population=by_group(population),
        n=all_n,
        total=by_group(total),
        total_squares=by_group(squares),
        size_squares=by_group(n**2),
        residual_squares=by_group(residual**2),
        users=by_group(n > 0),
        weight_squares=by_group((n / np.maximum(all_n, 1)[group]) ** 2),
        influence_squares=by_group(part**2),
        influence_fourths=by_group(part**4),
        lost=np.zeros(len(found)),
    )
    return _keys(name, grain, found // (len(MODELS) + 1), found % (len(MODELS) + 1)), moments


def variance_of(name: str, mean: np.ndarray) -> np.ndarray:
    """Variance of one value whose mean is `mean`."""
    missing = 3 - mean
    return {
        "rate": mean * (1 - mean),
        "time": mean**2 * np.expm1(TIME_SPREAD**2),
        "score": 1.4 * missing - missing**2,
    }[TRUTHS[name].law]


def size_met(name: str, judging: float) -> float:
    """Values of the visit that a value belongs to, on average over values."""
    truth = TRUTHS[name]
    return 1 + (2 * VISIT - 2) * truth.counts * (judging if truth.judged else 1.0)


def _at_once(
    name: str, traffic: np.ndarray, world: World, rng: np.random.Generator
) -> Iterator[tuple[pa.Table, Moments]]:
    """Sums of whole hours, as normal as thousands of visits make them."""
    truth = TRUTHS[name]
    answers = rng.poisson(traffic[:, None] * truth.counts * MODELS[None])
    n = rng.binomial(answers, world.judging) if truth.judged else answers
    mean = level(name, np.arange(HOURS), world.fall)[:, None]
    variance = variance_of(name, mean)
    size = size_met(name, world.judging)
    clustered = 1 + truth.alike * (size - 1)
    total = n * mean + np.sqrt(n * variance * clustered) * rng.standard_normal(n.shape)
    least, most = {"rate": (0, n), "time": (0, np.inf), "score": (n, 3 * n)}[truth.law]
    total = np.clip(np.round(total) if truth.law == "rate" else total, least, most)
    squares = total if truth.law == "rate" else n * variance + total**2 / np.maximum(n, 1)
    sums = np.stack([answers, n, total, squares, n * variance * clustered]).astype(np.float64)
    whole = np.concatenate([sums.sum(axis=2, keepdims=True), sums], axis=2)
    for grain, length in (("hour", 1), ("day", 24)):
        by_window = whole.reshape(5, HOURS // length, length, -1).sum(axis=2)
        window, slice_at = np.nonzero(by_window[1] > 0)
        population, n_of, total_of, squares_of, spread = by_window[:, window, slice_at]
        moments = Moments(
            cell_group=np.arange(len(window)),
            population=population,
            n=n_of,
            total=total_of,
            total_squares=squares_of,
            size_squares=size * n_of,
            residual_squares=spread,
            users=n_of / size,
            weight_squares=size / n_of,
            influence_squares=spread / n_of**2,
            influence_fourths=3 * spread**2 * size / n_of**5,
            lost=np.zeros(len(window)),
        )
        yield _keys(name, grain, window, slice_at), moments


def _keys(name: str, grain: str, window: np.ndarray, slice_at: np.ndarray) -> pa.Table:
    step = timedelta(hours=1 if grain == "hour" else 24)
    starts = np.datetime64(FIRST.replace(tzinfo=None), "us") + window * np.timedelta64(step)
    count = len(window)
    version = "v1" if TRUTHS[name].judged else "none"
    return pa.table(
        {
            "metric": pa.repeat(name, count),
            "judge_version": pa.repeat(version, count),
            "grain": pa.repeat(grain, count),
            "window_start": pa.array(starts, pa.timestamp("us", "UTC")),
            "slice": np.where(slice_at == 0, "all", "model"),
            "slice_value": np.array(["all", *(f"model-{number}" for number in range(len(MODELS)))])[slice_at],
            "metric_version": pa.repeat("m1", count),
            "day": pa.array(starts.astype("M8[D]"), pa.date32()),
            "days_covered": pa.nulls(count, pa.int64()),
        }
    )
