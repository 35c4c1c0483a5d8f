"""`onlineeval drain`: what other machines sent into a queue, into this home's log."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from onlineeval_dagster.errors import SettingsError
from onlineeval_dagster.settings import load_settings
from onlineeval_dagster.terminal import printed_on

out = printed_on()


def drain(
    url: Annotated[
        str | None,
        typer.Argument(
            help="kafka://host:9092/topic, amqp://host/vhost?stream=name, sqs://region/queue.", metavar="URL"
        ),
    ] = None,
) -> None:
    """Write what a queue holds into the log, each message once. ONLINEEVAL_QUEUE by default. Then: onlineeval run."""
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.lake.drained import drain_into_log

    settings = load_settings()
    address = url or settings.queue
    if not address:
        raise SettingsError("drain: no queue; give its address, or set ONLINEEVAL_QUEUE")
    done = drain_into_log(settings, Lake(settings.lake_folder), address, now=datetime.now(UTC))
    out.print(f"{done.events:,} events are in the log, in {len(done.segments):,} segments")
    if done.refused:
        out.print(f"{done.refused:,} messages are no events; they will stand in the quarantine table, with reasons")
    if done.lost:
        out.print(f"{done.lost:,} messages were deleted by the broker before they were read")
