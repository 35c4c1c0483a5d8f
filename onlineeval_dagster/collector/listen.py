"""Run the collector: its sockets, its server, its end."""

import ctypes
import gc
import ipaddress
import signal
import socket
from collections.abc import Callable, Sequence

import uvicorn
from starlette.routing import BaseRoute

from onlineeval_dagster.collector.app import build_app
from onlineeval_dagster.collector.intake import Cleaner
from onlineeval_dagster.collector.keys import ApiKeys
from onlineeval_dagster.collector.sink import Sink, Writer
from onlineeval_dagster.errors import SettingsError
from onlineeval_dagster.log.segments import open_log
from onlineeval_dagster.settings import Settings

DOORS = ("collector", "otlp")
"""The log's doors for events and for OTLP: losses are accounted for by door."""

_DRAIN_SECONDS = 10
_ARENA_MAX = -8  # glibc's malloc.h: M_ARENA_MAX
_GARBAGE = 50_000  # new objects before the garbage collector looks: a batch of events is a thousand, and has no cycles


def listen(
    settings: Settings,
    *,
    privacy: Cleaner,
    tell: Callable[[str], None],
    opened: Callable[[str], Writer] | None = None,
    where: str | None = None,
    pages: Callable[[Sink, ApiKeys], Sequence[BaseRoute]] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; then answer what is under way, and seal the log.

    `opened` gives the writer of a door where lines go elsewhere than to the log of this home, `where` says where to.
    `pages` gives further routes, which may write through the sink of events.
    Raises SettingsError where other machines could reach it without a key, or the port cannot be had.
    """
    keys = ApiKeys(settings.keys_file)
    may_be_reached(settings.serve_host, keys)
    writers = [opened(door) if opened else open_log(settings, door=door) for door in DOORS]
    sinks = [Sink(writer, queue_bytes=settings.serve_queue_bytes) for writer in writers]
    with _bound(settings) as bound:
        more = pages(sinks[0], keys) if pages else ()
        app = build_app(settings, privacy=privacy, sink=sinks[0], traces_sink=sinks[1], keys=keys, pages=more)
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_SECONDS,
        )
        # uvicorn raises the signal again once it has drained; by then we still have a log to seal.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        host, port = bound.getsockname()[:2]
        _share_one_heap()
        # What is loaded now stays: the garbage collector need not look at it again for each batch of events.
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GARBAGE)
        tell(
            f"collector: http://{f'[{host}]' if ':' in host else host}:{port}, {where or f'log {settings.log_folder}'}"
        )
        try:
            uvicorn.Server(config).run(sockets=[bound])
        finally:
            for sink in sinks:
                sink.close(patience=_DRAIN_SECONDS)
    tell(f"collector: stopped, all that was acknowledged is in {'the queue' if where else 'the log'}")


def _share_one_heap() -> None:
    """One heap for all threads, where the C library is glibc: the thread that writes the log frees what the loop made.

    With a heap a thread an event of a batch of 100 costs 17 µs instead of 14.5 (tests/bench/collector.py).
    """
    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    if choose is not None:
        choose(_ARENA_MAX, 1)


def may_be_reached(host: str, keys: ApiKeys) -> None:
    """Raises SettingsError where other machines can reach `host` and no key is in use."""
    if is_loopback(host) or any(key.revoked_at is None and key.scope == "write" for key in keys.all()):
        return
    told = f"ONLINEEVAL_SERVE_HOST: {host} can be reached from other machines, and there is no API key"
    raise SettingsError(f"{told}; make one first: onlineeval keys add NAME --environment production")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it.

    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bound(settings: Settings) -> socket.socket:
    host, port = settings.serve_host, settings.serve_port
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, UnicodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "no host name"
        told = f"ONLINEEVAL_SERVE_HOST, ONLINEEVAL_SERVE_PORT: {host} port {port}: {said}"
        raise SettingsError(f"{told}; choose others, or stop what holds it") from error
