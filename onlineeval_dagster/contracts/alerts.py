"""What was raised and what became of it: alerts and the incidents that hold them."""

from typing import Literal, Self

from pydantic import model_validator

from onlineeval_dagster.contracts.base import Contract, Count, Finite, Instant, Key, Probability, Share

AlertState = Literal["pending", "firing", "acknowledged", "resolved"]
IncidentState = Literal["open", "acknowledged", "resolved"]


class Alert(Contract):
    """One stretch of trouble that one rule saw in one slice. Grain: `alert_id`; one rule and slice has one at a time.

    state         pending → firing → acknowledged → resolved; a pending one that is not confirmed resolves unsent
    watched       its rule was on `watch` when it fired: told in the report, sent nowhere
    began_at      start of the first window of it; its day is the row's day
    fired_at      end of the window that made it evident, with the rule's wait; null while pending
    seen_at       when a run first saw it
    resolved_at   when it was over, seen the same way; why in `ending`
    last_window   start of the newest window with the evidence
    grain, judge_version, metric_version  of the series; grain `deploy`: of a look at a deploy, `slice_value` names it
    value, expected, low, high, n  of the window that made it evident (while pending: of the worst so far)
    change        relative to what was expected, or beyond an absolute limit; positive is worse
    strength      the statistic in units of its threshold
    chance        of a false alarm at one look of one series: this rule's share of the budget
    told          the evidence in a sentence
    silenced_until  nobody is told of it before
    openings      how often it came back within its own stretch; 1 at first
    """

    alert_id: Key
    rule: Key
    slice: Key
    slice_value: Key
    metric: Key
    kind: Key
    role: Literal["business", "quality", "technical"]
    severity: Literal["page", "ticket", "note"]
    owner: Key
    watched: bool
    state: AlertState
    incident_id: Key | None = None
    began_at: Instant
    seen_at: Instant
    fired_at: Instant | None = None
    acknowledged_at: Instant | None = None
    acknowledged_by: Key | None = None
    resolved_at: Instant | None = None
    ending: str | None = None
    last_window: Instant
    grain: Literal["five_minutes", "hour", "day", "deploy"]
    judge_version: Key
    metric_version: Key
    value: Finite | None = None
    expected: Finite | None = None
    low: Finite | None = None
    high: Finite | None = None
    n: Count | None = None
    change: Finite | None = None
    strength: Finite | None = None
    chance: Probability
    told: str
    silenced_until: Instant | None = None
    openings: Count = 1


class Incident(Contract):
    """Alerts that belong together: they began within a short time of each other. Grain: `incident_id`.

    opened_at   when its first alert was seen firing; its day is the row's day
    began_at    start of the earliest window of any of its alerts
    state       `open` while an alert fires; `acknowledged` once somebody has it; `resolved` when all are over
    watched     every alert of it is of a rule on watch: nobody is told
    role, severity, owner  of its first alert by rank: business before quality before technical, page before ticket
    title       of that alert's rule, and how many more there are
    alerts      how many it holds; `diagnosis` names the technical ones beside a business or quality one
    silenced_until  nobody is told before; null unless all of its alerts are silenced
    """

    incident_id: Key
    opened_at: Instant
    began_at: Instant
    state: IncidentState
    watched: bool
    role: Literal["business", "quality", "technical"]
    severity: Literal["page", "ticket", "note"]
    owner: Key
    title: str
    alerts: Count
    rules: str
    diagnosis: str | None = None
    acknowledged_at: Instant | None = None
    acknowledged_by: Key | None = None
    resolved_at: Instant | None = None
    silenced_until: Instant | None = None
    openings: Count = 1


CauseKind = Literal["deploy", "event", "traffic", "latency", "failures", "mix", "judge_version", "unexplained"]


class IncidentCause(Contract):
    """What may be behind an incident, with the evidence. Grain: the first three.

    kind           a deploy or an event that was sent; a mechanism (traffic, latency, failures, mix, judge_version); or
                   `unexplained`: that none of the deploys and events is behind it
    name           of the deploy, event or mechanism
    rank           1 for what is named first
    verdict        `named` alone or with others that cannot be told apart, `unlikely`, or `unknown` with the `reason`
    opened_at      of the incident; its day is the row's day
    metric, slice, slice_value  of the series that is looked at: that of the incident's first alert
    occurred_at    of a deploy or event
    probability    by the shapes that the fall can have; those of deploys, events and `unexplained` add up to 1
    before, after  what was to be expected after a deploy by the time before it, and what came, in the metric's unit;
                   of times and money geometric means
    difference, low, high  after - before without the rhythm, likely range; up to the changes before and after it
    beside, beside_low, beside_high  its answers less those of older versions served beside it at the same time
    structural, structural_low, structural_high  of a deploy to a model or variant that was served before it: its hours
                   against what those that it did not touch led to expect
    placebo        share of times without a deploy, in the weeks before, at which as much changed; of `placebos` times
    explained, explained_low, explained_high  of a mechanism: the part of the change that it explains, 1 for all of it
    told           in a sentence
    """

    incident_id: Key
    kind: CauseKind
    name: Key
    rank: Count
    verdict: Literal["named", "unlikely", "unknown"]
    opened_at: Instant
    metric: Key
    slice: Key
    slice_value: Key
    occurred_at: Instant | None = None
    probability: Share | None = None
    before: Finite | None = None
    after: Finite | None = None
    difference: Finite | None = None
    low: Finite | None = None
    high: Finite | None = None
    beside: Finite | None = None
    beside_low: Finite | None = None
    beside_high: Finite | None = None
    structural: Finite | None = None
    structural_low: Finite | None = None
    structural_high: Finite | None = None
    placebo: Share | None = None
    placebos: Count | None = None
    explained: Finite | None = None
    explained_low: Finite | None = None
    explained_high: Finite | None = None
    told: str
    reason: str | None = None


class DeployLook(Contract):
    """One look of one rule at what followed a deploy; written once. Grain: (deploy_id, rule, look_minutes).

    look_minutes  after the first answer of the new version; answers up to then are counted
    deployed_at   its day is the row's day
    began_at      first answer of the new version; null where there was none
    made_at       when the look was made: late checks and actions were waited for
    version       what the deploy names, `prompt_version v2`; `everything` where it names nothing
    before        the version it is compared with
    compared      `before`: with answers of before the deploy, at the same hours; `concurrent`: at the same time
    windows       of `before`: that many windows of days; the spread between them is part of the interval
    value, expected  of the new version and of the one before
    low, high     95 % limits of value - expected
    n, n_before   answers with a value; n_effective: of the new version, worth so many independent ones
    change        relative to what is expected, or beyond an absolute limit; positive is worse
    strength      the statistic in units of what this look asks for: 1 condemns, given that `change` is beyond the limit
    chance        of a false alarm that this look may spend
    beyond        whether the rule is broken; null exactly when `reason` says why nothing can be told
    told          the evidence in a sentence
    """

    deploy_id: Key
    rule: Key
    look_minutes: Count
    metric: Key
    deployed_at: Instant
    began_at: Instant | None = None
    made_at: Instant
    app: Key
    environment: Key
    version: str
    before: str | None = None
    compared: Literal["before", "concurrent"] | None = None
    windows: Count | None = None
    judge_version: Key
    metric_version: Key
    value: Finite | None = None
    expected: Finite | None = None
    low: Finite | None = None
    high: Finite | None = None
    n: Count | None = None
    n_before: Count | None = None
    n_effective: Finite | None = None
    change: Finite | None = None
    strength: Finite | None = None
    chance: Probability
    limit: Finite
    beyond: bool | None = None
    reason: str | None = None
    told: str

    @model_validator(mode="after")
    def _told_or_not(self) -> Self:
        if (self.beyond is None) != (self.reason is not None):
            raise ValueError("a look says whether the rule is broken, or why it cannot be told")
        return self
