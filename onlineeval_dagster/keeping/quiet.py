"""Keeping the house quiet while something is taken out of it: the locks of all who write, in one order."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from onlineeval_dagster.errors import KeepingError
from onlineeval_dagster.lake.lock import holding
from onlineeval_dagster.settings import Settings
from onlineeval_dagster.warehouse.duckdb import warehouse_held

WRITERS = ("ingest", "signals", "selections", "review", "gold")
"""Who rewrites rows of the lake: locks of home/locks."""
READERS = ("traces", "judges", "coverage")
"""Who reads files of the lake for a long time, or adds to it."""


@contextmanager
def keeping(settings: Settings, purpose: str) -> Iterator[None]:
    """One at a time may compact, drop, erase, back up. Raises KeepingError naming the holder's pid."""
    with holding(
        settings.home / "locks" / "keeping.lock",
        what="the keeping of this home",
        purpose=purpose,
        wait_seconds=settings.warehouse_wait_seconds,
        error=KeepingError,
    ):
        yield


@contextmanager
def quiet(settings: Settings, purpose: str, *, readers: bool) -> Iterator[None]:
    """Nobody writes to the lake; with `readers`, nobody reads its files for long either, nor holds the warehouse."""
    with ExitStack() as held:
        for name in (*WRITERS, *(READERS if readers else ())):
            held.enter_context(
                holding(
                    settings.home / "locks" / f"{name}.lock",
                    what=f"stage {name}",
                    purpose=purpose,
                    wait_seconds=settings.warehouse_wait_seconds,
                    error=KeepingError,
                )
            )
        if readers:
            wait = settings.warehouse_wait_seconds
            held.enter_context(warehouse_held(settings.warehouse_file, wait_seconds=wait, purpose=purpose))
        yield
