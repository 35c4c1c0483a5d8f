"""A real HTTP server on a free port of this machine that answers a GET as a test scripts it."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """One answer. `torn` breaks the connection before the end of the body; `delay_s` comes first."""

    status: int = 200
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    torn: bool = False
    delay_s: float = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]


Script = Callable[[int, Asked], Say]
"""From the number of the call (0 for the first) and what was asked to the answer."""


@contextmanager
def answering(script: Script) -> Iterator[tuple[str, list[Asked]]]:
    """The server's host:port, and the calls it got."""
    calls: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(path=parts.path, query=parse_qs(parts.query), headers=headers)
            calls.append(asked)
            say = script(len(calls) - 1, asked)
            time.sleep(say.delay_s)
            body = say.body if isinstance(say.body, bytes) else json.dumps(say.body).encode()
            self.send_response(say.status)
            self.send_header("Content-Length", str(len(body)))
            for name, value in say.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if say.torn else body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}", calls
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
