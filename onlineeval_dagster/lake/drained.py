"""A queue into the log, one process at a time; the lake says what it took in already."""

from collections.abc import Callable
from datetime import datetime

from onlineeval_dagster.errors import QueueError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.lock import holding
from onlineeval_dagster.lake.scan import literals, rows
from onlineeval_dagster.privacy.policy import load_privacy
from onlineeval_dagster.queues.drain import Drained, Taken, behind, drain
from onlineeval_dagster.queues.registry import open_queue
from onlineeval_dagster.settings import Settings

_PARTS = "ingested_parts"


def drain_into_log(
    settings: Settings, lake: Lake, url: str, *, now: datetime, checkpoint: Callable[[str], None] = lambda _: None
) -> Drained:
    """Write what the queue at `url` holds and neither log nor lake has. Safe to kill at any point and to repeat.

    Raises SettingsError, LogError; QueueError also when another process drains, naming its pid.
    """
    queue = open_queue(url)
    lock = settings.home / "locks" / "drain.lock"
    wait = settings.warehouse_wait_seconds
    try:
        with holding(lock, what="the drain", purpose="drain", wait_seconds=wait, error=QueueError):
            return drain(
                queue,
                settings.log_folder,
                taken=taken_from(lake),
                cleaner=load_privacy(settings),
                now=now,
                segment_bytes=settings.rotate_bytes,
                checkpoint=checkpoint,
            )
    finally:
        queue.close()


def messages_behind(settings: Settings, lake: Lake, url: str) -> int:
    """How many messages of the queue are neither in the log nor in the lake. Raises SettingsError, QueueError."""
    queue = open_queue(url)
    try:
        return behind(queue, settings.log_folder, taken_from(lake))
    finally:
        queue.close()


def taken_from(lake: Lake) -> Taken:
    """Asks the lake for the segments that it took in, of those that begin with a prefix."""

    def taken(prefix: str) -> list[str]:
        sql = f"select distinct log_segment from {_PARTS} where starts_with(log_segment, {literals([prefix])})"
        return rows(lake, sql, {_PARTS: None}).column("log_segment").to_pylist()

    return taken
