"""When did it begin, and what was put into production just then: the shapes that a fall can have, weighed by the data.

A fall that a deploy made is a step at its own instant, in the answers that it touches. One that something unknown made
is a step at any other instant, or a slope. Each shape has a likelihood; with the odds that it had before, it has a
probability after. Two deploys are told apart by the answers in between, and by those that only one of them touches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Floats = np.ndarray

GRID_MINUTES, SLOPE_MINUTES = 5, 60
"""Steps at an unknown instant are tried so far apart, and slopes."""
SLOPE_LASTS = 12 * 60
"""A slope lasts so long at least: in the first hours after a step any short one fits as well."""
SUDDEN_HOURS, GRADUAL_HOURS = 168.0, 24.0
"""What is known beforehand: a deploy is as likely to be the cause as something sudden and unknown within so many
hours, or as a slow change that begins within so many. Chosen on simulations, as are the limits below."""
OLDER = 0.2
"""And the chance, against one deploy's, that it began before all that is looked at: nothing changes in it."""
EXPLAINED = 5.0
"""The same where a mix of users explains most of the fall and was taken out: what is left needs no cause."""
NAMED_FROM = 0.65
"""Chance that it was any of the suspects, above which one or some of them are named."""
ALONE_FROM = 0.7
"""Share of that chance above which one is named alone."""
HOLDS = 0.95
"""Else as many are named, the likeliest first, as hold so much of it together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """A metric in small pieces of time, on the scale of its link: arrays (cells,).

    minute    since the beginning of what is looked at, ascending
    residual  mean of the piece less what the rhythm led to expect
    variance  of that mean: of its answers, and of what the rhythm misses
    touched   (suspects, cells) whether the answers of the piece were served by what the suspect put into production
    size      how large the change is that was alerted, on the same scale: a priori a change is some such size
    sign      -1 where less is worse, 1 where more is
    """

    minute: Floats
    residual: Floats
    variance: Floats
    touched: np.ndarray
    size: float
    sign: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Probabilities, together 1: of each suspect, and of none of them.

    sudden, gradual, older  what `unexplained` is made of: a step at another instant, a slope, nothing within reach
    """

    suspects: Floats
    sudden: float
    gradual: float
    older: float

    @property
    def unexplained(self) -> float:
        """That it was none of the suspects."""
        return self.sudden + self.gradual + self.older


def weigh(series: Sequence[Cells], *, minutes: float, nothing: float = OLDER) -> Shares:
    """Weigh the suspects of `series`, which began together, over `minutes` from their beginning.

    More than one series: of one incident each has its own size and noise, and all have the same cause.
    nothing  the chance beforehand, against one deploy's, that nothing changes within reach: OLDER or EXPLAINED
    """
    count = len(series[0].touched)
    suspects, steps, slopes = np.zeros(count), 0.0, 0.0
    for cells in series:
        suspects = suspects + _of_suspects(cells)
        steps = steps + _of_steps(cells, np.arange(GRID_MINUTES, max(minutes, 2 * GRID_MINUTES), GRID_MINUTES))
        slopes = slopes + _of_slopes(cells, np.arange(0.0, max(minutes - SLOPE_LASTS, 1.0), SLOPE_MINUTES), minutes)
    sudden, gradual = _log_mean(np.asarray(steps)), _log_mean(np.asarray(slopes))
    prior = np.log([minutes / 60 / SUDDEN_HOURS, minutes / 60 / GRADUAL_HOURS, nothing])
    whole = np.concatenate([suspects, prior + np.array([sudden, gradual, 0.0])])
    shares = np.exp(whole - whole.max())
    shares /= shares.sum()
    others = dict(zip(("sudden", "gradual", "older"), map(float, shares[count:]), strict=True))
    return Shares(suspects=shares[:count], **others)


def named(shares: Shares) -> list[int]:
    """The suspects that are named, the likeliest first: one, some that cannot be told apart, or none.

    >>> named(Shares(suspects=np.array([0.02, 0.9]), sudden=0.05, gradual=0.02, older=0.01))
    [1]
    >>> named(Shares(suspects=np.array([0.4, 0.5, 0.0]), sudden=0.05, gradual=0.04, older=0.01))
    [1, 0]
    >>> named(Shares(suspects=np.array([0.6]), sudden=0.4, gradual=0.0, older=0.0))
    []
    """
    whole = float(shares.suspects.sum())
    if not len(shares.suspects) or whole < NAMED_FROM:
        return []
    order = np.argsort(-shares.suspects, kind="stable")
    among = shares.suspects[order] / whole
    if among[0] >= ALONE_FROM:
        return [int(order[0])]
    needed = int(np.searchsorted(among.cumsum(), HOLDS)) + 1
    return [int(at) for at in order[:needed]]


def _of_suspects(cells: Cells) -> Floats:
    """Log evidence of a change in just the answers that each suspect touches."""
    weight = 1 / cells.variance
    inside = cells.touched.astype(np.float64)
    first = inside @ weight
    found = _evidence(cells, first, first, inside @ (weight * cells.residual))
    return np.where(first > 0, found, -np.inf)  # what touched no answer did nothing


def _of_steps(cells: Cells, starts: Floats) -> Floats:
    """Log evidence of a step at each of `starts`."""
    weight = 1 / cells.variance
    at = np.searchsorted(cells.minute, starts)
    first = _from(weight, at)
    return _evidence(cells, first, first, _from(weight * cells.residual, at))


def _of_slopes(cells: Cells, starts: Floats, end: float) -> Floats:
    """Log evidence of a slope from each of `starts` to the end."""
    weight, time = 1 / cells.variance, cells.minute
    at, length = np.searchsorted(time, starts), end - starts
    zeroth, first, second = (_from(weight * time**power, at) for power in range(3))
    ramp = (first - starts * zeroth) / length
    square = (second - 2 * starts * first + starts**2 * zeroth) / length**2
    product = (_from(weight * cells.residual * time, at) - starts * _from(weight * cells.residual, at)) / length
    return _evidence(cells, ramp, square, product)


def _from(values: Floats, at: np.ndarray) -> Floats:
    """Sums of the values from each position on."""
    return np.append(values[::-1].cumsum()[::-1], 0.0)[at]


def _evidence(cells: Cells, first: Floats, second: Floats, product: Floats) -> Floats:
    """Log of the likelihood of level + change x shape, against the level alone. Both are averaged over: the level is
    free, the change normal around nothing with deviation `size`, and for the worse (Kass and Raftery 1995).

    first, second, product  weighted sums of shape, shape squared, and shape times residual
    """
    from scipy.special import log_ndtr

    weight = 1 / cells.variance
    whole, level = weight.sum(), (weight * cells.residual).sum()
    own = np.maximum(second - first**2 / whole, 0.0)
    shared = product - first * level / whole
    precision = own + 1 / cells.size**2
    mean = shared / precision
    gain = 0.5 * mean * shared - 0.5 * np.log(precision * cells.size**2)
    return gain + np.log(2) + log_ndtr(cells.sign * mean * np.sqrt(precision))


def _log_mean(logs: Floats) -> float:
    top = logs.max()
    return float(top + np.log(np.exp(logs - top).mean()))
