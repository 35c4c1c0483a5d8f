"""API keys of the collector: shown once, kept as hashes in a small file of the home, readable by its owner alone.

A key reads `oe_<id>_<secret>`. The secret has 256 random bits, so a plain SHA-256 of it cannot be guessed back.
"""

import fcntl
import hashlib
import hmac
import logging
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from onlineeval_dagster.contracts.base import Instant, Key
from onlineeval_dagster.errors import SettingsError

Scope = Literal["write", "metrics", "review"]
"""`write` sends events and traces, and reads nothing; `metrics` reads /metrics, and sends nothing; `review` signs a
person in to the review pages, under the key's name."""

_LOOK_SECONDS = 1.0
_NOBODY = hashlib.sha256(b"nobody").hexdigest()


class ApiKey(BaseModel):
    """One key, without its secret. `environment` is set on all that comes with it; None leaves it to the event."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Key
    name: Key
    scope: Scope
    environment: Key | None
    sha256: str
    created_at: Instant
    revoked_at: Instant | None = None


_FILE = TypeAdapter(list[ApiKey])


class ApiKeys:
    """The keys in `file`. A running collector sees a new or a revoked one within a second."""

    def __init__(self, file: Path, *, clock: Callable[[], float] = monotonic) -> None:
        self._file, self._clock = file, clock
        self._stamp: tuple[int, int, int] | None = None
        self._looked_at = float("-inf")
        self._keys: dict[str, ApiKey] = {}

    def all(self) -> list[ApiKey]:
        """Every key, revoked ones too, oldest first. Raises SettingsError where the file cannot be read."""
        self._look()
        return list(self._keys.values())

    @property
    def are_asked_for(self) -> bool:
        """Whether there ever was a key: to revoke the last one does not open the door. A reviewer's is none."""
        self._look_now_and_then()
        return any(key.scope != "review" for key in self._keys.values())

    def in_use(self, key_id: str) -> ApiKey | None:
        """The key of that id, unless it was revoked."""
        self._look_now_and_then()
        key = self._keys.get(key_id)
        return key if key and key.revoked_at is None else None

    def _look_now_and_then(self) -> None:
        now = self._clock()
        if now - self._looked_at > _LOOK_SECONDS:
            self._looked_at = now
            try:
                self._look()
            except SettingsError as error:  # somebody edits it; the keys as they were still hold
                logging.getLogger("onlineeval").warning("%s", error)

    def find(self, said: str) -> ApiKey | None:
        """The key that `said` is, unless it was revoked. Takes as long for a wrong secret as for a right one."""
        prefix, _, rest = said.partition("_")
        key_id, _, secret = rest.partition("_")
        key = self._keys.get(key_id)
        given = hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
        is_right = hmac.compare_digest(given, key.sha256 if key else _NOBODY)
        return key if key and is_right and prefix == "oe" and key.revoked_at is None else None

    def add(self, name: str, *, environment: str | None, scope: Scope, now: datetime) -> str:
        """Make a key and return it: it cannot be shown again. Raises SettingsError where `name` is in use."""
        key_id, secret = secrets.token_hex(4), secrets.token_urlsafe(32)
        digest = hashlib.sha256(secret.encode()).hexdigest()
        with self._changing() as keys:
            if any(key.name == name and key.revoked_at is None for key in keys):
                raise SettingsError(f"keys {name}: there is one of that name; revoke it first, or take another name")
            try:
                made = ApiKey(id=key_id, name=name, scope=scope, environment=environment, sha256=digest, created_at=now)
            except ValidationError as error:
                what = error.errors()[0]
                raise SettingsError(f"keys {name[:64]!r}: {what['loc'][0]}: {what['msg']}; correct it") from error
            keys.append(made)
        return f"oe_{key_id}_{secret}"

    def revoke(self, name: str, *, now: datetime) -> None:
        """Take a key, named by its name or id, out of use. Raises SettingsError where none is in use by that name."""
        with self._changing() as keys:
            found = [key for key in keys if name in (key.name, key.id) and key.revoked_at is None]
            if not found:
                known = ", ".join(key.name for key in keys if key.revoked_at is None) or "none"
                raise SettingsError(f"keys {name}: no key in use has that name or id; there are: {known}")
            for key in found:
                keys[keys.index(key)] = key.model_copy(update={"revoked_at": now})

    def _look(self) -> None:
        try:
            status = self._file.stat()
        except FileNotFoundError:
            # Once there were keys, a file that is gone opens nothing.
            return
        except OSError as error:
            raise SettingsError(f"keys {self._file}: {error.strerror}; make it readable for this user") from error
        stamp = (status.st_mtime_ns, status.st_ino, status.st_size)
        if stamp != self._stamp:
            self._keys = {key.id: key for key in self._read()}
            self._stamp = stamp

    def _read(self) -> list[ApiKey]:
        try:
            return _FILE.validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return []
        except OSError as error:
            raise SettingsError(f"keys {self._file}: {error.strerror}; make it readable for this user") from error
        except ValidationError as error:
            told = f"keys {self._file}: {error.error_count()} entries cannot be read"
            raise SettingsError(f"{told}; put back a good copy, or remove it and add the keys again") from error

    @contextmanager
    def _changing(self) -> Iterator[list[ApiKey]]:
        """The keys, to be changed in place; written back as a whole file under a lock."""
        folder = self._file.parent
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(folder / (self._file.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsError(f"keys {folder}: {error.strerror}; make it writable for this user") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = self._read()
            yield keys
            self._replace(_FILE.dump_json(keys, indent=1))
        finally:
            os.close(lock)

    def _replace(self, text: bytes) -> None:
        fresh = self._file.with_name(f"{self._file.name}.{secrets.token_hex(4)}")
        try:
            file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(file, "wb") as opened:
                opened.write(text)
                opened.flush()
                os.fsync(opened.fileno())
            fresh.rename(self._file)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise SettingsError(f"keys {self._file}: {error.strerror}; make it writable for this user") from error
