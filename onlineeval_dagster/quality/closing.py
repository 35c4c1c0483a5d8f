"""Whether the accounts of the log close: what came in stands in the lake, or is said to be elsewhere."""

from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.log.writer import sealed_path
from onlineeval_dagster.quality.coverage import EVENT_TABLES, uncounted
from onlineeval_dagster.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Lines of one hour and source that are missing; fewer than 0 where more stand in the lake than came in."""

    hour: datetime
    source: str
    missing: int

    def __str__(self) -> str:
        words = "are missing" if self.missing > 0 else "are there that nobody received"
        return f"{self.hour:%Y-%m-%d %H:%M}, {self.source}: {abs(self.missing):,} lines {words}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CutSegment:
    """A segment of the log that lost its end after it was taken in: `lines` of it stand in the lake only."""

    segment: str
    bytes: int
    lines: int

    def __str__(self) -> str:
        gone = f"cut short by {self.bytes:,} bytes, {self.lines:,} lines of it were taken in before"
        return f"segment {self.segment}: {gone}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """The outcome: lines received in all, and everything that does not add up.

    gaps      by hour and source, newest first
    uncounted days on which the lake's own log names another number of rows, with how many more
    cut       segments that are shorter than what was taken of them
    """

    received: int
    gaps: tuple[Gap, ...]
    uncounted: tuple[tuple[date, int], ...] = ()
    cut: tuple[CutSegment, ...] = ()

    @property
    def closes(self) -> bool:
        return not (self.gaps or self.uncounted or self.cut)

    @property
    def missing(self) -> int:
        """Lines that came in and are nowhere."""
        return sum(gap.missing for gap in self.gaps if gap.missing > 0)

    @property
    def failures(self) -> tuple[str, ...]:
        """One line for each thing that does not add up."""
        totals = [
            f"{day}: {abs(more):,} rows {'fewer' if more > 0 else 'more'} are counted than the lake's own log names"
            for day, more in self.uncounted
        ]
        return (*map(str, self.gaps), *totals, *map(str, self.cut))

    def __str__(self) -> str:
        if self.missing:
            return f"{self.missing:,} of {self.received:,} lines that came in are missing."
        if self.closes:
            return f"All {self.received:,} lines that came in are accounted for."
        return f"The accounts of the log do not close: {self.failures[0]}."


def close(settings: Settings, lake: Lake) -> Closing:
    """Add up `coverage` by hour and source, and hold its totals against the lake's and the log's own."""
    sql = """
        select
            hour, source, sum(received)::bigint as received,
            sum(received - ingested - quarantined - erased - taken_out)::bigint as missing
        from coverage group by hour, source order by hour desc, source
    """
    found = rows(lake, sql, {"coverage": None}).to_pylist()
    return Closing(
        received=sum(row["received"] for row in found),
        gaps=tuple(
            Gap(hour=row["hour"], source=row["source"], missing=row["missing"]) for row in found if row["missing"]
        ),
        uncounted=_uncounted(lake),
        cut=cut_segments(settings, lake),
    )


def cut_segments(settings: Settings, lake: Lake) -> tuple[CutSegment, ...]:
    """Segments in the log that are shorter than what was taken of them."""
    if not settings.log_folder.is_dir():
        return ()
    files = {sealed_path(path).name: path for path in settings.log_folder.iterdir()}
    sql = "select log_segment, max(end_offset) as taken, sum(lines)::bigint as lines from ingested_parts group by all"
    taken = {row["log_segment"]: row for row in rows(lake, sql, {"ingested_parts": None}).to_pylist()}
    cut = []
    for name in sorted(files.keys() & taken):
        size = _size(files[name])
        if size is not None and size < taken[name]["taken"]:
            lines = taken[name]["lines"] - _lines(files[name])
            cut.append(CutSegment(segment=name, bytes=taken[name]["taken"] - size, lines=lines))
    return tuple(cut)


def _uncounted(lake: Lake) -> tuple[tuple[date, int], ...]:
    """Days whose rows in `coverage` are not those of Delta's log. A day that changed since waits for its turn."""
    waiting = uncounted(lake).days
    sql = "select day, sum(ingested + quarantined)::bigint as lines from coverage group by day"
    counted = {row["day"]: row["lines"] for row in rows(lake, sql, {"coverage": None}).to_pylist()}
    standing: dict[date, int] = {}
    for name in (*EVENT_TABLES, "quarantine"):
        for day, count in lake.rows_by_day(name).items():
            standing[day] = standing.get(day, 0) + count
    more = {day: standing.get(day, 0) - counted.get(day, 0) for day in standing.keys() | counted}
    return tuple((day, count) for day, count in sorted(more.items()) if count and day not in waiting)


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # sealed, or removed as ingested long ago, as we look
        return None


def _lines(path: Path) -> int:
    """Lines left in a segment, blank ones not counted."""
    with path.open("rb") as file:
        return sum(1 for line in file if line.strip(b"\r\n"))
