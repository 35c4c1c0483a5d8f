"""`onlineeval judge promote`: a shadow judge takes the active one's place, once the evidence says so."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from onlineeval_dagster.settings import load_settings
from onlineeval_dagster.terminal import printed_on


def promote(
    judge: Annotated[str, typer.Argument(help="The shadow judge by name.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the evidence; change nothing.")] = False,
    override: Annotated[bool, typer.Option("--override", help="Promote although conditions do not hold.")] = False,
    reason: Annotated[str | None, typer.Option(help="Why; kept in the log. Needed by --override.")] = None,
) -> None:
    """Put a shadow judge in the active one's place where every condition of the gate holds, and record it."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.log.segments import encode, open_log
    from onlineeval_dagster.review.promoting import may_promote, promotion_event, shadow_named
    from onlineeval_dagster.review.promoting import promote as write_promotion
    from onlineeval_dagster.review.promotion import gather, incumbent_of
    from onlineeval_dagster.review.promotion_shown import basis, headline

    settings, out, now = load_settings(), printed_on(), datetime.now(UTC)
    catalog = load_catalog(settings.catalog)
    one = shadow_named(catalog, judge)
    incumbent = incumbent_of(catalog, one)
    if incumbent is not None and incumbent.version == one.version:  # a promotion that was cut off half-way
        write_promotion(catalog, one, incumbent, record=lambda: None)
        out.print(f"{incumbent.name} has this version already; {judge} is retired.", markup=False)
        return
    (evidence, held), *_ = gather(Lake(settings.lake_folder), catalog, now=now, judge=judge)
    out.print(headline(evidence), markup=False)
    for condition in held:
        out.print(
            f"{'[green]✓[/]' if condition.holds else '[red]✗[/]'} {escape(f'{condition.name}: {condition.found}')}"
        )
    for line in basis(evidence):
        out.print(f"· {escape(line)}")
    if dry_run:
        return
    may_promote(evidence, override=override, reason=reason)
    event = promotion_event(evidence, override=override, reason=reason, now=now)

    def record() -> None:
        with open_log(settings, door="promotion") as log:
            log.append(encode(event))

    files = write_promotion(catalog, one, incumbent, record=record)
    out.print(f"Promoted. Written: {', '.join(str(file) for file in files)}; recorded in the log.", markup=False)
    if incumbent is not None:
        out.print(
            f"{incumbent.name}.md holds the new text, {judge}.md the old one, retired. Numbers of {incumbent.name} "
            "break here: they are of the new version from now on.",
            markup=False,
        )
