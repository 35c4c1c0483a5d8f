"""Pass rates that people would give: how often people pass what the judge scored 1, 2 and 3, times how often it does.

    value = sum over cells of share of the judge's score * chance that people pass it

A normal interval covers 62 % of the time with 50 labels at a pass rate of .98; a Beta posterior per cell holds its
level, and where labels of the rarer kind are fewer than five the answer is that there are not enough. Where that is the
usual answer, the rare number is one that saw more failures than there are: of all windows at most 5 % get a wrong
interval, of those with an answer more. Shares come from the judged sample (Dirichlet), chances from the labels in the
cell (Beta), each at its effective size.

Coverage and width by simulation: docs/calibration.md.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onlineeval_dagster.review.prediction_powered import NEEDED_LABELS, TOO_FEW_LABELS, Corrected, Floats, Whole

NEEDED_OF_EACH = 5
TOO_FEW_FAILURES = "too few labels of the rarer kind"
_DRAWS = 4000
_AT_ONCE = 2_000_000  # drawn numbers held at a time: 16 MB


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedCells:
    """Of G groups and the judge's C scores. share: (G, C), weighted, sums to 1; size: (G,) effective judged responses.

    passes  (C,): whether the judge's own pass mark lies at or below this score
    """

    share: Floats
    size: Floats
    passes: NDArray[np.bool_]


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
    judged: JudgedCells,
    labelled: LabelledCells,
    *,
    rng: np.random.Generator,
    at: Whole | None = None,
    level: float = 0.95,
) -> Corrected:
    """The pass rate with its interval, group by group; `at` says which labelled group each judged one borrows from."""
    at = np.arange(len(judged.share)) if at is None else at
    rate, size = labelled.rate[at], labelled.size[at]
    chances = np.where(size > 0, rate, 0.0)
    overall = (chances * size).sum(axis=1, keepdims=True) / np.maximum(size.sum(axis=1, keepdims=True), 1e-12)
    # A prior worth one label a cell, half of it at the rate of all cells and half at 1/2. Jeffreys' alone pulls a
    # seldom filled cell down: with 50 labels at .92 it covers 84 to 89 %, this one 92 to 96 %.
    prior = overall / 2 + 0.25
    passed, failed = chances * size + prior, (1 - chances) * size + (1 - prior)
    value, low, high, error = (np.full(len(at), np.nan) for _ in range(4))
    labels, rarer = labelled.labels[at], np.minimum(labelled.failed, labelled.labels - labelled.failed)[at]
    reason = np.full(len(at), None, dtype=object)
    reason[rarer < NEEDED_OF_EACH] = TOO_FEW_FAILURES
    reason[labels < NEEDED_LABELS] = TOO_FEW_LABELS
    answered = np.array([why is None for why in reason], dtype=np.bool_)
    tail = (1 - level) / 2
    for some in _batches(np.flatnonzero(answered), judged.share.shape[1]):
        drawn = _draws(judged, some, passed[some], failed[some], rng)
        value[some], error[some] = drawn.mean(axis=1), drawn.std(axis=1)
        low[some], high[some] = np.quantile(drawn, [tail, 1 - tail], axis=1)
    return Corrected(
        value=value,
        low=low,
        high=high,
        error=error,
        power=np.where(answered, 1.0, np.nan),
        raw=judged.share @ judged.passes.astype(np.float64),
        answered=answered,
        reason=reason,
        labels=labels,
    )


def _draws(judged: JudgedCells, some: Whole, passed: Floats, failed: Floats, rng: np.random.Generator) -> Floats:
    """Draws from the posterior of the value, (groups, draws)."""
    size = (len(some), _DRAWS, judged.share.shape[1])
    counts = (judged.share[some] * judged.size[some, None])[:, None, :]
    shares = rng.standard_gamma(np.broadcast_to(counts, size))
    shares /= np.maximum(shares.sum(axis=2, keepdims=True), 1e-300)
    chances = rng.beta(np.broadcast_to(passed[:, None, :], size), np.broadcast_to(failed[:, None, :], size))
    return np.asarray((shares * chances).sum(axis=2))


def _batches(places: Whole, cells: int) -> list[Whole]:
    count = max(1, -(-len(places) * _DRAWS * cells // _AT_ONCE))
    return [part for part in np.array_split(places, count) if len(part)]
