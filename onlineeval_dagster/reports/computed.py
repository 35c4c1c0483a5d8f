"""How the numbers were computed, for those who want to check: the one place where statistical words may stand."""

from collections.abc import Mapping, Sequence

from onlineeval_dagster.contracts.estimates import DeployEffect, Estimate, MetricPoint, NotEnough
from onlineeval_dagster.reports.history import SAME_WITHIN, SAME_WITHIN_OF_BEFORE, Comparison
from onlineeval_dagster.reports.model import ComputedTable, MetricWords

_POINT_COLUMNS = (
    "metric",
    "value",
    "low",
    "high",
    "n",
    "effective n",
    "population",
    "method",
    "estimand",
    "judge version",
    "metric version",
    "reason",
)

_EFFECT_COLUMNS = (
    "change",
    "metric",
    "before",
    "after",
    "difference",
    "low",
    "high",
    "n before",
    "n after",
    "judge version",
    "found",
)


def notes(
    comparison: Comparison | None,
    so_far: Estimate | NotEnough | None,
    *,
    effect_level: float,
    frequent: Mapping[str, int],
) -> tuple[str, ...]:
    """The method in a few paragraphs."""
    said = [
        "Each likely range of a value is a 95 % confidence interval. Numbers that rest on a judge come from a sample "
        "with known inclusion probabilities, so they are weighted by stratum; effective n is the number of independent "
        "responses that would carry as much information, after weighting and clustering.",
        'Estimand "product" is the product\'s quality: variance clustered by user, no finite-population correction. '
        'Estimand "window" is about this window\'s responses only.',
        _compared(comparison),
        f"A change is called worse or better where the {100 * effect_level:.0f} % interval of the difference between "
        "before and after excludes zero. Every metric is looked at after every change, and there is no other "
        "correction for that.",
        "A number that another judge version gave is a series of its own, unless metrics.toml asks to rebase it: then "
        "the mean paired difference of the two versions on the same answers is added, and the two intervals' distances "
        'add in squares (MOVER); its method ends with "+rebased".',
        "Who rates: a user's answers of all days are summed first; groups are called different where the intervals of "
        "all pairs of groups that were compared hold together at 95 % (Bonferroni).",
        "Numbers of the AI reviewer are its own word; those corrected by people stand in a table of their own, with "
        "the 28 days of human checks they rest on. Days and hours are UTC.",
    ]
    if frequent:
        named = ", ".join(f"{title} ({number:,} times)" for title, number in frequent.items())
        said.append(f"Too frequent to be listed as changes: {named}.")
    if isinstance(so_far, NotEnough):
        said.append(f"Missing for a number: {so_far.have} of {so_far.needed}. {so_far.reason}")
    return tuple(said)


def _compared(comparison: Comparison | None) -> str:
    rule = (
        "The comparison with the same weekday a week earlier is the interval of a difference from two intervals "
        '(MOVER, Newcombe 1998, method 10). "Up" and "down" mean that it excludes zero, "as a week earlier" that it '
        f"lies within {100 * SAME_WITHIN['share']:.0f} points (other units: {100 * SAME_WITHIN_OF_BEFORE:.0f} % of "
        "the earlier value); otherwise the page says that there is no clear change."
    )
    if comparison is None or comparison.difference is None:
        return rule
    return f"{rule} Here: {_exact(comparison.difference)} ({_exact(comparison.low)} to {_exact(comparison.high)})."


def tables(
    day_points: Sequence[MetricPoint], effects: Sequence[DeployEffect], metrics: Mapping[str, MetricWords]
) -> tuple[ComputedTable, ...]:
    """Every number of the day and every effect of the page, unrounded enough to check."""
    points = ComputedTable(title="Numbers of the day", columns=_POINT_COLUMNS, rows=tuple(map(_point, day_points)))
    known = [effect for effect in effects if effect.metric in metrics]
    if not known:
        return (points,)
    changed = ComputedTable(
        title="Before and after each change", columns=_EFFECT_COLUMNS, rows=tuple(map(_effect, known))
    )
    return points, changed


def _point(point: MetricPoint) -> tuple[str, ...]:
    return (
        point.metric,
        _exact(point.value),
        _exact(point.low),
        _exact(point.high),
        f"{point.n:,}",
        "–" if point.n_effective is None else f"{point.n_effective:,.0f}",
        f"{point.population:,}",
        point.method or "–",
        point.estimand,
        point.judge_version,
        point.metric_version,
        point.reason or "",
    )


def _effect(effect: DeployEffect) -> tuple[str, ...]:
    return (
        effect.deploy_id,
        effect.metric,
        _exact(effect.before),
        _exact(effect.after),
        _exact(effect.difference),
        _exact(effect.low),
        _exact(effect.high),
        f"{effect.n_before:,}",
        f"{effect.n_after:,}",
        effect.judge_version,
        effect.found or effect.reason or "–",
    )


def _exact(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}".replace("-", "−")
