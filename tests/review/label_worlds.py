"""Windows whose truth is known: users, a judge that sees through a glass, people who label some of what it judged."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlineeval_dagster.review.cells import JudgedCells, LabelledCells
from onlineeval_dagster.review.prediction_powered import LabelMoments
from onlineeval_dagster.review.windows import cells_of

SEES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "good": ((0.75, 0.20, 0.05), (0.03, 0.12, 0.85)),
    "bad": ((0.45, 0.30, 0.25), (0.15, 0.25, 0.60)),
    "useless": ((0.20, 0.30, 0.50), (0.20, 0.30, 0.50)),
}
"""Chances that a judge gives 1, 2, 3 to an answer that people do not pass, and to one that they do."""


def scored_windows(
    rng: np.random.Generator, windows: int, *, judged: int, labels: int, correlation: float, same_user: float = 0.2
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Per (window, user): five totals, the window, the number of labels. Labels have mean 0 and variance 1.

    same_user  intra-class correlation of a user's labels; a user has some three responses
    """
    users = judged // 3
    user = rng.integers(0, users, (windows, judged))
    mood = rng.normal(size=(windows, users)) * np.sqrt(same_user)
    label = np.take_along_axis(mood, user, axis=1) + rng.normal(size=user.shape) * np.sqrt(1 - same_user)
    score = 0.5 + correlation * label + np.sqrt(1 - correlation**2) * rng.normal(size=user.shape)
    is_labelled = rng.random(user.shape) < labels / judged
    place = (np.arange(windows)[:, None] * users + user).ravel()
    columns = [np.ones(user.shape), score, is_labelled, is_labelled * label, is_labelled * score]
    totals = _summed(place, columns, windows * users)
    counts = np.bincount(place, is_labelled.ravel(), windows * users).astype(np.int64)
    return totals, np.repeat(np.arange(windows), users), counts


def scored_moments(rng: np.random.Generator, windows: int, **world: float) -> LabelMoments:
    totals, window, labels = scored_windows(rng, windows, **world)  # type: ignore[arg-type]
    return LabelMoments.of_users(totals, window, labels=labels, groups=windows)


def celled_windows(
    rng: np.random.Generator, windows: int, *, judged: int, labels: int, rate: float, judge: str
) -> tuple[JudgedCells, LabelledCells]:
    """Counts of independent answers by people's word and the judge's score: two multinomial draws a window."""
    fails, passes = (np.array(chances) for chances in SEES[judge])
    chances = np.concatenate([(1 - rate) * fails, rate * passes])
    labelled, others = (rng.multinomial(count, chances, windows) for count in (labels, judged - labels))
    size = (labelled[:, :3] + labelled[:, 3:]).astype(np.float64)
    cells = size + others[:, :3] + others[:, 3:]
    return (
        JudgedCells(share=cells / judged, size=np.full(windows, float(judged)), raw=cells[:, 2] / judged),
        LabelledCells(
            rate=labelled[:, 3:] / np.maximum(size, 1),
            size=size,
            labels=np.full(windows, labels),
            failed=labelled[:, :3].sum(axis=1),
        ),
    )


def sampled_windows(
    rng: np.random.Generator,
    windows: int,
    *,
    judged: int,
    labels: int,
    rate: float,
    judge: str,
    same_user: float = 0.2,
    flagged_labels: float = 1.0,
) -> tuple[JudgedCells, LabelledCells, LabelMoments]:
    """Windows as the product has them: three answers a user, of whom some are content and some are not; one answer in
    ten is flagged, fails three times as often and is always judged; of the others a third is. Of all answers people
    label the same share, all of them judged. Weights are one over these chances.

    judged, labels  on average
    same_user       intra-class correlation of people's word
    flagged_labels  so many times as often the flagged are labelled
    """
    count = round(judged / 0.4)
    users = count // 3
    shape = (windows, count)
    user = rng.integers(0, users, shape)
    flagged = rng.random(shape) < 0.1
    # Of the others so many pass that all together do at `rate`.
    passing = np.where(flagged, 1 - 3 * (1 - rate), (rate - 0.1 * (1 - 3 * (1 - rate))) / 0.9)
    mood = np.take_along_axis(rng.random((windows, users)), user, axis=1)
    # With chance sqrt(same_user) an answer is as its user's mood is, else of its own: marginally at `passing`.
    drawn = np.where(rng.random(shape) < same_user**0.5, mood, rng.random(shape))
    passes = drawn < passing
    low, high = (np.cumsum(chances)[:2] for chances in SEES[judge])
    seen = rng.random((*shape, 1))
    cell = np.where(passes, (seen > high).sum(axis=2), (seen > low).sum(axis=2))
    chance = np.where(flagged, 1.0, 1 / 3)
    is_judged = rng.random(shape) < chance
    labelling = np.where(flagged, flagged_labels, 1.0) * labels / (count * (0.1 * flagged_labels + 0.9))
    is_labelled = is_judged & (rng.random(shape) < labelling / chance)
    w, v = is_judged / chance, is_labelled / labelling
    f, y = (cell == 2).astype(np.float64), passes.astype(np.float64)
    at = (np.arange(windows)[:, None] * users + user).ravel()
    columns = [w, w * f, v, v * y, v * f]
    totals = _summed(at, columns, windows * users)
    counts = np.bincount(at, is_labelled.ravel(), windows * users).astype(np.int64)
    moments = LabelMoments.of_users(totals, np.repeat(np.arange(windows), users), labels=counts, groups=windows)
    place = (np.arange(windows)[:, None] * 3 + cell).ravel()
    parts = [w, v, v * y, is_labelled.astype(np.float64), is_labelled * y]
    sums = _summed(place, parts, windows * 3)
    judged_cells, labelled_cells = cells_of(sums.reshape(windows, 3, 5), moments)
    return judged_cells, labelled_cells, moments


def _summed(place: NDArray[np.int64], columns: list[NDArray[Any]], places: int) -> NDArray[np.float64]:
    sums = [np.bincount(place, column.ravel(), places) for column in columns]
    return np.stack(sums, axis=1).astype(np.float64)
