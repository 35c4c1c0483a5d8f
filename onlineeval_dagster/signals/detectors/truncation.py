"""Answers that break off."""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.signals.detectors.interface import NO_REASON, Detector, folded, found, text_of
from onlineeval_dagster.signals.detectors.phrases import DANGLING, ENDED, PROSE, VERSE, any_of

WHOLE = 25  # characters; "Bobby Scott" is a whole answer


def truncated(batch: pa.Table) -> pa.Table:
    """-0.5 where the answer breaks off: the model's limit, an open code block, prose without end. raw_value: 1 or 0."""
    text = pc.utf8_rtrim_whitespace(text_of(batch))
    at_limit = pc.is_in(batch.column("finish_reason"), value_set=pa.array(["length", "max_tokens", "MAX_TOKENS"]))
    fences = pc.count_substring(text, "```")
    open_code = pc.equal(pc.bit_wise_and(fences, 1), 1)
    # The last 300 characters decide: RE2 need not walk the whole answer.
    tail = pc.utf8_slice_codeunits(text, -300, None)
    last_line = pc.replace_substring_regex(tail, r"(?s)^.*\n", "")
    ending = folded(pc.utf8_slice_codeunits(last_line, -60, None))
    dangles = pc.match_substring_regex(ending, any_of(DANGLING))
    prose = pc.and_not(pc.match_substring_regex(last_line, PROSE), pc.match_substring_regex(tail, VERSE))
    no_end = pc.or_(dangles, pc.and_not(prose, pc.match_substring_regex(ending, ENDED)))
    no_end = pc.and_(no_end, pc.and_(pc.greater(pc.utf8_length(text), WHOLE), pc.equal(fences, 0)))
    reason = pc.if_else(no_end, "no end", NO_REASON)
    reason = pc.if_else(open_code, "open code block", reason)
    reason = pc.if_else(at_limit, "the model's limit", reason)
    return found(batch, flagged=pc.is_valid(reason), score=-0.5, reason=reason)


DETECTOR = Detector(
    name="truncated",
    version="1",
    cost_us=7.0,
    cannot_see="answers cut after a whole sentence or inside a list, and scripts that end prose without a mark",
    needs=("response", "finish_reason"),
    score=truncated,
)
