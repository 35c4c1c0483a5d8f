"""What followed a change that was not randomised, in plain words, for the command line."""

from collections.abc import Iterator

from onlineeval_dagster.contracts.estimates import NotEnough
from onlineeval_dagster.experiments.before_after import LAGS, BeforeAfter
from onlineeval_dagster.experiments.daily_series import Daily
from onlineeval_dagster.metrics.counterfactual import Effect


def before_after_lines(title: str, where: str, daily: Daily, found: BeforeAfter) -> Iterator[str]:
    """The warning first, then each method with its assumption and its placebo."""
    yield (
        "NOT RANDOMISED: nobody was assigned, so anything else that happened on the day counts as the change. "
        "A small experiment says more: `onlineeval experiment plan`."
    )
    yield (
        f"{title}, {where}: {found.before:.4g} on {found.days_before} days before, {found.after:.4g} on "
        f"{found.days_after} since."
    )
    if daily.holed:
        yield f"Left out, as days are missing: {', '.join(daily.holed)}."
    yield from _parallel(found)
    yield from _weighted(found)
    beside = f"beside the mean of {', '.join(found.untouched)}" if found.untouched else "by itself, as all was touched"
    placebo = (
        "no placebo, as there are too few days before"
        if found.earlier is None
        else f"placebo, {found.days_after} days sooner: {_effect(found.earlier)}"
    )
    yield f"Its own level going on as it was, {beside}: {_effect(found.structural)} ({placebo})."
    yield _together(found)


def _parallel(found: BeforeAfter) -> Iterator[str]:
    parallel = found.parallel
    if isinstance(parallel, NotEnough):
        yield f"Difference in differences: not possible, {parallel.reason}."
        return
    yield (
        f"Difference in differences, if all had moved alike without it: {_effect(parallel.effect)} (errors over "
        f"{LAGS} days in common). Placebo: {100 * parallel.placebo_p:.0f} % of {1 + parallel.dates} dates, the real "
        "one among them, show as much."
    )


def _weighted(found: BeforeAfter) -> Iterator[str]:
    weighted = found.weighted
    if isinstance(weighted, NotEnough):
        yield f"Synthetic control: not possible, {weighted.reason} ({weighted.have}, {weighted.needed} needed)."
        return
    mix = ", ".join(f"{name} {100 * weight:.0f} %" for name, weight in weighted.weights.items())
    least = 100 / (1 + len(found.untouched))
    yield (
        f"Synthetic control ({mix}; off by {weighted.misfit:.3g} a day before): {weighted.gap:+.4g}. Placebo: "
        f"{100 * weighted.placebo_p:.0f} % of the series, the real one among them, show as much; fewer than "
        f"{least:.0f} % cannot."
    )


def _together(found: BeforeAfter) -> str:
    effects = [found.structural]
    if not isinstance(found.parallel, NotEnough):
        effects.append(found.parallel.effect)
    if all(one.low > 0 for one in effects) or all(one.high < 0 for one in effects):
        return (
            "All intervals leave out nothing: something moved on that day. Whether it was the change, they cannot say."
        )
    return "Not every interval leaves out nothing: no change is shown. That is not the same as no effect."


def _effect(effect: Effect) -> str:
    return f"{effect.value:+.4g}, likely {effect.low:+.4g} to {effect.high:+.4g}"
