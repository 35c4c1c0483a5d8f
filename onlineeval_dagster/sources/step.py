"""A cursor column's values: kept as JSON, and taken a step or a lag back, so that no row beside the last is lost."""

import math
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

FIRST: tuple[Any, ...] = (-(2**63), datetime(1970, 1, 1, tzinfo=UTC), "")
"""Below all numbers, times, texts. Nobody says which of them a column holds; the database refuses the others."""


def kept(value: Any) -> dict[str, Any]:
    """A cursor's value as JSON that `restored` reads back with its type. Raises TypeError where it does not sort."""
    if isinstance(value, datetime):
        return {"type": "datetime", "value": value.isoformat()}
    if isinstance(value, date):
        return {"type": "date", "value": value.isoformat()}
    if isinstance(value, Decimal):
        return {"type": "decimal", "value": str(value)}
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return {"type": type(value).__name__, "value": value}
    raise TypeError(f"{type(value).__name__} values")


def restored(saved: dict[str, Any]) -> Any:
    read = {"datetime": datetime.fromisoformat, "date": date.fromisoformat, "decimal": Decimal}
    return read.get(saved["type"], lambda value: value)(saved["value"])


def behind(value: Any, lag: float) -> Any:
    """A value strictly below `value`, and below all within `lag` of it: seconds of a time, steps of a number.

    A text that is an ISO time goes back in its own spelling; any other text loses its last character, which sorts
    before it and before whatever else begins like it.

    >>> behind(100, 10), behind("2026-11-20T10:00:00.5Z", 60), behind("abc", 60)
    (89, '2026-11-20T09:58:59', 'ab')
    """
    if isinstance(value, datetime):
        return value - timedelta(seconds=lag, microseconds=1)
    if isinstance(value, date):
        return value - timedelta(days=1 + int(lag // 86400))
    if isinstance(value, int):
        return value - math.ceil(lag) - 1
    if isinstance(value, Decimal):
        return value - Decimal(lag) - Decimal("0.000000001")
    if isinstance(value, float):
        return math.nextafter(value - lag, -math.inf)
    return _text_behind(value, lag)


def _text_behind(value: str, lag: float) -> str:
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return value[:-1]
    if len(value) < 19:
        return value[:-1]
    # Cut at the whole second: a text that ends earlier sorts before those with a fraction or a zone behind it.
    earlier = time.replace(tzinfo=None) - timedelta(seconds=lag + 1)
    return earlier.isoformat(sep=value[10], timespec="seconds")
