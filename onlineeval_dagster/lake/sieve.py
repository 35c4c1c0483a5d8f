"""Log lines by the million into tables: DuckDB takes the lines that are surely good, `parse_line` all others.

The rows are the same, value for value, as `parse_line` would give one by one (tests/lake/test_sieve.py).
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from types import TracebackType
from typing import Any, Self

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.base import Contract, LogEvent
from onlineeval_dagster.contracts.tables import TABLE_OF, Table
from onlineeval_dagster.lake.lines import Lines, Offsets
from onlineeval_dagster.lake.scan import scratch
from onlineeval_dagster.lake.sieve_sql import KINDS, coded_lines, sifted_rows, unknown_fields
from onlineeval_dagster.lake.tombstones import Doomed, Tombstones, doomed_sql, read_json, words_of
from onlineeval_dagster.log.reader import BadLine, parse_line

# DuckDB's threads take whole Arrow batches each: with one batch a file a single thread does it all.
_BATCH_LINES = 8192
# A file of noise has a line in every other byte: what is kept of each must not fill the memory.
_MOST_LINES = 400_000
# Fewer lines are parsed one by one as fast.
SECOND_LOOK_AT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedLine:
    """A bad line and its place."""

    segment: str
    offset: int
    bad: BadLine


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """What some lines hold.

    rows     by table of the lake and day, in the table's schema
    refused  the bad lines, in order
    lines    by segment, how many there were (blank ones are none)
    erased   by segment, how many were left out because a tombstone stands for whom they speak of
    """

    rows: dict[tuple[str, date], pa.Table]
    refused: list[RefusedLine]
    lines: dict[str, int]
    erased: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Placed:
    event: LogEvent
    place: int


_Parsed = tuple[dict[tuple[str, date], list[_Placed]], list[RefusedLine]]
"""Events by kind and day, and the bad lines."""


class Sieve:
    """Sifts lines. Holds an in-memory DuckDB; `now` and `retention_days` are those of `parse_line`.

    second_look_at  from how many unsure lines of a kind on they are searched for unknown fields by DuckDB
    tombstones      what speaks of whom they stand for is left out, and counted
    """

    def __init__(
        self,
        *,
        now: datetime,
        retention_days: int,
        second_look_at: int = SECOND_LOOK_AT,
        tombstones: Tombstones | None = None,
    ) -> None:
        self._now, self._retention_days, self._second_look_at = now, retention_days, second_look_at
        self._tombstones = tombstones
        self._held = ExitStack()
        self._engine = self._held.enter_context(scratch())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.__exit__(kind, error, trace)

    def sift(self, lines: Lines) -> Iterator[Sifted]:
        """The rows and the bad lines of `lines`, some at a time."""
        for begin in range(0, len(lines.start), _MOST_LINES):
            sifted = self._sift(lines.slice(begin, begin + _MOST_LINES))
            yield self._without_erased(sifted) if self._tombstones else sifted

    def _sift(self, lines: Lines) -> Sifted:
        unsure = lines.said.copy()
        rows: dict[tuple[str, date], list[pa.Table]] = {}
        for kind, found in self._sure(lines):
            for day, sure in _by_day(found):
                places = sure.column("_place").to_numpy()
                unsure[places] = False
                stored = _in_schema(TABLE_OF[kind], sure, _provenance(lines, places))
                rows.setdefault((TABLE_OF[kind].name, day), []).append(stored)
        slow, refused = self._parsed(lines, np.flatnonzero(unsure))
        for (kind, day), placed in slow.items():
            stored = _from_events(TABLE_OF[kind], day, placed, lines)
            rows.setdefault((TABLE_OF[kind].name, day), []).append(stored)
        return Sifted(
            rows={place: pa.concat_tables(tables) for place, tables in rows.items()},
            refused=refused,
            lines=_counted(lines),
        )

    def _without_erased(self, sifted: Sifted) -> Sifted:
        """What is left where tombstones stand. Distinct ids are hashed in the engine; bad lines word by word."""
        assert self._tombstones is not None
        rows, erased = dict(sifted.rows), Counter[str]()
        for place, table in sifted.rows.items():
            doomed = self._tombstones.among(self._engine, table)
            if doomed:
                rows[place] = self._kept(table, doomed, erased)
        words = {word for line in sifted.refused for word in words_of(line.bad.text)}
        doomed = self._tombstones.among_words(words)
        refused = [line for line in sifted.refused if not (doomed and _speaks_of(doomed, line.bad))]
        erased.update(line.segment for line in sifted.refused)
        erased.subtract(line.segment for line in refused)
        return replace(
            sifted, rows={place: table for place, table in rows.items() if len(table)}, refused=refused, erased=+erased
        )

    def _kept(self, table: pa.Table, doomed: Doomed, erased: "Counter[str]") -> pa.Table:
        self._engine.register("said", table)
        self._engine.register("doomed", doomed.table())
        where = doomed_sql(table.column_names, row="said")
        asked = self._engine.sql(f"select {where} as gone, not {where} as kept from said").to_arrow_table()
        erased.update(table.column("log_segment").filter(asked.column("gone")).to_pylist())
        return table.filter(asked.column("kept"))

    def _sure(self, lines: Lines) -> list[tuple[str, pa.Table]]:
        """What DuckDB reads, by kind: the place of the line in `_place`; a null `day` where a row is not sure."""
        try:
            return list(self._found(lines, checked=False))
        except (duckdb.InvalidInputException, UnicodeDecodeError):
            # A line in braces that is no JSON: rare enough to begin again. DuckDB's message quotes its first 50 bytes;
            # cut within a character, they arrive as an error of decoding.
            return list(self._found(lines, checked=True))

    def _found(self, lines: Lines, *, checked: bool) -> Iterator[tuple[str, pa.Table]]:
        asked = pa.table([lines.column, pa.array(lines.readable)], names=["line", "readable"])
        self._engine.register("asked", _in_batches(asked))
        codes = self._engine.sql(coded_lines("asked", checked=checked)).to_arrow_table().column("code")
        self._engine.unregister("asked")
        place = pa.array(np.arange(len(lines.start)))
        coded = pa.table([place, lines.column, codes], names=["place", "line", "code"])
        for code in sorted(code for code in codes.unique().to_pylist() if code):
            kind = KINDS[code - 1]
            found = self._sifted(kind, coded, [])
            yield kind, found
            rest = found.column("_place").filter(found.column("day").is_null())
            if len(rest) and len(rest) >= self._second_look_at:
                unsure = np.zeros(len(place), np.bool_)
                unsure[rest.to_numpy()] = True
                # Not `take`, which would first copy all texts into one.
                yield kind, self._with_unknown_fields(kind, coded.filter(pa.array(unsure)))

    def _with_unknown_fields(self, kind: str, coded: pa.Table) -> pa.Table:
        """A second look at lines that were not sure: with the fields that the contract does not know."""
        self._engine.register("coded", _in_batches(coded))
        names = [name for name, _ in self._engine.sql(unknown_fields(kind, "coded")).fetchall()]
        return self._sifted(kind, coded, names)

    def _sifted(self, kind: str, coded: pa.Table, unknown: list[str]) -> pa.Table:
        self._engine.register("coded", _in_batches(coded))
        sql = sifted_rows(kind, "coded", unknown=unknown, now=self._now, retention_days=self._retention_days)
        return self._engine.sql(sql).to_arrow_table()

    def _parsed(self, lines: Lines, places: Offsets) -> _Parsed:
        """The lines at `places`, one by one."""
        events: dict[tuple[str, date], list[_Placed]] = {}
        refused: list[RefusedLine] = []
        for place in places.tolist():
            said = parse_line(lines.text(place), now=self._now, retention_days=self._retention_days)
            if isinstance(said, BadLine):
                segment = lines.pieces[lines.owner[place]].segment
                refused.append(RefusedLine(segment=segment, offset=int(lines.start[place]), bad=said))
            else:
                kind: str = getattr(said, "kind")  # noqa: B009 - each kind declares its own
                day = day_of(TABLE_OF[kind], said)
                events.setdefault((kind, day), []).append(_Placed(event=said, place=place))
        return events, refused


def day_of(table: Table, row: Contract) -> date:
    """The day of the lake that a row belongs to."""
    moments: list[datetime] = [moment for name in table.day_of if (moment := getattr(row, name)) is not None]
    return moments[0].astimezone(UTC).date()


def _speaks_of(doomed: Doomed, bad: BadLine) -> bool:
    """Whether a bad line is of somebody who was erased; one that says when it occurred is asked for its time."""
    if not doomed.is_named_in(bad.text):
        return False
    said = read_json(bad.text.encode())
    return doomed.speaks_of(said) if isinstance(said, dict) and "occurred_at" in said else True


def _in_batches(table: pa.Table) -> pa.Table:
    return pa.Table.from_batches(table.to_batches(max_chunksize=_BATCH_LINES), table.schema)


def _provenance(lines: Lines, places: Offsets) -> dict[str, pa.Array]:
    names = pa.array([piece.segment for piece in lines.pieces], pa.string())
    return {
        "log_segment": names.take(pa.array(lines.owner[places])),
        "log_offset": pa.array(lines.start[places]),
    }


def _by_day(found: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    """The rows of each day; those without one are left out."""
    column = found.column("day")
    for day in sorted(day for day in column.unique().to_pylist() if day is not None):
        yield day, found.filter(pc.field("day") == pa.scalar(day, pa.date32()))


def _from_events(table: Table, day: date, placed: list[_Placed], lines: Lines) -> pa.Table:
    events: list[Contract] = [each.event for each in placed]
    rows = to_table(events, table.contract).append_column("day", pa.array([day] * len(events), pa.date32()))
    return _in_schema(table, rows, _provenance(lines, np.array([each.place for each in placed])))


def _in_schema(table: Table, rows: pa.Table, extra: dict[str, Any]) -> pa.Table:
    for name, values in extra.items():
        rows = rows.append_column(name, values)
    return rows.select(table.arrived_schema.names).cast(table.arrived_schema)


def _counted(lines: Lines) -> dict[str, int]:
    counts = np.bincount(lines.owner[lines.said], minlength=len(lines.pieces)).tolist()
    total: dict[str, int] = {}
    for piece, count in zip(lines.pieces, counts, strict=True):
        total[piece.segment] = total.get(piece.segment, 0) + count
    return total
