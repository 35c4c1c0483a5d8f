"""Detectors that look at every answer, cheap enough for all of the traffic; each says what it cannot see."""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.signals.patterns import (
    COMPLIANCE,
    DANGLING,
    ENDED,
    PROSE,
    REDIRECT,
    REFUSALS,
    VERSE,
    any_of,
    every_language,
)

OPENING = 240  # characters in which an answer that declines says so
SHORT = 480  # characters; an answer that goes on for longer delivers something
WHOLE = 25  # characters; "Bobby Scott" is a whole answer
REPEATED = 0.4

FOUND = pa.schema(
    [
        pa.field("response_id", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("raw_value", pa.float64()),
        pa.field("flagged", pa.bool_(), nullable=False),
        pa.field("reason", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """One automated signal.

    needs       columns of a response beside `response_id`
    score       (table with these columns) -> FOUND: one row a response, in the same order. `score` in [-1, 0) where
                something was found and null where nothing was: not finding a fault is no praise
    cost_us     microseconds for an answer of 300 tokens on one core, measured
    cannot_see  what it misses by design, for the reader of a report
    """

    name: str
    version: str
    cost_us: float
    cannot_see: str
    needs: tuple[str, ...]
    score: Callable[[pa.Table], pa.Table]


def refusal_or_empty(batch: pa.Table) -> pa.Table:
    """-1 where the answer is empty, or declines in its opening and delivers nothing after. raw_value: 1 or 0."""
    text = _text(batch)
    empty = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(text)), 0)
    short = pc.less_equal(pc.utf8_length(text), SHORT)
    opening = _folded(pc.utf8_slice_codeunits(text, 0, OPENING))
    declines = pc.and_(short, pc.match_substring_regex(opening, every_language(REFUSALS)))
    rest = pc.replace_substring_regex(_folded(pc.if_else(declines, text, "")), REDIRECT, "")
    delivers = pc.match_substring_regex(rest, every_language(COMPLIANCE))
    refused = pc.and_not(declines, delivers)
    reason = pc.if_else(empty, "empty", pc.if_else(refused, "declines in its opening", _NO_REASON))
    return _found(batch, flagged=pc.or_(empty, refused), score=-1.0, reason=reason)


def truncated(batch: pa.Table) -> pa.Table:
    """-0.5 where the answer breaks off: the model's limit, an open code block, prose without end. raw_value: 1 or 0."""
    text = pc.utf8_rtrim_whitespace(_text(batch))
    at_limit = pc.is_in(batch.column("finish_reason"), value_set=pa.array(["length", "max_tokens", "MAX_TOKENS"]))
    fences = pc.count_substring(text, "```")
    open_code = pc.equal(pc.bit_wise_and(fences, 1), 1)
    # The last 300 characters decide: RE2 need not walk the whole answer.
    tail = pc.utf8_slice_codeunits(text, -300, None)
    last_line = pc.replace_substring_regex(tail, r"(?s)^.*\n", "")
    ending = _folded(pc.utf8_slice_codeunits(last_line, -60, None))
    dangles = pc.match_substring_regex(ending, any_of(DANGLING))
    prose = pc.and_not(pc.match_substring_regex(last_line, PROSE), pc.match_substring_regex(tail, VERSE))
    no_end = pc.or_(dangles, pc.and_not(prose, pc.match_substring_regex(ending, ENDED)))
    no_end = pc.and_(no_end, pc.and_(pc.greater(pc.utf8_length(text), WHOLE), pc.equal(fences, 0)))
    reason = pc.if_else(no_end, "no end", _NO_REASON)
    reason = pc.if_else(open_code, "open code block", reason)
    reason = pc.if_else(at_limit, "the model's limit", reason)
    return _found(batch, flagged=pc.is_valid(reason), score=-0.5, reason=reason)


def repetition(batch: pa.Table) -> pa.Table:
    """-0.5 where 40 % of the sentences (of 20 characters or more) repeat earlier ones. raw_value: that share."""
    pieces = pc.split_pattern_regex(_text(batch).combine_chunks(), r"[.!?。！？]\s+|\n+")
    row, piece = pc.list_parent_indices(pieces), pc.list_flatten(pieces)
    whole = pc.greater_equal(pc.utf8_length(piece), 20)
    row = pc.filter(row, whole).to_numpy(zero_copy_only=False).astype(np.int64)
    # Row and sentence as one number: counting distinct integers is three times as fast as grouping by text.
    number = pc.dictionary_encode(pc.filter(piece, whole)).indices.to_numpy(zero_copy_only=False)
    distinct = pc.unique(pa.array(row * 2**32 + number)).to_numpy() // 2**32
    said, once = (np.bincount(rows, minlength=batch.num_rows) for rows in (row, distinct))
    repeated = pa.array(np.where(said > 0, 1 - once / np.maximum(said, 1), 0.0))
    reason = pc.if_else(pc.greater_equal(repeated, REPEATED), "says the same again", _NO_REASON)
    return _found(batch, flagged=pc.is_valid(reason), score=-0.5, reason=reason, raw_value=repeated)


DETECTORS: dict[str, Detector] = {
    detector.name: detector
    for detector in (
        Detector(
            name="refusal_or_empty",
            version="1",
            cost_us=3.0,
            cannot_see="refusals in languages other than English, German, Spanish, French, Italian and Portuguese; "
            "polite evasions without a phrase of declining; whether declining was right",
            needs=("response",),
            score=refusal_or_empty,
        ),
        Detector(
            name="truncated",
            version="1",
            cost_us=7.0,
            cannot_see="answers cut after a whole sentence or inside a list, and scripts that end prose without a mark",
            needs=("response", "finish_reason"),
            score=truncated,
        ),
        Detector(
            name="repetition",
            version="1",
            cost_us=12.0,
            cannot_see="repetition inside a sentence and in other words",
            needs=("response",),
            score=repetition,
        ),
    )
}
"""All detectors by name; the catalog's signals.toml says which of them run."""

_NO_REASON = pa.scalar(None, pa.string())


def _text(batch: pa.Table) -> Any:
    return pc.fill_null(batch.column("response"), "")


def _folded(text: Any) -> Any:
    """Lower case, and one apostrophe for the two that people type."""
    return pc.replace_substring(pc.utf8_lower(text), "’", "'")


def _found(batch: pa.Table, *, flagged: Any, score: float, reason: Any, raw_value: Any = None) -> pa.Table:
    number = pa.scalar(None, pa.float64())
    columns = {
        "response_id": batch.column("response_id"),
        "score": pc.if_else(flagged, score, number),
        "raw_value": pc.cast(flagged, pa.float64()) if raw_value is None else raw_value,
        "flagged": flagged,
        "reason": reason,
    }
    return pa.table([columns[name] for name in FOUND.names], schema=FOUND)
