"""What `track_response` costs a product, against a bare orjson dump and write in the same run.

    python -m tests.bench.track [calls] [rounds]

A response of some 1.3 KB. `dump and write` dumps a finished dict; `by hand` also builds it, with an id and the time, as
a product would that logs by itself. Ours writes to a home, and to the spool of a collector that is stopped.
OpenTelemetry's BatchSpanProcessor and Langfuse's SDK run beside them where they are installed, with an exporter that
does nothing: only what the product waits for is measured. The kinds take turns, batch by batch, so that a busy machine
hurts all of them; the best of `rounds` counts.
"""

import gc
import os
import random
import socket
import sys
import tempfile
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter_ns as clock
from typing import Any

import orjson

from onlineeval_dagster.collector.client import Client
from tests.bench.measured import Measured

HOME, HTTP, BARE = "track_response", "track_response by http", "dump and write"
BARS = {BARE: 2.0, "OpenTelemetry batch": 0.5, "Langfuse": 0.25}
"""What our median may be of theirs."""
P99_BAR_US = 150.0
_BATCH = 500
_WORDS = ("the", "delivery", "order", "return", "please", "where", "when", "item", "size", "price", "you", "and", "in")
_OPTION = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


Call = Callable[[dict[str, Any]], int]
"""Records a response, and says how long that took, nanoseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Microseconds a call."""

    median: float
    p99: float
    worst: float


def track_costs(calls: int = 20_000, rounds: int = 3) -> dict[str, Cost]:
    """Costs by kind of recorder; of each kind the round with the lowest median."""
    best: dict[str, Cost] = {}
    for number in range(rounds):
        for name, cost in _round(calls, number).items():
            if name not in best or cost.median < best[name].median:
                best[name] = cost
    return best


def track(scratch: Path, calls: int = 20_000, rounds: int = 3) -> list[Measured]:
    """`track_response` of 1.3 KB, microseconds: to a home and to a stopped collector, beside the peers."""
    costs = track_costs(calls, rounds)
    measured = []
    for name in (HOME, HTTP):
        ours = costs[name]
        for other, bar in BARS.items():
            if other in costs:
                limit = bar if name == HOME or other != BARE else None
                ratio = ours.median / costs[other].median
                measured.append(Measured(name=f"{name} / {other}, median", value=ratio, unit="×", at_most=limit))
        measured.append(Measured(name=f"{name}, p99", value=ours.p99, unit="µs", at_most=P99_BAR_US))
    for absent in sorted(BARS.keys() - costs.keys()):
        print(f"{absent} is not installed here: its bar was not looked at; make bench installs it", file=sys.stderr)
    for name, cost in costs.items():
        note = f"p99 {cost.p99:,.1f}, worst {cost.worst:,.1f}"
        measured.append(Measured(name=f"  {name}, median", value=cost.median, unit="µs", note=note))
    return measured


def _round(calls: int, seed: int) -> dict[str, Cost]:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="bench-track-") as folder, ExitStack() as stack:
        kinds = _kinds(Path(folder), stack)
        took: dict[str, list[int]] = {name: [] for name in kinds}
        gc.disable()
        try:
            for _ in range(calls // _BATCH):
                for name, call in kinds.items():
                    said = [_response(rng) for _ in range(_BATCH)]
                    took[name] += [call(one) for one in said]
        finally:
            gc.enable()
    return {name: _cost(times) for name, times in took.items()}


def _kinds(folder: Path, stack: ExitStack) -> dict[str, Call]:
    """By name, what records a response and says how long it took, nanoseconds; the clock runs on the call alone."""
    file = os.open(folder / "bare.ndjson", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    stack.callback(os.close, file)
    moment = datetime.now(UTC)
    head = {"kind": "response", "occurred_at": moment, "received_at": moment, "environment": "production"}
    head |= {"event_id": "0" * 41, "app": "shop"}

    def finished(said: dict[str, Any]) -> int:
        event = head | said
        began = clock()
        os.write(file, orjson.dumps(event, None, _OPTION))
        return clock() - began

    def by_hand(said: dict[str, Any]) -> int:
        began = clock()
        now = datetime.now(UTC)
        event = {"kind": "response", "event_id": uuid.uuid4().hex, "occurred_at": now, "received_at": now, **said}
        os.write(file, orjson.dumps(event, None, _OPTION))
        return clock() - began

    return {BARE: finished, "by hand": by_hand} | _ours(folder, stack) | _peers(stack)


def _ours(folder: Path, stack: ExitStack) -> dict[str, Call]:
    home = stack.enter_context(Client(home=folder / "home", app="shop"))
    nobody = socket.create_server(("127.0.0.1", 0))
    port = nobody.getsockname()[1]
    nobody.close()  # a collector that is stopped: the port refuses
    http = stack.enter_context(Client(url=f"http://127.0.0.1:{port}", spool=folder / "spool", app="shop"))

    def told_to(client: Client) -> Call:
        stack.callback(_see_that_all_was_captured, client)

        def ours(said: dict[str, Any]) -> int:
            response_id, query, response, session, user, model, version, latency_ms, tokens, answered = said.values()
            began = clock()
            client.track_response(
                response_id=response_id,
                query=query,
                response=response,
                session_id=session,
                user_id=user,
                model=model,
                prompt_version=version,
                latency_ms=latency_ms,
                input_tokens=tokens,
                output_tokens=answered,
            )
            return clock() - began

        return ours

    return {HOME: told_to(home), HTTP: told_to(http)}


def _see_that_all_was_captured(client: Client) -> None:
    """Raises RuntimeError where a call was cheap because it did nothing."""
    counted = client.counters
    if not counted.captured or counted.dropped or counted.errors:
        raise RuntimeError(f"not all that was tracked was captured: {counted}")


def _peers(stack: ExitStack) -> dict[str, Call]:
    try:
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    except ImportError:
        return {}

    class Nowhere(SpanExporter):
        def export(self, spans: Any) -> Any:
            return SpanExportResult.SUCCESS

    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(Nowhere()))
    stack.callback(provider.shutdown)
    tracer = provider.get_tracer("bench")

    def span(said: dict[str, Any]) -> int:
        began = clock()
        with tracer.start_as_current_span("chat", attributes=said):
            pass
        return clock() - began

    return {"OpenTelemetry batch": span} | _langfuse(stack, Nowhere(), TracerProvider())


def _langfuse(stack: ExitStack, exporter: Any, provider: Any) -> dict[str, Call]:
    try:
        from langfuse import Langfuse
    except ImportError:
        return {}
    langfuse = Langfuse(
        public_key="pk-bench",
        secret_key="sk-bench",
        base_url="http://127.0.0.1:1",
        span_exporter=exporter,
        tracer_provider=provider,
    )
    stack.callback(langfuse.shutdown)

    def generation(said: dict[str, Any]) -> int:
        response_id, query, response, session, user, model, version, latency_ms, tokens, answered = said.values()
        began = clock()
        observation = langfuse.start_observation(
            name="chat",
            as_type="generation",
            input=query,
            output=response,
            model=model,
            version=version,
            usage_details={"input": tokens, "output": answered},
            metadata={"response_id": response_id, "session": session, "user": user, "latency_ms": latency_ms},
        )
        observation.end()
        return clock() - began

    return {"Langfuse": generation}


def _cost(times: list[int]) -> Cost:
    ordered = sorted(times)
    at = [ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)], ordered[-1]]
    return Cost(median=at[0] / 1e3, p99=at[1] / 1e3, worst=at[2] / 1e3)


def _response(rng: random.Random) -> dict[str, Any]:
    return {
        "response_id": f"{rng.getrandbits(128):032x}",
        "query": " ".join(rng.choices(_WORDS, k=28)),
        "response": " ".join(rng.choices(_WORDS, k=185)),
        "session_id": f"{rng.getrandbits(48):012x}",
        "user_id": f"user-{rng.randrange(50_000)}",
        "model": "small-1",
        "prompt_version": "v3",
        "latency_ms": rng.gammavariate(2, 400),
        "input_tokens": rng.randrange(20, 4_000),
        "output_tokens": rng.randrange(5, 900),
    }


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 3
    size = len(orjson.dumps(_response(random.Random(0))))
    print(f"{calls:,} responses of {size:,} bytes, best of {rounds} rounds")
    for line in track(Path(), calls, rounds):
        met = {None: "", True: "met", False: "MISSED"}[line.met]
        print(f"{line.name:48} {line.value:8.2f} {line.unit:2} {line.bar:6} {met:6} {line.note}")


if __name__ == "__main__":
    main()
