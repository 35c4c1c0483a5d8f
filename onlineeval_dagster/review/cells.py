"""Pass rates that people would give: how often people pass what the judge scored 1, 2 and 3, times how often it does.

    value = sum over cells of share of the judge's score * chance that people pass it

A normal interval covers 62 % of the time with 50 labels at a pass rate of .98; a Beta posterior per cell holds its
level, and where labels of the rarer kind are fewer than five the answer is that there are not enough. Shares come from
the judged sample (Dirichlet), chances from the labels in the cell (Beta), each at its effective size; their sum is a
Beta with the same mean and variance, which gives the limits that drawing from the posterior does.

That there is an answer says something itself: five failures were seen. Near the limit the windows with an answer are
those that saw too many, and an interval that forgets it covers 88 to 91 % of them. So the posterior is divided by the
chance of an answer (a truncated likelihood; Cohen 1959), by a fifth at the least, so that no interval is endless.

Coverage and width by simulation: docs/corrected.md.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.special import bdtr, betaincinv

from onlineeval_dagster.metrics.intervals import wilson
from onlineeval_dagster.review.label_moments import Floats, Whole
from onlineeval_dagster.review.prediction_powered import (
    NEEDED_LABELS,
    TOO_FEW_LABELS,
    TOO_FEW_RARE,
    Corrected,
    without_shape,
)

NEEDED_OF_EACH = 5
_SURELY_ANSWERED = 30
"""With so many labels of the rarer kind an answer was certain: dividing by its chance changes nothing."""
_LEAST_CHANCE = 0.2
_PRIOR = 2.0
"""Labels that the prior is worth, over all cells together."""
_LOGITS = np.linspace(-9.0, 9.0, 361)
_RATES = 1 / (1 + np.exp(-_LOGITS))
_LOG_RATES, _LOG_REST = np.log(_RATES), np.log1p(-_RATES)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCells:
    """Of G groups and the judge's C scores. share: (G, C), weighted, sums to 1; size: (G,) effective judged responses.

    raw  (G,): the rate by the judge's own word
    """

    share: Floats
    size: Floats
    raw: Floats

    def take(self, at: Whole) -> "JudgedCells":
        """The groups at these places, in this order."""
        return JudgedCells(share=self.share[at], size=self.size[at], raw=self.raw[at])


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelledCells:
    """Of L labelled groups and C scores. rate: (L, C) weighted share that people passed; size: (L, C) effective labels.

    labels, failed  (L,): how many labels, and how many of them did not pass
    """

    rate: Floats
    size: Floats
    labels: Whole
    failed: Whole


def corrected_rates(
    judged: JudgedCells, labelled: LabelledCells, *, at: Whole | None = None, level: float = 0.95
) -> Corrected:
    """The pass rate with its interval, group by group; `at` says which labelled group each judged one borrows from."""
    at = np.arange(len(judged.share)) if at is None else at
    chance, spread = _chances(labelled, at)
    own, shared = _variances(judged, chance, spread)
    labels, failed = labelled.labels[at], labelled.failed[at]
    rarer = np.minimum(failed, labels - failed)
    reason = np.full(len(at), None, dtype=object)
    reason[rarer < NEEDED_OF_EACH] = TOO_FEW_RARE
    reason[labels < NEEDED_LABELS] = TOO_FEW_LABELS
    answered = np.array([why is None for why in reason], dtype=np.bool_)
    some = np.flatnonzero(answered)
    value, low, high = (np.full(len(at), np.nan) for _ in range(3))
    mean, variance = (judged.share * chance).sum(axis=1)[some], (own + shared)[some]
    size = mean * (1 - mean) / variance - 1
    value[some], low[some], high[some] = _limits(mean * size, (1 - mean) * size, labels[some], rarer[some], level)
    raw_low, raw_high = wilson(judged.raw, judged.size, level)
    return Corrected(
        value=value,
        low=low,
        high=high,
        error=np.where(answered, np.sqrt(own + shared), np.nan),
        own=np.where(answered, np.sqrt(own), np.nan),
        **without_shape(len(at)),
        power=np.where(answered, 1.0, np.nan),
        raw=judged.raw,
        raw_low=raw_low,
        raw_high=raw_high,
        answered=answered,
        reason=reason,
        labels=labels,
    )


def change_of_rates(
    judged: JudgedCells, before: JudgedCells, labelled: LabelledCells, *, at: Whole | None = None
) -> tuple[Floats, Floats]:
    """What the rates gained on those of an earlier window, and its standard error, with one correction for both.

    What a score is worth stands in both windows: its error counts only as far as the judge's scores have moved.
    """
    at = np.arange(len(judged.share)) if at is None else at
    chance, spread = _chances(labelled, at)
    moved = judged.share - before.share
    own = [_variances(cells, chance, spread)[0] for cells in (judged, before)]
    return (moved * chance).sum(axis=1), np.sqrt((moved**2 * spread).sum(axis=1) + own[0] + own[1])


def _chances(labelled: LabelledCells, at: Whole) -> tuple[Floats, Floats]:
    """Mean and variance of each cell's chance to pass, (G, C)."""
    rate, size = labelled.rate[at], labelled.size[at]
    rate = np.where(size > 0, rate, 0.0)
    overall = (rate * size).sum(axis=1, keepdims=True) / np.maximum(size.sum(axis=1, keepdims=True), 1e-12)
    # A prior worth two labels over all cells, half of it at the rate of all cells and half at 1/2: of the rarer kind as
    # much as Jeffreys'. That prior in each cell pulls a seldom filled one down (with 50 labels at .92 it covers 84 to
    # 89 %), and one label a cell makes three cells up to 6 % wider than one.
    prior = _PRIOR / rate.shape[1]
    chance = (rate * size + prior * (overall / 2 + 0.25)) / (size + prior)
    return chance, chance * (1 - chance) / (size + prior + 1)


def _variances(judged: JudgedCells, chance: Floats, spread: Floats) -> tuple[Floats, Floats]:
    """Variance of the value: from the shares of the judged sample, and from what each score is worth, (G,) each."""
    share, size = judged.share, judged.size[:, None] + 1
    of_shares = ((share * chance**2).sum(axis=1) - (share * chance).sum(axis=1) ** 2) / size[:, 0]
    return np.maximum(of_shares, 0), ((share**2 + share * (1 - share) / size) * spread).sum(axis=1)


def _limits(passed: Floats, failed: Floats, labels: Whole, rarer: Whole, level: float) -> tuple[Floats, Floats, Floats]:
    """Mean and limits of Beta(passed, failed), given that each kind had five labels at least."""
    tail = (1 - level) / 2
    value, low, high = passed / (passed + failed), *(betaincinv(passed, failed, end) for end in (tail, 1 - tail))
    near = np.flatnonzero(rarer < _SURELY_ANSWERED)
    if len(near):
        given = _given_an_answer(passed[near], failed[near], labels[near])
        value[near] = (given * _RATES).sum(axis=1)
        # A mass lies around its rate: half of it below. Counted whole, limits were a tenth of an error too low.
        reached = np.cumsum(given, axis=1) - given / 2
        low[near], high[near] = (_quantile(reached, end) for end in (tail, 1 - tail))
    return value, low, high


def _quantile(reached: Floats, share: float) -> Floats:
    """Where the sums of masses at `_RATES` (N, 361) reach a share, on a straight line between two of them."""
    row, after = np.arange(len(reached)), np.clip((reached < share).sum(axis=1), 1, len(_RATES) - 1)
    below, above = reached[row, after - 1], reached[row, after]
    part = np.clip((share - below) / (above - below), 0, 1)
    return np.asarray(_RATES[after - 1] + part * (_RATES[after] - _RATES[after - 1]))


def _given_an_answer(passed: Floats, failed: Floats, labels: Whole) -> Floats:
    """Posterior masses at `_RATES`, (N, 361), divided by the chance that there was an answer."""
    log = passed[:, None] * _LOG_RATES + failed[:, None] * _LOG_REST
    mass = np.exp(log - log.max(axis=1, keepdims=True))
    several, which = np.unique(labels, return_inverse=True)
    chance = np.stack([_chance_of_an_answer(int(count)) for count in several])
    mass /= np.maximum(chance, _LEAST_CHANCE)[which]
    return mass / mass.sum(axis=1, keepdims=True)


@lru_cache(maxsize=4096)
def _chance_of_an_answer(labels: int) -> Floats:
    """That each kind has five labels at least of so many, at each of `_RATES`: (361,)."""
    most = float(labels)
    return np.asarray(bdtr(most - NEEDED_OF_EACH, most, 1 - _RATES) - bdtr(NEEDED_OF_EACH - 1.0, most, 1 - _RATES))
