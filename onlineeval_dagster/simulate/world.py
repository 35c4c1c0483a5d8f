"""The simulated shop: who comes when, which answers are good, and when a deploy makes them worse."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlineeval_dagster.errors import SettingsError
from onlineeval_dagster.simulate.texts import QUALITIES

DAY_SECONDS = 86_400
HOURS = np.array([2, 1, 1, 1, 1, 2, 4, 7, 10, 12, 12, 11, 11, 11, 10, 10, 11, 12, 13, 14, 13, 10, 7, 4], dtype=float)
WEEKDAYS = np.array([1.15, 1.1, 1.06, 1.04, 1.0, 0.8, 0.85])
USUAL = np.array([0.30, 0.22, 0.22, 0.26])
AFTER_REGRESSION = np.array([0.25, 0.42, 0.15, 0.18])  # the worse prompt is above all overcautious
SESSIONS_A_DAY = 1.35
STAGING_SHARE = 0.015


@dataclass(frozen=True, kw_only=True)
class World:
    """What is simulated. Two equal worlds give the same traffic, byte for byte.

    start              midnight UTC of the first day; the period ends `days` later
    daily_users        users on an average day, out of `population`
    pass_rate          chance that an answer is good before the regression, in (0, 1)
    regression         by how much the last deploy lowers it; 0 plants none
    user_share, session_share   of the variance of the latent quality. 0.42 and 0.2 at a pass rate of 0.87 make
                       good/bad correlate by 0.2 or more within a user and 0.3 or more within a session
    """

    days: int
    start: datetime
    seed: int = 1
    daily_users: int = 800
    population: int = 2_400
    responses_per_day: int = 3_200
    pass_rate: float = 0.87
    regression: float = 0.10
    user_share: float = 0.42
    session_share: float = 0.20

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.start.astimezone(UTC).time() != datetime.min.time():
            raise SettingsError(f"simulate: start must be midnight UTC, got {self.start}; add a zone, drop the time")
        if self.days < 1:
            raise SettingsError(f"simulate: days must be at least 1, got {self.days}")
        if not 0 < self.pass_rate - self.regression <= self.pass_rate < 1:
            raise SettingsError(
                f"simulate: pass_rate {self.pass_rate} less regression {self.regression} must stay in (0, 1)"
            )
        if not 1 <= self.daily_users <= self.population // 2:
            raise SettingsError(f"simulate: daily_users {self.daily_users} of {self.population}; at most half may come")

    @property
    def end(self) -> datetime:
        return self.start + timedelta(days=self.days)

    @property
    def p2_at(self) -> datetime:
        return self.start + timedelta(days=int(self.days * 0.3), hours=9, minutes=30)

    @property
    def release_at(self) -> datetime:
        return self.start + timedelta(days=int(self.days * 0.5), hours=11)

    @property
    def p3_at(self) -> datetime:
        """When the deploy goes out that plants the regression: day 10 of 14, 14:00."""
        return self.start + timedelta(days=self.days * 10 // 14, hours=14)


@dataclass(frozen=True, kw_only=True)
class Served:
    """The responses of the whole period as columns of equal length, in order of time.

    seconds   since the start of the period        day      the day its session began, which is made as one piece
    user      number of the user; staging has -1   session  number of the session        turn  from 0
    quality   index into QUALITIES                 rate     the chance it had of being good
    """

    seconds: NDArray[np.float64]
    day: NDArray[np.int64]
    user: NDArray[np.int64]
    session: NDArray[np.int64]
    turn: NDArray[np.int64]
    last_turn: NDArray[np.bool_]
    new_user: NDArray[np.bool_]
    rate: NDArray[np.float64]
    quality: NDArray[np.int64]

    @cached_property
    def production(self) -> NDArray[np.bool_]:
        return self.user >= 0

    @cached_property
    def good(self) -> NDArray[np.bool_]:
        return self.quality == QUALITIES.index("good")


def serve(world: World) -> Served:
    """Draw when each response is served, to whom, and how good it is. The same world gives the same draw."""
    rng = np.random.default_rng([world.seed, world.days, 0])
    visits = _sessions(world, rng)
    columns = _turns(visits, rng)
    columns = _with_staging(world, columns, rng)
    # A minute before the end at the latest, so that every response also arrives within the period.
    kept = columns["seconds"] < world.days * DAY_SECONDS - 60
    order = np.argsort(columns["seconds"][kept], kind="stable")
    columns = {name: column[kept][order] for name, column in columns.items()}
    return Served(**columns, **_qualities(world, columns, rng))


def intraclass_correlation(outcomes: NDArray[np.bool_], groups: NDArray[np.int64]) -> float:
    """How alike outcomes of one group are: the one-way ANOVA estimate of the ICC (Donner & Koval 1980)."""
    _, group = np.unique(groups, return_inverse=True)
    size = np.bincount(group).astype(float)
    mean = np.bincount(group, weights=outcomes) / size
    k, total, overall = len(size), float(size.sum()), float(outcomes.mean())
    between = float((size * (mean - overall) ** 2).sum()) / (k - 1)
    within = float((size * mean * (1 - mean)).sum()) / (total - k)
    typical = (total - float((size**2).sum()) / total) / (k - 1)
    return (between - within) / (between + (typical - 1) * within)


def _sessions(world: World, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Sessions of all days: who, the start in seconds, and how many turns."""
    activity = rng.gamma(2.0, size=world.population)
    joined = np.where(rng.random(world.population) < 0.35, rng.uniform(0, world.days, world.population), -1.0)
    rhythm = WEEKDAYS * 7 / WEEKDAYS.sum()
    users, days = [], []
    for day in range(world.days):
        weight = activity * (joined <= day)
        wanted = world.daily_users * rhythm[(world.start.weekday() + day) % 7] * rng.lognormal(0, 0.02)
        chosen = rng.choice(world.population, size=int(wanted), replace=False, p=weight / weight.sum())
        users.append(np.repeat(chosen, 1 + rng.poisson(SESSIONS_A_DAY - 1, size=len(chosen))))
        days.append(np.full(len(users[-1]), day))
    user, day = np.concatenate(users), np.concatenate(days)
    hour = rng.choice(24, size=len(user), p=HOURS / HOURS.sum())
    begins = day * DAY_SECONDS + (hour + rng.random(len(user))) * 3600
    order = np.argsort(begins, kind="stable")
    user, day, begins = user[order], day[order], begins[order]
    first = np.zeros(len(user), dtype=bool)
    first[np.unique(user, return_index=True)[1]] = True
    mean_turns = world.responses_per_day / (world.daily_users * SESSIONS_A_DAY)
    turns = rng.geometric(1 / max(1.0, mean_turns), size=len(user))
    return {"user": user, "day": day, "begins": begins, "turns": turns, "new_user": first & (joined[user] >= 0)}


def _turns(visits: dict[str, NDArray[Any]], rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    turns = visits["turns"]
    session = np.repeat(np.arange(len(turns)), turns)
    opening = np.repeat(np.cumsum(turns) - turns, turns)
    turn = np.arange(len(session)) - opening
    gaps = np.where(turn == 0, 0.0, 15 + rng.lognormal(4.2, 0.7, size=len(session)))  # about 80 s to read and type
    waited = np.cumsum(gaps)
    return {
        "seconds": visits["begins"][session] + waited - waited[opening],
        "day": visits["day"][session],
        "user": visits["user"][session],
        "session": session,
        "turn": turn,
        "last_turn": turn == turns[session] - 1,
        "new_user": visits["new_user"][session],
    }


def _with_staging(world: World, columns: dict[str, NDArray[Any]], rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Add a little traffic of a test environment, much worse than production: a metric that counts it shows it."""
    count = int(len(columns["seconds"]) * STAGING_SHARE)
    seconds = rng.uniform(0, world.days * DAY_SECONDS, size=count)
    staging = {
        "seconds": seconds,
        "day": (seconds // DAY_SECONDS).astype(int),
        "user": np.full(count, -1),
        "session": columns["session"].max() + 1 + np.arange(count),
        "turn": np.zeros(count, dtype=int),
        "last_turn": np.ones(count, dtype=bool),
        "new_user": np.zeros(count, dtype=bool),
    }
    return {name: np.concatenate([column, staging[name]]) for name, column in columns.items()}


def _qualities(world: World, columns: dict[str, NDArray[Any]], rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """Good where a standard normal latent, shared within user and session, stays below its quantile of the rate."""
    normal = NormalDist()
    levels = np.array([normal.inv_cdf((i + 0.5) / world.population) for i in range(world.population)])
    of_user = rng.permutation(levels)[columns["user"]]
    of_session = rng.standard_normal(int(columns["session"].max()) + 1)[columns["session"]]
    own = rng.standard_normal(len(of_user))
    rest = 1 - world.user_share - world.session_share
    latent = np.sqrt(world.user_share) * of_user + np.sqrt(world.session_share) * of_session + np.sqrt(rest) * own
    worse = columns["seconds"] >= (world.p3_at - world.start).total_seconds()
    rate = np.where(worse, world.pass_rate - world.regression, world.pass_rate)
    rate = np.where(columns["user"] >= 0, rate, 0.5)
    limits = {value: normal.inv_cdf(value) for value in np.unique(rate).tolist()}
    good = latent < np.array([limits[value] for value in rate.tolist()])
    overcautious = worse & (world.regression > 0)
    usual, cautious = (1 + rng.choice(4, size=len(good), p=p) for p in (USUAL, AFTER_REGRESSION))
    return {"rate": rate, "quality": np.where(good, 0, np.where(overcautious, cautious, usual))}
