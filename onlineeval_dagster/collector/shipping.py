"""One batch to the collector, and what its answer means for the lines in it. On the standard library alone.

taken   200, or 422 with a verdict on each event: those in `refused` will never be taken, the others have arrived
split   400, 413, 422 for the body as a whole: some event in it spoils it, or it is too large
later   408, 429, 5xx, or no answer: the same batch again, after a while
kept    anything else: this is no collector, or it does not know us; somebody has to mend something
"""

import gzip
import http.client
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

_PATH = "/v1/events"
_ZIP_BYTES = 2048
_ANSWER_BYTES = 16 * 2**20
_REMEDIES = {
    401: "give Client(api_key=…) a key from `onlineeval keys add`",
    403: "give Client(api_key=…) a key that may send events",
    404: "give Client(url=…) the address of `onlineeval serve`",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a batch.

    refused        of a taken batch: (index, reason) of the lines that will never be taken
    said           for the operator, of a batch that was not taken: what was found and what to do
    retry_seconds  what the collector asked us to wait
    """

    outcome: Literal["taken", "split", "later", "kept"]
    refused: list[tuple[int, str]] = field(default_factory=list)
    said: str = ""
    retry_seconds: float = 0.0


class Collector:
    """A connection to the collector at `url`, opened when needed. For one thread."""

    def __init__(self, url: str, api_key: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"Client: url {url!r}; write it as http://host:8321")
        if api_key is not None and not (api_key.isascii() and api_key.isprintable()):
            raise ValueError("Client: api_key has letters that no key has; copy it again from `onlineeval keys add`")
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port = parts.hostname, parts.port
        self._path = parts.path.rstrip("/") + _PATH
        self.place = f"collector {parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
        self._headers = {"Content-Type": "application/x-ndjson", "User-Agent": "onlineeval-client"}
        if api_key is not None:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._zips = True
        self._connection: http.client.HTTPConnection | None = None

    def post(self, lines: list[bytes], *, timeout: float) -> Answer:
        """Send the lines as one request; the answer says what became of them. Raises nothing."""
        body = b"\n".join(lines) + b"\n"
        try:
            status, asked, said = self._send(body, timeout)
            if status == 415 and self._zips:
                self._zips = False
                status, asked, said = self._send(body, timeout)
        except (OSError, http.client.HTTPException) as error:
            what = str(error) or type(error).__name__
            return Answer("later", said=f"{self.place}: {what}; see that `onlineeval serve` runs there")
        return self._read(status, asked, said, len(lines))

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def forget(self) -> None:
        """In a forked child: give back the copy of the socket's number, which says nothing to the other end.

        The connection itself stays untouched: a thread of the parent's that read an answer at that moment has
        locked it, and closing it here would wait for that thread for ever.
        """
        connection, self._connection = self._connection, None
        if connection is not None and connection.sock is not None and (number := connection.sock.detach()) >= 0:
            os.close(number)

    def _send(self, body: bytes, timeout: float) -> tuple[int, str, bytes]:
        headers = dict(self._headers)
        if self._zips and len(body) > _ZIP_BYTES:
            body = gzip.compress(body, 1)
            headers["Content-Encoding"] = "gzip"
        if self._connection is not None:
            try:
                return self._exchange(self._connection, body, headers, timeout)
            except TimeoutError:
                raise
            except (OSError, http.client.HTTPException):
                self.close()  # most likely one that the collector closed while we had nothing to say
        self._connection = self._kind(self._host, self._port, timeout=timeout)
        return self._exchange(self._connection, body, headers, timeout)

    def _exchange(
        self, connection: http.client.HTTPConnection, body: bytes, headers: dict[str, str], timeout: float
    ) -> tuple[int, str, bytes]:
        try:
            if connection.sock is not None:
                connection.sock.settimeout(timeout)
            # It may answer before it has all of the body, and close: then the answer tells.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.request("POST", self._path, body, headers)
            response = connection.getresponse()
            said = response.read(_ANSWER_BYTES)
        except BaseException:  # whatever it was: the rest of this answer must not be read as the next one's
            self.close()
            raise
        if response.will_close or not response.isclosed():
            self.close()
        return response.status, response.headers.get("Retry-After", ""), said

    def _read(self, status: int, asked: str, said: bytes, count: int) -> Answer:
        told = _told(said)
        if status in (200, 422) and "accepted" in told:
            refused = _refused(told, count)
            if refused is not None and told["accepted"] == count - len(refused):
                return Answer("taken", refused=refused)
        error = told.get("error")
        is_told = isinstance(error, str)
        what = f"{self.place}: {status} {error[:300] if is_told else 'without a reason'}"
        if status == 413 or (status in (400, 422) and is_told):
            return Answer("split", said=what)
        if status in (408, 429) or status >= 500:
            return Answer("later", said=what, retry_seconds=float(asked) if asked.isdecimal() else 0.0)
        return Answer("kept", said=what if is_told else f"{what}; {_REMEDIES.get(status, _REMEDIES[404])}")


def _told(said: bytes) -> dict[str, Any]:
    try:
        told = json.loads(said)
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def _refused(told: dict[str, Any], count: int) -> list[tuple[int, str]] | None:
    """The lines that were refused; None where the answer is not one that a collector gives."""
    try:
        found = {int(one["index"]): str(one["reason"]) for one in told.get("refused", ())}
    except (KeyError, TypeError, ValueError):
        return None
    return sorted(found.items()) if all(0 <= index < count for index in found) else None
