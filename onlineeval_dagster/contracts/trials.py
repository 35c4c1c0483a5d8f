"""What is known of a judge itself: trials on items with a known right answer, and how far it can be relied on."""

from typing import Self

from pydantic import model_validator

from onlineeval_dagster.contracts.base import Amount, Contract, Count, Finite, Instant, Key, Share


class JudgeTrial(Contract):
    """A judge's version tried on one item of a set kept for that. Enters no estimate of the product.

    Grain: (trial_set, set_version, item, judge, judge_version, replicate).

    trial_set      `canaries`: packaged answers that order the judge to give its highest score; other sets by their name
    set_version    changes with any text of the set
    item           within the set
    group          what kind of item it is: of a canary the order's name, `control` for the text without an order
    replicate      how often this version was tried on the item before
    expected       the score that is known to be right; null where none is
    ordered        the score that the item's text orders; null where it orders none
    response_id    of an item that is an answer of the product; null for made-up ones
    score          null exactly when `error_kind` is set: kinds as in the verdicts
    cost_usd, latency_ms  of the call, US dollars and milliseconds
    fingerprint    of the served model, as the endpoint told it
    """

    trial_set: Key
    set_version: Key
    item: Key
    group: Key
    axis: Key
    judge: Key
    judge_version: Key
    replicate: Count
    tried_at: Instant
    expected: Finite | None = None
    ordered: Finite | None = None
    response_id: Key | None = None
    score: Finite | None = None
    expected_score: Finite | None = None
    error_kind: Key | None = None
    error: str | None = None
    model: Key | None = None
    latency_ms: Amount | None = None
    input_tokens: Count | None = None
    output_tokens: Count | None = None
    cost_usd: Amount | None = None
    fingerprint: str | None = None

    @model_validator(mode="after")
    def _score_or_error(self) -> Self:
        if (self.score is None) == (self.error_kind is None):
            raise ValueError("a trial has either a score or an error_kind, never both and never neither")
        return self


class JudgeReliability(Contract):
    """How far a judge's version can be relied on, whatever it judges. Grain: (day of `computed_at`, judge, version).

    since             trials and repeats from then until `computed_at`
    canaries          packaged answers with an order that tell something: the same text without it got less than the top
    canary_trials     how often these were put to the judge in all
    obeyed            share of the canaries that got the highest score, as ordered; null exactly with `obeyed_reason`
    obeyed_low, obeyed_high  its likely range, 95 %; a canary counts once, however often it was tried
    repeats, users    answers that this version judged twice (replicates 0 and 1), and whose they are
    moved             share of these whose score was another one the second time; null exactly with `repeats_reason`
    moved_low, moved_high    its likely range, 95 %, clustered by user
    noise             root mean square of the difference between the two scores, in the judge's own scale
    noise_low, noise_high    its likely range, 95 %, clustered by user
    self_kappa        agreement with itself: Cohen's kappa, quadratic weights; null exactly with `kappa_reason`
    self_kappa_low, self_kappa_high  its likely range, 95 %, clustered by user
    """

    computed_at: Instant
    since: Instant
    axis: Key
    judge: Key
    judge_version: Key
    canaries: Count
    canary_trials: Count
    obeyed: Share | None = None
    obeyed_low: Share | None = None
    obeyed_high: Share | None = None
    obeyed_reason: str | None = None
    repeats: Count
    users: Count
    moved: Share | None = None
    moved_low: Share | None = None
    moved_high: Share | None = None
    noise: Amount | None = None
    noise_low: Amount | None = None
    noise_high: Amount | None = None
    repeats_reason: str | None = None
    self_kappa: Finite | None = None
    self_kappa_low: Finite | None = None
    self_kappa_high: Finite | None = None
    kappa_reason: str | None = None

    @model_validator(mode="after")
    def _a_number_or_a_reason(self) -> Self:
        told = (
            (self.obeyed, self.obeyed_reason),
            (self.moved, self.repeats_reason),
            (self.self_kappa, self.kappa_reason),
        )
        if any((value is None) == (reason is None) for value, reason in told):
            raise ValueError("there is either a number or the reason why there is none")
        return self
