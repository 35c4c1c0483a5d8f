"""Files as a source: a folder, a pattern or names; each pull takes the files that are new or have changed."""

from collections.abc import Callable, Iterator, Sequence
from glob import glob
from pathlib import Path
from typing import Any

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.sources.place import Cursor, Item, Opened, Reached
from onlineeval_dagster.sources.rows import BadRow

FileReader = Callable[[Sequence[Path], Opened], Iterator[LogEvent | BadRow]]


def from_files(read: FileReader) -> Callable[[Opened, Cursor], Iterator[Item]]:
    """A reader of files as a reader of a source that remembers which files it has read: by path, size and time.

    A file that grew is read again as a whole: the ids of its rows come from their content, so no row counts twice.
    """

    def read_new(opened: Opened, cursor: Cursor) -> Iterator[Item]:
        before = cursor.get("files", {})
        there = {str(path): _identity(path) for path in files_of(opened)}
        if not there and not opened.settles_seconds:
            raise SourceError(
                f"{', '.join(opened.source.paths)}: no file there; check the name, seen from {Path.cwd()}"
            )
        settled = {name: seen for name, seen in there.items() if _is_settled(opened, seen)}
        new = [
            name
            for name, seen in settled.items()
            if not (name in before and before[name] == seen) and not _is_idle(opened, seen)
        ]
        if new:
            yield from read([Path(name) for name in new], opened)
        # What lies there no longer is forgotten; what still settles keeps the identity it was read with, if any.
        read_now = {name: seen for name, seen in there.items() if name in settled or before.get(name) == seen}
        earlier = {name: before[name] for name in there if name in before and name not in read_now}
        yield Reached(cursor={"files": earlier | read_now})

    return read_new


def files_of(opened: Opened) -> list[Path]:
    """The files there are, by name. A pattern or a folder may be empty; a file that is named must be there."""
    if not opened.source.paths:
        raise SourceError(f"{opened.place}: {opened.source.dialect} reads files here; give a path, not a url")
    found: list[Path] = []
    for name in opened.source.paths:
        path = Path(name)
        if path.is_dir():
            found += [file for file in path.iterdir() if file.is_file() and not file.name.startswith(".")]
        elif not path.exists() and any(sign in name for sign in "*?["):
            found += [file for file in map(Path, glob(name, recursive=True)) if file.is_file()]  # noqa: PTH207 - absolute ones too
        else:
            found.append(path)
    return sorted(set(found))


def _identity(path: Path) -> list[int] | None:
    try:
        status = path.stat()
    except OSError:
        return None  # the reader names it
    return [status.st_size, status.st_mtime_ns]


def _is_settled(opened: Opened, identity: Any) -> bool:
    if identity is None or not opened.settles_seconds:
        return True
    return opened.defaults.now.timestamp() - identity[1] / 1e9 >= opened.settles_seconds


def _is_idle(opened: Opened, identity: Any) -> bool:
    """An empty file of a folder that is watched says nothing; one that was named by hand is a mistake."""
    return identity is not None and identity[0] == 0 and opened.settles_seconds > 0
