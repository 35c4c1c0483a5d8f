"""What tracking adds to an endpoint: a FastAPI app that answers with 1.3 KB, with `track_response` in it and without.

    python -m tests.bench.endpoint [--seconds 120]

Four such apps, each a process of its own: one does not track, the others track to a home, to a collector that runs,
and to one that is stopped. Each is asked 200 times a second, in turns of some seconds, so that a busy machine hurts
all of them alike. Latency is counted from when a request was due, so that a stall counts for all that came in it.
"""

import argparse
import os
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter, sleep
from urllib.parse import urlsplit

import orjson
import uvloop

from tests.bench.http_load import open_loop
from tests.bench.measured import Measured
from tests.bench.track import _response

RATE, SECONDS, ADDED_BAR_MS = 200, 120.0, 1.0
_TURN_SECONDS = 2.0
_ROOT = Path(__file__).parents[2]
_SHARES = {"p50": 0.5, "p99": 0.99}
_APP = """
import socket, sys, uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from onlineeval_dagster.collector.client import Client

class Asked(BaseModel):
    response_id: str
    query: str
    response: str
    session_id: str
    user_id: str
    model: str
    prompt_version: str
    latency_ms: float
    input_tokens: int
    output_tokens: int

app = FastAPI()
kind, where, spool = sys.argv[1:]
client = {
    "plain": lambda: None,
    "home": lambda: Client(home=where),
    "url": lambda: Client(url=where, spool=spool),
}[kind]()

@app.post("/v1/answers")
async def answer(asked: Asked) -> dict[str, str]:
    if client is not None:
        client.track_response(**asked.__dict__)
    return {"response_id": asked.response_id, "response": asked.response}

bound = socket.create_server(("127.0.0.1", 0), backlog=2048)
print(f"app: http://127.0.0.1:{bound.getsockname()[1]}, up", flush=True)
config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
uvicorn.Server(config).run(sockets=[bound])
"""


def endpoint(scratch: Path, seconds: float = SECONDS) -> list[Measured]:
    """Milliseconds that tracking adds to a FastAPI endpoint at 200 req/s: to a home, a collector, a stopped one."""
    took: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-endpoint-", dir=scratch) as folder, ExitStack() as stack:
        ports = _apps(Path(folder), stack)
        requests = _requests()
        for port in ports.values():
            uvloop.run(_turn(port, requests, 1.0))  # warm
        turns = max(1, round(seconds / _TURN_SECONDS))
        for _ in range(turns):
            for name, port in ports.items():
                took.setdefault(name, []).extend(uvloop.run(_turn(port, requests, seconds / turns)))
        for name, place in {"home": "home", "http": "collector"}.items():
            _see_that_all_was_tracked(Path(folder) / place / "log", len(took[name]))
    found = {name: {said: _at(times, share) for said, share in _SHARES.items()} for name, times in took.items()}
    plain = found.pop("no tracking")
    count = f"{len(took['no tracking']):,} requests each"
    return [
        Measured(
            name=f"endpoint, {name}: added to {said}",
            value=at - plain[said],
            unit="ms",
            at_most=ADDED_BAR_MS if said == "p99" else None,
            note=f"{plain[said]:.2f} → {at:.2f}; {count}",
        )
        for name, costs in found.items()
        for said, at in costs.items()
    ]


def _apps(folder: Path, stack: ExitStack) -> dict[str, int]:
    """Ports, by what tracks there."""
    serve = [sys.executable, "-m", "onlineeval_dagster.cli", "serve", "--port", "0"]
    live = stack.enter_context(_running(serve, ONLINEEVAL_HOME=str(folder / "collector")))
    nobody = socket.create_server(("127.0.0.1", 0))
    stopped = nobody.getsockname()[1]
    nobody.close()
    kinds = {
        "no tracking": ("plain", ""),
        "home": ("home", str(folder / "home")),
        "http": ("url", f"http://127.0.0.1:{live}"),
        "http, collector stopped": ("url", f"http://127.0.0.1:{stopped}"),
    }
    return {
        name: stack.enter_context(_running([sys.executable, "-c", _APP, *told, str(folder / f"spool {name}")]))
        for name, told in kinds.items()
    }


def _see_that_all_was_tracked(log: Path, answers: int) -> None:
    """Raises RuntimeError where a call was cheap because it did nothing."""
    end = perf_counter() + 10
    while (tracked := sum(path.read_bytes().count(b"\n") for path in log.glob("*.ndjson"))) < answers:
        if perf_counter() > end:
            raise RuntimeError(f"{log}: {tracked} of {answers} answers were tracked")
        sleep(0.1)


@contextmanager
def _running(command: list[str], **environment: str) -> Iterator[int]:
    """A server as a process of its own; its port."""
    process = subprocess.Popen(command, cwd=_ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield urlsplit(process.stdout.readline().partition(" ")[2].partition(",")[0]).port or 0
    finally:
        process.terminate()
        process.wait(30)


def _requests() -> list[bytes]:
    rng = random.Random(1)
    made = []
    for _ in range(256):
        body = orjson.dumps(_response(rng))
        head = (
            f"POST /v1/answers HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        made.append(f"{head}\r\n\r\n".encode() + body)
    return made


async def _turn(port: int, requests: list[bytes], seconds: float) -> list[float]:
    """Milliseconds from when each request was due to its answer."""
    return [1e3 * took for took in await open_loop(port, requests, seconds, rate=RATE)]


def _at(times: list[float], share: float) -> float:
    return sorted(times)[int(len(times) * share)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.endpoint", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long each app is asked")
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        for line in endpoint(Path(scratch), parser.parse_args().seconds):
            met = {None: "", True: "met", False: "MISSED"}[line.met]
            print(f"{line.name:55} {line.value:8.3f} {line.unit} {line.bar:5} {met:7} {line.note}")


if __name__ == "__main__":
    main()
