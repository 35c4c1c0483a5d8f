"""Deterministic chance: the same id and salt give the same number in Python, DuckDB and Spark."""

import hashlib

_HEX_DIGITS = 13  # 52 bits, which a double holds exactly
_SCALE = 16**_HEX_DIGITS


def unit_interval(identity: str, salt: str) -> float:
    """A number in [0, 1), uniform over ids: the first 52 bits of md5(salt:id).

    >>> round(unit_interval("r-1", "cohort-1"), 6)
    0.745448
    """
    digest = hashlib.md5(f"{salt}:{identity}".encode(), usedforsecurity=False).hexdigest()
    return int(digest[:_HEX_DIGITS], 16) / _SCALE


def is_selected(response_id: str, *, salt: str, rate: float) -> bool:
    """Select about `rate` of all responses; raising the rate only ever adds to the selection."""
    return unit_interval(response_id, salt) < rate


def unit_interval_sql(identity: str, salt: str) -> str:
    """The same number as SQL over a column `identity` and a literal salt."""
    quoted = salt.replace("'", "''")
    return f"(('0x' || substr(md5('{quoted}:' || {identity}), 1, {_HEX_DIGITS}))::bigint / {_SCALE}::double)"
