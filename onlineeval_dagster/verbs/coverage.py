"""`onlineeval coverage`: what came in by hour and source, what became of it, and whether that adds up."""

import sys
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from onlineeval_dagster.errors import LakeError
from onlineeval_dagster.settings import load_settings
from onlineeval_dagster.terminal import printed_on


def coverage(
    days: Annotated[int, typer.Option(min=1, help="How many days back.")] = 1,
) -> None:
    """What came in by hour and source, and what became of it. Exit code 1 where lines are missing."""
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.quality.closing import close
    from onlineeval_dagster.quality.shown import hours_shown

    out = printed_on()
    settings = load_settings()
    if not settings.home.is_dir():
        raise LakeError(f"coverage: no home at {settings.home}; set ONLINEEVAL_HOME to the one that events are sent to")
    lake = Lake(settings.lake_folder)
    table = hours_shown(lake, since=datetime.now(UTC) - timedelta(days=days))
    if table is None:
        out.print("Nothing came in during these days. More: onlineeval coverage --days 30")
    else:
        out.print(table)
    outcome = close(settings, lake)
    out.print(str(outcome))
    for line in outcome.failures:
        out.print(f"[yellow]![/] {line}")
    if not outcome.closes:
        sys.exit(1)
