"""What a judge's score is worth in people's scores: a map that never falls, and how well it holds.

The map is isotonic regression on the means of equal judge scores (Barlow et al. 1972), fitted out of fold where it is
used on the items it was fitted to. Few labels give steps: each block says how many labels it rests on.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri, stdtrit

from onlineeval_dagster.contracts.estimates import Estimate, NotEnough

Floats = NDArray[np.float64]
NEEDED_LABELS = 30
NEEDED_OF_EACH = 5
_FOLDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationMap:
    """Judge score to expected human score: scores (K,) ascending, expected (K,) never falls, labels (K,) per block."""

    scores: Floats
    expected: Floats
    labels: NDArray[np.int64]

    def __call__(self, scores: ArrayLike) -> Floats:
        """Expected human scores; between known judge scores in a straight line, outside them the nearest one's."""
        return np.interp(np.asarray(scores, dtype=np.float64), self.scores, self.expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """One row a judge score: people's weighted mean, its limits (Student's t); NaN limits where one label is all."""

    scores: Floats
    mean: Floats
    low: Floats
    high: Floats
    labels: NDArray[np.int64]


def calibration_map(judge: ArrayLike, people: ArrayLike, *, weights: ArrayLike | None = None) -> CalibrationMap:
    """From paired scores; `weights`: one over the inclusion probability. Raises ValueError without a pair."""
    from scipy.optimize import isotonic_regression

    scores, place, mass = _places(judge, weights)
    sums = np.bincount(place, mass * np.asarray(people, dtype=np.float64))
    size = np.bincount(place, mass)
    fitted = isotonic_regression(sums / size, weights=size)
    counts = np.bincount(place)
    labels = np.repeat(np.add.reduceat(counts, fitted.blocks[:-1]), np.diff(fitted.blocks))
    return CalibrationMap(scores=scores, expected=np.asarray(fitted.x), labels=labels.astype(np.int64))


def cross_fitted(
    judge: ArrayLike, people: ArrayLike, clusters: ArrayLike, *, weights: ArrayLike | None = None
) -> Floats:
    """Expected human scores of the labelled items themselves, each from the map of the other folds.

    Folds are by cluster in the order of `clusters`' sorted values: what shares its errors stays together.
    """
    one, two = np.asarray(judge, dtype=np.float64), np.asarray(people, dtype=np.float64)
    mass = np.ones(len(one)) if weights is None else np.asarray(weights, dtype=np.float64)
    fold = np.unique(np.asarray(clusters), return_inverse=True)[1] % _FOLDS
    expected = np.full(len(one), np.nan)
    for number in range(_FOLDS):
        held = fold == number
        if held.any() and not held.all():
            expected[held] = calibration_map(one[~held], two[~held], weights=mass[~held])(one[held])
    return expected


def reliability(
    judge: ArrayLike, people: ArrayLike, *, weights: ArrayLike | None = None, level: float = 0.95
) -> Reliability:
    """What people gave to what the judge gave each of its scores."""
    scores, place, mass = _places(judge, weights)
    label = np.asarray(people, dtype=np.float64)
    size, counts = np.bincount(place, mass), np.bincount(place)
    mean = np.bincount(place, mass * label) / size
    spread = np.bincount(place, mass**2 * (label - mean[place]) ** 2) / size**2
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(spread * counts / (counts - 1.0))
    half = np.where(counts > 1, stdtrit(np.maximum(counts - 1.0, 1), 0.5 + level / 2) * error, np.nan)
    return Reliability(scores=scores, mean=mean, low=mean - half, high=mean + half, labels=counts.astype(np.int64))


def rogan_gladen(
    passed: float, judged: float, *, both: float, good: float, neither: float, bad: float, level: float = 0.95
) -> Estimate | NotEnough:
    """The simple correction of a pass rate: of `judged` answers the judge passed `passed`.

    Of `good` answers by people's word it passed `both`, of `bad` ones it failed `neither`; or effective numbers of
    these. Interval of Lang and
    Reiczigel 2014 (Preventive Veterinary Medicine 113:13-22), which carries the errors of all three shares.

    >>> found = rogan_gladen(250, 1000, both=90, good=100, neither=160, bad=200)
    >>> print(f"{found.value:.3f} {found.low:.3f} {found.high:.3f}")
    0.071 0.000 0.149
    """
    rarer = min(good, bad)
    if rarer < NEEDED_OF_EACH or good + bad < NEEDED_LABELS:
        needed = NEEDED_OF_EACH if rarer < NEEDED_OF_EACH else NEEDED_LABELS
        return NotEnough(have=int(min(rarer, good + bad)), needed=needed, reason="too few labels of the rarer kind")
    z = float(ndtri(0.5 + level / 2))
    seen, size = (passed + z**2 / 2) / (judged + z**2), judged + z**2
    hit, hits = (both + 1) / (good + 2), good + 2
    pass_over, misses = (neither + 1) / (bad + 2), bad + 2
    worth = hit + pass_over - 1
    plain = both / good + neither / bad - 1
    if worth <= 0 or plain <= 0:
        return NotEnough(have=0, needed=1, reason="the judge passes bad answers as often as good ones")
    rate = (seen + pass_over - 1) / worth
    variance = (
        seen * (1 - seen) / size
        + hit * (1 - hit) / hits * rate**2
        + pass_over * (1 - pass_over) / misses * (1 - rate) ** 2
    )
    error = float(np.sqrt(variance)) / worth
    shift = 2 * z**2 * (rate * hit * (1 - hit) / hits - (1 - rate) * pass_over * (1 - pass_over) / misses)
    low, high = (float(np.clip(rate + shift + side * z * error, 0, 1)) for side in (-1, 1))
    value = float(np.clip((passed / judged + neither / bad - 1) / plain, low, high))
    n_effective = value * (1 - value) / error**2 if 0 < value < 1 else float(judged)
    return Estimate(
        value=value, low=low, high=high, n=round(good + bad), n_effective=n_effective, method="rogan-gladen"
    )


def _places(judge: ArrayLike, weights: ArrayLike | None) -> tuple[Floats, NDArray[np.int64], Floats]:
    given = np.asarray(judge, dtype=np.float64)
    if not len(given):
        raise ValueError("no pair of a judge's and a person's score; label some judged answers first")
    scores, place = np.unique(given, return_inverse=True)
    mass = np.ones(len(given)) if weights is None else np.asarray(weights, dtype=np.float64)
    return scores, place.astype(np.int64), mass
