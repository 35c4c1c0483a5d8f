"""`onlineeval rollback …`: what was called, who keeps a deploy where it is, a test of the endpoint."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from onlineeval_dagster.errors import AlertError, CatalogError
from onlineeval_dagster.settings import load_settings
from onlineeval_dagster.terminal import printed_on
from onlineeval_dagster.verbs.alerts import account, log_event

rollback_app = typer.Typer(
    no_args_is_help=True, help="Rollbacks of deploys that a rule condemns: [rollback] of alerts.toml."
)


@rollback_app.command("status")
def status() -> None:
    """Whether rollbacks are on, which rules may call for one, and what became of each deploy of the last 31 days."""
    from onlineeval_dagster.alerts.deploys_shown import rollback_lines
    from onlineeval_dagster.alerts.outbox import Outbox
    from onlineeval_dagster.catalog.load import load_catalog

    settings, out = load_settings(), printed_on()
    with Outbox(settings.outbox_file) as outbox:
        told = outbox.all()
    for line in rollback_lines(load_catalog(settings.catalog).alerts, told, datetime.now(UTC)):
        out.print(line, markup=False)


@rollback_app.command("hold")
def hold(
    deploy: Annotated[str, typer.Argument(help="A deploy_id, or '*' for every deploy.")],
    reason: Annotated[str, typer.Option(help="Why; it stands beside the call that was not made.")],
    hours: Annotated[float, typer.Option(min=0.1, max=744, help="For how long.")] = 24,
    by: Annotated[str | None, typer.Option(help="Who says so; the name of the account by default.")] = None,
) -> None:
    """Keep a deploy from being rolled back. It goes through the log and holds from the next run on; a call that has
    arrived is not taken back.
    """
    from onlineeval_dagster.alerts import said
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.lake.scan import literals, rows

    settings, now = load_settings(), datetime.now(UTC)
    if deploy != said.EVERY:
        sql = f"select count(*) as known from deploys where deploy_id = {literals([deploy])}"
        if not rows(Lake(settings.lake_folder), sql, {"deploys": None}).to_pylist()[0]["known"]:
            raise AlertError(
                f"rollback hold: no deploy {deploy!r} is known; `onlineeval alerts watches` names them, '*' holds all"
            )
    end, who = now + timedelta(hours=hours), by or account()
    log_event(settings, said.hold(deploy, ends_at=end, by=who, reason=reason, now=now))
    what = "No deploy will" if deploy == said.EVERY else f"Deploy {deploy} will not"
    printed_on().print(f"{what} be rolled back until {end:%Y-%m-%d %H:%M} UTC, says {who}.", markup=False)


@rollback_app.command("test")
def test_rollback() -> None:
    """Call the endpoint with a payload that says it is a test; exit 1 where it does not arrive. It may be off."""
    from onlineeval_dagster.alerts.outbox import Outbox
    from onlineeval_dagster.alerts.rollback import a_test
    from onlineeval_dagster.alerts.telling import send_test
    from onlineeval_dagster.catalog.alert_file import ROLLBACK
    from onlineeval_dagster.catalog.load import load_catalog

    settings, now = load_settings(), datetime.now(UTC)
    endpoint = load_catalog(settings.catalog).alerts.endpoint
    if endpoint is None:
        raise CatalogError("alerts.toml has no [rollback]; the packaged one shows what it needs: url and secret")
    with Outbox(settings.outbox_file) as outbox:
        error = send_test(outbox, a_test(now=now), {ROLLBACK: endpoint}, now=now)
    if error is not None:
        raise AlertError(f"rollback: {error}")
    printed_on().print("The endpoint took the test.", markup=False)
