"""The packaged rules on weeks in which nothing happens, and on falls of a tenth: incidents a week, and how soon.

.venv/bin/python -m tests.calibration.standard_set quiet --runs 30
.venv/bin/python -m tests.calibration.standard_set falls --runs 30
"""

import argparse
import tempfile
from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np

from onlineeval_dagster.alerts.backtest import openings
from onlineeval_dagster.alerts.findings import Finding, find
from onlineeval_dagster.catalog.alert_file import MEASURED, Alerts
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.lake.delta import Lake
from tests.alerts.alert_worlds import CATALOG
from tests.calibration.quiet import (
    DAYS,
    FIRST,
    HOURS,
    RHYTHM,
    TRUTHS,
    WEEK,
    Fall,
    World,
    lake_of,
    level,
    size_met,
    variance_of,
)

TRAFFIC = (130.0, 1_000.0, 100_000.0)
JUDGING = 0.10
WARM_DAYS, FULL_DAYS = 7, 28
NOW = FIRST + timedelta(days=DAYS)


def watched() -> Catalog:
    """The packaged rules, those over metrics looking at every model as well: 50 series, and the two over checks."""
    rules = {
        name: rule if rule.metric in MEASURED else rule.model_copy(update={"slices": ("all", "model")})
        for name, rule in CATALOG.alerts.rules.items()
    }
    return replace(CATALOG, alerts=Alerts(budget=CATALOG.alerts.budget, rules=rules))


@dataclass(frozen=True, kw_only=True)
class Quiet:
    """Incidents opened in quiet weeks: in the three after the first one, and in the four with four weeks of history."""

    runs: int
    young: int
    grown: int
    by_rule: Counter[str]

    @property
    def young_weeks(self) -> float:
        return self.runs * (FULL_DAYS - WARM_DAYS) / 7

    @property
    def grown_weeks(self) -> float:
        return self.runs * (DAYS - FULL_DAYS) / 7


def fired(world: World, catalog: Catalog) -> list[Finding]:
    """What fires in the whole life of a world, by the way that the product takes from its points on."""
    with tempfile.TemporaryDirectory() as folder:
        lake = lake_of(Lake(Path(folder) / "lake"), catalog, world)
        found = find(lake, catalog, now=NOW, begin=FIRST, checks_begin=FIRST)
    return [one for one in found if one.fired_at is not None]


def quiet(an_hour: float, *, runs: int, first: int = 0) -> Quiet:
    """Incidents of `runs` quiet worlds."""
    catalog, since = watched(), FIRST + timedelta(days=FULL_DAYS)
    together = timedelta(minutes=catalog.alerts.budget.together_minutes)
    young = grown = 0
    by_rule: Counter[str] = Counter()
    for run in range(first, first + runs):
        found = fired(World(an_hour=an_hour, judging=JUDGING, seed=run), catalog)
        opened = openings(found, together)
        grown += sum(at >= since for at in opened)
        young += sum(at < since for at in opened)
        by_rule.update(f"{one.rule} by {one.grain}" for one in found)
    return Quiet(runs=runs, young=young, grown=grown, by_rule=by_rule)


@dataclass(frozen=True, kw_only=True)
class Found:
    """Hours of looks until nine of ten falls were seen, by the packaged rules and by the best CUSUM; and the share that
    the rules saw within a week."""

    rules: float
    best: float
    seen: float


def falls(metric: str, an_hour: float, judging: float, *, runs: int) -> Found:
    """Falls of a tenth at any hour of a Wednesday or Thursday, nothing else known of them."""
    catalog = watched()
    ours, best = np.full(runs, np.inf), np.full(runs, np.inf)
    limit = best_limit(metric, an_hour, judging)
    for run in range(runs):
        rng = np.random.default_rng([run, 7])
        hour = 24 * (FULL_DAYS + 16) + int(rng.integers(0, 48))
        fall = Fall(hour=hour, factor=0.9, metrics=(metric,))
        found = fired(World(an_hour=an_hour, judging=judging, seed=1_000 + run, fall=fall, metrics=(metric,)), catalog)
        since = FIRST + timedelta(hours=hour)
        delays = [_looked(one, catalog) - since for one in found if one.metric == metric]
        late = [delay / timedelta(hours=1) for delay in delays if delay > timedelta()]
        ours[run] = min(late, default=np.inf)
        best[run] = cusum_hours(shifts(metric, an_hour, judging)[hour:], limit, rng)
    return Found(
        rules=float(np.quantile(ours, 0.9, method="higher")),
        best=float(np.quantile(best, 0.9, method="higher")),
        seen=float((ours <= 168).mean()),
    )


def _looked(one: Finding, catalog: Catalog) -> datetime:
    """When a finding could have fired if nobody had to wait for late checks, which the best CUSUM does not either."""
    assert one.fired_at is not None
    return one.fired_at - timedelta(minutes=catalog.alerts.rules[one.rule].wait_minutes)


def shifts(metric: str, an_hour: float, judging: float) -> np.ndarray:
    """By how many standard errors each hour's mean falls, its true error and mean known."""
    traffic = an_hour * RHYTHM[np.arange(HOURS) % 24] * WEEK[np.arange(HOURS) // 24 % 7]
    mean = level(metric, np.arange(HOURS), None)
    variance = np.maximum(variance_of(metric, mean), 1e-12)
    clustered = 1 + TRUTHS[metric].alike * (size_met(metric, judging) - 1)
    return 0.1 * mean * np.sqrt(traffic * judging / (variance * clustered))


def cusum_hours(shift: np.ndarray, limit: float, rng: np.random.Generator) -> float:
    """Hours until a CUSUM of log likelihood ratios, which knows the fall's size, crosses its limit."""
    total = 0.0
    for hour, one in enumerate(shift):
        total = max(total + one * (rng.standard_normal() + one) - one**2 / 2, 0.0)
        if total >= limit:
            return hour + 1.0
    return np.inf


@lru_cache
def best_limit(metric: str, an_hour: float, judging: float, *, streams: int = 400, weeks: int = 50) -> float:
    """The limit at which it raises a false alarm in 50 weeks: one of 50 series, at one a week for all of them."""
    shift = shifts(metric, an_hour, judging)
    noise = np.random.default_rng(5)
    totals, peaks = np.zeros(streams), []
    for hour in range(168 * weeks):
        one = shift[hour % HOURS]
        totals = np.maximum(totals + one * noise.standard_normal(streams) - one**2 / 2, 0.0)
        peaks.append(totals.copy())
    # Excursions above a limit begin once each 50 weeks of a stream: the limit is the quantile of weekly maxima.
    highest = np.array(peaks).reshape(weeks, 168, streams).max(axis=1)
    return float(np.quantile(highest, 1 - 1 / weeks))


def print_falls(traffic: list[float], runs: int) -> None:
    print("| metric | answers an hour | judged | rules | best CUSUM | ratio | seen in a week |")
    print("|---|---|---|---|---|---|---|")
    for metric in ("relevance_score", "good_answers"):
        for an_hour in traffic:
            for judging in (0.1, 0.5):
                row = falls(metric, an_hour, judging, runs=runs)
                print(
                    f"| {metric} | {an_hour:,.0f} | {judging:.0%} | {row.rules:.0f} h | {row.best:.0f} h | "
                    f"{row.rules / row.best:.2f} | {row.seen:.0%} |",
                    flush=True,
                )


def print_quiet(traffic: list[float], runs: int) -> None:
    print("| answers an hour | weeks | incidents a week, weeks 5–8 | weeks 2–4 |\n|---|---|---|---|")
    for an_hour in traffic:
        row = quiet(an_hour, runs=runs)
        rates = [
            f"{count / weeks:.2f} ± {max(count, 1) ** 0.5 / weeks:.2f}"
            for count, weeks in ((row.grown, row.grown_weeks), (row.young, row.young_weeks))
        ]
        print(f"| {an_hour:,.0f} | {row.grown_weeks:.0f} | {rates[0]} | {rates[1]} |", flush=True)
        print(f"<!-- {dict(row.by_rule.most_common())} -->", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.calibration.standard_set", description=__doc__)
    parser.add_argument("what", choices=["quiet", "falls"])
    parser.add_argument("--runs", type=int, default=30)
    parser.add_argument("--traffic", type=float, nargs="*", default=list(TRAFFIC))
    asked = parser.parse_args()
    (print_quiet if asked.what == "quiet" else print_falls)(asked.traffic, asked.runs)
