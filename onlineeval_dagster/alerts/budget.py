"""The false alarms that a week may have, split over rules, windows and series, as a chance a look.

A correction within one tick does not bound alarms over time. What does is a mean run length: a series whose looks have
chance p raises a false alarm once in 1 / p of them, so that the sum over series of p times its looks a week is the
budget. Rules that look at the same points are correlated and alarms that begin together are one incident; both only
make the true number smaller than the budget.
"""

from dataclasses import dataclass

from onlineeval_dagster.catalog.alert_file import LOOKS_A_WEEK, Alerts, Look, Rule
from onlineeval_dagster.catalog.metrics_file import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What one series of a rule in one window may cost: `chance` of a false alarm at a look, alone."""

    chance: float

    @property
    def run_length(self) -> float:
        """Mean looks between false alarms."""
        return 1 / self.chance


def allowance(alerts: Alerts, rule: Rule, grain: Look, *, windows: int, series: int) -> Allowance:
    """The part of the budget for one series of `rule`, which looks at `windows` kinds of window and `series` series.

    Rules that are off have no part, nor those after a deploy: switching one off gives the others more room.

    >>> one = Rule(title="one rule", owner="team:a", kind="dynamic", metric="copied")
    >>> part = allowance(Alerts(rules={"one": one}), one, "hour", windows=1, series=1)
    >>> round(part.run_length)  # one a week: 168 hours
    168
    """
    shares = sum(other.share for other in alerts.timed.values())
    own = alerts.budget.false_alarms_a_week * rule.share / max(shares, rule.share)
    return Allowance(chance=min(own / (windows * max(series, 1) * LOOKS_A_WEEK[grain]), 0.05))


def grains_of(rule: Rule, metrics: Metrics) -> tuple[Look, ...]:
    """The windows of a rule that have points."""
    there = (*metrics.grains, *(["five_minutes"] if rule.metric in metrics.rolling else []))
    return tuple(look for look in rule.windows if look in there)
