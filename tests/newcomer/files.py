"""Log files as newcomers bring them."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

START = datetime(2026, 11, 9, 8, tzinfo=UTC)


def lines(file: Path, rows: list[dict[str, Any] | str]) -> Path:
    file.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return file


def flat(number: int, *, start: datetime = START, **more: Any) -> dict[str, Any]:
    """One answer an hour."""
    said = {
        "question": f"Where is parcel {number}? Write to anna@example.com",
        "answer": "Your parcel is on its way.",
        "created_at": (start + timedelta(hours=number)).isoformat(),
    }
    return said | more


def pair(number: int) -> dict[str, Any]:
    """A request and a response body as a proxy logs them."""
    return {
        "request": {"model": "m", "user": f"u{number % 3}", "messages": [{"role": "user", "content": "Where is it?"}]},
        "response": {
            "id": f"c{number}",
            "created": int((START + timedelta(hours=number)).timestamp()),
            "model": "m-1",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "On its way."}}],
        },
    }


def own(number: int, **more: Any) -> dict[str, Any]:
    """One of our own lines."""
    at = (START + timedelta(hours=number)).isoformat()
    said = {"kind": "response", "event_id": f"e{number}", "response_id": f"r{number}", "occurred_at": at}
    return (
        said | {"query": "Where?", "response": "There.", "session_id": f"s{number // 4}", "prompt_version": "p1"} | more
    )


REMOTE = """---
axis = "tone"
model = "gpt-4o-mini"
good_from = 3
price = { input_usd_per_million = 0.15, output_usd_per_million = 0.6 }

[scale]
1 = "rude"
3 = "kind"
---
Is it kind? {response}
"""
