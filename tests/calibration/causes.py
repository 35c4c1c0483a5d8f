"""Which deploy did it: incidents whose cause is known, through the rules, the rhythm and the weighing of the product.

.venv/bin/python -m tests.calibration.causes
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from onlineeval_dagster.alerts.budget import Allowance
from onlineeval_dagster.alerts.cells import Hours, Pieces, cells_of
from onlineeval_dagster.alerts.episodes import Episode, episodes
from onlineeval_dagster.alerts.evidence import Looks, judge
from onlineeval_dagster.alerts.mechanisms import Sums, explained_by, explained_by_mix
from onlineeval_dagster.alerts.onset import EXPLAINED, OLDER, Cells, named, weigh
from onlineeval_dagster.catalog.alert_file import Rule
from onlineeval_dagster.metrics.detrend import Detrended, detrend

DAYS, FIRST_SEEN = 36, 28
"""Days of a series; from FIRST_SEEN on its answers are made one by one, before only its points by hour."""
HOURS, SEEN = 24 * DAYS, 24 * (DAYS - FIRST_SEEN)
LEVEL, ASKED, ALIKE = 0.8, 3, 0.25
"""Share of good answers; answers of one visit; how alike those of one user are: a design effect of 1.5."""
DEFF = 1 + (ASKED - 1) * ALIKE
RULE = Rule(title="Fewer good answers", owner="team:a", kind="change_point", metric="good_answers", limit=0.02)
PART = Allowance(chance=1 / (10 * 168))
"""The rule may raise one false alarm in ten weeks."""
OPENS, CLOSES = 8, 20
"""Deploys are made in these hours, and the rate is that of these hours."""
BACK, AFTER = 48, 18
"""Hours looked at before it began, and after its alert fired: it is looked at until then (alerts/blame.py)."""
RARE, OFTEN, BAD = 0.01, 0.3, 0.2
"""Share of answers that fail, before an upstream fault and during it; share of these that are good."""
FEW, MANY, HARD = 0.1, 0.5, 0.75
"""Share of users of another language, before a campaign and after; how good their answers are, of the usual."""


@dataclass(frozen=True, kw_only=True)
class World:
    """An incident: hourly effective answers, when it begins (hour), deploys (hours) and which of them did it.

    fall  of the share of good answers, at each time;  kind  what else goes on: answers fail upstream, or others ask
    """

    rate: float
    began: float
    deploys: np.ndarray
    guilty: int | None
    fall: Callable[[np.ndarray], np.ndarray]
    kind: Literal["fall", "upstream", "mix"] = "fall"


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Its answers: time in hours since FIRST_SEEN, user, whether it was good, and whether it failed or was foreign."""

    time: np.ndarray
    user: np.ndarray
    good: np.ndarray
    marked: np.ndarray


def profile(hour: np.ndarray) -> np.ndarray:
    """Traffic by hour of the day, mean 1 in working hours: nights have a tenth of noon."""
    return (1 + 0.8 * np.sin((hour % 24 - 8) / 24 * 2 * np.pi)) / (1 + 0.8 * 2 / np.pi)


def rhythm(hour: np.ndarray) -> np.ndarray:
    return 0.02 * np.sin(hour % 24 / 24 * 2 * np.pi)


def deploys_around(rng: np.random.Generator, began: float, *, low: float, high: float) -> np.ndarray:
    """Others before and after `began`, `low` to `high` hours from one to the next, in working hours alone."""
    after = began + rng.uniform(low, high, size=int(40 / low) + 1).cumsum()
    before = began - rng.uniform(low, high, size=int(80 / low) + 1).cumsum()
    around = np.concatenate([before[::-1], after])
    return around[(around % 24 >= OPENS) & (around % 24 < CLOSES)]


def answers_of(world: World, rng: np.random.Generator) -> Seen:
    """Users of a pool come back over the days; each asks three times within some minutes."""
    visits = world.rate * DEFF / ASKED
    count = rng.poisson(visits * profile(np.arange(SEEN)))
    start = np.repeat(np.arange(SEEN), count) + rng.random(count.sum())
    pool = rng.beta(*(part * (1 / ALIKE - 1) for part in (LEVEL, 1 - LEVEL)), size=int(40 * world.rate))
    user = rng.integers(0, len(pool), size=len(start))
    time = np.repeat(start, ASKED) + np.tile([0.0, 0.03, 0.08], len(start))
    user = np.repeat(user, ASKED)
    chance = pool[user] * (1 + (rhythm(time) - world.fall(time)) / LEVEL)
    late = time >= world.began
    share = {"fall": 0.0 * late, "upstream": np.where(late, OFTEN, RARE), "mix": np.where(late, MANY, FEW)}[world.kind]
    # A visit is of one language; each answer fails for itself.
    drawn = np.repeat(rng.random(len(start)), ASKED) if world.kind == "mix" else rng.random(len(time))
    marked = drawn < share
    chance = np.where(marked, BAD if world.kind == "upstream" else HARD * chance, chance)
    order = time.argsort(kind="stable")
    good = (rng.random(len(time)) < np.clip(chance, 0, 1)).astype(float)
    return Seen(time=time[order], user=user[order], good=good[order], marked=marked[order])


def points_of(seen: Seen, world: World, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Value, standard error and answers of each hour of the whole series."""
    past = np.arange(HOURS - SEEN)
    wobble = np.repeat(rng.normal(0, 0.003, DAYS), 24)
    n_past = rng.poisson(world.rate * DEFF * profile(past)).astype(float)
    error_past = np.sqrt(LEVEL * (1 - LEVEL) * DEFF / np.maximum(n_past, 1))
    usual = {"fall": 1.0, "upstream": 1 - RARE * (1 - BAD / LEVEL), "mix": 1 - FEW * (1 - HARD)}[world.kind]
    value_past = (LEVEL + rhythm(past)) * usual + wobble[: len(past)] + rng.normal(0, error_past)
    hour = np.minimum(seen.time.astype(int), SEEN - 1)
    n = np.bincount(hour, minlength=SEEN).astype(float)
    value = np.bincount(hour, weights=seen.good, minlength=SEEN) / np.maximum(n, 1)
    _, group = np.unique(hour * 10_000_000 + seen.user, return_inverse=True)
    totals = np.bincount(group, weights=seen.good - value[hour])
    of_hour = np.zeros(len(totals), dtype=int)
    of_hour[group] = hour
    error = np.sqrt(np.bincount(of_hour, weights=totals**2, minlength=SEEN)) / np.maximum(n, 1)
    few = n < 20
    value, error = np.where(few, np.nan, value), np.where(few, np.nan, error)
    few_past = n_past < 20
    return (
        np.concatenate([np.where(few_past, np.nan, value_past), value]),
        np.concatenate([np.where(few_past, np.nan, error_past), error]),
        np.concatenate([n_past, n]),
    )


def first_episode(
    points: tuple[np.ndarray, ...], left: Detrended, at: int, began: float
) -> tuple[Episode, float] | None:
    """The alert that the fall raises within four days, and how large it is then; None where none does."""
    value, error, n = (part[None] for part in points)
    looks = Looks(
        value=value,
        low=value - 1.96 * error,
        high=value + 1.96 * error,
        n=n,
        n_effective=n / DEFF,
        expected=left.expected[at].ravel()[None],
        standardised=left.standardised[at].ravel()[None],
        history_days=np.repeat(left.history_days[at].astype(float), 24)[None],
        slots=24,
        is_share=True,
    )
    for one in episodes(judge(RULE, "down", looks, PART), confirm=1, recover=3):
        if one.fired is not None and began - 1 <= one.fired <= began + 96:
            return one, abs(float(looks.value[0, one.fired] - looks.expected[0, one.fired]))
    return None


def verdict_of(world: World, seen: Seen, points: tuple[np.ndarray, ...], left: Detrended, at: int) -> list[int] | None:
    """The deploys that are named; None where no rule saw the incident."""
    found = first_episode(points, left, at, world.began + HOURS - SEEN)
    if found is None:
        return None
    episode, size = found
    assert episode.fired is not None
    first, end = max(episode.began - BACK, HOURS - SEEN), min(episode.fired + 1 + AFTER, HOURS)
    begin, until = first - (HOURS - SEEN), end - (HOURS - SEEN)
    started = episode.began - (HOURS - SEEN)
    suspects = np.flatnonzero((world.deploys >= begin) & (world.deploys < until))
    inside = (seen.time >= begin) & (seen.time < until)
    near = Seen(time=seen.time[inside], user=seen.user[inside], good=seen.good[inside], marked=seen.marked[inside])
    known = [part[first:end] for part in (left.expected[at].ravel(), points[1], left.scale[at].ravel())]
    hours = Hours(expected=known[0], error=known[1], scale=known[2])

    def cells(value: np.ndarray, hours: Hours, *, size: float, sign: int) -> Cells:
        return cells_of(pieces_of(near, value, world.deploys[suspects], begin), hours, size=size, sign=sign)

    series = [cells(near.good, hours, size=size, sign=-1)]
    late = near.time >= started
    change = float(near.good[late].mean() - near.good[~late].mean())
    nothing = OLDER
    if world.kind == "mix":
        above = mix_of(near, late, change)
        if above is not None:
            series = [cells(near.good - above[near.marked.astype(int)], hours, size=size, sign=-1)]
            nothing = EXPLAINED
    if world.kind == "upstream" and failures_explain(near, late, change, begin):
        rise = float(near.marked[late].mean() - near.marked[~late].mean())
        unknown = np.full(end - first, np.nan)
        own = Hours(expected=unknown, error=unknown, scale=unknown)
        series.append(cells(near.marked.astype(float), own, size=max(rise, 1e-6), sign=1))
    return [int(suspects[one]) for one in named(weigh(series, minutes=60.0 * (until - begin), nothing=nothing))]


def pieces_of(near: Seen, value: np.ndarray, deploys: np.ndarray, begin: float) -> Pieces:
    """Answers by minute and by the deploys before them."""
    minute = np.floor((near.time - begin) * 60)
    mask = (near.time[None] >= deploys[:, None]).sum(axis=0)
    _, group, count = np.unique(minute * 1000 + mask, return_inverse=True, return_counts=True)
    of_minute, of_mask = np.zeros(len(count)), np.zeros(len(count))
    of_minute[group], of_mask[group] = minute, mask
    return Pieces(
        minute=of_minute,
        weight=count.astype(float),
        mean=np.bincount(group, weights=value) / count,
        touched=of_mask[None] > np.arange(len(deploys))[:, None],
    )


def failures_explain(near: Seen, late: np.ndarray, change: float, begin: float) -> bool:
    hour, x, y = (near.time - begin).astype(int), near.marked.astype(float), near.good
    n = np.bincount(hour).astype(float)
    products = {"x": x, "y": y, "xx": x * x, "xy": x * y, "yy": y * y}
    sums = Sums(n=n, weight=n, **{name: np.bincount(hour, weights=part) for name, part in products.items()})
    part = explained_by(sums, rise=float(x[late].mean() - x[~late].mean()), change=change)
    return part is not None and part.enough


def mix_of(near: Seen, late: np.ndarray, change: float) -> np.ndarray | None:
    """What each language lies above the mean, where their mix explains the fall."""
    groups = [near.marked == which for which in (False, True)]
    now, before = (np.array([(part & when).sum() for part in groups], dtype=float) for when in (late, ~late))
    values = [near.good[part & ~late] for part in groups]
    means = np.array([part.mean() for part in values])
    spread = np.array([part.var(ddof=1) / len(part) for part in values])
    part = explained_by_mix(now, before, means, spread, change=change)
    return means - np.average(means, weights=before) if part is not None and part.enough else None


@dataclass(frozen=True, kw_only=True)
class Counted:
    """Of `incidents` that were raised: `right` named alone, `held` in the set that is named, `blamed` any deploy."""

    incidents: int
    right: int
    held: int
    blamed: int
    size: float


def counted(worlds: list[World], rng: np.random.Generator) -> Counted:
    seen = [answers_of(world, rng) for world in worlds]
    points = [points_of(*pair, rng) for pair in zip(seen, worlds, strict=True)]
    grid = [np.array([part[index] for part in points]).reshape(len(worlds), DAYS, 24) for index in range(2)]
    left = detrend(grid[0], np.arange(DAYS) % 7, error=grid[1])
    all_said = [verdict_of(world, seen[at], points[at], left, at) for at, world in enumerate(worlds)]
    said = [(world, found) for world, found in zip(worlds, all_said, strict=True) if found is not None]
    return Counted(
        incidents=len(said),
        right=sum(found == [world.guilty] for world, found in said),
        held=sum(world.guilty in found for world, found in said),
        blamed=sum(bool(found) for _, found in said),
        size=float(np.mean([len(found) for _, found in said if found] or [0])),
    )


def a_step(began: float, size: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda time: size * (time >= began)


def a_slope(began: float, size: float, hours: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda time: size * np.clip((time - began) / hours, 0, 1)


def working_time(rng) -> float:
    return 24 * rng.integers(3, 6) + rng.uniform(OPENS, CLOSES)


def by_a_deploy(rng, *, rate, low, high, size=0.08) -> World:
    began = working_time(rng)
    others = deploys_around(rng, began, low=low, high=high)
    deploys = np.sort(np.append(others, began))
    guilty = int(np.searchsorted(deploys, began))
    return World(rate=rate, began=began, deploys=deploys, guilty=guilty, fall=a_step(began, size))


def by_nobody(rng, *, low, high, rate=100, size=0.08, hours=0.0, kind="fall") -> World:
    """What is no deploy's work begins at any time between two of them."""
    began = working_time(rng)
    deploys = deploys_around(rng, began - rng.uniform(0, low), low=low, high=high)
    fall = a_slope(began - hours / 2, size, hours) if hours else a_step(began, size if kind == "fall" else 0.0)
    return World(rate=rate, began=began, deploys=deploys, guilty=None, fall=fall, kind=kind)


NEAR, A_DAY = {"low": 4, "high": 8}, {"low": 20, "high": 28}
SCENARIOS: dict[str, Callable[[np.random.Generator], World]] = {
    "100/h, 4–8 h apart, 0.80 to 0.64": lambda rng: by_a_deploy(rng, rate=100, **NEAR, size=0.16),
    "100/h, 4–8 h apart, 0.80 to 0.72": lambda rng: by_a_deploy(rng, rate=100, **NEAR),
    "500/h, 1–2 h apart, 0.80 to 0.72": lambda rng: by_a_deploy(rng, rate=500, low=1, high=2),
    "100/h, ½–2 h apart, 0.80 to 0.64": lambda rng: by_a_deploy(rng, rate=100, low=0.5, high=2, size=0.16),
    "500/h, 10–40 min apart, 0.80 to 0.72": lambda rng: by_a_deploy(rng, rate=500, low=1 / 6, high=2 / 3),
    "none, upstream fails, deploys 4–8 h apart": lambda rng: by_nobody(rng, **NEAR, kind="upstream"),
    "none, another mix, deploys 4–8 h apart": lambda rng: by_nobody(rng, **NEAR, kind="mix"),
    "none, drift over 72 h, deploys 4–8 h apart": lambda rng: by_nobody(rng, **NEAR, hours=72),
    "none, drift over 24 h, deploys 4–8 h apart": lambda rng: by_nobody(rng, **NEAR, hours=24),
    "none, sudden and unmarked, a deploy a day": lambda rng: by_nobody(rng, **A_DAY),
    "none, sudden and unmarked, deploys 4–8 h apart": lambda rng: by_nobody(rng, **NEAR),
}


def all_counted(runs: int, *, seed: int, names: Iterable[str] = SCENARIOS) -> Iterator[tuple[str, Counted]]:
    for name in names:
        rng = np.random.default_rng([seed, list(SCENARIOS).index(name)])
        yield name, counted([SCENARIOS[name](rng) for _ in range(runs)], rng)


if __name__ == "__main__":
    print("| incidents | raised | right one alone | right one among the named | any blamed | named |")
    print("|---|---|---|---|---|---|")
    for name, row in all_counted(100, seed=2026):
        of = [f"{100 * part / row.incidents:.1f} %" for part in (row.right, row.held, row.blamed)]
        right, held = of[:2] if name[:4] != "none" else ("–", "–")
        print(f"| {name} | {row.incidents} | {right} | {held} | {of[2]} | {row.size:.1f} |", flush=True)
