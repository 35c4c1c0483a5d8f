"""A collector that does what its script says, over a real socket; and clients that are quick to ship to it."""

import gzip
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import orjson

from onlineeval_dagster.collector.client import Client
from onlineeval_dagster.collector.http_transport import HttpTransport, Pace

QUICK = Pace(look=0.01, sweep=0.05, retry=0.01, slow=0.05, close=5)


class Scripted(ThreadingHTTPServer):
    """A collector that does what its script says, answer by answer, then takes everything.

    An entry is a status, (status, headers, body), `cut` (no answer, nothing stored), `forget` (stored, no answer),
    `stall` (no answer for as long as the test lasts), or `half` (so long after the answer's head).
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.script: list[Any] = []
        self.refuses: Callable[[dict[str, Any]], str | None] = lambda event: None
        self.most_lines = 10**9
        self.requests: list[dict[str, Any]] = []
        self.stored: list[dict[str, Any]] = []
        self.is_over = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def ids(self) -> Counter[str]:
        return Counter(event["event_id"] for event in self.stored)

    def handle_error(self, request: Any, client_address: Any) -> None: ...


class Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted
    disable_nagle_algorithm: ClassVar[bool] = True  # or each answer takes 40 ms

    def log_message(self, format: str, *args: Any) -> None: ...

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        zipped = self.headers.get("Content-Encoding") == "gzip"
        lines = [line for line in (gzip.decompress(body) if zipped else body).split(b"\n") if line]
        self.server.requests.append({"lines": len(lines), "zipped": zipped, "path": self.path, **self.headers})
        act = self.server.script.pop(0) if self.server.script else 200
        if act == 415 and not zipped:
            act = 200
        if act == "half":
            self.send_response(200)
            self.send_header("Content-Length", "100")
            self.end_headers()
        if act in ("stall", "half"):
            self.server.is_over.wait(20)
        if act in ("cut", "stall", "half"):
            return self._hang_up()
        if isinstance(act, tuple):
            return self._answer(*act)
        if act not in (200, "forget"):
            return self._answer(act, {}, {"error": f"told to say {act}"})
        if len(lines) > self.server.most_lines:
            return self._answer(413, {}, {"error": "body: too many; send fewer"})
        refused = []
        for index, line in enumerate(lines):
            try:
                event = orjson.loads(line)
                reason = self.server.refuses(event)
            except orjson.JSONDecodeError:
                event, reason = {}, "event: no JSON"
            if reason is None:
                self.server.stored.append(event)
            else:
                refused.append({"index": index, "reason": reason})
        if act == "forget":
            return self._hang_up()
        status = 422 if refused and len(refused) == len(lines) else 200
        return self._answer(status, {}, {"accepted": len(lines) - len(refused), "refused": refused})

    def _answer(self, status: int, headers: dict[str, str], said: Any) -> None:
        body = orjson.dumps(said)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


def client_of(collector: Scripted, spool: Path, **more: Any) -> Client:
    return Client(transport=HttpTransport(collector.url, "oe_k_s", spool, **({"pace": QUICK} | more)))


def track(client: Client, *names: str) -> list[str]:
    """Track events of these ids, and return the ids of those acknowledged."""
    return [name for name in names if client.track_event("e", event_id=name)]


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def left(spool: Path) -> list[str]:
    return sorted(path.name for path in spool.rglob("*") if path.name.endswith("ndjson"))
