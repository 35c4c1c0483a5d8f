"""Answers that say the same again."""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.signals.detectors.interface import NO_REASON, Detector, found, text_of

REPEATED = 0.4


def repetition(batch: pa.Table) -> pa.Table:
    """-0.5 where 40 % of the sentences (of 20 characters or more) repeat earlier ones. raw_value: that share."""
    pieces = pc.split_pattern_regex(text_of(batch).combine_chunks(), r"[.!?。！？]\s+|\n+")
    row, piece = pc.list_parent_indices(pieces), pc.list_flatten(pieces)
    whole = pc.greater_equal(pc.utf8_length(piece), 20)
    row = pc.filter(row, whole).to_numpy(zero_copy_only=False).astype(np.int64)
    # Row and sentence as one number: counting distinct integers is three times as fast as grouping by text.
    number = pc.dictionary_encode(pc.filter(piece, whole)).indices.to_numpy(zero_copy_only=False)
    distinct = pc.unique(pa.array(row * 2**32 + number)).to_numpy() // 2**32
    said, once = (np.bincount(rows, minlength=batch.num_rows) for rows in (row, distinct))
    repeated = pa.array(np.where(said > 0, 1 - once / np.maximum(said, 1), 0.0))
    reason = pc.if_else(pc.greater_equal(repeated, REPEATED), "says the same again", NO_REASON)
    return found(batch, flagged=pc.is_valid(reason), score=-0.5, reason=reason, raw_value=repeated)


DETECTOR = Detector(
    name="repetition",
    version="1",
    cost_us=12.0,
    cannot_see="repetition inside a sentence and in other words",
    needs=("response",),
    score=repetition,
)
