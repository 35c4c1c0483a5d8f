"""One process at a time: an flock on a file that names its holder. Released by the kernel when the holder dies."""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from onlineeval_dagster.errors import LakeError, OnlineEvalError


@contextmanager
def holding(
    file: Path, *, what: str, purpose: str, wait_seconds: float, error: type[OnlineEvalError] = LakeError
) -> Iterator[None]:
    """Hold `file` for this process while it does `purpose`.

    Raises `error`, naming `what` is held, by which pid and for what, when it was not free within `wait_seconds`.
    """
    with _opened(file, what=what, error=error) as lock:
        _wait(lock, file, what=what, wait_seconds=wait_seconds, error=error)
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid(), "purpose": purpose}))
        lock.flush()
        try:
            yield
        finally:
            lock.truncate(0)


def holder(file: Path) -> str | None:
    """Who holds `file` now, in words; None when nobody does."""
    if not file.exists():
        return None
    with file.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _named(file)
    return None


def _opened(file: Path, *, what: str, error: type[OnlineEvalError]) -> IO[str]:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return file.open("a+")
    except OSError as refused:
        raise error(f"{what}: {file}: {refused.strerror}; make it writable, and run again") from refused


def _wait(lock: IO[str], file: Path, *, what: str, wait_seconds: float, error: type[OnlineEvalError]) -> None:
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as busy:
            if time.monotonic() >= deadline:
                raise error(
                    f"{what} is held by {_named(file)} for more than {wait_seconds:g} seconds; "
                    "wait for it to end, or stop it"
                ) from busy
            time.sleep(0.1)


def _named(file: Path) -> str:
    try:
        held = json.loads(file.read_text())
        return f"process {held['pid']} ({held['purpose']})"
    except (json.JSONDecodeError, KeyError):
        return "another process, just starting"
