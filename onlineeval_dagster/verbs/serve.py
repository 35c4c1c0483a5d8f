"""`onlineeval serve` and `onlineeval keys …`: the collector, and who may send to it."""

from contextlib import ExitStack, closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from onlineeval_dagster.settings import Settings, load_settings
from onlineeval_dagster.terminal import printed_on

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.routing import BaseRoute

    from onlineeval_dagster.collector.keys import ApiKeys
    from onlineeval_dagster.collector.sink import Sink
    from onlineeval_dagster.privacy.policy import Privacy

keys_app = typer.Typer(no_args_is_help=True, help="API keys of the collector.")
out = printed_on()


def serve(
    host: Annotated[str | None, typer.Option(help="Where to listen; ONLINEEVAL_SERVE_HOST by default.")] = None,
    port: Annotated[int | None, typer.Option(help="0 takes a free one; ONLINEEVAL_SERVE_PORT by default.")] = None,
    queue: Annotated[
        str | None, typer.Option(help="Send to this queue instead of the log: see onlineeval drain.", metavar="URL")
    ] = None,
) -> None:
    """Take events over HTTP: /v1/events, /healthz, /readyz, /metrics; people rate at /review.

    Ends on SIGTERM with all of it kept.
    """
    from onlineeval_dagster.collector.listen import listen
    from onlineeval_dagster.privacy.policy import load_privacy

    told = {"serve_host": host, "serve_port": port}
    settings = load_settings(**{name: value for name, value in told.items() if value is not None})
    privacy = load_privacy(settings)
    if queue is None:
        listen(settings, privacy=privacy, tell=_tell, pages=_review_pages(settings, privacy))
    else:
        _serve_to(queue, settings, privacy)


def _serve_to(url: str, settings: Settings, privacy: "Privacy") -> None:
    """Serve with a queue for a log, one client of the broker a door: each has a thread of its own."""
    from onlineeval_dagster.collector.listen import listen
    from onlineeval_dagster.queues.registry import open_queue
    from onlineeval_dagster.queues.transport import QueueSink

    with ExitStack() as stack:

        def opened(_: str) -> QueueSink:
            return QueueSink(stack.enter_context(closing(open_queue(url))))

        with closing(open_queue(url)) as known:
            known.append([])  # makes what can be made
            known.spans()  # a broker that is away is told now, not to the first request
        # What the broker would refuse is refused at the door: a whole group would fail with it.
        most = min(settings.serve_event_bytes, known.most_bytes)
        settings = settings.model_copy(update={"serve_event_bytes": most})
        pages = _review_pages(settings, privacy)
        listen(settings, privacy=privacy, tell=_tell, opened=opened, where=f"queue {known.shown}", pages=pages)


def _review_pages(settings: Settings, privacy: "Privacy") -> "Callable[[Sink, ApiKeys], Sequence[BaseRoute]]":
    from onlineeval_dagster.review.pages import review_routes

    return lambda sink, keys: review_routes(settings, sink=sink, keys=keys, cleaner=privacy)


def _tell(said: str) -> None:
    print(said, flush=True)


@keys_app.command("add")
def add(
    name: Annotated[str, typer.Argument(help="Who will use it.")],
    environment: Annotated[
        str | None, typer.Option(help="Set on every event that comes with the key, whatever the event says.")
    ] = None,
    scope: Annotated[
        Literal["write", "metrics", "review"],
        typer.Option(help="write: send events; metrics: read /metrics; review: sign in at /review as NAME."),
    ] = "write",
) -> None:
    """Make a key. It is shown once, here."""
    from onlineeval_dagster.collector.keys import ApiKeys

    key = ApiKeys(load_settings().keys_file).add(name, environment=environment, scope=scope, now=datetime.now(UTC))
    out.print(key)


@keys_app.command("list")
def list_() -> None:
    """Every key by name; the keys themselves are not kept."""
    from onlineeval_dagster.collector.keys import ApiKeys

    keys = ApiKeys(load_settings().keys_file).all()
    for key in keys:
        state = f"revoked {key.revoked_at:%Y-%m-%d}" if key.revoked_at else "in use"
        made = f"made {key.created_at:%Y-%m-%d}"
        out.print(f"{key.name}  {key.id}  {key.scope}  {key.environment or 'any environment'}  {made}  {state}")
    if not keys:
        out.print("No key yet: onlineeval keys add NAME --environment production")


@keys_app.command("revoke")
def revoke(name: Annotated[str, typer.Argument(help="The key's name or id.")]) -> None:
    """Take a key out of use; a running collector refuses it within a second."""
    from onlineeval_dagster.collector.keys import ApiKeys

    ApiKeys(load_settings().keys_file).revoke(name, now=datetime.now(UTC))
    out.print(f"{name} is revoked")
