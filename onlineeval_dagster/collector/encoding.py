"""An event as a line of the log: fast where the product says what the contract expects, careful where it does not."""

import hashlib
import json
import math
from datetime import UTC, datetime
from typing import Any

try:
    from orjson import OPT_APPEND_NEWLINE, OPT_UTC_Z, dumps

    OPTIONS = OPT_UTC_Z | OPT_APPEND_NEWLINE
except ImportError:
    OPTIONS = 0

    def dumps(said: dict[str, Any], /, default: Any = None, option: int | None = None) -> bytes:  # noqa: ARG001
        return careful_line(said)


KEY_CHARACTERS = 256
"""The longest id or name that a contract takes."""

# `dumps(said, None, OPTIONS)` is one line with its newline; TypeError or ValueError for what JSON cannot hold.
_KEYS = {"event_id", "environment", "app", "response_id", "session_id", "user_id", "prompt_version", "variant", "model"}
_KEYS |= {"provider", "device", "location", "language", "action", "deploy_id", "name", "experiment", "unit_id"}
_KEYS |= {"assignment_version"}


def response_event_id(response_id: str) -> str:
    """The event id of a response: the same whenever it is told again."""
    event_id = response_id + ":response"
    if len(event_id) <= KEY_CHARACTERS:
        return event_id
    return hashlib.sha256(response_id.encode("utf-8", "replace")).hexdigest() + ":response"


def careful_line(said: dict[str, Any]) -> bytes:
    """A line of JSON with its newline, for any values: what JSON cannot hold becomes text, or null, or `?`."""
    text = json.dumps(_plain(said), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8") + b"\n"


def in_order(head: dict[str, Any], said: dict[str, Any], fields: dict[str, Any], *, known: frozenset[str]) -> dict:
    """All of them in one: nulls left out, ids as text, and of `fields` what is not `known` under `attributes`."""
    given = {name: value for name, value in fields.items() if value is not None}
    unknown = {name: given.pop(name) for name in list(given) if name not in known}
    attributes = given.get("attributes", {})
    if not isinstance(attributes, dict):
        attributes = {"attributes": attributes}
    if unknown or attributes:
        given["attributes"] = unknown | attributes
    whole = {name: value for name, value in (head | given | said).items() if value is not None}
    return {name: str(value) if name in _KEYS else value for name, value in whole.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {_plain(str(name)): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat() if value.tzinfo else value.isoformat()
    return _plain(str(value))
