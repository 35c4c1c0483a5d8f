"""Collectors for tests: an app in this process, and `onlineeval serve` as a process of its own."""

import asyncio
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import orjson
from fastapi import FastAPI
from starlette.routing import BaseRoute

from onlineeval_dagster.collector.app import build_app
from onlineeval_dagster.collector.keys import ApiKeys
from onlineeval_dagster.collector.sink import Sink
from onlineeval_dagster.log.reader import read_lines
from onlineeval_dagster.log.writer import SegmentWriter
from onlineeval_dagster.settings import Settings, load_settings

ROOT = Path(__file__).parents[2]
RESPONSE = {"kind": "response", "response_id": "r1", "query": "Where is it?", "response": "On its way."}


class AsItIs:
    """A cleaner that cleans nothing."""

    def clean_alike(self, events: Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
        return events


@dataclass
class Disk:
    """os.write of a disk that can be full, or stand still."""

    is_full: bool = False
    moves: threading.Event = field(default_factory=threading.Event)

    def __call__(self, file: int, data: bytes) -> int:
        self.moves.wait(20)
        if self.is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return os.write(file, data)


def logged(home: Path) -> list[dict[str, Any]]:
    """Every event in the log of a home."""
    paths = sorted((home / "log").glob("*.ndjson"))
    return [orjson.loads(line) for path in paths for _, line in read_lines(path, 0, path.stat().st_size)]


def app_at(home: Path, *, write: Callable[[int, bytes], int] = os.write, **more: Any) -> FastAPI:
    settings: Settings = load_settings(home=home, **more)
    sinks = [
        Sink(SegmentWriter(settings.log_folder, door=door, write=write), queue_bytes=settings.serve_queue_bytes)
        for door in ("collector", "otlp")
    ]
    keys = ApiKeys(settings.keys_file)
    return build_app(settings, privacy=AsItIs(), sink=sinks[0], traces_sink=sinks[1], keys=keys)


def app_with(settings: Settings, sink: Sink, keys: ApiKeys, pages: Sequence[BaseRoute]) -> FastAPI:
    """The app over one sink, with further routes."""
    return build_app(settings, privacy=AsItIs(), sink=sink, traces_sink=sink, keys=keys, pages=pages)


def ask(app: FastAPI, method: str, path: str, **request: Any) -> httpx.Response:
    """One request to an app in this process."""

    async def asking() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
            return await client.request(method, path, **request)

    return asyncio.run(asking())


def send(app: FastAPI, body: bytes | Any, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return ask(app, "POST", "/v1/events", content=content, headers=named)


@contextmanager
def serving(home: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`onlineeval serve` on a free port, and its address."""
    command = [sys.executable, "-m", "onlineeval_dagster.cli", "serve", "--port", "0"]
    where = {**os.environ, "ONLINEEVAL_HOME": str(home), **environment}
    process = subprocess.Popen(command, cwd=ROOT, env=where, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().partition(" ")[2].partition(",")[0]
    finally:
        process.kill()
        process.wait(10)


def whole(told: str) -> list[str]:
    """The ids that a product wrote as "\\n<id>;" into a file before it was killed: a kill may tear the last one."""
    return [line[:-1] for line in told.split("\n") if line.endswith(";")]
