"""What a corrected mean is reckoned from: users' totals of what was judged and labelled, and the products of these.

Answers of one user are alike, so a user is what is added up. A value's variance and skew are sums over users of the
square and the cube of a user's influence on it, which is linear in the user's totals: so second and third products are
all that is needed, and the moments of disjoint users add up.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations_with_replacement, permutations
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]

JUDGED, SCORE, LABELLED, LABEL, LABELLED_SCORE = range(5)
"""Places among a user's five totals: w, w f over the judged; v, v y, v f over the labelled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelMoments:
    """Of G groups: sums over users of their five totals, and of the totals' products.

    sums      (G, 5): w, w f over the judged; v, v y, v f over the labelled. f: the judge's score, y: the label,
              w and v: one over the inclusion probability, as judged and as labelled
    products  (G, 5, 5): sum over users of the products of two of these totals
    cubes     (G, 5, 5, 5): of three
    labels    (G,): labelled responses
    users     (G,): users with a label
    judged_users  (G,): users with a judged response
    """

    sums: Floats
    products: Floats
    cubes: Floats
    labels: Whole
    users: Whole
    judged_users: Whole

    @classmethod
    def of_users(cls, totals: Floats, group: Whole, *, labels: Whole, groups: int) -> Self:
        """From one row a (group, user): its five totals, its group, its number of labels."""
        # Few users have a label, and products with a total of labels are of them alone.
        few = np.flatnonzero(labels > 0)
        all_users, of_few = (totals, group), (totals[few], group[few])

        def summed(columns: tuple[int, ...]) -> Floats:
            some, where = all_users if max(columns) <= SCORE else of_few
            return np.bincount(where, np.prod(some[:, columns], axis=1), groups).astype(np.float64)

        return cls(
            sums=_symmetric(summed, 1, groups),
            products=_symmetric(summed, 2, groups),
            cubes=_symmetric(summed, 3, groups),
            labels=np.bincount(group, labels, groups).astype(np.int64),
            users=np.bincount(group[few], minlength=groups).astype(np.int64),
            judged_users=np.bincount(group, totals[:, JUDGED] > 0, groups).astype(np.int64),
        )

    @classmethod
    def of_buckets(cls, totals: Floats) -> Self:
        """From (G, buckets, 6): a bucket's five totals and its number of labels; a bucket counts as a user."""
        five = totals[:, :, :5]
        sums, products, cubes = powers(five)
        return cls(
            sums=sums,
            products=products,
            cubes=cubes,
            labels=totals[:, :, 5].sum(axis=1).astype(np.int64),
            users=(totals[:, :, 5] > 0).sum(axis=1),
            judged_users=(totals[:, :, JUDGED] > 0).sum(axis=1),
        )

    @classmethod
    def side_by_side(cls, parts: Iterable[Self]) -> Self:
        """The groups of all parts, in their order."""
        no_users, none = np.zeros((0, 5)), np.zeros(0, dtype=np.int64)
        several = [*parts] or [cls.of_users(no_users, none, labels=none, groups=0)]
        return cls(**{name: np.concatenate([getattr(part, name) for part in several]) for name in FIELDS})

    def __add__(self, other: Self) -> Self:
        """Of both, where no user is in both."""
        return type(self)(**{name: getattr(self, name) + getattr(other, name) for name in FIELDS})

    def take(self, at: Whole) -> Self:
        """The groups at these places, in this order."""
        return type(self)(**{name: getattr(self, name)[at] for name in FIELDS})


FIELDS = tuple(LabelMoments.__dataclass_fields__)


def powers(totals: Floats) -> tuple[Floats, Floats, Floats]:
    """Sums, products and cubes over the rows of (G, rows, K): (G, K), (G, K, K), (G, K, K, K)."""
    width = totals.shape[2]
    first, second = np.triu_indices(width)  # each pair once: half of the work
    place = np.empty((width, width), dtype=np.int64)
    place[first, second] = place[second, first] = np.arange(len(first))
    # Rows last, so that products are of whole stretches of memory.
    across = np.ascontiguousarray(np.swapaxes(totals, 1, 2))
    pairs = across[:, first] * across[:, second]
    cubes = across @ np.swapaxes(pairs, 1, 2)
    return across.sum(axis=2), pairs.sum(axis=2)[:, place], cubes[:, :, place]


def _symmetric(summed: Callable[[tuple[int, ...]], Floats], order: int, groups: int) -> Floats:
    """(groups, 5, … 5), `order` times: what `summed` gives for these columns, in whatever order they come."""
    found = np.empty((groups, *[5] * order))
    for columns in combinations_with_replacement(range(5), order):
        once = summed(columns)
        for place in permutations(columns):
            found[:, *place] = once
    return found
