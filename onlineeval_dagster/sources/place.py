"""A source that is about to be read: its secrets filled in, its zone and column names checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote, unquote, unquote_plus, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from onlineeval_dagster.catalog.source_file import Source
from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.settings import with_environment
from onlineeval_dagster.sources.columns import Columns, columns
from onlineeval_dagster.sources.rows import BadRow, Defaults

Cursor = Mapping[str, Any]
"""How far a source has been read: a JSON map that only its dialect understands; empty before the first pull."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """Said by a reader: everything up to `cursor` has been yielded, so the next pull may begin there."""

    cursor: Cursor


Item = LogEvent | BadRow | Reached


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a dialect's reader is given. `place` names the source in messages; `source` has its secrets in clear.

    settles_seconds  files younger than this may still be written to, and wait for the next pull
    """

    place: str
    source: Source
    columns: Columns
    defaults: Defaults
    settles_seconds: float = 0

    def masked(self, text: str) -> str:
        """`text` without the source's secrets: every message that quotes a driver or a server goes through here."""
        for secret in _secrets(self.source):
            text = text.replace(secret, "***")
        return text

    def failure(self, said: object, remedy: str) -> SourceError:
        """The error of this source: place, what was found, remedy."""
        return SourceError(f"{self.place}: {self.masked(str(said))}; {remedy}")


def opened(
    source: Source, *, place: str, now: datetime, occurred_at: datetime | None = None, settles_seconds: float = 0
) -> Opened:
    """The source ready to be read. Raises SourceError or SettingsError naming place, value and remedy."""
    given = {name: text for name in ("url", "query") if (text := getattr(source, name)) is not None}
    filled: dict[str, Any] = {
        name: with_environment(text, place=f"{place}: {name}") for name, text in given.items() if name != "url"
    }
    if source.url is not None:
        filled["url"] = _address(source.url, place)
    filled["path"] = tuple(with_environment(path, place=f"{place}: path") for path in source.paths) or None
    defaults = Defaults(
        now=now,
        environment=source.environment,
        app=source.app,
        occurred_at=occurred_at,
        zone=_zone(source.zone, place),
    )
    return Opened(
        place=place,
        source=source.model_copy(update=filled),
        columns=columns(source.map),
        defaults=defaults,
        settles_seconds=settles_seconds,
    )


def _address(url: str, place: str) -> str:
    # A password of @ and / would end in the host's place; a variable that is the whole address stays as it is.
    whole = url.startswith("${") and url.endswith("}") and url.count("$") == 1
    return with_environment(url, place=f"{place}: url", escape=str if whole else lambda value: quote(value, safe=""))


def _zone(name: str | None, place: str) -> ZoneInfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise SourceError(f"{place}: zone {name!r} is no time zone; write --zone as Europe/Berlin or UTC") from error


def _secrets(source: Source) -> set[str]:
    """The secrets in clear and as a URL spells them; very short ones would mask half of every message."""
    found: set[str] = set()
    try:
        parts = urlsplit(source.url or "")
        said = [parts.password or ""]
    except ValueError:
        return found
    # Drivers take passwords after the ? too, as ?password= or ?sslpassword=, and servers keys.
    for pair in parts.query.split("&"):
        name, _, value = pair.partition("=")
        if any(mark in name.lower() for mark in ("password", "passwd", "pwd", "secret", "token", "key")):
            said.append(value)
    for secret in said:
        found |= {secret, unquote(secret), unquote_plus(secret), quote(unquote(secret), safe="")}
    return {secret for secret in found if len(secret) >= 3}
