"""What privacy costs an event of 1.3 KB: with nothing in it, in another script, with an e-mail, with a number."""

import random
import timeit
from collections.abc import Callable
from pathlib import Path
from typing import Any

from onlineeval_dagster.catalog.privacy_file import PrivacyFile
from onlineeval_dagster.privacy.policy import Privacy, make_privacy
from tests.bench.measured import Measured

WORDS = [
    "the",
    "of",
    "to",
    "answer",
    "your",
    "order",
    "information",
    "please",
    "check",
    "week-end",
    "delivery",
    "arrives",
    "within",
    "days",
    "customer",
    "service",
    "we",
    "are",
    "happy",
    "help",
    "refund",
    "page",
    "settings",
    "account",
    "question",
    "shipping",
    "costs",
    "49.90",
    "on",
    "2026-11-23",
]
_LOOPS, _ROUNDS = 250, 200  # short, so that some rounds pass undisturbed on a busy machine
_ALIKE = 100


def redaction(scratch: Path) -> list[Measured]:
    """`Privacy.clean` with the packaged privacy.toml, microseconds an event; the collector has 16 for everything."""
    del scratch
    privacy = make_privacy(PrivacyFile(), salt=b"a salt for the benchmark")
    events = _events(random.Random(1))
    bars = {"nothing in it": 3.0}
    alike = [events["nothing in it"] | {"event_id": f"{number:016x}"} for number in range(_ALIKE)]
    together = _micros(lambda: privacy.clean_alike(alike), loops=5) / _ALIKE
    return [
        Measured(name="clean, nothing in it, as one of a batch", value=together, unit="µs"),
        *_one_by_one(privacy, events, bars),
    ]


def _one_by_one(privacy: Privacy, events: dict[str, dict[str, Any]], bars: dict[str, float]) -> list[Measured]:
    return [
        Measured(
            name=f"clean, {name}", value=_micros(lambda e=event: privacy.clean(e)), unit="µs", at_most=bars.get(name)
        )
        for name, event in events.items()
    ]


def _events(rng: random.Random) -> dict[str, dict[str, Any]]:
    text = " ".join(rng.choice(WORDS) for _ in range(250))[:1050]
    plain = {
        "kind": "response",
        "event_id": "0192f1c8e4b07c3a",
        "response_id": "r-0192f1c8e4b07c3a",
        "occurred_at": "2026-11-23T08:00:00.123456Z",
        "received_at": "2026-11-23T08:00:00.223456Z",
        "environment": "production",
        "app": "shop",
        "session_id": "s-1",
        "user_id": "u-17",
        "query": text[:120],
        "response": text[120:],
        "prompt_version": "v7",
        "model": "gpt-4o-mini",
        "latency_ms": 812.5,
        "input_tokens": 230,
        "output_tokens": 260,
    }
    return {
        "nothing in it": plain,
        "nothing in it, not ASCII": plain | {"response": text[120:] + " – schön"},
        "with ten attributes": plain | {"attributes": {f"key.{i}": f"value {i}" for i in range(10)}},
        "with an e-mail": plain | {"response": text[120:] + " anna@example.com"},
        "with a telephone number": plain | {"response": text[120:] + " +49 30 1234567"},
        "with a secret": plain | {"response": text[120:] + " sk-proj-Ab3dEf6hIj9kLm2nOp5q"},
    }


def _micros(work: Callable[[], object], loops: int = _LOOPS) -> float:
    return min(timeit.repeat(work, number=loops, repeat=_ROUNDS)) / loops * 1e6
