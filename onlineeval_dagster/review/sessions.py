"""Who is signed in to the review pages: a random cookie, kept as a hash; it ends with its key or after twelve hours."""

import hashlib
import secrets
import sqlite3
from datetime import datetime, timedelta

from onlineeval_dagster.collector.keys import ApiKeys

COOKIE = "onlineeval_review"
LASTS = timedelta(hours=12)

_TABLE = "create table if not exists sessions (cookie text primary key, key_id text not null, until real not null)"


class Sessions:
    """Over a connection to the review's state."""

    def __init__(self, state: sqlite3.Connection, keys: ApiKeys) -> None:
        self._state, self._keys = state, keys
        state.execute(_TABLE)

    def sign_in(self, said: str, *, now: datetime) -> str | None:
        """A new cookie for the reviewer whose key `said` is; None where it is no reviewer's key in use."""
        self._keys.all()  # one that was made a moment ago opens
        key = self._keys.find(said.strip())
        if key is None or key.scope != "review":
            return None
        cookie = secrets.token_urlsafe(32)
        self._state.execute("delete from sessions where until < ?", (now.timestamp(),))
        values = (_hashed(cookie), key.id, (now + LASTS).timestamp())
        self._state.execute("insert into sessions values (?, ?, ?)", values)
        return cookie

    def reviewer(self, cookie: str | None, *, now: datetime) -> str | None:
        """The name of who is signed in; None for nobody, also once the key is revoked."""
        if not cookie:
            return None
        row = self._state.execute(
            "select key_id from sessions where cookie = ? and until > ?", (_hashed(cookie), now.timestamp())
        ).fetchone()
        key = self._keys.in_use(row[0]) if row else None
        return key.name if key and key.scope == "review" else None

    def sign_out(self, cookie: str | None) -> None:
        self._state.execute("delete from sessions where cookie = ?", (_hashed(cookie or ""),))


def _hashed(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).hexdigest()
