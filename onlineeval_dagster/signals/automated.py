"""Automated signals: every detector's row for every response, each text read once."""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Collection, Iterator, Mapping
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine, first_rows, scan_files
from onlineeval_dagster.signals.detectors.interface import BASELINE, Detector
from onlineeval_dagster.signals.detectors.registry import known_detectors
from onlineeval_dagster.signals.usual import usual_before
from onlineeval_dagster.signals.versions import detector_versions

_BATCH = 20_000
"""Rows whose texts are in memory at a time: some 100 MB of questions, contexts and answers."""

_WORK_SQL = f"""
create temp table work as
with done as (
    -- Which detectors have spoken of a response, as the bits of a number.
    select response_id, bit_or(bit) as bits
    from signals
    join used using (signal, version)
    group by response_id
)
select response_id, occurred_at, received_at, day, file_name, log_segment, log_offset, coalesce(bits, 0) as bits
from ({first_rows("responses")})
left join done using (response_id)
where coalesce(bits, 0) <> $all_bits
    and text_erased_at is null  -- an emptied text would be scored as an empty answer
"""


def automated_signals(lake: Lake, catalog: Catalog, days: Collection[date]) -> Iterator[pa.Table]:
    """Rows of `signals` for the responses of `days`, some thousand at a time: those that the catalog's detectors gave
    before, in their present versions, and what each of them says of the responses it has not seen, where their texts
    still are.

    The texts of a response are read once, for all detectors, and only where one of them has not seen it.
    """
    used = known_detectors(catalog)
    if not used:
        return
    bits, versions = {name: 1 << place for place, name in enumerate(used)}, detector_versions(catalog)
    flags = {name: entry.flag for name, entry in catalog.signals.detectors.items()}
    with engine(lake, {"signals": days, "responses": days}) as connection:
        connection.register(
            "used", pa.table({"signal": list(used), "version": list(versions.values()), "bit": list(bits.values())})
        )
        names = ", ".join(TABLES["signals"].schema.names)
        kept = connection.sql(f"select {names} from signals semi join used using (signal, version)")
        yield from _tables(kept.to_arrow_reader(_BATCH))
        connection.execute(_WORK_SQL, {"all_bits": sum(bits.values())})
        files = [row[0] for row in connection.execute("select distinct file_name from work").fetchall()]
        if not files:
            return
        connection.register("usual", _usual(lake, connection, used))
        for batch in _tables(connection.sql(_texts_sql(files, used)).to_arrow_reader(_BATCH)):
            for name, detector in used.items():
                yield _said(detector, _unseen(batch, bits[name]), flags=flags[name], version=versions[name])


def _needed(used: Mapping[str, Detector]) -> list[str]:
    return sorted({name for detector in used.values() for name in detector.needs})


def _texts_sql(files: list[str], used: Mapping[str, Detector]) -> str:
    """The texts of the responses at work, in the files they stand in, with what was usual before their day."""
    needed = [name for name in _needed(used) if name not in ("occurred_at", "received_at")]
    columns = "".join(f", {'usual' if name in BASELINE.names else 'text'}.{name}" for name in needed)
    return (
        f"select work.response_id, work.bits, work.occurred_at, work.received_at, work.day{columns} "
        f"from ({scan_files('responses', files)}) as text join work using (file_name, log_segment, log_offset) "
        "left join usual on usual.day = work.day and usual.environment = text.environment and usual.app = text.app"
    )


def _usual(lake: Lake, connection: Any, used: Mapping[str, Detector]) -> pa.Table:
    """Baselines of the days at work; of no day where no detector asks for them."""
    if not set(_needed(used)) & set(BASELINE.names):
        return usual_before(lake, ())
    return usual_before(lake, {row[0] for row in connection.execute("select distinct day from work").fetchall()})


def _tables(batches: pa.RecordBatchReader) -> Iterator[pa.Table]:
    for batch in batches:
        yield pa.Table.from_batches([batch])


def _unseen(batch: pa.Table, bit: int) -> pa.Table:
    """The rows that a detector has not seen. Nearly always all: their texts are then not copied."""
    unseen = pc.equal(pc.bit_wise_and(batch.column("bits"), bit), 0)
    return batch if pc.all(unseen).as_py() else batch.filter(unseen)


def _said(detector: Detector, batch: pa.Table, *, flags: bool, version: str) -> pa.Table:
    found = detector.score(batch.select(["response_id", *detector.needs]))
    count = batch.num_rows
    columns: Mapping[str, object] = {
        "response_id": batch.column("response_id"),
        "response_at": batch.column("occurred_at"),
        "signal": pa.repeat(detector.name, count),
        "kind": pa.repeat("automated", count),
        "score": found.column("score"),
        "raw_value": found.column("raw_value"),
        "flagged": found.column("flagged") if flags else pa.repeat(False, count),
        "version": pa.repeat(version, count),
        "occurred_at": batch.column("occurred_at"),
        "arrived_at": batch.column("received_at"),
        "day": batch.column("day"),
    }
    schema = TABLES["signals"].schema
    return pa.table([columns[name] for name in schema.names], schema=schema)
