"""Small pieces of a metric's time, made ready to be weighed: without rhythm, each with its own noise."""

from dataclasses import dataclass

import numpy as np

from onlineeval_dagster.alerts.onset import Cells

Floats = np.ndarray

NEEDED = 60
"""Effective answers within reach, below which no cause is looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Answers counted by minute and by who served them: arrays (pieces,), minutes ascending.

    minute    since the beginning of what is looked at
    weight    answers that the piece stands for: the sum of its sampling weights. By these pieces count, as in a Hájek
              mean: a piece of flagged answers alone, all of them judged, says little of the rest
    mean      weighted mean on the scale of the link
    touched   (suspects, pieces)
    """

    minute: Floats
    weight: Floats
    mean: Floats
    touched: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """What is known of the same series by hour, arrays (hours,) on the scale of the link; NaN where nothing is.

    expected  by the rhythm
    error     standard error of the point, users clustered
    scale     standard deviation of the residual, that error included
    """

    expected: Floats
    error: Floats
    scale: Floats


def cells_of(pieces: Pieces, hours: Hours, *, size: float, sign: int) -> Cells:
    """Pieces less their rhythm. An answer's variance is that which the points have by hour, so that users who ask
    several times, and samples of unequal weights, count as they do there; what the rhythm misses in an hour is spread
    over its minutes.

    Where nothing is expected yet only the rhythm is missing: the level is free anyway.
    """
    hour = np.minimum((pieces.minute // 60).astype(np.int64), len(hours.expected) - 1)
    answers = np.bincount(hour, weights=pieces.weight, minlength=len(hours.expected))
    return Cells(
        minute=pieces.minute,
        residual=pieces.mean - _filled(hours.expected)[hour],
        variance=_an_answers(pieces, hours.error, answers) / pieces.weight + 60 * _missed(hours),
        touched=pieces.touched,
        size=size,
        sign=sign,
    )


def _an_answers(pieces: Pieces, error: Floats, answers: Floats) -> float:
    """Variance of a piece of weight 1, design and clustering in it; by the pieces alone where no hour has an error."""
    known = np.isfinite(error) & (error > 0) & (answers > 0)
    if known.any():
        return float(np.average(error[known] ** 2 * answers[known], weights=answers[known]))
    middle = np.average(pieces.mean, weights=pieces.weight)
    return max(float(np.mean(pieces.weight * (pieces.mean - middle) ** 2)), 1e-12)


def _missed(hours: Hours) -> float:
    """Variance of an hour around its rhythm beyond the error of its answers."""
    beyond = hours.scale**2 - hours.error**2
    return float(np.median(np.maximum(beyond[np.isfinite(beyond)], 0.0))) if np.isfinite(beyond).any() else 0.0


def _filled(expected: Floats) -> Floats:
    """Hours without an expectation have the mean of the others."""
    known = np.isfinite(expected)
    return np.where(known, expected, expected[known].mean() if known.any() else 0.0)
