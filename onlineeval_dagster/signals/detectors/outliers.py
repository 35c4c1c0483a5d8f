"""Answers of an odd length, and answers that took long, against what was usual in the week before."""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.signals.detectors.interface import NO_REASON, Detector, found, text_of

# Spreads from the median. Beyond them lie 6 in 10,000,000 answers whose logarithm is normal, 2 in 10,000 with the tails
# of a Laplace distribution, and by the way the spread is made at most 1 % on either side of any other.
FAR = 5.0
# The spread is at least 10 %: where nearly all answers are one template, a word more is no outlier.
LEAST_SPREAD = 0.1
VERY_LONG = 20_000  # characters: some 5,000 tokens, eight printed pages
VERY_SLOW_MS = 60_000.0


def length_outlier(batch: pa.Table) -> pa.Table:
    """-0.3 where the answer is far shorter or longer than is usual, or longer than 20,000 characters.

    raw_value: how far the logarithm of its length is from the week's median, in spreads, either way; null where the
    week before holds fewer than 200 answers, or this one is empty.
    """
    length = pc.cast(pc.utf8_length(text_of(batch)), pa.float64())
    away = _away(length, batch.column("typical_length"), batch.column("spread_length"))
    reason = pc.if_else(_true(pc.less(away, -FAR)), "far shorter than usual", NO_REASON)
    reason = pc.if_else(_true(pc.greater(away, FAR)), "far longer than usual", reason)
    reason = pc.if_else(pc.greater(length, VERY_LONG), "very long", reason)
    return found(batch, flagged=pc.is_valid(reason), score=-0.3, reason=reason, raw_value=pc.abs(away))


def latency_outlier(batch: pa.Table) -> pa.Table:
    """-0.3 where the answer took far longer than is usual, or more than a minute.

    raw_value: how far the logarithm of its latency is above the week's median, in spreads (below: negative); null where
    the week before holds fewer than 200 answers with a latency, or this one has none.
    """
    latency = batch.column("latency_ms")
    away = _away(latency, batch.column("typical_latency_ms"), batch.column("spread_latency"))
    reason = pc.if_else(_true(pc.greater(away, FAR)), "far slower than usual", NO_REASON)
    reason = pc.if_else(_true(pc.greater(latency, VERY_SLOW_MS)), "very slow", reason)
    return found(batch, flagged=pc.is_valid(reason), score=-0.3, reason=reason, raw_value=away)


def _away(value: Any, typical: Any, spread: Any) -> Any:
    """Robust z on the log scale; null where one of the three is null."""
    spread = pc.max_element_wise(spread, LEAST_SPREAD, skip_nulls=False)
    return pc.divide(pc.subtract(_ln(value), _ln(typical)), spread)


def _ln(value: Any) -> Any:
    """Null for nothing, which has no logarithm."""
    return pc.ln(pc.if_else(pc.greater(value, 0), value, pa.scalar(None, pa.float64())))


def _true(condition: Any) -> Any:
    return pc.fill_null(condition, False)


LENGTH = Detector(
    name="length_outlier",
    version="1",
    cost_us=1.0,
    cannot_see="lengths that are odd for their question alone; anything within 20,000 characters where the week before "
    "holds fewer than 200 answers; a change that all answers make together, which becomes usual within days",
    needs=("response", "typical_length", "spread_length"),
    score=length_outlier,
)
LATENCY = Detector(
    name="latency_outlier",
    version="1",
    cost_us=1.0,
    cannot_see="answers without a latency; a slowness that is in proportion to a long answer; anything within a minute "
    "where the week before holds fewer than 200 answers with a latency",
    needs=("latency_ms", "typical_latency_ms", "spread_latency"),
    score=latency_outlier,
)
