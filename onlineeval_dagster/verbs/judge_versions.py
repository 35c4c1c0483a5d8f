"""`onlineeval judge compare` and `backfill`: a judge's version beside another, and stored answers judged once more."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onlineeval_dagster.settings import load_settings
from onlineeval_dagster.terminal import printed_on

if TYPE_CHECKING:
    from onlineeval_dagster.judges.backfill import Plan
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.review.versions import Compared


def compare(
    judge: Annotated[str | None, typer.Option(help="One judge by name; all by default.")] = None,
    texts: Annotated[bool, typer.Option("--texts", help="Show the answers they differ on, redacted.")] = False,
) -> None:
    """Each judge's version against every other that judged the same answers of 90 days. Writes nothing."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.errors import CatalogError
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.privacy.policy import load_privacy
    from onlineeval_dagster.review.versions import compare_versions
    from onlineeval_dagster.review.versions_shown import NOTHING, cells, headings

    settings, out = load_settings(), printed_on()
    catalog, lake = load_catalog(settings.catalog), Lake(settings.lake_folder)
    names = [one.name for one in catalog.live_judges]
    if judge is not None and judge not in names:
        raise CatalogError(f"--judge: {judge!r} is no live judge; there are {', '.join(names) or 'none'}")
    found = compare_versions(lake, catalog, now=datetime.now(UTC), judge=judge)
    if not found:
        out.print(f"{NOTHING} To have them: onlineeval judge backfill --judge NAME --dry-run")
        return
    table = Table(*headings())
    for one in found:
        table.add_row(*cells(one.row))
    out.print(table)
    redact = load_privacy(settings, catalog).clean_text if texts else None
    for one in found:
        _show_furthest(out, lake, one, redact)


def _show_furthest(out: Console, lake: "Lake", one: "Compared", redact: Callable[[str], str] | None) -> None:
    from onlineeval_dagster.review.versions_shown import texts_of

    if not one.furthest:
        return
    row = one.row
    out.print(f"{row.judge} {row.judge_version} against {row.against} {row.against_version} differ most on:")
    said = texts_of(lake, one.furthest, redact=redact) if redact else {}
    for it in one.furthest:
        out.print(f"  {escape(it.response_id)}: {it.against_score:g} → {it.score:g}")
        for text in said.get(it.response_id, ()):
            out.print(f"    {escape(' '.join(text.split())[:200])}")


def backfill(
    judge: Annotated[str, typer.Option(help="The judge by name.")],
    days: Annotated[int, typer.Option(min=1, max=400, help="Look at answers of so many last days.")] = 28,
    limit: Annotated[int, typer.Option(min=1, help="Answers at most, the newest first.")] = 200,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would judge and cost. Asks nobody.")] = False,
    batch: Annotated[
        bool, typer.Option("--batch", help="Through the Batch API: half the price, within a day.")
    ] = False,
) -> None:
    """Judge stored answers that another version judged, newest first, within the budget; what it costs comes first."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.errors import CatalogError
    from onlineeval_dagster.judges.backfill import judge_to_ask
    from onlineeval_dagster.judges.batching import HALF, send_batch
    from onlineeval_dagster.judges.looking_back import look_back, plan_now

    settings, out = load_settings(), printed_on()
    catalog = load_catalog(settings.catalog)
    asked = judge_to_ask(catalog, judge)
    if batch and asked.is_local:
        raise CatalogError(f"--batch: {asked.model!r} runs on this machine and costs nothing; leave --batch out")
    price = HALF if batch else 1.0
    plan = plan_now(settings, catalog, asked, days=days, limit=limit, now=datetime.now(UTC), price=price)
    for line in _told(plan, days=days):
        out.print(line)
    if dry_run or not len(plan.work):
        return
    if batch:
        sent = send_batch(settings, catalog, asked, days=days, limit=limit, now=datetime.now(UTC))
        if sent.batch_id is None:
            out.print(f"Nothing was sent: {escape(sent.reason or '')}")
            return
        out.print(
            f"Sent as {sent.batch_id}: {sent.answers:,} answers, ${sent.most_usd:.4f} at the most. Dagster takes it"
        )
        out.print("in when it is done; or: onlineeval judge batches")
        return
    done = look_back(settings, catalog, asked, days=days, limit=limit, now=lambda: datetime.now(UTC))
    out.print(f"{done.done:,} judged, {done.failed:,} failed, ${done.cost_usd:.4f}.")
    if done.stopped:
        out.print(f"[yellow]![/] {escape(done.stopped)}")
    out.print(f"Compare: onlineeval judge compare --judge {judge}")


def batches() -> None:
    """Look at the open batches, and take in what is over. Asks the endpoint; pays for nothing."""
    from onlineeval_dagster.judges.batching import collect_batches

    out = printed_on()
    found = collect_batches(load_settings(), now=datetime.now(UTC))
    if not found:
        out.print("No batch is open. To send one: onlineeval judge backfill --judge NAME --batch")
    for one in found:
        line = f"{one.judge} {one.judge_version}, {one.batch_id or 'no id yet'}: {one.status}"
        if one.done or one.failed or one.missing:
            line += f"; {one.done:,} judged, {one.failed:,} failed, {one.missing:,} wait again, ${one.cost_usd:.4f}"
        out.print(escape(f"{line}; {one.reason}" if one.reason else line))


def _told(plan: "Plan", *, days: int) -> list[str]:
    """The plan in words: what would be judged, what it costs, and what is left alone, why."""
    judge = plan.judge
    lines = [
        f"{judge.name} {judge.version}: {plan.waiting:,} answers of the last {days} days were judged by another "
        f"version only, {plan.judged:,} by both."
    ]
    if plan.unpaid:
        lines.append(
            f"{plan.unpaid:,} of them are from before the budget was confirmed: they are left alone. To pay for them: "
            "judge_history = true under [budget] in sampling.toml"
        )
    if plan.given_up:
        lines.append(f"{plan.given_up:,} of them this version failed on too often: they are left alone.")
    price = "it costs nothing" if judge.price is None else f"expected ${plan.usd:.4f} (${plan.usd_each:.6f} each)"
    room = "" if plan.usd_left is None else f", of ${plan.usd_left:.2f} that looking back may cost today"
    lines.append(f"To judge now: {len(plan.work):,} answers, newest first; {price}{room}.")
    if plan.is_short:
        lines.append("Money allows fewer than were asked for; the rest waits for another day.")
    return lines
