"""The door to foreign files: JSONL, JSON lists, CSV (each plain or gzip) and Parquet, read row by row."""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.sources.rows import BadRow, Row

LINE_BYTES = 16 * 2**20
TEXT_CHARS = 2**16
PARQUET_ROWS = 5_000


def rows_of(path: Path) -> Iterator[Row | BadRow]:
    """The rows of one file in their order; blank lines are skipped. Rows that are no JSON objects are bad.

    Raises SourceError when the file is missing, a folder, unreadable or broken off.
    """
    if not path.exists():
        raise SourceError(f"{path}: no such file; check the name, seen from {Path.cwd()}")
    if path.is_dir():
        raise SourceError(f"{path}: is a folder; name its files, such as {path}/*.jsonl")
    try:
        if path.suffix in (".parquet", ".pq"):
            yield from _parquet(path)
        elif {".csv", ".json"} & set(path.suffixes[-2:]):
            yield from _table(path) if ".csv" in path.suffixes else _json(path)
        else:
            yield from _lines(path)
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read ({error}); check its permissions and that it is complete") from error


def _lines(path: Path) -> Iterator[Row | BadRow]:
    with path.open("rb") as raw:
        if raw.peek(2)[:2] != b"\x1f\x8b":
            yield from _each_line(path, raw)
            return
        with gzip.open(raw) as unzipped:
            yield from _each_line(path, unzipped)


def _json(path: Path) -> Iterator[Row | BadRow]:
    """One object, a list of them (bare, or under `traces` or `data`), or lines of them whatever its name says."""
    with path.open("rb") as raw:
        is_zipped = raw.peek(2)[:2] == b"\x1f\x8b"
    with gzip.open(path) if is_zipped else path.open("rb") as file:
        if _is_lines(file.readline(LINE_BYTES)):
            whole = None
        else:
            file.seek(0)
            whole = file.read()
    try:
        found = None if whole is None else orjson.loads(whole)
    except orjson.JSONDecodeError as error:
        if (whole or b"").lstrip()[:1] == b"[":
            raise SourceError(f"{path}: not JSON ({error}); write it again") from error
        found = None
    if found is None:
        yield from _lines(path)
        return
    if isinstance(found, dict):
        held = next((found[name] for name in ("traces", "data") if isinstance(found.get(name), list)), None)
        found = [found] if held is None else held
    for number, value in enumerate(found if isinstance(found, list) else [found], start=1):
        if isinstance(value, dict):
            yield Row(file=path.name, number=number, value=value, text=as_text(value))
        else:
            reason = f"a JSON object was expected, got {type(value).__name__}"
            yield BadRow(file=path.name, number=number, reason=reason, text=str(value)[:TEXT_CHARS])


def _is_lines(first: bytes) -> bool:
    """Whether a file that begins so holds an object a line: its first line is one, and wraps no list of them."""
    if not first.strip().startswith(b"{"):
        return False
    try:
        found = orjson.loads(first)
    except orjson.JSONDecodeError:
        return False
    return not any(isinstance(found.get(name), list) for name in ("traces", "data"))


def _table(path: Path) -> Iterator[Row | BadRow]:
    """CSV with a header; an empty cell is none. All values are texts."""
    csv.field_size_limit(LINE_BYTES)
    with path.open("rb") as raw:
        is_zipped = raw.peek(2)[:2] == b"\x1f\x8b"
    with gzip.open(path) if is_zipped else path.open("rb") as file:
        cells = csv.DictReader(io.TextIOWrapper(file, encoding="utf-8-sig", newline=""))
        for number, found in enumerate(cells, start=1):
            value = {name: cell or None for name, cell in found.items() if name is not None}
            yield Row(file=path.name, number=number, value=value, text=as_text(value))


def _each_line(path: Path, lines: BinaryIO | gzip.GzipFile) -> Iterator[Row | BadRow]:
    number = 0
    while line := lines.readline(LINE_BYTES):
        number += 1
        if len(line) == LINE_BYTES and not line.endswith(b"\n"):
            yield _refused(path, number, f"longer than {LINE_BYTES} bytes", line)
            while line and not line.endswith(b"\n"):
                line = lines.readline(LINE_BYTES)
        elif line.strip():
            yield _parsed(path, number, line.rstrip(b"\r\n"))


def _parsed(path: Path, number: int, line: bytes) -> Row | BadRow:
    try:
        value = orjson.loads(line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line)
    except orjson.JSONDecodeError as error:
        return _refused(path, number, f"not JSON: {error}", line)
    if not isinstance(value, dict):
        return _refused(path, number, f"a JSON object was expected, got {type(value).__name__}", line)
    return Row(file=path.name, number=number, value=value, text=line.decode())


def _refused(path: Path, number: int, reason: str, line: bytes) -> BadRow:
    return BadRow(file=path.name, number=number, reason=reason, text=line[:TEXT_CHARS].decode(errors="replace"))


def _parquet(path: Path) -> Iterator[Row | BadRow]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        batches = pq.ParquetFile(path).iter_batches(PARQUET_ROWS)
        number = 0
        for batch in batches:
            for value in batch.to_pylist():
                number += 1
                yield Row(file=path.name, number=number, value=value, text=as_text(value))
    except pa.ArrowException as error:
        raise SourceError(f"{path}: not a readable Parquet file ({error}); write it again") from error


def as_text(value: dict[str, Any]) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()
