"""What judging adds to bare calls: an endpoint that answers after 200 ms, 200 calls in flight; and memory over many.

    python -m tests.bench.judges [--calls 6000] [--many 100000]

The endpoint is a process of its own that does nothing but wait. A bare loop over AsyncOpenAI with its aiohttp client
and the runner, which builds prompts, reads replies and journals verdicts, take turns in one process, so that a busy
machine hurts both alike.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import perf_counter

from onlineeval_dagster.catalog.judge_file import Judge, Price
from onlineeval_dagster.judges.client import Endpoint
from onlineeval_dagster.judges.pace import Pace
from onlineeval_dagster.judges.rubric import messages
from onlineeval_dagster.judges.runner import run_judge
from onlineeval_dagster.judges.work import WorkItem
from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.settings import load_settings
from tests.bench.measured import Measured

CALLS, MANY, IN_FLIGHT, ROUNDS = 6_000, 100_000, 200, 3
SPEED_BAR, GROWTH_BAR_MB = 0.9, 30.0
_NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
_ROOT = Path(__file__).parents[2]
_TEXT = "You can return the kettle within 30 days, in its box, with the receipt. " * 12
_JUDGE = Judge(
    name="tone",
    axis="tone",
    prompt="Is this kind?\n{response}\nIt answers:\n{query}",
    scale={1: "rude", 2: "neutral", 3: "kind"},
    good_from=3,
    model="m",
    price=Price(input_usd_per_million=0.15, output_usd_per_million=0.6),
    max_in_flight=IN_FLIGHT,
)
_SERVER = """
import asyncio, json, sys
import uvloop

wait = float(sys.argv[1])
said = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "system_fingerprint": "fp",
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": '{"score": 3, "reason": "It is polite and clear."}'}}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320}}
body = json.dumps(said).encode()
answer = (b"HTTP/1.1 200 OK\\r\\ncontent-type: application/json\\r\\nx-request-id: r\\r\\ncontent-length: "
          + str(len(body)).encode() + b"\\r\\n\\r\\n" + body)

class Server(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.buffer = transport, b""

    def data_received(self, data):
        self.buffer += data
        head, end, rest = self.buffer.partition(b"\\r\\n\\r\\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\\r\\n")[0] or 0)
        if end and len(rest) >= length:
            self.buffer = rest[length:]
            asyncio.get_running_loop().call_later(wait, self.transport.write, answer)

async def main():
    server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

uvloop.run(main())
"""


def judges(scratch: Path, calls: int = CALLS, many: int = MANY) -> list[Measured]:
    """Judging at 200 ms a call and 200 in flight against bare AsyncOpenAI calls, and memory over 100,000 calls."""
    took: dict[str, list[float]] = {"bare": [], "judged": []}
    with tempfile.TemporaryDirectory(prefix="bench-judges-", dir=scratch) as folder:
        home = Path(folder) / "home"
        with _endpoint(0.2) as url:
            asyncio.run(_bare(url, 2 * IN_FLIGHT))  # warm
            for _ in range(ROUNDS):
                took["bare"].append(asyncio.run(_bare(url, calls)))
                took["judged"].append(asyncio.run(_judged(url, calls, home)))
        # Not waiting, as fast as it goes: what is held too long would pile up just the same.
        with _endpoint(0.0) as url:
            asyncio.run(_judged(url, many // 10, home))
            before = _resident_mb()
            asyncio.run(_judged(url, many, home))
            growth = _resident_mb() - before
    rates = {name: [calls / seconds for seconds in some] for name, some in took.items()}
    ratio = median(one / other for one, other in zip(rates["judged"], rates["bare"], strict=True))
    note = f"{median(rates['judged']):,.0f} against {median(rates['bare']):,.0f} calls/s"
    return [
        Measured(name="judging / bare AsyncOpenAI loop, speed", value=ratio, unit="×", at_least=SPEED_BAR, note=note),
        Measured(
            name=f"  memory that {many:,} calls add",
            value=growth,
            unit="MB",
            at_most=GROWTH_BAR_MB,
            note="resident, after against before",
        ),
    ]


async def _bare(url: str, calls: int) -> float:
    """Seconds for so many calls with nothing around them; the prompts are made beforehand."""
    from openai import AsyncOpenAI, DefaultAioHttpClient

    prompt = messages(_JUDGE, next(_work(1)), boundary="0123456789abcdef")
    left = iter(range(calls))
    async with AsyncOpenAI(api_key="k", base_url=url, max_retries=0, http_client=DefaultAioHttpClient()) as client:

        async def worker() -> None:
            for _ in left:
                await client.chat.completions.create(model="m", messages=prompt)  # type: ignore[arg-type]

        started = perf_counter()
        await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
        return perf_counter() - started


async def _judged(url: str, calls: int, home: Path) -> float:
    """Seconds for so many verdicts in the log. Raises RuntimeError where one is missing."""
    with open_log(load_settings(home=home), door="judges") as log:
        async with Endpoint(base_url=url, api_key="k") as endpoint:
            pace = Pace(most=IN_FLIGHT, rng=random.Random(1))
            started = perf_counter()
            summary = await run_judge(
                _JUDGE,
                _work(calls),
                endpoint.call,
                record=lambda said: log.append(b"".join(encode(verdict) for verdict in said)),
                now=lambda: _NOW,
                pace=pace,
            )
            seconds = perf_counter() - started
    if summary.done != calls:
        raise RuntimeError(f"{summary.done} of {calls} calls brought a score: {summary.paused_reason}")
    return seconds


def _work(count: int) -> Iterator[WorkItem]:
    return (
        WorkItem(response_id=f"r{number}", response_at=_NOW, query="How do I return it?", response=_TEXT)
        for number in range(count)
    )


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@contextmanager
def _endpoint(wait: float) -> Iterator[str]:
    command = [sys.executable, "-c", _SERVER, str(wait)]
    process = subprocess.Popen(command, cwd=_ROOT, env=dict(os.environ), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.judges", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--calls", type=int, default=CALLS, help="in each of the rounds")
    parser.add_argument("--many", type=int, default=MANY, help="over which memory is looked at")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch:
        for line in judges(Path(scratch), asked.calls, asked.many):
            met = {None: "", True: "met", False: "MISSED"}[line.met]
            print(f"{line.name:45} {line.value:8.2f} {line.unit} {line.bar:6} {met:7} {line.note}")


if __name__ == "__main__":
    main()
