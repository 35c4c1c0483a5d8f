"""`onlineeval judge …`: what the AI reviewers cost, and what that buys."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.settings import load_settings
from onlineeval_dagster.terminal import printed_on
from onlineeval_dagster.verbs.judge_new import new
from onlineeval_dagster.verbs.judge_promote import promote
from onlineeval_dagster.verbs.judge_status import status
from onlineeval_dagster.verbs.judge_versions import backfill, batches, compare

judge_app = typer.Typer(no_args_is_help=True, help="The judges: budgets, rates, versions, promotion.")
judge_app.command()(new)
judge_app.command()(status)
judge_app.command()(backfill)
judge_app.command()(compare)
judge_app.command()(batches)
judge_app.command()(promote)


@judge_app.command()
def agreement() -> None:
    """How far people agree with each other and each judge with people, on the audit of 28 days; biases, calibration."""
    from rich.markdown import Markdown

    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.review import worth_shown
    from onlineeval_dagster.review.worth import judge_worth

    settings, out = load_settings(), printed_on()
    catalog = load_catalog(settings.catalog)
    found = judge_worth(Lake(settings.lake_folder), catalog, now=datetime.now(UTC))
    out.print(Markdown(worth_shown.agreement_markdown(found.judges, found.reviewers)))
    out.print(Markdown(worth_shown.bias_markdown(found.judges)))
    out.print(Markdown(worth_shown.confusion_markdown(found.judges)))
    out.print(Markdown(worth_shown.calibration_tables(found.calibration)))
    for line in (
        *worth_shown.below_limit(found.judges, found.reviewers, catalog.live_judges, promotion=catalog.promotion),
        *worth_shown.without_labels(found.judges, catalog.live_judges),
        *worth_shown.drifted(found.judges),
    ):
        out.print(line, markup=False)


@judge_app.command()
def plan(
    judge: Annotated[str | None, typer.Option(help="One judge by name; all by default.")] = None,
    calls: Annotated[float | None, typer.Option(help="Calls a day that each judge may make.")] = None,
    usd: Annotated[float | None, typer.Option(help="US dollars a day that each judge may cost.")] = None,
    days: Annotated[int, typer.Option(min=1, max=90, help="Whole days to learn from.")] = 7,
) -> None:
    """Propose rates for a budget, with the interval that each way to spend it would give. Changes nothing.

    Without a budget: for what the rates of now cost.
    """
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.sampling.seen import strata_seen
    from onlineeval_dagster.sampling.shown import plan_sentence, plan_shown

    if calls is not None and usd is not None:
        raise CatalogError("--calls and --usd: give one of the two")
    for name, amount in (("--calls", calls), ("--usd", usd)):
        if amount is not None and not 0 < amount < 1e12:
            raise CatalogError(f"{name}: must be more than 0, got {amount:g}; write what a day may cost")
    settings, out = load_settings(), printed_on()
    catalog, lake = load_catalog(settings.catalog), Lake(settings.lake_folder)
    names = [one.name for one in catalog.live_judges]
    if judge is not None and judge not in names:
        raise CatalogError(f"--judge: {judge!r} is no live judge; there are {', '.join(names) or 'none'}")
    for one in catalog.live_judges:
        if judge in (None, one.name):
            seen = strata_seen(lake, one, now=datetime.now(UTC), days=days)
            if seen is None:
                out.print(f"{one.name}: nothing was selected for it in the last {days} whole days; run first.")
                continue
            out.print(plan_shown(seen, calls=calls, usd=usd))
            out.print(plan_sentence(seen, calls=calls, usd=usd))
