"""What `track_response` costs a product, against a bare orjson dump and write in the same run.

    python -m tests.bench.track [calls] [rounds]

A response of some 1.3 KB. `dump and write` dumps a finished dict; `by hand` also builds it, with an id and the time, as
a product would that logs by itself. OpenTelemetry's BatchSpanProcessor runs beside them where it is installed. The
kinds take turns, batch by batch, so that a busy machine hurts all of them; the best of `rounds` counts.
"""

import gc
import os
import random
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

MEDIAN_BAR, P99_BAR_US, OTEL_BAR = 2.0, 150.0, 0.5
_BATCH = 500
_WORDS = ("the", "delivery", "order", "return", "please", "where", "when", "item", "size", "price", "you", "and", "in")
_OPTION = orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE


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


def report(costs: dict[str, Cost]) -> list[str]:
    """The costs and the bars, in words."""
    ours = costs["track_response"]
    said = [
        f"{name:20s} median {c.median:6.2f} µs, p99 {c.p99:7.1f}, worst {c.worst:9.1f}" for name, c in costs.items()
    ]
    for name, bar in {"dump and write": MEDIAN_BAR, "OpenTelemetry batch": OTEL_BAR}.items():
        if name in costs:
            ratio = ours.median / costs[name].median
            said.append(f"median {ratio:.2f} × {name} (bar {bar}): {'met' if ratio <= bar else 'MISSED'}")
        else:
            said.append(f"{name}: not installed, not compared")
    said.append(f"p99 {ours.p99:.1f} µs (bar {P99_BAR_US:.0f}): {'met' if ours.p99 < P99_BAR_US else 'MISSED'}")
    return said


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


def _kinds(folder: Path, stack: ExitStack) -> dict[str, Callable[[dict[str, Any]], int]]:
    """By name, what records a response and says how long it took, nanoseconds; the clock runs on the call alone."""
    client = stack.enter_context(Client(home=folder / "home", app="shop"))
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

    def ours(said: dict[str, Any]) -> int:
        response_id, query, response, session_id, user_id, model, version, latency_ms, tokens, answered = said.values()
        began = clock()
        client.track_response(
            response_id=response_id,
            query=query,
            response=response,
            session_id=session_id,
            user_id=user_id,
            model=model,
            prompt_version=version,
            latency_ms=latency_ms,
            input_tokens=tokens,
            output_tokens=answered,
        )
        return clock() - began

    kinds = {"dump and write": finished, "by hand": by_hand, "track_response": ours}
    return kinds | _otel(stack)


def _otel(stack: ExitStack) -> dict[str, Callable[[dict[str, Any]], int]]:
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

    return {"OpenTelemetry batch": span}


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
    for line in report(track_costs(calls, rounds)):
        print(line)


if __name__ == "__main__":
    main()
