"""The door to other systems' servers: JSON pages over HTTP, with patience that ends, and secrets never in a message."""

import http.client
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

import orjson

from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.sources.place import Opened

PAGE_BYTES = 64 * 2**20
MOST_PAGES = 100_000
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a server is waited for: tries a page, seconds of the first wait (it doubles), of the longest, of a try.

    A server that asks for more than `longest` (Retry-After) is left until the next pull.
    """

    tries: int = 5
    first: float = 0.5
    longest: float = 60
    timeout: float = 60
    sleep: Callable[[float], Any] = time.sleep
    clock: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """One server of a source. `address` is without user and password; `headers` hold the credentials."""

    opened: Opened
    address: str
    headers: Mapping[str, str]
    secrets: frozenset[str] = frozenset()
    patience: Patience = Patience()

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """The JSON object at a path. Raises SourceError after the last try, or at once where another would not help."""
        asked = urlencode({name: said for name, said in parameters.items() if said is not None}, doseq=True)
        request = Request(f"{self.address}{path}?{asked}", headers={"Accept": "application/json", **self.headers})
        for number in range(1, self.patience.tries + 1):
            body, reason, wait = self._try(request, path)
            if body is not None:
                return self._object(body, path)
            if number == self.patience.tries:
                raise self._failure(f"{path}: {reason}, {number} times", "see whether it is up; the next pull goes on")
            wait = min(self.patience.first * 2 ** (number - 1), self.patience.longest) if wait is None else wait
            if wait > self.patience.longest:
                raise self._failure(f"{path}: {reason}, it asks to wait {wait:.0f} s", "the next pull asks again")
            self.patience.sleep(wait)
        raise AssertionError("unreachable: the last try returns or raises")

    def pages(self, path: str, next_of: Callable[[dict[str, Any]], Any], **parameters: Any) -> Iterator[dict[str, Any]]:
        """All pages from the first on; `next_of` finds the next one's cursor in a page."""
        cursor = None
        for _ in range(MOST_PAGES):
            page = self.get(path, **parameters, cursor=cursor)
            yield page
            before, cursor = cursor, next_of(page)
            if not cursor:
                return
            if cursor == before:
                raise self._failure(f"{path}: the same cursor twice, {str(cursor)[:_SHOWN]}", "report it to its makers")
        raise self._failure(f"{path}: more than {MOST_PAGES} pages", "begin later: --start 2026-11-01T00:00:00Z")

    def rows(self, page: Mapping[str, Any], path: str) -> list[dict[str, Any]]:
        """The page's `data`, a list of objects."""
        found = page.get("data")
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self._failure(f"{path}: no list of objects under data", "check that the url is that system's own")
        return found

    def _try(self, request: Request, path: str) -> tuple[bytes | None, str, float | None]:
        """The body; or why there is none, and how long to wait if it says. Raises where to ask again is no use."""
        until = self.patience.clock() + self.patience.timeout
        try:
            with _opener().open(request, timeout=self.patience.timeout) as answer:
                return self._body(answer, path, until), "", None
        except HTTPError as error:
            with error:
                if error.code not in _PASSING:
                    raise self._failure(f"{path}: {_told(error)}", _remedy(error.code)) from error
                return None, f"status {error.code}", _asked_wait(error.headers.get("Retry-After"))
        except (URLError, TimeoutError, http.client.HTTPException, OSError, UnicodeError) as error:
            return None, f"no answer ({getattr(error, 'reason', None) or error or type(error).__name__})", None

    def _body(self, answer: Any, path: str, until: float) -> bytes:
        """All of it, within the time and the size. A server that drips one byte a second is as one that is silent."""
        parts, size = [], 0
        while part := answer.read1(2**16):
            parts.append(part)
            size += len(part)
            if size > PAGE_BYTES:
                raise self._failure(f"{path}: a page of more than {PAGE_BYTES} bytes", "check that the url is right")
            if self.patience.clock() > until:
                raise TimeoutError(f"not whole after {self.patience.timeout:.0f} s")
        if answer.length:  # read1 ends quietly where a connection breaks off
            raise http.client.IncompleteRead(b"", answer.length)
        return b"".join(parts)

    def _object(self, body: bytes, path: str) -> dict[str, Any]:
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise self._failure(f"{path}: not JSON ({error})", "check that the url is that system's own") from error
        if not isinstance(found, dict):
            raise self._failure(f"{path}: {type(found).__name__}, not an object", "check that the url is right")
        return found

    def _failure(self, said: str, remedy: str) -> SourceError:
        for secret in self.secrets:
            said = said.replace(secret, "***")
        return self.opened.failure(f"{self.address}{said}", remedy)


def server(opened: Opened, *, headers: Mapping[str, str], secrets: set[str], path: str | None = None) -> Server:
    """The server at a source's url, without its user, password and query; `path` in place of the url's own."""
    parts = _parts(opened)
    host = f"[{parts.hostname}]" if ":" in str(parts.hostname) else parts.hostname
    port = f":{parts.port}" if parts.port else ""
    return Server(
        opened=opened,
        address=f"{parts.scheme}://{host}{port}{(parts.path if path is None else path).rstrip('/')}",
        headers=headers,
        secrets=frozenset(form for secret in secrets if secret for form in (secret, quote(secret, safe=""))),
    )


def credentials(opened: Opened) -> tuple[str | None, str | None]:
    """User and password as the url has them."""
    parts = _parts(opened)
    return tuple(None if not said else unquote(said) for said in (parts.username, parts.password))  # type: ignore[return-value]


def _parts(opened: Opened) -> Any:
    url = str(opened.source.url)
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return parts
    except ValueError:
        pass
    raise opened.failure(f"url {url!r} is no address of a server", "write it as https://host")


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would take the credentials to another host."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _opener() -> Any:
    return build_opener(_NoRedirect)


def _told(error: HTTPError) -> str:
    """Status and the server's own words, where it has some in JSON."""
    try:
        said = orjson.loads(error.read(2**16))
    except (orjson.JSONDecodeError, OSError, http.client.HTTPException):
        return f"status {error.code}"
    words = (
        next((said[name] for name in ("message", "error", "detail") if said.get(name)), "")
        if isinstance(said, dict)
        else ""
    )
    return f"status {error.code}{f' ({words})'[:_SHOWN] if words else ''}"


def _remedy(status: int) -> str:
    if status in (401, 403):
        return "check the key: is it of this project, and may it read"
    if 300 <= status < 400:
        return "write the address it points to as the url"
    return "check the url, and that the server's version has this address" if status == 404 else "mend the source"


def _asked_wait(said: str | None) -> float | None:
    """Seconds of a Retry-After header, a number or a date; None where it says nothing that can be read."""
    if said is None:
        return None
    if said.strip().isdigit():
        return float(said)
    try:
        at = parsedate_to_datetime(said)
    except (TypeError, ValueError):
        return None
    return max(0.0, (at - datetime.now(at.tzinfo)).total_seconds())
