"""alerts.toml: what is worth waking somebody for, how many false alarms that may cost, and who is told."""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from onlineeval_dagster.catalog.deploy_watch_file import DeployWatch, Rollback
from onlineeval_dagster.catalog.entry import Entry, Name
from onlineeval_dagster.catalog.metrics_file import Metrics
from onlineeval_dagster.catalog.reading import read_file
from onlineeval_dagster.contracts.estimates import SLICES
from onlineeval_dagster.errors import CatalogError

FILE = "alerts.toml"

Kind = Literal["relative", "absolute", "dynamic", "change_point", "no_data"]
Severity = Literal["page", "ticket", "note"]
Role = Literal["business", "quality", "technical"]
Status = Literal["watch", "enabled", "off"]

MEASURED = ("answers", "judge_failures", "unchecked", "late_events")
"""Series of the pipeline itself that rules may be about, beside the metrics: answers an hour; checks that failed, of
those made; answers that were selected for a check and have none; events that came in more than an hour late."""

Look = Literal["five_minutes", "hour", "day"]

LOOKS_A_WEEK: Mapping[Look, int] = {"five_minutes": 2016, "hour": 168, "day": 7}
"""Windows that rules look at."""

_LIMITED: Mapping[Kind, bool | None] = {
    "relative": True,
    "absolute": True,
    "dynamic": None,
    "change_point": None,
    "no_data": False,
}
"""Whether a kind takes a limit; None: it may."""

ROLLBACK = "rollback"
"""The name under which calls to the rollback's endpoint stand among the deliveries."""

_OWNER = re.compile(r"^(team:[a-z0-9_-]+|[^@\s:]+@[^@\s]+\.[^@\s]+)$")


class Rule(Entry):
    """One table [rules.NAME]. A rule fires on evidence: noise within its share of the budget is ruled out, and the
    estimate is beyond the limit.

    metric     a name of metrics.toml, or `answers`, `judge_failures`, `unchecked`, `late_events`
    kind       `relative`: so much worse than the rhythm led to expect; `absolute`: beyond a value; `dynamic`: out of
               the range of its own residuals; `change_point`: a lasting shift (CUSUM); `no_data`: silence
    limit      relative: share of the expected value; absolute: in the metric's unit; dynamic and change_point: share
               that is worth telling, where there is one
    worse      which way is worse; the metric's own direction by default
    chart      of a dynamic rule: `deviations` for spikes, `ewma` for slow drifts
    after      `deploy`: it looks at nothing but the answers of a version just deployed, beside those of the version
               before (see [deploy_watch]); relative or absolute, and an absolute one also has to be worse than before
    slices     `all`, or columns of an answer whose values are looked at one by one
    windows    hours and days that are looked at, as far as the catalog has points for them; `five_minutes` for spikes
               of metrics in rolling windows: where no metric is (the weekly profile), such a rule rests
    wait_minutes   after a window's end, until late actions and checks are in
    confirm, recover  looks in a row that it takes to fire, and to be over
    share      of the budget, relative to other rules; after a deploy, of the false alarms that a deploy may raise
    status     `watch`: recorded, sent nowhere; `enabled`; `off`
    """

    title: str = Field(min_length=3)
    owner: str
    kind: Kind
    metric: Name
    limit: float | None = Field(default=None, gt=0)
    worse: Literal["up", "down", "both"] | None = None
    chart: Literal["deviations", "ewma"] = "deviations"
    after: Literal["deploy"] | None = None
    slices: tuple[str, ...] = Field(default=("all",), min_length=1)
    windows: tuple[Look, ...] = Field(default=("hour", "day"), min_length=1)
    wait_minutes: float = Field(default=60, ge=0, le=2880)
    confirm: int = Field(default=1, ge=1, le=24)
    recover: int = Field(default=3, ge=1, le=48)
    role: Role = "quality"
    severity: Severity = "ticket"
    share: float = Field(default=1.0, gt=0, le=100)
    status: Status = "watch"
    runbook: str | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if not _OWNER.match(self.owner):
            raise ValueError(f'owner is {self.owner!r}; write "team:search" or an address such as "ada@example.org"')
        wants = _LIMITED[self.kind]
        if wants is not None and wants != (self.limit is not None):
            raise ValueError(f"a rule of kind {self.kind} {'needs a' if wants else 'takes no'} limit")
        if self.kind == "relative" and self.limit is not None and self.limit >= 10:
            raise ValueError(f"limit is {self.limit:g} times what is expected; write 0.1 for ten percent")
        if self.chart == "ewma" and self.kind != "dynamic":
            raise ValueError(f"chart belongs to rules of kind dynamic, and this one is {self.kind}")
        for what, values in (("slices", self.slices), ("windows", self.windows)):
            if len(set(values)) < len(values):
                raise ValueError(f"{what} names one of them twice")
        return self

    @model_validator(mode="after")
    def _fits_a_deploy(self) -> Self:
        if self.after is None:
            return self
        if self.kind not in ("relative", "absolute"):
            raise ValueError(f"a rule after a deploy is relative or absolute, and this one is {self.kind}")
        if self.slices != ("all",):
            raise ValueError("a rule after a deploy looks at its version; take slices out")
        if self.worse == "both":
            raise ValueError('a version is worse on one side; write worse = "up" or "down"')
        return self


class Budget(Entry):
    """False alarms a week that all rules together may raise. One is an opened incident, however many rules it holds.

    together_minutes  alerts that begin so close to each other are one incident
    slice_values      of each slice, the values with most answers that are looked at; what is left is not, and said so
    """

    false_alarms_a_week: float = Field(default=1.0, gt=0, le=100)
    together_minutes: float = Field(default=120, ge=0, le=1440)
    slice_values: int = Field(default=20, ge=1, le=1000)


class Channel(Entry):
    """Where incidents of enabled rules are told. `${NAME}` in a text stands for an environment variable.

    kind           `webhook`: signed JSON to `url`; `apprise`: any address that apprise knows
    secret         of a webhook: the key of its HMAC signature
    owners, roles, severities  only these; empty: all
    after_minutes  only if nobody acknowledged the incident by then: a step of an escalation ladder
    rota           people on call, a week each from the Monday `rota_from` on; named in the message
    dry_run        written down as it would be sent, and not sent
    """

    kind: Literal["webhook", "apprise"]
    url: str = Field(min_length=3, repr=False)
    secret: str | None = Field(default=None, repr=False)
    owners: tuple[str, ...] = ()
    roles: tuple[Role, ...] = ()
    severities: tuple[Severity, ...] = ()
    after_minutes: float = Field(default=0, ge=0, le=10080)
    rota: tuple[str, ...] = ()
    dry_run: bool = False

    @model_validator(mode="after")
    def _signed(self) -> Self:
        if self.kind == "webhook" and self.secret is None:
            raise ValueError('a webhook needs a secret to sign with; write secret = "${ALERTS_SECRET}"')
        if self.kind == "webhook" and not re.match(r"https?://|\$\{", self.url):
            raise ValueError("a webhook's url begins with https:// or http://, or is an environment variable")
        if self.kind == "apprise" and self.secret is not None:
            raise ValueError("apprise has its secrets in the url; take secret out")
        return self


class Alerts(Entry):
    """alerts.toml. A catalog without the file has no rules."""

    budget: Budget = Budget()
    rules: dict[Name, Rule] = Field(default_factory=dict)
    deploy_watch: DeployWatch = DeployWatch()
    rollback: Rollback | None = None
    channels: dict[Name, Channel] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_of_each_name(self) -> Self:
        if ROLLBACK in self.channels:
            raise ValueError(f"channels.{ROLLBACK}: {ROLLBACK!r} is what [{ROLLBACK}] calls; choose another name")
        return self

    @property
    def live(self) -> Mapping[str, Rule]:
        """The rules that are evaluated."""
        return {name: rule for name, rule in self.rules.items() if rule.status != "off"}

    @property
    def timed(self) -> Mapping[str, Rule]:
        """Those of them that look at every window, and share the budget of a week."""
        return {name: rule for name, rule in self.live.items() if rule.after is None}

    @property
    def after_deploys(self) -> Mapping[str, Rule]:
        """Those of them that look at what follows a deploy."""
        return {name: rule for name, rule in self.live.items() if rule.after == "deploy"}

    @property
    def receivers(self) -> Mapping[str, Channel]:
        """Everything that messages are sent to: the channels, and the endpoint of rollbacks unless it is off."""
        endpoint = None if self.rollback is None or self.rollback.status == "off" else self.endpoint
        return self.channels if endpoint is None else {**self.channels, ROLLBACK: endpoint}

    @property
    def endpoint(self) -> Channel | None:
        """What a rollback calls, though it may be off; None without [rollback]."""
        if self.rollback is None:
            return None
        return Channel(kind="webhook", url=self.rollback.url, secret=self.rollback.secret)

    @property
    def callers(self) -> tuple[str, ...]:
        """Rules whose word is enough for a rollback: enabled ones after a deploy, those that [rollback] names."""
        named = self.rollback.rules if self.rollback is not None else ()
        enabled = (name for name, rule in self.after_deploys.items() if rule.status == "enabled")
        return tuple(name for name in enabled if not named or name in named)


def load_alerts(folder: Path, metrics: Metrics) -> Alerts:
    """The folder's rules, checked against its metrics and windows. Raises CatalogError."""
    file = folder / FILE
    if not file.exists():
        return Alerts()
    found = read_file(file, Alerts)
    for name, rule in found.rules.items():
        _check_rule(f"{FILE}: rules.{name}", rule, metrics)
    _check_rollback(found)
    for name in MEASURED:
        if name in metrics.metrics and any(rule.metric == name for rule in found.rules.values()):
            raise CatalogError(f"{FILE}: {name} is a series of the pipeline and a metric too; rename metrics.{name}")
    return found


def _check_rollback(found: Alerts) -> None:
    after = [name for name, rule in found.rules.items() if rule.after == "deploy"]
    unknown = [name for name in (found.rollback.rules if found.rollback else ()) if name not in after]
    if unknown:
        there = ", ".join(after) or 'none; a rule becomes one by after = "deploy"'
        raise CatalogError(f"{FILE}: rollback.rules names {unknown[0]!r}, which is no rule after a deploy; {there}")


def _check_rule(place: str, rule: Rule, known: Metrics) -> None:
    metrics, grains = known.metrics, known.grains
    if rule.metric not in metrics and rule.metric not in MEASURED:
        near = get_close_matches(rule.metric, [*metrics, *MEASURED], n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join([*metrics, *MEASURED])}"
        raise CatalogError(f"{place}.metric is {rule.metric!r}, which is not in metrics.toml; {hint}")
    if unknown := next((name for name in rule.slices if name not in ("all", *SLICES)), None):
        raise CatalogError(
            f"{place}.slices names {unknown!r}, which is no slice; there are {', '.join(['all', *SLICES])}"
        )
    if rule.metric in MEASURED:
        if rule.after is not None:
            raise CatalogError(f"{place}: {rule.metric} is no metric of a version; name one of metrics.toml")
        fitting = "no_data" if rule.metric == "answers" else "absolute"
        if rule.kind != fitting or rule.slices != ("all",):
            raise CatalogError(f'{place}: rules about {rule.metric} have kind = "{fitting}" and slices = ["all"]')
        return
    if rule.after is not None and metrics[rule.metric].kind == "quantile":
        raise CatalogError(
            f"{place}: versions are compared by rates and means, and {rule.metric} is a quantile; name the mean of "
            "the same"
        )
    if "five_minutes" in rule.windows and known.rolling and rule.metric not in known.rolling:
        raise CatalogError(
            f"{place}.windows has five_minutes, and {rule.metric} is not followed by minutes; add it to rolling in "
            "[windows] of metrics.toml"
        )
    if rule.after is None and not set(rule.windows) & {*grains, "five_minutes"}:
        raise CatalogError(
            f"{place}.windows are {', '.join(rule.windows)}, and metrics.toml has points by {', '.join(grains)} only; "
            "take windows out, or choose of these"
        )
    if rule.kind == "no_data":
        raise CatalogError(f'{place}: silence is looked for in all answers; write metric = "answers"')
    if worse_of(rule, metrics) is None:
        raise CatalogError(
            f'{place}: {rule.metric} has no better direction in metrics.toml; add worse = "up", "down" or "both"'
        )
    if rule.kind == "absolute":
        unit = metrics[rule.metric].unit
        if worse_of(rule, metrics) == "both":
            raise CatalogError(f'{place}: an absolute limit lies on one side; write worse = "up" or "down"')
        if unit == "share" and rule.limit is not None and rule.limit >= 1:
            raise CatalogError(f"{place}.limit is {rule.limit:g}, and {rule.metric} is a share; write 0.15 for 15 %")


def worse_of(rule: Rule, metrics: Mapping[str, Any]) -> Literal["up", "down", "both"] | None:
    """Which way is worse for the rule; None where nothing says so."""
    if rule.worse is not None:
        return rule.worse
    if rule.metric in MEASURED:
        return "down" if rule.metric == "answers" else "up"
    direction = metrics[rule.metric].direction
    return {"up": "down", "down": "up"}.get(direction)  # pyright: ignore[reportReturnType]
