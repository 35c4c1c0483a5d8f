"""Windows whose truth is known: users, a judge that sees through a glass, people who label some of what it judged."""

import numpy as np
from numpy.typing import NDArray

from onlineeval_dagster.review.cells import JudgedCells, LabelledCells
from onlineeval_dagster.review.prediction_powered import LabelMoments

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
    totals = np.stack([np.bincount(place, column.ravel(), windows * users) for column in columns], axis=1)
    counts = np.bincount(place, is_labelled.ravel(), windows * users).astype(np.int64)
    return totals, np.repeat(np.arange(windows), users), counts


def scored_moments(rng: np.random.Generator, windows: int, **world: float) -> LabelMoments:
    totals, window, labels = scored_windows(rng, windows, **world)  # type: ignore[arg-type]
    return LabelMoments.of_users(totals, window, labels=labels, groups=windows)


def celled_windows(
    rng: np.random.Generator, windows: int, *, judged: int, labels: int, rate: float, judge: str
) -> tuple[JudgedCells, LabelledCells]:
    passes = rng.random((windows, judged)) < rate
    low, high = (np.cumsum(chances)[:2] for chances in SEES[judge])
    drawn = rng.random((windows, judged, 1))
    cell = np.where(passes, (drawn > high).sum(axis=2), (drawn > low).sum(axis=2))
    seen, passed = cell[:, :labels], passes[:, :labels]
    size = np.stack([(seen == place).sum(axis=1) for place in range(3)], axis=1).astype(np.float64)
    good = np.stack([((seen == place) & passed).sum(axis=1) for place in range(3)], axis=1)
    return (
        JudgedCells(
            share=np.stack([(cell == place).mean(axis=1) for place in range(3)], axis=1),
            size=np.full(windows, float(judged)),
            raw=(cell == 2).mean(axis=1),
        ),
        LabelledCells(
            rate=good / np.maximum(size, 1),
            size=size,
            labels=np.full(windows, labels),
            failed=labels - passed.sum(axis=1),
        ),
    )
