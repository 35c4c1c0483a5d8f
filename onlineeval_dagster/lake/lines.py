"""Lines of log segments as one Arrow column over the files' own pages: nothing is copied."""

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from onlineeval_dagster.errors import LogError
from onlineeval_dagster.log.reader import LINE_LIMIT, is_blank

_WINDOW = 4 * 2**20
_BLOCK_LINES = 256
_NEWLINE, _RETURN, _OPENING, _CLOSING = b"\n\r{}"

Offsets = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Bytes [start, end) of a segment. They begin where a line begins and end where one ends, or where the log does."""

    segment: str
    path: Path
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """The lines of some pieces, in order; n of them, each array has shape (n,).

    column   text, the newline with it, from the files' pages; empty for a line longer than LINE_LIMIT
    owner    which piece the line is from
    start, end  its bytes in the segment, the newline with it
    said     False for a blank line
    readable  True where the text is UTF-8, not too long, and begins and ends with a brace
    """

    pieces: tuple[Piece, ...]
    memory: tuple[mmap.mmap, ...]
    column: pa.ChunkedArray
    owner: Offsets
    start: Offsets
    end: Offsets
    said: Mask
    readable: Mask

    def text(self, place: int) -> bytes:
        """A line without its newline; of one that is too long, as much as shows that."""
        start, end = int(self.start[place]), int(self.end[place])
        return self.memory[self.owner[place]][start : min(end, start + LINE_LIMIT + 2)].removesuffix(b"\n")

    def slice(self, begin: int, end: int) -> "Lines":
        """Lines begin to end, over the same pages."""
        return replace(
            self,
            column=self.column.slice(begin, end - begin),
            owner=self.owner[begin:end],
            start=self.start[begin:end],
            end=self.end[begin:end],
            said=self.said[begin:end],
            readable=self.readable[begin:end],
        )


def lay_out(pieces: Sequence[Piece]) -> Lines:
    """The lines of `pieces`. Raises LogError when a segment cannot be read or is shorter than its piece."""
    pieces = tuple(piece for piece in pieces if piece.end > piece.start)
    memory = tuple(_mapped(piece) for piece in pieces)
    edges = [_edges(piece, pages) for piece, pages in zip(pieces, memory, strict=True)]
    columns = [part for ends, pages in zip(edges, memory, strict=True) for part in _columns(ends, pages)]
    start = np.concatenate([np.zeros(0, np.int64), *(ends[:-1] for ends in edges)])
    end = np.concatenate([np.zeros(0, np.int64), *(ends[1:] for ends in edges)])
    owner = np.repeat(np.arange(len(pieces)), [len(ends) - 1 for ends in edges])
    said = np.ones(len(start), np.bool_)
    for place in np.flatnonzero(end - start <= 2):
        said[place] = not is_blank(memory[owner[place]][start[place] : end[place]])
    column = pa.chunked_array(columns, pa.large_string())
    return Lines(
        pieces=pieces,
        memory=memory,
        column=column,
        owner=owner,
        start=start,
        end=end,
        said=said,
        readable=said & (end - start <= LINE_LIMIT + 1) & _braced(memory, owner, start, end) & _utf8(column),
    )


def cut(piece: Piece, size: int) -> list[Piece]:
    """A piece as pieces of whole lines, each of about `size` bytes (a longer line is a piece of its own)."""
    pages = _mapped(piece)
    cuts = [piece.start]
    while piece.end - cuts[-1] > size:
        newline = pages.rfind(b"\n", cuts[-1], cuts[-1] + size)
        if newline < 0:
            newline = pages.find(b"\n", cuts[-1] + size, piece.end)
        if newline < 0 or newline + 1 >= piece.end:
            break
        cuts.append(newline + 1)
    return [
        Piece(segment=piece.segment, path=piece.path, start=start, end=end)
        for start, end in zip(cuts, [*cuts[1:], piece.end], strict=True)
    ]


def _mapped(piece: Piece) -> mmap.mmap:
    try:
        with piece.path.open("rb") as file:
            pages = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    except (OSError, ValueError) as error:  # ValueError: an empty file
        raise LogError(f"log segment {piece.path}: {error}; make it readable, or put it back") from error
    if len(pages) < piece.end:
        raise LogError(f"log segment {piece.path}: {len(pages)} bytes, but {piece.end} were there; put it back")
    return pages


def _edges(piece: Piece, pages: mmap.mmap) -> Offsets:
    """Where lines begin, and at last where the piece ends; shape (lines + 1,)."""
    raw = np.frombuffer(pages, np.uint8)
    found = [np.array([piece.start], np.int64)]
    hits = np.empty(_WINDOW, np.bool_)
    for start in range(piece.start, piece.end, _WINDOW):
        window = raw[start : min(start + _WINDOW, piece.end)]
        here = np.equal(window, _NEWLINE, out=hits[: len(window)])
        found.append(np.flatnonzero(here) + (start + 1))
    if raw[piece.end - 1] != _NEWLINE:
        found.append(np.array([piece.end], np.int64))
    return np.concatenate(found)


def _columns(edges: Offsets, pages: mmap.mmap) -> list[pa.Array]:
    """Text over the pages; a line that is too long is left out, as an empty one."""
    buffer = pa.py_buffer(pages)
    columns: list[pa.Array] = []
    begin = 0
    for place in [*np.flatnonzero(np.diff(edges) > LINE_LIMIT + 1).tolist(), len(edges) - 1]:
        if place > begin:
            part = np.ascontiguousarray(edges[begin : place + 1])
            columns.append(pa.LargeStringArray.from_buffers(place - begin, pa.py_buffer(part), buffer))
        if place < len(edges) - 1:
            columns.append(pa.array([""], pa.large_string()))
        begin = place + 1
    return columns


def _braced(memory: Sequence[mmap.mmap], owner: Offsets, start: Offsets, end: Offsets) -> Mask:
    """Which lines begin and end with a brace, as all that were written whole do."""
    good = np.zeros(len(start), np.bool_)
    for piece, pages in enumerate(memory):
        raw = np.frombuffer(pages, np.uint8)
        here = owner == piece
        first, last = start[here], end[here] - 1
        last = last - (raw[last] == _NEWLINE)
        last = last - (raw[last] == _RETURN)
        good[here] = (raw[first] == _OPENING) & (raw[last] == _CLOSING)
    return good


def _utf8(column: pa.ChunkedArray) -> Mask:
    """Which lines are UTF-8; whole blocks at a time, line by line only where a block is not."""
    good = np.ones(len(column), np.bool_)
    place = 0
    for part in column.chunks:
        for begin in range(0, len(part), _BLOCK_LINES):
            block = part.slice(begin, _BLOCK_LINES)
            try:
                block.validate(full=True)
            except pa.ArrowInvalid:
                good[place + begin : place + begin + len(block)] = [_is_utf8(line) for line in _raw(block)]
        place += len(part)
    return good


def _raw(block: pa.LargeStringArray) -> list[bytes]:
    return pa.LargeBinaryArray.from_buffers(
        pa.large_binary(), len(block), block.buffers(), offset=block.offset
    ).to_pylist()


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
