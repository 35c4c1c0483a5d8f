"""What watches of deploys find, and what they blame where nothing changed, through the product's own looks.

.venv/bin/python -m tests.calibration.deploys
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache

import numpy as np
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from onlineeval_dagster.alerts.deploy_evidence import compare, plan_looks
from onlineeval_dagster.alerts.deploy_rows import BESIDE, Counted
from onlineeval_dagster.catalog.alert_file import worse_of
from onlineeval_dagster.metrics.stage import family_of
from tests.alerts.alert_worlds import CATALOG

PER_USER = 2.5
MIDDLE = 0.5
"""A quality that misses the pass line by less than this is a 2, else a 1; a pass is a 3."""
JUDGED = ("relevance_score", "good_answers")
HOURS_BEFORE = 2 * BESIDE / timedelta(hours=1) + CATALOG.alerts.deploy_watch.minutes / 60


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """A deploy of a product with `per_hour` answers of users who ask 2.5 times (geometric), and the days before it.

    alike       share of the latent quality that is the user's own; 0.62 makes a design effect of 1.5 at half judged
    good, new_good  pass rate before, and of the new version
    new_score   mean score of the new version over that before; the pass rate follows from it
    judged, new_judged  chances of answers that nothing flags; 5 % are flagged and always judged, bad ones more often
    day_spread  by how much days differ anyway: standard deviation of the latent quality
    """

    per_hour: float
    days: int = 28
    alike: float = 0.62
    good: float = 0.8
    new_good: float = 0.8
    new_score: float = 1.0
    judged: float = 0.1
    new_judged: float = 0.5
    day_spread: float = 0.0


@dataclass(kw_only=True)
class Outcome:
    """Deploys of one kind: how many, by which rules and looks they were condemned, and how long their watches took.

    sizes  effective answers per judged one at the last look, for the design effect
    """

    world: Deployment
    runs: int = 0
    condemned: int = 0
    by_look: dict[int, int] = field(default_factory=dict)
    by_rule: dict[str, int] = field(default_factory=dict)
    effects: list[float] = field(default_factory=list)

    @property
    def share(self) -> float:
        return self.condemned / self.runs


def watched(world: Deployment, runs: int, *, rules: Sequence[str] | None = None, seed: int = 1) -> Outcome:
    """Watch `runs` deploys with the packaged rules (or some of them, with their shares as packaged)."""
    outcome, rng = Outcome(world=world), np.random.default_rng(seed)
    chosen = {name: rule for name, rule in CATALOG.alerts.after_deploys.items() if rules is None or name in rules}
    for _ in range(runs):
        rows = _Rows.of(world, rng, metrics={rule.metric for rule in chosen.values()})
        first: tuple[int, str] | None = None
        for name, rule in chosen.items():
            for minutes, planned in plan_looks(CATALOG.alerts, rule).items():
                worse = worse_of(rule, CATALOG.metrics.metrics)
                assert worse in ("up", "down")
                counted, family = rows.until(minutes, rule.metric), family_of(CATALOG, rule.metric)
                seen = compare(counted, rule, worse, family, planned, concurrent=False)
                if rule.metric == "good_answers" and minutes == 120 and seen.n:
                    outcome.effects.append(_design_effect(rows))
                if seen.beyond:
                    first = min(first or (minutes, name), (minutes, name))
                    break
        outcome.runs += 1
        if first is not None:
            outcome.condemned += 1
            outcome.by_look[first[0]] = outcome.by_look.get(first[0], 0) + 1
            outcome.by_rule[first[1]] = outcome.by_rule.get(first[1], 0) + 1
    return outcome


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """Answers of the new version (window 0) and of the windows before; a value is NaN where it was not judged."""

    window: np.ndarray
    minute: np.ndarray
    user: np.ndarray
    stratum: np.ndarray
    values: dict[str, np.ndarray]

    @classmethod
    def of(cls, world: Deployment, rng: np.random.Generator, *, metrics: set[str]) -> "_Rows":
        hours = np.array([2.0, *[HOURS_BEFORE] * world.days])
        users = rng.poisson(world.per_hour * hours / PER_USER)
        asked = rng.geometric(1 / PER_USER, users.sum())
        window = np.repeat(np.repeat(np.arange(len(hours)), users), asked)
        user = np.repeat(np.arange(len(asked)), asked)
        is_new, count = window == 0, len(user)
        own = rng.standard_normal(len(asked))[user]
        days = world.day_spread * rng.standard_normal(len(hours))
        quality = np.sqrt(world.alike) * own + np.sqrt(1 - world.alike) * rng.standard_normal(count) + days[window]
        quality += np.where(is_new, _line(world), ndtri(world.good))
        good = quality > 0
        flagged = rng.random(count) < np.where(good, 0.03, 0.15)
        chance = np.where(flagged, 1.0, np.where(is_new, world.new_judged, world.judged))
        judged = rng.random(count) < chance

        def happens(rate: float, likeness: float = 0.2) -> np.ndarray:
            latent = np.sqrt(likeness) * own + np.sqrt(1 - likeness) * rng.standard_normal(count)
            return (latent > -ndtri(rate)).astype(float)

        values = {
            "relevance_score": np.where(judged, 1.0 + good + (quality > -MIDDLE), np.nan),
            "good_answers": np.where(judged, good, np.nan),
        }
        if metrics - set(JUDGED):
            values |= {
                "latency": np.exp(6.5 + 0.3 * own + 0.5 * rng.standard_normal(count)),
                "errors": happens(0.01),
                "regenerated": happens(0.05),
                "refused_or_empty": happens(0.02),
                "thumbs_down_share": np.where(rng.random(count) < 0.1, happens(0.1), np.nan),
            }
        return cls(
            window=window, minute=rng.uniform(0, 120, count), user=user, stratum=flagged.astype(int), values=values
        )

    def until(self, minutes: int, metric: str) -> Counted:
        """The sums of a metric at a look, a part for each user and stratum, as deploy_rows.count gives them."""
        values = self.values[metric]
        counts = (self.window > 0) | (self.minute < minutes)
        if metric not in JUDGED:
            counts &= ~np.isnan(values)
        value, key = values[counts], self.user[counts] * 2 + (self.stratum[counts] if metric in JUDGED else 0)
        parts, first, at = np.unique(key, return_index=True, return_inverse=True)
        known = np.nan_to_num(value)

        def summed(weights: np.ndarray) -> np.ndarray:
            return np.bincount(at, weights=weights, minlength=len(parts))

        columns = {
            "size": summed(np.ones(len(value))),
            "judged": summed(~np.isnan(value)),
            "total": summed(known),
            "squares": summed(known**2),
            "lost": np.zeros(len(parts)),
        }
        window = self.window[counts][first]
        return Counted(window=window, stratum=parts % 2, user=parts // 2, columns=columns)


def _line(world: Deployment) -> float:
    """Where the new version's quality lies, so that its pass rate or its mean score is as told."""
    if world.new_score == 1:
        return float(ndtri(world.new_good))
    wanted = world.new_score * _score(float(ndtri(world.good)))
    return float(brentq(lambda at: _score(at) - wanted, -4, 4))


@cache
def _score(line: float) -> float:
    return 1 + float(ndtr(line)) + float(ndtr(line + MIDDLE))


def _design_effect(rows: _Rows) -> float:
    """By how much the mean of the new version's judged answers that nothing flagged varies more for its users."""
    own = (rows.window == 0) & (rows.stratum == 0) & ~np.isnan(rows.values["good_answers"])
    value, user = rows.values["good_answers"][own], rows.user[own]
    residual = np.bincount(user, weights=value - value.mean())
    return float((residual**2).sum() / (len(value) * value.var()))


WATCHING = ("deploy_judge_score", "deploy_good_answers")
FALLS = {
    "mean score 10 % lower": (300, Deployment(per_hour=1_000, new_score=0.9)),
    "pass rate 0.80 to 0.72": (300, Deployment(per_hour=1_000, new_good=0.72)),
    "the same, 30 % judged": (150, Deployment(per_hour=1_000, new_good=0.72, new_judged=0.3)),
    "the same, 7 days before": (150, Deployment(per_hour=1_000, new_good=0.72, days=7)),
}
"""By name: deploys, at 1,000 answers an hour, half of the new version's judged."""
QUIET = {
    "130 an hour": (400, Deployment(per_hour=130)),
    "1,000 an hour": (200, Deployment(per_hour=1_000)),
    "10,000 an hour, 7 days before": (60, Deployment(per_hour=10_000, days=7)),
    "1,000 an hour, the pass rate of days differs by 2.8 points": (200, Deployment(per_hour=1_000, day_spread=0.1)),
}
"""By name: deploys that changed nothing."""


def tables() -> Iterator[str]:
    """The tables of docs/alerts.md."""
    yield "| what the deploy brought | deploys | found | first by look of 15, 30, 60, 120 min | design effect |"
    yield "|---|---|---|---|---|"
    for name, (runs, world) in FALLS.items():
        done = watched(world, runs, rules=WATCHING)
        looks = ", ".join(f"{done.by_look.get(at, 0)}" for at in CATALOG.alerts.deploy_watch.looks)
        yield f"| {name} | {runs} | {done.share:.3f} | {looks} | {np.mean(done.effects or [np.nan]):.2f} |"
    yield "\n| nothing changed | deploys | blamed |\n|---|---|---|"
    for name, (runs, world) in QUIET.items():
        done = watched(world, runs)
        yield f"| {name} | {runs} | {done.condemned} |"


if __name__ == "__main__":
    for line in tables():
        print(line, flush=True)
