"""Taking lines out of the log: each byte of such a line becomes a newline. Every other line keeps its offset.

A segment only grows and its offsets mean the same for ever, so nothing is cut out; blank lines say nothing to the
reader. It is done in place, in open segments too: their owners append at the end and never look back.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from onlineeval_dagster.errors import LogError
from onlineeval_dagster.log.reader import is_blank
from onlineeval_dagster.log.segments import find_segment
from onlineeval_dagster.log.writer import OPEN, SEALED, sealed_path

_BLOCK = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Bytes [start, end) of a segment."""

    segment: str
    start: int
    end: int


def every_line(folder: Path) -> Iterator[tuple[Range, bytes]]:
    """Every whole line that says something, with its place; of all segments, those being written among them.

    The last line of a segment counts even without its newline where nothing follows it any more (a dead owner's).
    """
    if not folder.exists():
        return
    for path in sorted(folder.iterdir()):
        if path.name.endswith(SEALED):
            yield from _lines(folder, sealed_path(path).name)


def blank(folder: Path, ranges: Iterable[Range]) -> int:
    """Overwrite `ranges` with newlines, on disk before this returns; returns how many. Safe to kill and to repeat.

    Ranges of a segment that is gone are done: `prune` removed it with all its lines. Raises LogError.
    """
    by_segment: dict[str, list[Range]] = {}
    for each in ranges:
        by_segment.setdefault(each.segment, []).append(each)
    for segment, places in by_segment.items():
        try:
            path = find_segment(folder, segment)
        except LogError:
            continue
        _overwrite(path, places)
    return sum(len(places) for places in by_segment.values())


def lines_where(folder: Path, must_go: Callable[[bytes], bool]) -> list[Range]:
    """The places of the lines that must go."""
    return [place for place, line in every_line(folder) if must_go(line)]


def _lines(folder: Path, segment: str) -> Iterator[tuple[Range, bytes]]:
    try:
        path = find_segment(folder, segment)
        with path.open("rb", buffering=_BLOCK) as file:
            start = 0
            for line in file:
                end = start + len(line)
                whole = line.endswith(b"\n") or not path.name.endswith(OPEN)
                if whole and not is_blank(line):
                    yield Range(segment=segment, start=start, end=end), line.removesuffix(b"\n")
                start = end
    except OSError as error:
        raise LogError(f"log segment {segment}: {error.strerror}; make it readable, or put it back") from error


def _overwrite(path: Path, places: Sequence[Range]) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            before = os.fstat(file)
            for place in places:
                length = max(0, min(place.end, before.st_size) - place.start)
                os.pwrite(file, b"\n" * length, place.start)
            os.fsync(file)
            if not path.name.endswith(OPEN):  # its age is that of its last append
                os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        finally:
            os.close(file)
    except OSError as error:
        raise LogError(f"log segment {path}: {error.strerror}; make it writable, and run again") from error
