"""Simulated traffic as lines of the log, sent through the front door like any other."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import orjson

from onlineeval_dagster.log.segments import encode
from onlineeval_dagster.simulate.traffic import Simulation

LINES_A_WRITE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was sent. `events` counts lines by kind, retries included."""

    events: dict[str, int]
    bad_lines: int


def write_traffic(
    append: Callable[[bytes], object],
    simulation: Simulation,
    *,
    bad_lines: float = 0.0005,
    progress: Callable[[int], object] = lambda _: None,
) -> Written:
    """Send all events, whole lines, a few hundred a call; consumes `simulation.events`.

    append     takes whole NDJSON lines, newline included: the log's writer
    bad_lines  share of broken lines put between the good ones, in [0, 1)
    progress   told how many lines each call sent
    """
    rng = random.Random(f"bad lines:{simulation.world.seed}")
    counts: dict[str, int] = {}
    broken = 0
    lines: list[bytes] = []
    for event in simulation.events:
        line = encode(event)
        lines.append(line)
        kind = str(getattr(event, "kind", ""))
        counts[kind] = counts.get(kind, 0) + 1
        if rng.random() < bad_lines:
            lines.append(_broken(line, rng))
            broken += 1
        if len(lines) >= LINES_A_WRITE:
            append(b"".join(lines))
            progress(len(lines))
            lines = []
    if lines:
        append(b"".join(lines))
        progress(len(lines))
    return Written(events=counts, bad_lines=broken)


def _broken(line: bytes, rng: random.Random) -> bytes:
    """What real producers send by mistake: torn, binary, empty of sense, or with a wrong or missing field."""
    event = orjson.loads(line)
    return rng.choice(
        [
            line[: len(line) // 2].rstrip(b"\n") + b"\n",
            b"\xff\xfe\x00 not text \x80\n",
            b"{}\n",
            b"service restarted\n",
            orjson.dumps(event | {"occurred_at": "yesterday"}) + b"\n",
            orjson.dumps(event | {"kind": "respnse"}) + b"\n",
            orjson.dumps({name: value for name, value in event.items() if name != "event_id"}) + b"\n",
        ]
    )
