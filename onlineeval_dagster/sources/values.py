"""Foreign values as ours: ids, times, texts, chats and opinions. Each raises Unusable, naming what it found."""

import hashlib
from datetime import UTC, datetime, tzinfo
from typing import Any

import orjson

from onlineeval_dagster.sources.rows import Unusable

UP = frozenset(
    {"up", "thumbs_up", "thumbsup", "thumbs up", "positive", "good", "like", "liked", "helpful", "yes", "👍"}
)
DOWN = frozenset(
    {
        "down",
        "thumbs_down",
        "thumbsdown",
        "thumbs down",
        "negative",
        "bad",
        "dislike",
        "disliked",
        "unhelpful",
        "no",
        "👎",
    }
)


def key(value: Any, field: str) -> str | None:
    """An id or a name as text; numbers become their digits."""
    if value is None or value == "" or value != value:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # Parquet and pandas write whole numbers with gaps as floats
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Unusable(f"{field}: expected text or a whole number, got {_shown(value)}")
    return str(value)


def text(value: Any, field: str) -> str | None:
    """Plain text, or the text parts of a chat message's content."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, dict) for part in value):
        parts = [part.get("text") for part in value]
        if all(isinstance(part, str) for part in parts if part is not None):
            return "\n".join(part for part in parts if part)
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "\n\n".join(value)
    raise Unusable(f"{field}: expected text, got {_shown(value)}")


def number(value: Any, field: str) -> float | None:
    """A number; never read from text by guessing. NaN is what Parquet and pandas write for none."""
    if value is None or value != value:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unusable(f"{field}: expected a number, got {_shown(value)}")
    return float(value)


def count(value: Any, field: str) -> int | None:
    """A whole number; 12.0 is one, as Parquet writes columns with gaps."""
    found = number(value, field)
    if found is None:
        return None
    if found != int(found):
        raise Unusable(f"{field}: expected a whole number, got {_shown(value)}")
    return int(found)


def moment(value: Any, field: str, zone: tzinfo | None) -> datetime | None:
    """A time: ISO 8601, a datetime, or the seconds, milliseconds, microseconds or nanoseconds since 1970.

    The four differ by their size for every time between 1973 and 5138. A time without a zone needs `zone`.
    """
    if value is None or value == "" or value != value:
        return None
    if isinstance(value, str) and value.replace(".", "", 1).isdigit():
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        size = abs(value)
        scale = 1 if size < 1e11 else 1e3 if size < 1e14 else 1e6 if size < 1e17 else 1e9
        try:
            return datetime.fromtimestamp(value / scale, UTC)
        except (OverflowError, OSError, ValueError) as error:
            raise Unusable(f"{field}: {_shown(value)} is no time") from error
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise Unusable(f"{field}: expected a time such as 2026-11-23T08:00:00Z, got {_shown(value)}") from error
    if not isinstance(value, datetime):
        raise Unusable(f"{field}: expected a time such as 2026-11-23T08:00:00Z, got {_shown(value)}")
    if value.tzinfo is None:
        if zone is None:
            raise Unusable(f"{field}: {_shown(str(value))} has no time zone; name it with --zone, such as --zone UTC")
        value = value.replace(tzinfo=zone)
    if type(value) is not datetime:
        # A pandas Timestamp, which Parquet's nanoseconds become: the log holds microseconds.
        value = datetime.combine(value.date(), value.timetz())
    return value.astimezone(UTC)


def chat(messages: Any, field: str) -> tuple[str, str | None, str | None, str | None]:
    """A list of chat messages as (the last user message, earlier turns, system text, texts from tools)."""
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise Unusable(f"{field}: expected a list of messages, got {_shown(messages)}")
    said = [(str(m.get("role", "user")), text(m.get("content"), field) or "") for m in messages]
    asked = max((place for place, (role, _) in enumerate(said) if role == "user"), default=None)
    if asked is None:
        raise Unusable(f"{field}: no message has the role user")
    turns = [f"{role.capitalize()}: {words}" for role, words in said[:asked] if role in ("user", "assistant") and words]
    system = [words for role, words in said if role in ("system", "developer") and words]
    tools = [words for role, words in said if role in ("tool", "function") and words]
    return said[asked][1], "\n".join(turns) or None, "\n\n".join(system) or None, "\n\n".join(tools) or None


def opinion(value: Any, field: str) -> tuple[str, float | None, str | None]:
    """A rating or feedback as (action, value, text): thumbs, stars from 1 to 5, or a comment in words."""
    if isinstance(value, bool):
        return ("thumbs_up" if value else "thumbs_down"), None, None
    if isinstance(value, int | float):
        return _counted(float(value), field)
    if isinstance(value, str):
        word = value.strip().lower()
        if word in UP | DOWN:
            return ("thumbs_up" if word in UP else "thumbs_down"), None, None
        if word.lstrip("+-").replace(".", "", 1).isdigit():
            return _counted(float(word), field)
        if not _counts_stars(field):
            return "comment", None, value
    raise Unusable(f"{field}: expected a rating, thumbs or a comment, got {_shown(value)}")


def _counted(value: float, field: str) -> tuple[str, float | None, str | None]:
    # 1 of 5 stars and a 1 for "up" look alike: columns named for stars or ratings count stars, the others thumbs.
    stars = _counts_stars(field)
    if stars and 1 <= value <= 5:
        return "star_rating", value, None
    if not stars and value in (-1, 0, 1):
        return ("thumbs_up" if value > 0 else "thumbs_down"), None, None
    expected = "1 to 5 stars" if stars else "1, 0 or -1"
    raise Unusable(f"{field}: expected {expected}, got {value:g}")


def _counts_stars(field: str) -> bool:
    return "rating" in field or "star" in field


def digest(*parts: Any) -> str:
    """The same 32 hex digits for the same parts, wherever they come from."""
    encoded = orjson.dumps(parts, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS | orjson.OPT_UTC_Z)
    return hashlib.sha256(encoded).hexdigest()[:32]


def _shown(value: Any) -> str:
    """Kind and, for short plain values, the value itself: texts are the users' own and stay out of messages."""
    if isinstance(value, int | float | bool):
        return repr(value)
    if isinstance(value, str) and len(value) <= 40:
        return repr(value)
    return type(value).__name__
