"""Answers that doubt themselves, in words or by the probabilities of their tokens."""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.signals.detectors.interface import NO_REASON, Detector, folded, found, text_of
from onlineeval_dagster.signals.detectors.phrases import HEDGES, POLITE, UNSURE, every_language

READ = 2_000
"""Characters of an answer whose sentences are counted."""
HEDGE = 0.3
"""What a sentence with "perhaps" counts where one with "I am not sure" counts 1."""
DOUBTFUL = 0.5
IMPROBABLE = -1.0
"""Mean natural log-probability of a token, a geometric mean of 0.37: where Whisper, too, takes a decoding for failed
(its `logprob_threshold`)."""

_TO_ITS_END = r"[^.!?。！？\n]*"  # what follows in the same sentence: a second hedge there does not count again
_ENDS = r"[.!?。！？]+(?:\s|$)|\n+"
_LOGPROB = r'"(?:avg|mean|average)_log_?probs?":\s*(?P<value>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)\s*[,}]'


def low_confidence(batch: pa.Table) -> pa.Table:
    """-0.4 where half of the sentences doubt what they say, or the tokens were improbable to the model itself.

    raw_value, 0 to 1: the share of sentences with a doubt (one that only hedges counts 0.3), or 1 minus the geometric
    mean probability of a token where that is larger and a field `avg_logprob` or `mean_logprob` came with the answer.
    """
    text = folded(pc.utf8_slice_codeunits(text_of(batch), 0, READ))
    text = pc.replace_substring_regex(text, POLITE, "")
    unsure, hedging = (_sentences(text, phrases) for phrases in (UNSURE, HEDGES))
    ends = pc.count_substring_regex(pc.utf8_rtrim_whitespace(text), _ENDS)
    open_end = pc.and_not(pc.not_equal(text, ""), pc.match_substring_regex(text, r"[.!?。！？]\s*$"))
    sentences = pc.max_element_wise(pc.add(ends, pc.cast(open_end, pa.int64())), pc.max_element_wise(unsure, 1))
    doubts = pc.add(pc.cast(unsure, pa.float64()), pc.multiply(HEDGE, pc.cast(hedging, pa.float64())))
    share = pc.min_element_wise(pc.divide(doubts, pc.cast(sentences, pa.float64())), 1.0)
    improbable = pc.subtract(1.0, pc.exp(_mean_logprob(batch.column("attributes"))))
    reason = pc.if_else(pc.greater_equal(share, DOUBTFUL), "doubts what it says", NO_REASON)
    unlikely = pc.fill_null(pc.greater(improbable, 1 - pc.exp(pa.scalar(IMPROBABLE)).as_py()), False)
    reason = pc.if_else(unlikely, "improbable to the model itself", reason)
    raw_value = pc.max_element_wise(share, improbable)
    return found(batch, flagged=pc.is_valid(reason), score=-0.4, reason=reason, raw_value=raw_value)


def _sentences(text: Any, phrases: dict[str, tuple[str, ...]]) -> Any:
    """How many sentences have one of the phrases."""
    return pc.count_substring_regex(text, every_language(phrases) + _TO_ITS_END)


def _mean_logprob(attributes: Any) -> Any:
    """The answer's mean log-probability where its JSON has one; null elsewhere, and for a positive number."""
    there = pc.if_else(pc.match_substring(attributes, "log"), attributes, pa.scalar(None, pa.string()))
    value = pc.cast(pc.struct_field(pc.extract_regex(there, _LOGPROB), "value"), pa.float64())
    return pc.if_else(pc.less_equal(value, 0), value, pa.scalar(None, pa.float64()))


DETECTOR = Detector(
    name="low_confidence",
    version="1",
    cost_us=14.0,
    cannot_see="doubts in languages other than English, German, Spanish, French, Italian and Portuguese; whether a "
    "doubt is right, and that a confident answer is wrong; probabilities that come token by token; doubts behind the "
    "first 2,000 characters",
    needs=("response", "attributes"),
    score=low_confidence,
)
