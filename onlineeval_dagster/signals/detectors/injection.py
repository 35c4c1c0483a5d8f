"""Questions, contexts and answers that carry orders to a model."""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

import unicodedata
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.signals.detectors.injection_marks import HIDDEN, LEAK, MARKS
from onlineeval_dagster.signals.detectors.interface import NO_REASON, Detector, found, text_of
from onlineeval_dagster.signals.detectors.phrases import any_of
from onlineeval_dagster.signals.detectors.plain import plain

LOOKED_AT = 100_000  # characters of each text
PLACES = {"query": ("question", -0.3), "context": ("context", -0.5), "response": ("answer", -0.6)}
"""Column -> its name in a reason, and the score where a mark stands in it.

A user may try; what a document orders was never the user's wish; an answer that carries orders passes them on or obeys.
"""
HIDES = "hides characters"
LEAKS = "gives its prompt away"


def injection(batch: pa.Table) -> pa.Table:
    """-0.3, -0.5 or -0.6 where question, context or answer carry marks of an injection: look, it may be harmless.

    raw_value: 1 - 2^-n of n marks, a kind in a place being one; reason: where which kinds.
    """
    count = np.zeros(batch.num_rows)
    score = pa.nulls(batch.num_rows, pa.float64())
    told = []
    for column, (place, its_score) in PLACES.items():
        marks = _marks(text_of(batch, column), answer=column == "response")
        here = np.sum(list(marks.values()), axis=0)
        kinds = _joined(
            [pc.if_else(pa.array(mask), f" and {kind}", "") for kind, mask in marks.items()], skip=len(" and ")
        )
        told.append(pc.if_else(pa.array(here > 0), _joined([f"; {place} ", kinds]), ""))
        score = pc.if_else(pa.array(here > 0), its_score, score)
        count += here
    flagged = pa.array(count > 0)
    reason = pc.if_else(flagged, _joined(told, skip=len("; ")), NO_REASON)
    return found(batch, flagged=flagged, score=score, reason=reason, raw_value=pa.array(1 - 0.5**count))


def _joined(pieces: list[Any], skip: int = 0) -> Any:
    """The pieces of each row as one text, less its first characters."""
    return pc.utf8_slice_codeunits(pc.binary_join_element_wise(*pieces, ""), skip)


def _marks(text: Any, *, answer: bool) -> dict[str, np.ndarray]:
    """Kind of mark -> where it stands in these texts."""
    bare = plain(text, LOOKED_AT)
    kinds = MARKS | ({LEAKS: LEAK} if answer else {})
    # Kind by kind: one pattern for all would be no faster, its automaton does not fit RE2's memory.
    return {HIDES: _matches(text, any_of(HIDDEN))} | {kind: _matches(bare, _pattern(kinds[kind])) for kind in kinds}


def _matches(text: Any, pattern: str) -> np.ndarray:
    return pc.match_substring_regex(text, pattern).to_numpy(zero_copy_only=False)


@cache
def _pattern(patterns: tuple[str, ...]) -> str:
    """One pattern for all, in the dress of plain text."""
    spelt = unicodedata.normalize("NFKD", any_of(patterns).replace(" ", r"\s+"))
    return "".join(letter for letter in spelt if unicodedata.category(letter) != "Mn")


DETECTOR = Detector(
    name="injection",
    version="1",
    cost_us=55.0,
    cannot_see="orders in other words than the usual ones, encoded (base64, rot13), split over turns or behind the "
    "first 100,000 characters of a text; whether the model obeyed; whether a text only speaks about injections",
    needs=("query", "context", "response"),
    score=injection,
)
