"""What a look at a deploy says: the new version beside the one before it, with its share of the false alarms.

A deploy has `false_alarms` for all of its rules and looks together. Rules get their shares of it (Bonferroni with
weights); a rule's looks are a group-sequential design over the minutes of the watch (experiments/spending.py). What
grows beside a fixed sample has independent increments in 1 / variance, so that its boundaries hold. What is before is
known at the first look, so that information grows more slowly than the minutes: they err on the safe side.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

import numpy as np

from onlineeval_dagster.alerts.deploy_rows import Counted
from onlineeval_dagster.catalog.alert_file import Alerts, Rule
from onlineeval_dagster.experiments.spending import Spending, crossing_chances, spending_bounds
from onlineeval_dagster.metrics.estimates import Estimates
from onlineeval_dagster.metrics.intervals import normal_quantile, t_quantile
from onlineeval_dagster.metrics.moments import Moments
from onlineeval_dagster.metrics.stage import Family, estimate

MOST = 6.0
"""Standard errors that are always enough: one in a billion. A boundary beyond it would find no outage."""
NEEDED_WINDOWS = 3
"""Windows before it takes to know how far days differ; with fewer nothing is added for it."""
PENDING = 0.1
"""A look waits while more of the chosen answers than this are without a verdict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What one look of a rule asks for: `bound` standard errors for the worse; `chance` is what it may spend."""

    bound: float
    chance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """The new version beside the one before; see contract `DeployLook`. `reason` is set where nothing can be told."""

    reason: str | None = None
    value: float | None = None
    expected: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    n_before: int | None = None
    n_effective: float | None = None
    windows: int | None = None
    change: float | None = None
    strength: float | None = None
    beyond: bool | None = None


def plan_looks(alerts: Alerts, rule: Rule) -> Mapping[int, Planned]:
    """What each look of a rule asks for, by its minutes."""
    watch = alerts.deploy_watch
    shares = sum(one.share for one in alerts.after_deploys.values())
    own = watch.false_alarms * rule.share / max(shares, rule.share)
    planned = _planned(tuple(minutes / watch.minutes for minutes in watch.looks), own, watch.spending)
    return dict(zip(watch.looks, planned, strict=True))


@cache
def _planned(fractions: tuple[float, ...], chance: float, spending: Spending) -> tuple[Planned, ...]:
    # Two-sided boundaries at twice the chance: only one side is worse.
    bounds = np.minimum(spending_bounds(fractions, alpha=2 * chance, kind=spending), MOST)
    spent = crossing_chances(fractions, bounds)
    return tuple(
        Planned(bound=float(bound), chance=max(both / 2, 1e-12)) for bound, both in zip(bounds, spent, strict=True)
    )


def compare(
    counted: Counted, rule: Rule, worse: Literal["up", "down"], family: Family, planned: Planned, *, concurrent: bool
) -> Compared:
    """One look of one rule."""
    moments, sides = counted.sides() if len(counted.window) else (None, [])
    if moments is None or "new" not in sides:
        return Compared(reason="no answer of the new version counts")
    strict = estimate(family, moments, level=_level(planned.bound))
    shown = estimate(family, moments)
    known = dict(zip(sides, range(len(sides)), strict=True))
    new, before = known["new"], known.get("before")
    if not shown.answered[new]:
        return Compared(reason=f"new version: {_why(shown, new)}", n=int(shown.n[new]))
    has_before = before is not None and bool(shown.answered[before])
    if rule.kind == "relative" and not has_before:
        why = "no answer counts" if before is None else _why(shown, before)
        return Compared(reason=f"version before: {why}", n=int(shown.n[new]))
    between, windows = (0.0, 0) if concurrent else between_windows(counted.windows_before(), family)
    found = Compared(
        value=float(shown.value[new]),
        n=int(shown.n[new]),
        n_effective=float(shown.n_effective[new]),
        windows=None if concurrent or not has_before else windows,
    )
    return _told(found, rule, worse, (strict, shown), (new, before if has_before else None), between, planned)


def between_windows(before: Moments | None, family: Family) -> tuple[float, int]:
    """Variance between windows of days beyond what their answers explain (DerSimonian and Laird 1986), and how many
    there are with a number. What a day is like is unknown of the day of the deploy too.
    """
    if before is None:
        return 0.0, 0
    found = estimate(family, before)
    value = found.value[found.answered]
    error = (found.high - found.low)[found.answered] / (2 * normal_quantile(0.95))
    if len(value) < NEEDED_WINDOWS:
        return 0.0, len(value)
    weight = 1 / np.maximum(error, 1e-12) ** 2
    mean = (weight * value).sum() / weight.sum()
    excess = (weight * (value - mean) ** 2).sum() - (len(value) - 1)
    return max(0.0, float(excess / (weight.sum() - (weight**2).sum() / weight.sum()))), len(value)


def _told(
    found: Compared,
    rule: Rule,
    worse: Literal["up", "down"],
    estimates: tuple[Estimates, Estimates],
    at: tuple[int, int | None],
    between: float,
    planned: Planned,
) -> Compared:
    """The evidence: the interval at the look's level excludes no change, and the estimate is beyond the limit."""
    (strict, shown), (new, before), sign = estimates, at, 1.0 if worse == "up" else -1.0
    limit, value = float(rule.limit or 0.0), float(shown.value[new])
    strengths = []
    if rule.kind == "absolute":
        edge = float(strict.low[new] if worse == "up" else strict.high[new])
        strengths.append(_strength(sign * (value - limit), sign * (value - edge)))
    change = sign * (value - limit) / limit
    if before is not None:
        expected, count = float(shown.value[before]), max(found.windows or 0, 1)
        for_days = between * (1 + 1 / count)
        low, high = _limits(shown, new, before, _squared(0.95, count) * for_days)
        strict_low, strict_high = _limits(strict, new, before, _squared(_level(planned.bound), count) * for_days)
        gap = value - expected
        strengths.append(_strength(sign * gap, gap - strict_low if worse == "up" else strict_high - gap))
        if rule.kind == "relative":
            change = sign * gap / abs(expected) if expected else np.inf * np.sign(sign * gap)
        found = replace(found, expected=expected, low=low, high=high, n_before=int(shown.n[before]))
    strength = min(strengths)
    far = change >= limit if rule.kind == "relative" else change > 0
    return replace(
        found, change=float(change) if np.isfinite(change) else None, strength=strength, beyond=far and strength >= 1
    )


def _limits(found: Estimates, new: int, before: int, for_days: float) -> tuple[float, float]:
    """Limits of new - before by MOVER, with a variance for the days added in squares."""
    gap = found.value[new] - found.value[before]
    below = (found.value[new] - found.low[new]) ** 2 + (found.high[before] - found.value[before]) ** 2
    above = (found.high[new] - found.value[new]) ** 2 + (found.value[before] - found.low[before]) ** 2
    return float(gap - np.sqrt(below + for_days)), float(gap + np.sqrt(above + for_days))


def _squared(level: float, windows: int) -> float:
    """Student's quantile, squared, where the spread is known from so many windows."""
    return float(t_quantile(level, np.asarray(max(windows - 1, 1)))) ** 2


def _strength(distance: float, half: float) -> float:
    """1 where the distance for the worse is as long as the side of the interval that points back."""
    return distance / half if half > 0 else 0.0


def _level(bound: float) -> float:
    from scipy.special import ndtr

    return float(1 - 2 * ndtr(-bound))


def _why(found: Estimates, at: int) -> str:
    return f"{found.reason[at]}: {found.have[at]} of {found.needed[at]}"
