"""How often the intervals of agreement hold the truth: AUCs and rank correlations of scores with a known one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.signals.agreement import auc, rank_correlation
from tests.calibration.coverage import Coverage

Sample = tuple[NDArray, NDArray, NDArray | None]
"""Scores, positives, and the rows' users where rows of one user are alike."""

TRUE_AUCS = (0.55, 0.75, 0.95)
SIZES = (80, 300)
SHARES = (0.15, 0.5, 0.85)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """How scores of positives and negatives differ.

    spread   standard deviation of the positives' scores; the negatives' is 1
    yes_no   the signal is there or not, on 2 % of the negatives
    users    mean rows a user; users have a score (correlation .5) and a chance to be positive of their own
    """

    spread: float = 1.0
    yes_no: bool = False
    users: int = 0


KINDS = {
    "equal spread": Scores(),
    "positives vary more": Scores(spread=1.5),
    "yes or no": Scores(yes_no=True),
    "4 rows a user": Scores(users=4),
}


def draw(kind: Scores, true: float, rows: int, share: float, rng: np.random.Generator) -> Sample:
    """Rows of which `share` are positive, and scores whose AUC in the population is `true`."""
    positive = np.arange(rows) < round(share * rows)
    if kind.yes_no:
        return (rng.random(rows) < np.where(positive, 2 * true - 1 + 0.02, 0.02)).astype(float), positive, None
    distance = NormalDist().inv_cdf(true) * (1 + kind.spread**2) ** 0.5
    if not kind.users:
        return rng.normal(size=rows) * np.where(positive, kind.spread, 1) + distance * positive, positive, None
    user = np.arange(rows) // kind.users
    latent = (rng.normal(size=rows)[user] + rng.normal(size=rows)) / 2**0.5
    positive = latent < NormalDist().inv_cdf(share)
    score = (rng.normal(size=rows)[user] + rng.normal(size=rows)) / 2**0.5
    return score + distance * positive, positive, user


def auc_coverage(kind: Scores, true: float, rows: int, share: float, *, samples: int, seed: int = 20261124) -> Coverage:
    """Coverage of `auc`; a sample with fewer than ten of a kind has no interval."""
    rng = np.random.default_rng(seed)

    def one() -> Estimate | NotEnough:
        scores, positive, user = draw(kind, true, rows, share, rng)
        return auc(scores, positive, clusters=user)

    return counted(one, true, samples)


def correlation_coverage(true: float, rows: int, users: int, *, samples: int, seed: int = 20261124) -> Coverage:
    """Coverage of `rank_correlation` of a normal score with three marks; a user's rows are alike in both."""
    rng = np.random.default_rng(seed)
    truth = _three_marks(true)

    def one() -> Estimate | NotEnough:
        user = np.arange(rows) // max(users, 1)
        x, e = ((rng.normal(size=rows)[user] + rng.normal(size=rows)) / 2**0.5 for _ in range(2))
        y = true * x + (1 - true**2) ** 0.5 * e
        return rank_correlation(x, np.digitize(y, [-1.0, 0.0]), clusters=user if users else np.arange(rows))

    return counted(one, truth, samples)


def _three_marks(true: float) -> float:
    """The population's Spearman correlation, from a million pairs (error .001)."""
    rng = np.random.default_rng(1)
    x, e = rng.normal(size=(2, 1_000_000))
    found = rank_correlation(x, np.digitize(true * x + (1 - true**2) ** 0.5 * e, [-1.0, 0.0]))
    assert isinstance(found, Estimate)
    return found.value


def counted(estimate: Callable[[], Estimate | NotEnough], truth: float, samples: int) -> Coverage:
    """Draw and count."""
    found = [one for one in (estimate() for _ in range(samples)) if isinstance(one, Estimate)]
    low, high = np.array([one.low for one in found]), np.array([one.high for one in found])
    above, below = float((truth > high).mean()), float((truth < low).mean())
    return Coverage(
        answered=len(found) / samples,
        covered=1 - above - below,
        above=above,
        below=below,
        width=float((high - low).mean()),
        n_effective=float(np.median([one.n_effective for one in found])),
    )


def scenarios() -> Iterator[tuple[str, float, int, float]]:
    """Every kind, true AUC, number of rows and share of positives."""
    yield from product(KINDS, TRUE_AUCS, SIZES, SHARES)
