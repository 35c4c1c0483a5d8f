"""What is asked of changes without an assignment, and of a rate without an experiment."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.markup import escape

from onlineeval_dagster.errors import CatalogError, ReportError
from onlineeval_dagster.settings import load_settings
from onlineeval_dagster.terminal import printed_on


def before_after(
    metric: Annotated[str, typer.Argument(help="A metric of metrics.toml.")],
    changed_on: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The first day (UTC) with the change.")],
    by: Annotated[str, typer.Option(help="The slice by which some answers were touched and others not.")] = "all",
    touched: Annotated[str, typer.Option(help="Its value that the change touched.")] = "all",
    days_before: Annotated[int, typer.Option(min=1, help="Days looked at before.")] = 56,
    days_after: Annotated[int, typer.Option(min=1, help="Days looked at from the change on.")] = 14,
) -> None:
    """What followed a change that was not randomised: differences, a synthetic control, placebos; and its warning."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.contracts.estimates import NotEnough
    from onlineeval_dagster.experiments import before_after as asked
    from onlineeval_dagster.experiments.before_after_shown import before_after_lines
    from onlineeval_dagster.experiments.daily_series import daily_series
    from onlineeval_dagster.lake.delta import Lake

    settings = load_settings()
    catalog = load_catalog(settings.catalog)
    if metric not in catalog.metrics.metrics:
        raise CatalogError(f"metrics.toml: no metric {metric!r}; there are {', '.join(catalog.metrics.metrics)}")
    changed = changed_on.date()
    until = min(changed + timedelta(days=days_after), datetime.now(UTC).date())
    since = changed - timedelta(days=days_before)
    daily = daily_series(Lake(settings.lake_folder), catalog, metric, by=by, touched=touched, since=since, until=until)
    before = sum(day < changed for day in daily.days)
    found = asked.before_after(daily.touched, daily.untouched, before=before)
    if isinstance(found, NotEnough):
        raise ReportError(
            f"{metric}: {found.reason} ({found.have}, {found.needed} needed); widen --days-before or --days-after, "
            "or wait"
        )
    out, title = printed_on(), catalog.metrics.metrics[metric].title
    for line in before_after_lines(title, f"{by} = {touched}" if by != "all" else "all answers", daily, found):
        out.print(escape(line))


def choose(
    low: Annotated[float, typer.Option(min=0, max=1, help="The lower rate of good answers.")],
    high: Annotated[float, typer.Option(min=0, max=1, help="The higher one.")],
    good: Annotated[int, typer.Option(min=0, help="Good ones so far.")] = 0,
    answers: Annotated[int, typer.Option(min=0, help="Answers so far, each checked before the next is drawn.")] = 0,
    alpha: Annotated[float, typer.Option(min=0.001, max=0.5, help="Chance to call the higher rate by mistake.")] = 0.05,
    beta: Annotated[float, typer.Option(min=0.001, max=0.5, help="Chance to call the lower one by mistake.")] = 0.2,
) -> None:
    """Which of two rates is it? Check answers one by one and stop as early as can be: Wald's test, errors computed."""
    from onlineeval_dagster.experiments import sprt

    if not 0 < low < high < 1:
        raise ReportError(
            f"--low {low:g} and --high {high:g}: 0 < low < high < 1 must hold; write the lower rate first"
        )
    if good > answers:
        raise ReportError(f"--good {good} is more than --answers {answers}; count the good ones among them")
    lines = sprt.plan(low, high, alpha=alpha, beta=beta)
    at_low, at_high = sprt.exact(lines, low), sprt.exact(lines, high)
    out = printed_on()
    out.print(
        f"Calls {high:g} by mistake {100 * at_low.accepts_higher:.1f} times in 100, {low:g} "
        f"{100 * (1 - at_high.accepts_higher):.1f} times. Answers needed on average: {at_low.mean_answers:.0f} if it "
        f"is {low:g}, {at_high.mean_answers:.0f} if it is {high:g}."
    )
    said = {"higher": f"it is {high:g}", "lower": f"it is {low:g}", "open": "go on"}[lines.verdict(good, answers)]
    out.print(
        f"After {answers} answers, {good} of them good: {said}. The higher one is called at "
        f"{lines.upper + lines.slope * answers:.1f} good ones, the lower one at "
        f"{lines.slope * answers - lines.lower:.1f}."
    )
