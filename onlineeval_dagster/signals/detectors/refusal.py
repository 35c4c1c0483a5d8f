"""Answers that are empty, or that decline and deliver nothing."""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.signals.detectors.interface import NO_REASON, Detector, folded, found, text_of
from onlineeval_dagster.signals.detectors.phrases import COMPLIANCE, REDIRECT, REFUSALS, every_language

OPENING = 240  # characters in which an answer that declines says so
SHORT = 480  # characters; an answer that goes on for longer delivers something


def refusal_or_empty(batch: pa.Table) -> pa.Table:
    """-1 where the answer is empty, or declines in its opening and delivers nothing after. raw_value: 1 or 0."""
    text = text_of(batch)
    empty = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(text)), 0)
    short = pc.less_equal(pc.utf8_length(text), SHORT)
    opening = folded(pc.utf8_slice_codeunits(text, 0, OPENING))
    declines = pc.and_(short, pc.match_substring_regex(opening, every_language(REFUSALS)))
    rest = pc.replace_substring_regex(folded(pc.if_else(declines, text, "")), REDIRECT, "")
    delivers = pc.match_substring_regex(rest, every_language(COMPLIANCE))
    refused = pc.and_not(declines, delivers)
    reason = pc.if_else(empty, "empty", pc.if_else(refused, "declines in its opening", NO_REASON))
    return found(batch, flagged=pc.or_(empty, refused), score=-1.0, reason=reason)


DETECTOR = Detector(
    name="refusal_or_empty",
    version="1",
    cost_us=3.0,
    cannot_see="refusals in languages other than English, German, Spanish, French, Italian and Portuguese; "
    "polite evasions without a phrase of declining; whether declining was right",
    needs=("response",),
    score=refusal_or_empty,
)
