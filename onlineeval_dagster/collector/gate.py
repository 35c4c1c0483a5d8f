"""Who may send what: API keys, the browser's origin, size and rate; and the reading of a body within them."""

import asyncio
from typing import Any
from urllib.parse import urlsplit

from onlineeval_dagster.collector.keys import ApiKey, ApiKeys, Scope
from onlineeval_dagster.collector.limits import RateLimit, too_large, unpacked
from onlineeval_dagster.errors import RequestRefused

LOOPBACK = {"localhost", "127.0.0.1", "::1"}

_BODY_SECONDS = 30.0
_ASKED = {b"content-type", b"content-encoding", b"content-length", b"authorization", b"x-api-key", b"origin"}

Headers = dict[bytes, str]


class ClientGone(Exception):
    """The client left before its body was whole: nobody waits for an answer."""


class Gate:
    """Lets a request in, and reads it. Raises RequestRefused with the HTTP status for what it does not let in.

    body_bytes   largest body, unpacked
    total_bytes  of all bodies that are being read
    """

    def __init__(self, keys: ApiKeys, rate: RateLimit, *, body_bytes: int, total_bytes: int) -> None:
        self._keys, self.rate = keys, rate
        self._body_bytes, self._total_bytes = body_bytes, total_bytes
        self._reading = 0

    def enter(self, headers: Headers, scope: Scope) -> ApiKey | None:
        """The key that the request comes with; None where no key was ever made: then this host alone can reach us."""
        if not self._keys.are_asked_for:
            _refuse_foreign_pages(headers.get(b"origin"))
            return None
        said = headers.get(b"x-api-key") or _bearer(headers.get(b"authorization", ""))
        key = self._keys.find(said)
        if key is None:
            found = "unknown or revoked" if said else "missing"
            remedy = "send `Authorization: Bearer KEY` with one from `onlineeval keys add`"
            raise RequestRefused(f"API key: {found}; {remedy}", status=401)
        if key.scope != scope:
            told = f"API key {key.name}: it may {_MAY[key.scope]} only"
            raise RequestRefused(f"{told}; make one with --scope {scope}", status=403)
        self.rate.enter(key.name)
        return key

    async def read(self, headers: Headers, receive: Any) -> bytes:
        """The body, unpacked. Raises ClientGone."""
        said = headers.get(b"content-length", "")
        if said.isdigit() and int(said) > self._body_bytes:
            raise too_large(self._body_bytes)
        message = await receive()
        body = message.get("body", b"")
        if message["type"] == "http.disconnect":
            raise ClientGone
        if message.get("more_body"):
            body = await self._rest(body, receive)
        elif len(body) > self._body_bytes:
            raise too_large(self._body_bytes)
        encoding = headers.get(b"content-encoding")
        return unpacked(body, encoding.strip().lower(), most=self._body_bytes) if encoding else body

    async def _rest(self, first: bytes, receive: Any) -> bytes:
        parts, size = [first], len(first)
        self._reading += size
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    part = message.get("body", b"")
                    parts.append(part)
                    size += len(part)
                    self._reading += len(part)
                    if size > self._body_bytes:
                        raise too_large(self._body_bytes)
                    if self._reading > self._total_bytes:
                        told = "collector: too many bodies at once"
                        raise RequestRefused(f"{told}; send it again in a second", status=503, retry_seconds=1)
                    if not message.get("more_body"):
                        return b"".join(parts)
        except TimeoutError as error:
            told = f"body: not whole after {_BODY_SECONDS:.0f} s"
            raise RequestRefused(f"{told}; send it again", status=408, retry_seconds=1) from error
        finally:
            self._reading -= size


def asked_headers(scope: Any) -> Headers:
    """The headers that matter here, of an ASGI request."""
    return {name: value.decode("latin-1") for name, value in scope["headers"] if name in _ASKED}


_MAY: dict[Scope, str] = {"write": "send", "metrics": "read /metrics", "review": "review"}


def _bearer(header: str) -> str:
    scheme, _, rest = header.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else ""


def _refuse_foreign_pages(origin: str | None) -> None:
    """Without keys any web page in a browser of this host could send events here; only its own pages may."""
    if origin is None:
        return
    try:
        host = urlsplit(origin).hostname
    except ValueError:
        host = None
    if host not in LOOPBACK:
        told = f"Origin: {origin[:100]!r} is a page from elsewhere"
        raise RequestRefused(f"{told}; make a key: onlineeval keys add NAME --environment production", status=403)
