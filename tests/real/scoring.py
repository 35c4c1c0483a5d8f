"""Scoring rules of public anomaly and change-point benchmarks, as their own code has them."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np


def sigmoid(position: np.ndarray) -> np.ndarray:
    """NAB's scaled sigmoid: 1 far before the end of a window, 0 at it, -1 from three widths after it."""
    return np.where(position > 3.0, -1.0, 2 / (1 + np.exp(5 * np.minimum(position, 3.0))) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class NabSeries:
    """One series as NAB scores it: what a detection at each point is worth before weights, and in which window it is.

    worth   in (0, 1] inside a window, below 0 outside; window  its number, -1 outside
    begins  first point that is scored at all
    """

    worth: np.ndarray
    window: np.ndarray
    windows: int
    begins: int


def nab_series(points: int, windows: Sequence[tuple[int, int]]) -> NabSeries:
    """`windows` are first and last index of each, in order. numenta/NAB, nab/sweeper.py."""
    index = np.arange(points)
    worth, window = np.full(points, -1.0), np.full(points, -1)
    for number, (first, last) in enumerate(windows):
        width = last - first + 1
        inside = slice(first, last + 1)
        worth[inside] = sigmoid(-(last - index[inside] + 1) / width) / sigmoid(np.array(-1.0))
        window[inside] = number
        until = windows[number + 1][0] if number + 1 < len(windows) else points
        worth[last + 1 : until] = sigmoid((index[last + 1 : until] - last) / (width - 1))
    return NabSeries(worth=worth, window=window, windows=len(windows), begins=min(math.floor(0.15 * points), 750))


def nab_score(
    scores: Sequence[np.ndarray], truths: Sequence[NabSeries], cost: dict[str, float], threshold: float | None = None
) -> tuple[float, float]:
    """Normalised score of a corpus (0: says nothing, 100: perfect) and its threshold.

    Without a threshold the best one for the corpus is taken, which is NAB's own rule.
    """
    found, value, window, windows = [], [], [], 0
    for score, truth in zip(scores, truths, strict=True):
        scored = slice(truth.begins, None)
        inside = truth.window[scored] >= 0
        found.append(score[scored])
        value.append(truth.worth[scored] * np.where(inside, cost["tpWeight"], cost["fpWeight"]))
        window.append(np.where(inside, truth.window[scored] + windows, -1))
        windows += truth.windows
    everything, worth, which = np.concatenate(found), np.concatenate(value), np.concatenate(window)
    least, most = -windows * cost["fnWeight"], windows * cost["tpWeight"]

    def total(at: float) -> float:
        told = everything >= at
        best = np.full(windows, -cost["fnWeight"])
        np.maximum.at(best, which[told & (which >= 0)], worth[told & (which >= 0)])
        return float(worth[told & (which < 0)].sum() + best.sum())

    def normal(raw: float) -> float:
        return 100 * (raw - least) / (most - least)

    if threshold is not None:
        return normal(total(threshold)), threshold
    candidates = np.unique(everything)
    if len(candidates) > 500:
        ranks = np.unique(np.concatenate([np.linspace(0, 0.9, 50), 1 - np.geomspace(0.1, 1e-5, 450)]))
        candidates = np.unique(np.quantile(candidates, ranks))
    best = max((total(at), at) for at in candidates)
    return normal(best[0]), float(best[1])


def precision_recall(told: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and F1, point by point."""
    hits = np.count_nonzero(told & true)
    precision, recall = hits / max(np.count_nonzero(told), 1), hits / max(np.count_nonzero(true), 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-12)


def covering(annotations: Sequence[Collection[int]], found: Collection[int], points: int) -> float:
    """TCPD's covering: how well the segments found cover those of each annotator, on average (van den Burg 2020)."""

    def segments(changes: Collection[int]) -> list[set[int]]:
        edges = [0, *sorted(set(changes) - {0}), points]
        return [set(range(start, end)) for start, end in pairwise(edges)]

    ours = segments(found)
    each = [
        sum(len(true) * max(len(true & own) / len(true | own) for own in ours) for true in segments(annotated)) / points
        for annotated in annotations
    ]
    return float(np.mean(each))


def change_f1(annotations: Sequence[Collection[int]], found: Collection[int], margin: int = 5) -> float:
    """TCPD's F1: precision against all annotators together, recall as their mean; index 0 counts on both sides."""
    people = [set(annotated) | {0} for annotated in annotations]
    ours = set(found) | {0}
    precision = _matched(set().union(*people), ours, margin) / len(ours)
    recall = float(np.mean([_matched(own, ours, margin) / len(own) for own in people]))
    return 2 * precision * recall / (precision + recall)


def _matched(true: Collection[int], found: Collection[int], margin: int) -> int:
    left, matched = set(found), 0
    for change in sorted(true):
        near = sorted((abs(change - own), own) for own in left if abs(change - own) <= margin)
        if near:
            matched += 1
            left.remove(near[0][1])
    return matched
