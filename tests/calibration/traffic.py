"""Traffic whose truth is known, row by row: users, sessions and responses with a latent quality.

Quality of a response = sqrt(user_share) u_user + sqrt(session_share) v_session + sqrt(rest) e, all standard normal:
`user_share` is the intra-class correlation of the quality within users. A response passes when quality + shift of its
stratum > 0; bad users are flagged more often, so that strata, users and outcomes all hang together. The shifts are
solved by quadrature, so the superpopulation's pass rate is exact, not itself simulated.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """One window's traffic: `users` active users with `per_user` responses each on average.

    judged_rate    share of the normal responses that is judged; the flagged always are. 1: one stratum, all judged
    middle         score 2 when the quality misses the pass line by less than this, else 1 (a pass scores 3)
    """

    users: int
    sessions_per_user: float = 1.0
    responses_per_session: float = 2.5
    pass_rate: float = 0.9
    flagged_share: float = 0.05
    flagged_pass_rate: float = 0.4
    judged_rate: float = 0.05
    user_share: float = 0.2
    session_share: float = 0.1
    flag_share: float = 0.2
    middle: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Eligible responses of `windows` independent windows; `value` is NaN where not judged, `truth` never is."""

    window: NDArray[np.int64]
    stratum: NDArray[np.int64]
    user: NDArray[np.int64]
    truth: NDArray[np.float64]
    value: NDArray[np.float64]


def simulate(traffic: Traffic, windows: int, rng: np.random.Generator, *, scores: bool = False) -> Rows:
    """Draw `windows` independent windows: passes 0/1, or scores 1 to 3."""
    active = rng.poisson(traffic.users, windows)
    sessions = 1 + _overdispersed(traffic.sessions_per_user - 1, active.sum(), rng)
    responses = rng.geometric(1 / traffic.responses_per_session, sessions.sum())
    user_of_session = np.repeat(np.arange(len(sessions)), sessions)
    session = np.repeat(np.arange(len(responses)), responses)
    user = user_of_session[session]
    window = np.repeat(np.arange(windows), active)[user]

    liking = rng.standard_normal(len(sessions), dtype=np.float32)
    mood = rng.standard_normal(len(responses), dtype=np.float32)
    noise = rng.standard_normal(len(user), dtype=np.float32)
    rest = 1 - traffic.user_share - traffic.session_share
    quality = np.sqrt(traffic.user_share) * liking[user] + np.sqrt(rest) * noise
    quality += np.sqrt(traffic.session_share) * mood[session]
    flagged = rng.random(len(user), dtype=np.float32) < _flag_chance(traffic, liking)[user]

    quality += np.where(flagged, shift(traffic, flagged=True), shift(traffic, flagged=False))
    truth = (quality > 0).astype(np.float64)
    if scores:
        truth += 1 + (quality > -traffic.middle)
    everything = traffic.judged_rate >= 1
    judged = flagged | (rng.random(len(user), dtype=np.float32) < traffic.judged_rate)
    value = truth if everything else np.where(judged, truth, np.nan)
    stratum = np.zeros(len(user), dtype=np.int64) if everything else flagged.astype(np.int64)
    return Rows(window=window, stratum=stratum, user=user, truth=truth, value=value)


def true_mean(traffic: Traffic, *, scores: bool = False) -> float:
    """The superpopulation's pass rate or mean score, exactly."""
    if not scores:
        return traffic.pass_rate
    not_bad = sum(
        share * float(_pass_chance(traffic, shift(traffic, flagged=flagged) + traffic.middle, flagged=flagged))
        for flagged, share in ((True, traffic.flagged_share), (False, 1 - traffic.flagged_share))
    )
    return 1 + traffic.pass_rate + not_bad


@cache
def shift(traffic: Traffic, *, flagged: bool) -> float:
    """The stratum's shift of quality that makes its pass rate, and so the whole one, as stated."""
    share = traffic.flagged_share
    rest = (traffic.pass_rate - share * traffic.flagged_pass_rate) / (1 - share)
    wanted = traffic.flagged_pass_rate if flagged else rest
    return float(brentq(lambda at: _pass_chance(traffic, at, flagged=flagged) - wanted, -9, 9, xtol=1e-12))


def _pass_chance(traffic: Traffic, at: float, *, flagged: bool) -> float:
    chance = _flag_chance(traffic, NODES)
    weights = WEIGHTS * (chance if flagged else 1 - chance)
    passing = ndtr((at + np.sqrt(traffic.user_share) * NODES) / np.sqrt(1 - traffic.user_share))
    return float((weights * passing).sum() / weights.sum())


def _flag_chance(traffic: Traffic, liking: NDArray) -> NDArray:
    bar = ndtri(traffic.flagged_share) - np.sqrt(traffic.flag_share) * liking
    return ndtr(bar / np.sqrt(1 - traffic.flag_share))


def _overdispersed(mean: float, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
    # Negative binomial of shape 1/2: most users come once, a few very often (variance = mean + 2 mean^2).
    return rng.negative_binomial(0.5, 0.5 / (0.5 + mean), size) if mean > 0 else np.zeros(size, dtype=np.int64)
