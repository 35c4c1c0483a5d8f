"""Plans as a table for the terminal, as a sentence and as metadata."""

from collections.abc import Sequence

from rich.table import Table

from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.sampling.planner import Plan, StratumSeen
from onlineeval_dagster.sampling.seen import Seen, plans


def plans_for(seen: Seen, *, calls: float | None = None, usd: float | None = None) -> list[Plan]:
    """The rates of now and the alternatives for a budget a day. Raises CatalogError where no price is known."""
    if usd is not None and seen.usd_a_call is None:
        raise CatalogError(
            f"--usd: no verdict of {seen.judge.name} has a cost; give --calls, or write a price into its file"
        )
    return plans(_in_unit(seen, calls), seen.rates, calls if calls is not None else usd)


def plan_shown(seen: Seen, *, calls: float | None = None, usd: float | None = None) -> Table:
    """One row a way to spend the budget: its rates, calls, cost, and the full width of a day's 95 % interval."""
    found = plans_for(seen, calls=calls, usd=usd)
    strata = _in_unit(seen, calls)
    table = Table(
        title=f"{seen.judge.name}: share of good answers of one day, from {seen.days} days", title_justify="left"
    )
    table.add_column("rates")
    for one in strata:
        table.add_column(f"{one.name}\n{one.answers:,.0f} a day", justify="right")
    for head in ("calls a day", *(["$ a day"] if seen.usd_a_call else []), "width, points", "variance / uniform"):
        table.add_column(head, justify="right")
    even = next(one for one in found if one.name == "uniform")
    for one in found:
        cells = [f"{100 * one.rates[stratum.name]:.3g} %" for stratum in strata]
        money = [f"{_usd(seen, one):.2f}"] if seen.usd_a_call else []
        ratio = one.variance / even.variance
        table.add_row(one.name, *cells, f"{one.calls:,.0f}", *money, f"±{50 * one.width:.1f}", f"{ratio:.2f}")
    return table


def plan_sentence(seen: Seen, *, calls: float | None = None, usd: float | None = None) -> str:
    """What the best rates gain, what "flagged always" costs, and how much of this is known."""
    found = {one.name: one for one in plans_for(seen, calls=calls, usd=usd)}
    now, best, even = found["now"], found["best"], found["uniform"]
    said = f"With the best rates the interval is {_percent(best, now)} than now."
    if dear := found.get("flagged always"):
        said += (
            f" Flagged always, at the same cost: {_percent(dear, even)} than with one rate for all; it is for finding "
            "failures, not for precision."
        )
    else:
        said += " The flagged answers alone would take the budget."
    thin = [one.name for one in seen.strata if one.judged < 30]
    return said + (f" Fewer than 30 verdicts: {', '.join(thin)}; their spread is a guess." if thin else "")


def plan_metadata(seen: Seen) -> dict[str, float]:
    """The best rates by stratum for what the rates of now cost, and the widths (points) of every way to spend as much.

    `width_flagged_always` beside `width_uniform` is the price of judging all flagged answers.
    """
    found, name = plans_for(seen), seen.judge.name
    best = next(one for one in found if one.name == "best")
    rates = {f"plan/{name}/{stratum}": round(rate, 4) for stratum, rate in best.rates.items()}
    return rates | {f"plan/{name}/width_{one.name.replace(' ', '_')}": round(100 * one.width, 2) for one in found}


def _in_unit(seen: Seen, calls: float | None) -> Sequence[StratumSeen]:
    return seen.in_calls() if calls is not None else seen.strata


def _usd(seen: Seen, one: Plan) -> float:
    return sum(stratum.answers * one.rates[stratum.name] * stratum.cost for stratum in seen.strata)


def _percent(one: Plan, other: Plan) -> str:
    change = 100 * (one.width / other.width - 1)
    return (
        "no wider or narrower" if abs(change) < 0.5 else f"{abs(change):.0f} % {'wider' if change > 0 else 'narrower'}"
    )
