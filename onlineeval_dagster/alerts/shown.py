"""Causes and backtests in words and as a table."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from rich.markup import escape
from rich.table import Table

from onlineeval_dagster.alerts.backtest import NEEDED_DAYS, Backtest, Tried
from onlineeval_dagster.alerts.causes import verdict
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.alerts import IncidentCause

_SHOWN = 5


def backtest_table(done: Backtest) -> Table:
    """One row a rule."""
    title = f"{done.begin:%Y-%m-%d} to {done.end:%Y-%m-%d}, as if it happened now"
    table = Table("rule", "days", "incidents", "a week", "range", title=title, title_justify="left")
    for tried in done.rules:
        cells = (str(tried.days), str(tried.incidents), f"{tried.a_week:.2f}", f"{tried.low:.2f}–{tried.high:.2f}")
        table.add_row(escape(tried.rule), *cells)
    return table


def backtest_lines(done: Backtest, catalog: Catalog) -> Iterator[str]:
    """All rules together beside the budget; what happened, who saw it and how late."""
    budget = catalog.alerts.budget.false_alarms_a_week
    yield (
        f"All together: {done.incidents} incidents in {done.days} days, {done.a_week:.2f} a week "
        f"(range {done.low:.2f} to {done.high:.2f}), true ones among them; the budget of false ones is {budget:g}."
    )
    for known, rule, delay in done.found:
        yield f"Found: {known.name}{_of(known.metric)}, by {rule} after {_hours(delay)}."
    for known in done.missed:
        yield f"Not seen within a day: {known.name}{_of(known.metric)} ({known.occurred_at:%Y-%m-%d %H:%M} UTC)."


def tried_lines(tried: Tried) -> Iterator[str]:
    """One rule's backtest, as `alerts enable` shows it."""
    few = "" if tried.days >= NEEDED_DAYS else f" (of {NEEDED_DAYS} that it takes)"
    yield (
        f"{tried.rule} on {tried.days} days{few}: {tried.incidents} alerts, {tried.a_week:.2f} a week "
        f"(range {tried.low:.2f} to {tried.high:.2f})"
    )
    for one in tried.first[:_SHOWN]:
        yield f"· {one.told}"
    if len(tried.first) > _SHOWN:
        yield f"· and {len(tried.first) - _SHOWN} more"


def cause_lines(causes: Sequence[IncidentCause]) -> Iterator[str]:
    """The verdict, then every candidate with its evidence, ranked."""
    said = verdict(causes)
    if said is None:
        yield "Causes: not looked for; they are for incidents of metrics, in the next run."
        return
    yield f"Cause: {said}"
    for one in sorted(causes, key=lambda one: one.rank):
        yield f"  {one.rank}. {one.told}"


def _of(metric: str | None) -> str:
    return "" if metric is None else f" ({metric} became worse)"


def _hours(delay: timedelta) -> str:
    hours = delay / timedelta(hours=1)
    return f"{hours:.1f} hours" if hours >= 1 else f"{60 * hours:.0f} minutes"
