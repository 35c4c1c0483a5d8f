"""What a detector is: one automated signal, cheap enough for all of the traffic, that says what it cannot see."""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.contracts.arrow import arrow_schema
from onlineeval_dagster.contracts.events import Response

BASELINE = pa.schema(
    [
        pa.field("typical_length", pa.float64()),
        pa.field("spread_length", pa.float64()),
        pa.field("typical_latency_ms", pa.float64()),
        pa.field("spread_latency", pa.float64()),
    ]
)
"""What was usual in the seven days before an answer's day, in its environment and app; null where they hold too few.

typical_length, typical_latency_ms  medians, characters and milliseconds
spread_length, spread_latency       robust standard deviations of their natural logarithms (signals/usual.py)
"""

COLUMNS = pa.schema([*arrow_schema(Response), *BASELINE])
"""The columns a detector may need."""

FOUND = pa.schema(
    [
        pa.field("response_id", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("raw_value", pa.float64()),
        pa.field("flagged", pa.bool_(), nullable=False),
        pa.field("reason", pa.string()),
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """One automated signal.

    needs       names of COLUMNS beside `response_id`: fields of a Response, and what was usual before it
    score       (table with these columns) -> FOUND: one row a response, in the same order. `score` in [-1, 0) where
                something was found and null where nothing was: not finding a fault is no praise.
                `raw_value`: how much there is of what the name says, graded where it can be; null where it cannot tell
    better      which end of raw_value speaks well of the answer
    cost_us     microseconds for an answer of 300 tokens on one core, measured
    cannot_see  what it misses by design, for the reader of a report
    install     the command that installs what it needs more than this package; None where that is nothing
    """

    name: str
    version: str
    cost_us: float
    cannot_see: str
    needs: tuple[str, ...]
    better: Literal["low", "high"] = "low"
    install: str | None = None
    score: Callable[[pa.Table], pa.Table]


NO_REASON = pa.scalar(None, pa.string())


def text_of(batch: pa.Table, name: str = "response") -> Any:
    """A text column, null as the empty text."""
    return pc.fill_null(batch.column(name), "")


def folded(text: Any) -> Any:
    """Lower case, and one apostrophe for the two that people type."""
    return pc.replace_substring(pc.utf8_lower(text), "’", "'")


def found(batch: pa.Table, *, flagged: Any, score: Any, reason: Any, raw_value: Any = None) -> pa.Table:
    """FOUND, with `score` (a number or a column) where `flagged` and null elsewhere; raw_value 1 or 0 if not given."""
    columns = {
        "response_id": batch.column("response_id"),
        "score": pc.if_else(flagged, score, pa.scalar(None, pa.float64())),
        "raw_value": pc.cast(flagged, pa.float64()) if raw_value is None else raw_value,
        "flagged": flagged,
        "reason": reason,
    }
    return pa.table([columns[name] for name in FOUND.names], schema=FOUND)
