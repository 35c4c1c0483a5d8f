"""All experiments on one page: what was learnt, which wins stand among all, and whether the ruler is straight."""

from collections.abc import Mapping

from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.contracts.estimates import NotEnough
from onlineeval_dagster.experiments.portfolio import LEARNT, Entered, Portfolio
from onlineeval_dagster.reports.experiment import DO, Bar, ExperimentPage
from onlineeval_dagster.reports.experiment_parts import Part, percent

_STANDS = 0.05
_SOUND = (0.025, 0.085)
"""Share of 1,000 re-splits with p < .05 that chance lets pass, 99.9 % and a little: 25 to 85."""


def portfolio_page(told: Portfolio, metrics: Mapping[str, Metric]) -> ExperimentPage:
    """The page in the form of an experiment's."""
    running = sum(not one.ended for one in told.entered)
    wins = [one for one in told.entered if one.row.outcome == "ship"]
    stand = [one for one in wins if one.adjusted_p is not None and one.adjusted_p <= _STANDS]
    crooked = dict.fromkeys(one.row.experiment for one in told.entered if _is_crooked(one))
    first = (
        f"No experiment has ended yet; {running} running."
        if isinstance(told.learnt, NotEnough)
        else f"{100 * told.learnt:.0f} % of {told.ended} ended comparisons taught something; {running} running."
    )
    return ExperimentPage(
        title="All experiments",
        sentences=(first,),
        why=(
            f"{len(wins)} won. {len(stand)} of them stand when all that ended are counted together: of such wins "
            "one in twenty is false on average.",
            *([f"Do not trust {', '.join(crooked)}: their own A/A fails, see below."] if crooked else ()),
            "To teach something is to win, to lose or to do harm; what stays open was too small for its traffic.",
        ),
        bars=tuple(_bar(one) for one in told.entered if one.row.lift is not None and one.row.lift_low is not None),
        parts=(_all(told, metrics), _straight(told), _prior(told)),
        path=(),
    )


def _bar(one: Entered) -> Bar:
    row = one.row
    low, middle, high = (100 * (lift or 0.0) for lift in (row.lift_low, row.lift, row.lift_high))
    return Bar(title=f"{row.experiment}, {row.variant}", low=low, middle=middle, high=high, edge=None)


def _all(told: Portfolio, metrics: Mapping[str, Metric]) -> Part:
    heads = ("experiment", "week", "says", "primary metric", "lift", "p among all ended")
    lines = [
        (
            f"{one.row.experiment}, {one.row.variant}",
            f"{one.row.week}{'' if one.ended else ', running'}",
            DO[one.row.outcome or "no_decision"].format(one.row.variant),
            metrics[one.row.metric].title if one.row.metric in metrics else one.row.metric,
            percent(one.row.lift),
            "" if one.adjusted_p is None else f"{one.adjusted_p:.3f}",
        )
        for one in told.entered
    ]
    learnt = sum(one.ended and one.row.outcome in LEARNT for one in told.entered)
    said = f"{learnt} of {told.ended} ended ones taught something. p: Benjamini-Hochberg over the primaries of these."
    return Part(title="What each says", lines=(said,), table=(heads, *lines) if lines else ())


def _is_crooked(one: Entered) -> bool:
    return one.noise_hits is not None and not _SOUND[0] <= one.noise_hits <= _SOUND[1]


def _straight(told: Portfolio) -> Part:
    """A/A status: re-splits of the same units."""
    known = [one for one in told.entered if one.noise_hits is not None]
    lines = [
        (
            one.row.experiment,
            one.row.variant,
            one.row.metric,
            f"{100 * (one.noise_hits or 0):.1f} %",
            "intervals do not hold" if _is_crooked(one) else "sound",
        )
        for one in known
    ]
    said = "Units of each experiment, split by a coin 1,000 times: 5 % of the splits should have p < .05."
    heads = ("experiment", "variant", "metric", "p < .05", "says")
    return Part(title="Is the ruler straight? (A/A)", lines=(said,), table=(heads, *lines) if lines else ())


def _prior(told: Portfolio) -> Part:
    if isinstance(told.prior, NotEnough):
        line = (
            f"No prior is learnt from the past yet: {told.prior.have} ended with a number, {told.prior.needed} needed."
        )
    else:
        line = (
            f"The past says: lifts spread by {100 * told.prior:.1f} % (sd). Write prior = {{ sd = {told.prior:.3f} }}."
        )
    return Part(title="What the past says of the next", lines=(line,))
