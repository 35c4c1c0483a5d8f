"""`onlineeval judge status`: how each judge stands, what it cost today, and why one is paused."""

import json
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markup import escape

from onlineeval_dagster.settings import load_settings
from onlineeval_dagster.terminal import printed_on


def status(
    as_json: Annotated[bool, typer.Option("--json", help="A list of judges, every field.")] = False,
) -> None:
    """What waits, what was done today and in 7 days, what it cost and how long it took; who is paused, and why."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.judges.client import cause_with
    from onlineeval_dagster.judges.status import judge_status, remembered
    from onlineeval_dagster.judges.status_shown import notes, status_json, status_table
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.newcomer.waiting import waiting_for_budget

    settings, now = load_settings(), datetime.now(UTC)
    catalog = load_catalog(settings.catalog)
    memory = remembered(
        settings.judge_state_file,
        catalog.live_judges,
        today=now.date(),
        cause=cause_with(settings),
    )
    found = judge_status(Lake(settings.lake_folder), catalog, memory, now=now)
    if as_json:
        typer.echo(json.dumps(status_json(found), indent=1, ensure_ascii=False))
        return
    out = printed_on()
    if found:
        out.print(status_table(found))
    else:
        out.print("No live judge in the catalog. A new one: onlineeval judge new NAME --question TEXT")
    retired = [judge for judge in catalog.judges if judge not in catalog.live_judges]
    for line in notes(found, retired=retired, now=now):
        out.print(f"[yellow]![/] {escape(line)}" if "is paused" in line else f"· {escape(line)}")
    for error in catalog.broken.values():
        out.print(f"[yellow]![/] left out until it is mended: {escape(str(error))}")
    if waits := waiting_for_budget(catalog):
        out.print(f"[yellow]![/] {escape(waits)}")
