"""`onlineeval alerts watches`: what followed each deploy."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from onlineeval_dagster.errors import AlertError
from onlineeval_dagster.settings import load_settings
from onlineeval_dagster.terminal import printed_on


def watches(
    deploy: Annotated[str | None, typer.Argument(help="One deploy, with every look in a sentence.")] = None,
    days: Annotated[int, typer.Option(min=1, max=400, help="How far to look back.")] = 14,
) -> None:
    """What followed each deploy: open and past watches with their looks, the latest first."""
    from onlineeval_dagster.alerts.deploy_looks import read_looks
    from onlineeval_dagster.alerts.deploys import read_deploys
    from onlineeval_dagster.alerts.deploys_shown import look_lines, watches_table
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.lake.delta import Lake

    settings, out, now = load_settings(), printed_on(), datetime.now(UTC)
    catalog, lake = load_catalog(settings.catalog), Lake(settings.lake_folder)
    if deploy is not None:
        own = [look for look in read_looks(lake) if look.deploy_id == deploy]
        if not own:
            raise AlertError(
                f"alerts watches: no look at a deploy {deploy!r} yet; `onlineeval alerts watches` lists all"
            )
        for line in look_lines(own):
            out.print(line, markup=False)
        return
    looks = read_looks(lake, {day for day in lake.days("deploy_looks") if day >= (now - timedelta(days=days)).date()})
    table = watches_table(looks, read_deploys(lake, catalog.sampling.environments, now=now), catalog.alerts)
    out.print(table if table.rows else f"No deploy was watched in the last {days} days.")
