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
    n         effective answers: (sum of weights) squared over the sum of their squares
    mean      weighted mean on the scale of the link
    touched   (suspects, pieces)
    """

    minute: Floats
    n: Floats
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
    several times count as they do there; what the rhythm misses in an hour is spread over its minutes.

    Where nothing is expected yet only the rhythm is missing: the level is free anyway.
    """
    hour = np.minimum((pieces.minute // 60).astype(np.int64), len(hours.expected) - 1)
    answers = np.bincount(hour, weights=pieces.n, minlength=len(hours.expected))
    return Cells(
        minute=pieces.minute,
        residual=pieces.mean - _filled(hours.expected)[hour],
        variance=_an_answers(pieces, hours.error, answers) / pieces.n + 60 * _missed(hours),
        touched=pieces.touched,
        size=size,
        sign=sign,
    )


def _an_answers(pieces: Pieces, error: Floats, answers: Floats) -> float:
    """Variance of one effective answer, clustering included; by the pieces themselves where no hour has an error."""
    known = np.isfinite(error) & (error > 0) & (answers > 0)
    if known.any():
        return float(np.average(error[known] ** 2 * answers[known], weights=answers[known]))
    middle = np.average(pieces.mean, weights=pieces.n)
    return max(float(np.mean(pieces.n * (pieces.mean - middle) ** 2)), 1e-12)


def _missed(hours: Hours) -> float:
    """Variance of an hour around its rhythm beyond the error of its answers."""
    beyond = hours.scale**2 - hours.error**2
    return float(np.median(np.maximum(beyond[np.isfinite(beyond)], 0.0))) if np.isfinite(beyond).any() else 0.0


def _filled(expected: Floats) -> Floats:
    """Hours without an expectation have the mean of the others."""
    known = np.isfinite(expected)
    return np.where(known, expected, expected[known].mean() if known.any() else 0.0)
