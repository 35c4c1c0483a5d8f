"""What a request may be: how large, also once it is unpacked, and how often. Pure, but for zlib and zstandard."""

import zlib
from collections.abc import Callable
from time import monotonic

import zstandard

from onlineeval_dagster.errors import RequestRefused

_SLICE = 256
"""Bytes of zstd taken at a time: a block is 4 bytes at least and 128 KiB at most, so 8 MiB come out of it at most."""
_BURST_SECONDS = 10.0


class RateLimit:
    """A token bucket for each key: `per_second` events on average, ten seconds' worth at once. 0: no limit.

    A request is let in while its key has tokens left and pays for its events afterwards: a batch is never too large.
    """

    def __init__(self, per_second: float, *, clock: Callable[[], float] = monotonic) -> None:
        self._per_second, self._clock = per_second, clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def enter(self, key: str) -> None:
        """Raises RequestRefused (429) with the time to wait while `key` has spent more than it may."""
        if self._per_second <= 0:
            return
        tokens = self._tokens(key)
        if tokens < 0:
            wait = -tokens / self._per_second
            told = f"key {key}: more than {self._per_second:,.0f} events a second"
            remedy = f"send it again in {wait:.1f} s, or raise ONLINEEVAL_SERVE_EVENTS_PER_SECOND"
            raise RequestRefused(f"{told}; {remedy}", status=429, retry_seconds=wait)

    def pay(self, key: str, events: int) -> None:
        if self._per_second > 0:
            self._buckets[key] = (self._tokens(key) - events, self._clock())

    def _tokens(self, key: str) -> float:
        most = self._per_second * _BURST_SECONDS
        tokens, since = self._buckets.get(key, (most, self._clock()))
        return min(most, tokens + (self._clock() - since) * self._per_second)


def unpacked(body: bytes, encoding: str, *, most: int) -> bytes:
    """The body without its Content-Encoding: gzip, zstd, or none. Stops as soon as more than `most` bytes come out.

    Raises RequestRefused: 413 for a bomb, 415 for another encoding, 400 for a stream that is broken or cut off.
    """
    if encoding in ("", "identity"):
        return body
    if encoding in ("gzip", "x-gzip"):
        return _gunzip(body, most)
    if encoding == "zstd":
        return _unzstd(body, most)
    raise RequestRefused(f"Content-Encoding: {encoding[:64]!r} is unknown; use gzip or zstd, or none", status=415)


def too_large(most: int) -> RequestRefused:
    """The refusal of a body beyond `most` bytes."""
    told = f"body: more than {most:,} bytes once unpacked"
    return RequestRefused(f"{told}; send fewer events at once, or raise ONLINEEVAL_SERVE_BODY_BYTES", status=413)


def _gunzip(body: bytes, most: int) -> bytes:
    whole, rest = b"", body
    while rest:  # a file may be several packed ones in a row
        stream = zlib.decompressobj(wbits=31)
        try:
            whole += stream.decompress(rest, most + 1 - len(whole))
        except zlib.error as error:
            raise _broken("gzip", "it is none") from error
        if len(whole) > most:
            raise too_large(most)
        if not stream.eof:
            raise _broken("gzip", "it is cut off")
        rest = stream.unused_data
    return whole


def _unzstd(body: bytes, most: int) -> bytes:
    parts: list[bytes] = []
    size, place = 0, 0
    while place < len(body):
        stream = zstandard.ZstdDecompressor().decompressobj()
        while not stream.eof:
            if place >= len(body):
                raise _broken("zstd", "it is cut off")
            piece = body[place : place + _SLICE]
            try:
                parts.append(stream.decompress(piece))
            except zstandard.ZstdError as error:
                raise _broken("zstd", "it is none") from error
            place += len(piece)
            size += len(parts[-1])
            if size > most:
                raise too_large(most)
        place -= len(stream.unused_data)
    return b"".join(parts)


def _broken(name: str, what: str) -> RequestRefused:
    return RequestRefused(f"body: Content-Encoding says {name}, but {what}; send the whole stream", status=400)
