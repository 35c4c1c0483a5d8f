"""The conversation signals of recorded dialogs: a small lake, and the pipeline's own SQL over it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.base import Contract
from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.signals.evaluate import Observed
from onlineeval_dagster.signals.stage import derive_signals

_BEGUN = datetime(2000, 1, 1, 1, tzinfo=UTC)
REPLAYED = ("retry", "correction", "abandonment")
"""Those that need no times. Where a dialog ends, only the last says something."""


def behaviour_of(dialogs: Sequence[int], questions: Sequence[str], catalog: Catalog) -> tuple[Observed, ...]:
    """The signals REPLAYED of each turn. `dialogs` numbers the dialog of each: those of one stand together, in order.

    Turns follow each other by half an idle time or a minute, whichever is less: only their order is real.
    """
    gap = min(timedelta(minutes=1), timedelta(minutes=catalog.signals.sessions.idle_minutes) / 2)
    count = len(dialogs)
    turns: list[Contract] = [
        Response(
            event_id=str(at),
            response_id=str(at),
            occurred_at=_BEGUN + at * gap,
            received_at=_BEGUN + at * gap,
            session_id=f"dialog-{dialogs[at]}",
            query=questions[at],
            response="",
        )
        for at in range(count)
    ]
    silence_is_known = _BEGUN + count * gap + timedelta(days=2)  # an idle time is at most a day
    found = _derived(turns, catalog, now=silence_is_known)
    goes_on = np.array([at + 1 < count and dialogs[at + 1] == dialog for at, dialog in enumerate(dialogs)])
    seen = []
    for name in REPLAYED:
        if name in catalog.signals.derived:
            value = np.array([found.get((str(at), name), 0.0) for at in range(count)])
            said = value > 0
            seen.append(
                Observed(name=name, value=np.where(goes_on | (name == "abandonment"), value, np.nan), flagged=said)
            )
    return tuple(seen)


def _derived(turns: Sequence[Contract], catalog: Catalog, *, now: datetime) -> dict[tuple[str, str], float]:
    """(response id, signal) to the raw value of each derived signal that there is."""
    schema = TABLES["responses"].schema
    table = to_table(list(turns), Response)
    days = pa.array([turn.occurred_at.date() for turn in turns], pa.date32())  # type: ignore[attr-defined]
    more = {
        "log_segment": pa.repeat("replay", len(turns)),
        "log_offset": pa.array(range(len(turns)), pa.int64()),
        "text_erased_at": pa.nulls(len(turns), schema.field("text_erased_at").type),
        "day": days,
    }
    columns = [table.column(name) if name in table.column_names else more[name] for name in schema.names]
    only_derived = replace(catalog, signals=catalog.signals.model_copy(update={"detectors": {}}))
    with TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        lake.replace_days("responses", set(days.to_pylist()), pa.table(columns, schema=schema))
        derive_signals(lake, only_derived, now=now)
        sql = "select response_id, signal, raw_value from signals"
        told = rows(lake, sql, {"signals": None}).to_pylist()
    return {(row["response_id"], row["signal"]): row["raw_value"] for row in told}
