"""Who rates, in words: raters are not everybody, and a reader of ratings should see who they are."""

from onlineeval_dagster.contracts.estimates import Estimate
from onlineeval_dagster.metrics.raters import Raters, SliceRate
from onlineeval_dagster.reports.model import ComputedTable
from onlineeval_dagster.reports.wording import count, format_for, listed, quoted

VALUE_LIMIT = 40  # characters of a slice's value
_COLUMNS = ("slice", "value", "answers", "rated", "low", "high", "effective n", "reason")


def rater_lines(raters: Raters | None) -> tuple[str, ...]:
    """ "Over 7 days 4.2 % of the answers were rated, likely 3.6–4.9 %. New users 2 %, others 6 %."; none without."""
    if raters is None or not isinstance(overall := raters.overall.rate, Estimate):
        return ()
    written = format_for("share", overall.low, overall.value, overall.high)
    said = (
        f"Who rates: over {count(raters.days, 'day')} {written.value(overall.value)} of the answers got a rating or a "
        f"comment, likely {written.likely(overall.low, overall.high)}"
    )
    apart = [f"{_shown(least)} against {_shown(most)}" for least, most in raters.apart]
    if apart:
        return (f"{said}. Some rate less than others: {listed(apart)}.",)
    return (f"{said}; no group of answers clearly more often than another.",)


def rater_table(raters: Raters) -> ComputedTable:
    """Every slice with its rate and interval."""
    return ComputedTable(
        title=f"Who rates, over {count(raters.days, 'day')}",
        columns=_COLUMNS,
        rows=tuple(map(_row, (raters.overall, *raters.slices))),
    )


def _shown(rate: SliceRate) -> str:
    assert isinstance(rate.rate, Estimate)  # only those with a rate are told apart
    share = format_for("share", rate.rate.low, rate.rate.value, rate.rate.high).value(rate.rate.value)
    if rate.slice == "new_user":
        return f"{'new users' if rate.value == 'true' else 'known users'} {share}"
    return f"{rate.slice.replace('_version', '')} {_value(rate)} {share}"


def _row(rate: SliceRate) -> tuple[str, ...]:
    found = rate.rate
    if not isinstance(found, Estimate):
        missing = f"{found.reason}: {found.have} of {found.needed}"
        return (rate.slice, _value(rate), f"{rate.n:,}", "–", "–", "–", "–", missing)
    numbers = (f"{number:.4g}" for number in (found.value, found.low, found.high))
    return (rate.slice, _value(rate), f"{rate.n:,}", *numbers, f"{found.n_effective:,.0f}", "")


def _value(rate: SliceRate) -> str:
    return quoted(" ".join(rate.value.split()), limit=VALUE_LIMIT)
