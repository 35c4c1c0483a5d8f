"""What signals are worth: their agreement with what people said, and their weights in one index of quality."""

from typing import Literal, Self

from pydantic import model_validator

from onlineeval_dagster.contracts.base import Amount, Contract, Count, Finite, Instant, Key, Share
from onlineeval_dagster.contracts.rows import SignalKind

Design = Literal["audit", "undesigned"]
"""`audit`: answers drawn with a known chance, weighted by it. `undesigned`: whatever people labelled, unweighted."""


class SignalValidity(Contract):
    """What one signal knows of what people said of the same answers. Grain: (day of `computed_at`, signal, axis).

    Turned so that an AUC above 0.5 and a correlation above 0 mean that the signal points the right way.

    since            the window: answers from then until `computed_at`
    signal_version   its newest in the window; answers with an older one are left out. Null where it was never seen
    reads            what is compared: the signal's `score`, or a detector's `raw_value`, turned by its better end
    design           which labels: `audit`, weighted by their chance; else `undesigned`, of the labelled answers only
    responses        answers of the window in the environments that are sampled
    with_signal      of these, those that have the signal
    coverage         with_signal of responses; null where there were none
    labelled         answers with a label that have the signal, or could have had it: implicit actions count as 0
    good             of `labelled`, those that people called good: the axis's judge file says from which score on
    auc              chance that a good answer has the better reading; null exactly when `auc_reason` is set
    auc_low, auc_high  its likely range, 95 %
    rank_correlation Spearman's, of the reading with people's score; null exactly when `rank_reason` is set
    rank_low, rank_high  its likely range, 95 %
    """

    computed_at: Instant
    since: Instant
    signal: Key
    kind: SignalKind
    axis: Key
    signal_version: Key | None = None
    reads: Literal["score", "raw_value"]
    design: Design
    responses: Count
    with_signal: Count
    coverage: Share | None = None
    labelled: Count
    good: Count | None = None
    auc: Share | None = None
    auc_low: Share | None = None
    auc_high: Share | None = None
    auc_reason: str | None = None
    rank_correlation: Finite | None = None
    rank_low: Finite | None = None
    rank_high: Finite | None = None
    rank_reason: str | None = None

    @model_validator(mode="after")
    def _a_number_or_a_reason(self) -> Self:
        for value, reason in ((self.auc, self.auc_reason), (self.rank_correlation, self.rank_reason)):
            if (value is None) == (reason is None):
                raise ValueError("there is either a number or the reason why there is none")
        return self


class QualityWeight(Contract):
    """How much one signal counts in the index of quality of one axis. Grain: (day of `computed_at`, axis, signal).

    `fitted`: index = 1 / (1 + exp(-x)), the chance that people call the answer good; x is the weight of `intercept`
    and, over the signals an answer has, the sum of weight * (reading - centre) / scale, each fraction within -4 … 4.
    `catalog`: the mean of the scores that signals.toml gives those signals an answer has; each has weight 1, and 0
    where it has no score.

    signal           a signal, or `intercept`
    reads            what the weight is for: the signal's `score`, or a detector's `raw_value`, turned by its better end
    reason           why the catalog's weights are used; null when `fitted`
    penalty          of the squared weights, in rows; null unless fitted
    labelled, rarer  answers with a label, and those of them with the rarer outcome, good or not
    fitted_auc       of the fitted index, each user's answers weighed by what the other users' labels said; null where
                     it was not tried
    fitted_low, fitted_high  its likely range, 95 %
    catalog_auc      of the catalog's index on the same answers; null where labels are too few for a number
    catalog_low, catalog_high  its likely range, 95 %
    gain             fitted_auc - catalog_auc; null where either is
    gain_low, gain_high  its likely range, 95 %: the fitted weights are used where all of it is above 0
    """

    computed_at: Instant
    since: Instant
    axis: Key
    signal: Key
    reads: Literal["score", "raw_value"]
    design: Design
    method: Literal["fitted", "catalog"]
    weight: Finite
    centre: Finite
    scale: Amount
    reason: str | None = None
    penalty: Amount | None = None
    labelled: Count
    rarer: Count
    fitted_auc: Share | None = None
    fitted_low: Share | None = None
    fitted_high: Share | None = None
    catalog_auc: Share | None = None
    catalog_low: Share | None = None
    catalog_high: Share | None = None
    gain: Finite | None = None
    gain_low: Finite | None = None
    gain_high: Finite | None = None

    @model_validator(mode="after")
    def _a_fallback_says_why(self) -> Self:
        if (self.method == "fitted") != (self.reason is None):
            raise ValueError("the catalog's weights need a reason, fitted ones have none")
        return self
