"""Windows whose truth is known: users, a judge that sees through a glass, people who label some of what it judged."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onlineeval_dagster.review.cells import JudgedCells, LabelledCells
from onlineeval_dagster.review.label_moments import LabelMoments
from onlineeval_dagster.review.windows import cells_of

SEES: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "good": ((0.75, 0.20, 0.05), (0.03, 0.12, 0.85)),
    "bad": ((0.45, 0.30, 0.25), (0.15, 0.25, 0.60)),
    "useless": ((0.20, 0.30, 0.50), (0.20, 0.30, 0.50)),
}
"""Chances that a judge gives 1, 2, 3 to an answer that people do not pass, and to one that they do."""

MIDDLING = {"good": (0.35, 0.45, 0.20), "bad": (0.30, 0.35, 0.35), "useless": (0.20, 0.30, 0.50)}
"""The same for an answer that people give a 2."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Of (windows, answers): user's place, what people say (0 bad, 1 middling, 2 good), the judge's score from 0.

    w, v  one over the chance to be judged, to be labelled; 0 where it is not
    """

    users: int
    user: NDArray[np.int64]
    word: NDArray[np.int64]
    cell: NDArray[np.int64]
    w: NDArray[np.float64]
    v: NDArray[np.float64]

    def moments(self, f: NDArray[Any], y: NDArray[Any]) -> LabelMoments:
        """With the judge's number of each answer and people's."""
        windows = len(self.user)
        columns = [self.w, self.w * f, self.v, self.v * y, self.v * f]
        counts = np.bincount(self.user.ravel(), (self.v > 0).ravel(), windows * self.users).astype(np.int64)
        return LabelMoments.of_users(
            _summed(self.user, columns, windows * self.users),
            np.repeat(np.arange(windows), self.users),
            labels=counts,
            groups=windows,
        )


def asked_windows(
    rng: np.random.Generator,
    windows: int,
    *,
    judged: int,
    labels: int,
    rate: float,
    judge: str,
    same_user: float = 0.2,
    is_sampled: bool = True,
    flagged_labels: float = 1.0,
    middling: float = 0.0,
) -> Answers:
    """Windows as the product has them: three answers a user, of whom some are content and some are not; one answer in
    ten is flagged, fails three times as often and is always judged; of the others a third is. Of all answers people
    label the same share, all of them judged.

    judged, labels  on average
    same_user       intra-class correlation of people's word
    is_sampled      else nothing is flagged and everything is judged
    flagged_labels  so many times as often the flagged are labelled
    middling        of what people do not pass, the share that they give the middle score
    """
    count = round(judged / 0.4) if is_sampled else judged
    users = count // 3
    shape = (windows, count)
    user = rng.integers(0, users, shape)
    flagged = rng.random(shape) < (0.1 if is_sampled else 0)
    # Of the others so many pass that all together do at `rate`.
    others = (rate - 0.1 * (1 - 3 * (1 - rate))) / 0.9 if is_sampled else rate
    passing = np.where(flagged, 1 - 3 * (1 - rate), others)
    mood = np.take_along_axis(rng.random((windows, users)), user, axis=1)
    # With chance sqrt(same_user) an answer is as its user's mood is, else of its own: marginally at `passing`.
    drawn = np.where(rng.random(shape) < same_user**0.5, mood, rng.random(shape))
    word = (drawn < passing).astype(np.int64) + (drawn < passing + (1 - passing) * middling)
    low, high = np.cumsum([SEES[judge][0], MIDDLING[judge], SEES[judge][1]], axis=1)[:, :2].T
    seen = rng.random(shape)
    chance = np.where(flagged, 1.0, 1 / 3) if is_sampled else np.ones(shape)
    is_judged = rng.random(shape) < chance
    flagged_share = 0.1 if is_sampled else 0.0
    labelling = np.where(flagged, flagged_labels, 1.0) * labels / (count * (1 + flagged_share * (flagged_labels - 1)))
    is_labelled = is_judged & (rng.random(shape) < labelling / chance)
    return Answers(
        users=users,
        user=np.arange(windows)[:, None] * users + user,
        word=word,
        cell=(seen > low[word]).astype(np.int64) + (seen > high[word]),
        w=is_judged / chance,
        v=is_labelled / labelling,
    )


def sampled_windows(
    rng: np.random.Generator, windows: int, **world: Any
) -> tuple[JudgedCells, LabelledCells, LabelMoments]:
    """Pass rates of `asked_windows`: cells, and moments of 0 and 1."""
    answers = asked_windows(rng, windows, **world)
    y = (answers.word == 2).astype(np.float64)
    moments = answers.moments((answers.cell == 2).astype(np.float64), y)
    place = np.arange(windows)[:, None] * 3 + answers.cell
    is_labelled = (answers.v > 0).astype(np.float64)
    sums = _summed(place, [answers.w, answers.v, answers.v * y, is_labelled, is_labelled * y], windows * 3)
    judged_cells, labelled_cells = cells_of(sums.reshape(windows, 3, 5), moments)
    return judged_cells, labelled_cells, moments


def graded_moments(rng: np.random.Generator, windows: int, *, middling: float = 0.6, **world: Any) -> LabelMoments:
    """Mean scores from 1 to 3 of `asked_windows`; of what people do not pass they give `middling` a 2."""
    answers = asked_windows(rng, windows, middling=middling, **world)
    return answers.moments(answers.cell + 1.0, answers.word + 1.0)


def graded_mean(rate: float, *, middling: float = 0.6) -> float:
    """The mean that people would give of all."""
    return 3 * rate + (1 - rate) * (1 + middling)


def _summed(place: NDArray[np.int64], columns: list[NDArray[Any]], places: int) -> NDArray[np.float64]:
    sums = [np.bincount(place.ravel(), column.ravel(), places) for column in columns]
    return np.stack(sums, axis=1).astype(np.float64)
