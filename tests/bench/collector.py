"""What the collector carries on one core, beside a bare app that reads the body, parses it and answers.

    python -m tests.bench.collector [seconds]

Responses of 1.3 KB. The server has one core to itself and this load generator another; the collector answers after the
group fsync, the bare app keeps nothing: it is the floor. Throughput in a closed loop of some connections; latency at
500 requests a second in an open loop, from when a request was due, so that a stall counts for all that came in it.
"""

import asyncio
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from urllib.parse import urlsplit

import orjson
import uvloop

from tests.bench.http_load import connected, open_loop
from tests.bench.measured import Measured
from tests.bench.track import _response

EVENTS_BAR, REQUESTS_BAR, P99_BAR_MS = 60_000, 6_000, 5.0
BATCH, RATE = 100, 500
_OWN = "what a core of its own would carry; for busy machines"
_CONNECTIONS = {BATCH: 16, 1: 64}
_VARIETY = 64
_ROOT = Path(__file__).parents[2]
_FLOOR = """
import orjson, socket, sys, uvicorn
from fastapi import FastAPI, Request, Response
app = FastAPI()
@app.post("/v1/events")
async def events(request: Request) -> Response:
    said = orjson.loads(await request.body())
    told = {"accepted": len(said) if type(said) is list else 1, "refused": []}
    return Response(orjson.dumps(told), media_type="application/json")
bound = socket.create_server(("127.0.0.1", 0), backlog=2048)
print(f"floor: http://127.0.0.1:{bound.getsockname()[1]}, no log", flush=True)
config = uvicorn.Config(app, loop="uvloop", http="httptools", access_log=False, log_level="warning")
uvicorn.Server(config).run(sockets=[bound])
"""
SERVERS = {"collector": ["-m", "onlineeval_dagster.cli", "serve", "--port", "0"], "bare app": ["-c", _FLOOR]}


def collector(scratch: Path, seconds: float = 10) -> list[Measured]:
    """`onlineeval serve`: events a second in batches of 100, requests of one event, latency at 500 req/s."""
    measured: dict[str, dict[str, float]] = {}
    own, server = _cores()
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {own})
    try:
        for name, command in SERVERS.items():
            with _running(command, scratch, core=server) as (process, port):
                measured[name] = uvloop.run(_measure(process, port, seconds))
    finally:
        os.sched_setaffinity(0, before)
    ours, floor = measured["collector"], measured["bare app"]
    note = "server and load share one core" if own == server else "server on one core"
    lines = [
        Measured(
            name="collector, batches of 100", value=ours["batch"], unit="events/s", at_least=EVENTS_BAR, note=note
        ),
        Measured(name="  bare app beside it", value=floor["batch"], unit="events/s"),
        Measured(name="  collector, by its CPU time", value=ours["batch_cpu"], unit="events/s", note=_OWN),
        Measured(name="collector, one event", value=ours["single"], unit="req/s", at_least=REQUESTS_BAR, note=note),
        Measured(name="  bare app beside it", value=floor["single"], unit="req/s"),
        Measured(name="  collector, by its CPU time", value=ours["single_cpu"], unit="req/s", note=_OWN),
        Measured(name=f"collector at {RATE} req/s, p99", value=ours["p99"], unit="ms", at_most=P99_BAR_MS),
    ]
    for name, said in measured.items():
        note = f"median {said['median']:.2f}, p99.9 {said['p999']:.2f}, worst {said['worst']:.2f} ms"
        lines.append(Measured(name=f"  {name}, p99", value=said["p99"], unit="ms", note=note))
    return lines


def bodies(batch: int, count: int = _VARIETY) -> list[bytes]:
    """Requests as they go over the wire."""
    rng = random.Random(batch)
    made = []
    for _ in range(count):
        events = [{"kind": "response", "app": "shop", **_response(rng)} for _ in range(batch)]
        body = orjson.dumps(events if batch > 1 else events[0])
        head = (
            f"POST /v1/events HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        made.append(f"{head}\r\n\r\n".encode() + body)
    return made


async def _measure(process: int, port: int, seconds: float) -> dict[str, float]:
    single, batch = bodies(1), bodies(BATCH)
    await _closed_loop(port, batch, _CONNECTIONS[BATCH], seconds / 5)  # warm
    said: dict[str, float] = {}
    for name, requests, events in (("batch", batch, BATCH), ("single", single, 1)):
        cpu, began = _cpu_seconds(process), perf_counter()
        said[name] = events * await _closed_loop(port, requests, _CONNECTIONS[events], seconds)
        done = said[name] * (perf_counter() - began)
        said[name + "_cpu"] = done / max(_cpu_seconds(process) - cpu, 1e-9)
    took = sorted(await open_loop(port, single, seconds, rate=RATE))
    for name, share in {"median": 0.5, "p99": 0.99, "p999": 0.999}.items():
        said[name] = took[int(len(took) * share)] * 1e3
    return said | {"worst": took[-1] * 1e3}


async def _closed_loop(port: int, requests: list[bytes], connections: int, seconds: float) -> float:
    """Answers a second, when each connection asks again as soon as it has its answer."""
    end = perf_counter() + seconds

    async def asking(place: int) -> int:
        connection, count = await connected(port), 0
        while perf_counter() < end:
            await connection.ask(requests[(place + count) % len(requests)])
            count += 1
        connection.close()
        return count

    began = perf_counter()
    counts = await asyncio.gather(*(asking(place) for place in range(connections)))
    return sum(counts) / (perf_counter() - began)


def _cpu_seconds(process: int) -> float:
    """What a process has used so far, all threads, in user and in kernel mode."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _running(command: list[str], scratch: Path, *, core: int) -> Iterator[tuple[int, int]]:
    """A server as a process of its own on one core; its id and its port."""
    with tempfile.TemporaryDirectory(prefix="bench-collector-", dir=scratch) as home:
        environment = {**os.environ, "ONLINEEVAL_HOME": home}
        process = subprocess.Popen(
            [sys.executable, *command], cwd=_ROOT, env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            os.sched_setaffinity(process.pid, {core})
            assert process.stdout is not None
            address = process.stdout.readline().partition(" ")[2].partition(",")[0]
            yield process.pid, urlsplit(address).port or 0
        finally:
            process.terminate()
            process.wait(30)


def _cores() -> tuple[int, int]:
    """The load generator's core and the server's."""
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[-1]


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        for line in collector(Path(scratch), seconds):
            met = {None: "", True: "met", False: "MISSED"}[line.met]
            print(f"{line.name:32s} {line.value:12,.2f} {line.unit:9s} {line.bar:9s} {met:7s} {line.note}")


if __name__ == "__main__":
    main()
