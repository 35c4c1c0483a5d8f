"""The door to people: a signed webhook, or whatever apprise knows. Each attempt ends, and says how."""

import asyncio
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from onlineeval_dagster.alerts.outbox import Delivery, Outbox
from onlineeval_dagster.catalog.alert_file import FILE, ROLLBACK, Channel
from onlineeval_dagster.errors import AlertError, SettingsError
from onlineeval_dagster.settings import with_environment

if TYPE_CHECKING:
    from aiohttp import ClientSession

TIMEOUT_SECONDS = 10.0
"""Of a whole attempt: a receiver that hangs, or sends its answer byte by byte, is one that failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of the deliveries that were due."""

    sent: int = 0
    failed: int = 0
    errors: tuple[str, ...] = ()


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """`sha256=…`: HMAC-SHA-256 of `<timestamp>.<body>`; a receiver computes the same and compares.

    >>> signature("key", "2026-11-24T14:00:00+00:00", b"{}")[:20]
    'sha256=6a35ae137c44a'
    """
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


def send_due(outbox: Outbox, channels: Mapping[str, Channel], *, now: datetime) -> Sent:
    """Try everything that is due, all at once: one receiver that hangs holds up none of the others.

    A delivery is marked before it is sent and after; a run that is killed in between is made good by `recover`.
    """
    outbox.recover(name for name, channel in channels.items() if channel.kind == "webhook")
    due = outbox.due(now)
    for one in due:
        outbox.sending(one.key)
    outcomes = send_now(due, channels, now=now)
    errors = []
    for one, error in zip(due, outcomes, strict=True):
        if error is None:
            outbox.sent(one.key, now=now)
        else:
            outbox.failed(one, error, now=now)
            errors.append(f"{one.channel}: {error}")
    return Sent(sent=len(due) - len(errors), failed=len(errors), errors=tuple(errors))


def send_now(due: Sequence[Delivery], channels: Mapping[str, Channel], *, now: datetime) -> list[str | None]:
    """One attempt each, all at once: None where it arrived, else why not."""
    return asyncio.run(_all(due, channels, now)) if due else []


async def _all(due: Sequence[Delivery], channels: Mapping[str, Channel], now: datetime) -> list[str | None]:
    from aiohttp import ClientSession, ClientTimeout

    async with ClientSession(timeout=ClientTimeout(total=TIMEOUT_SECONDS)) as session:
        return await asyncio.gather(*(_attempt(one, channels, session, now) for one in due))


async def _attempt(
    one: Delivery, channels: Mapping[str, Channel], session: "ClientSession", now: datetime
) -> str | None:
    """None where it arrived, else why not. Never the address: it may hold a password."""
    channel = channels.get(one.channel)
    if channel is None:
        return f"the channel is no longer in {FILE}"
    place = f"{FILE}: {ROLLBACK if one.channel == ROLLBACK else f'channels.{one.channel}'}"
    try:
        url = with_environment(channel.url, place=f"{place}.url")
        if channel.kind == "apprise":
            return await _notify(url, one)
        secret = with_environment(channel.secret or "", place=f"{place}.secret")
        return await _post(url, secret, one, session, now)
    except (SettingsError, AlertError) as error:
        return str(error)


async def _post(url: str, secret: str, one: Delivery, session: "ClientSession", now: datetime) -> str | None:
    from aiohttp import ClientError

    body, timestamp, host = one.body.encode(), now.isoformat(), urlsplit(url).hostname
    headers = {
        "Content-Type": "application/json",
        "Idempotency-Key": one.key,
        "X-Onlineeval-Timestamp": timestamp,
        "X-Onlineeval-Signature": signature(secret, timestamp, body),
    }
    try:
        # Redirects are not followed: what is signed for one host is told to no other.
        async with session.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            if 300 <= answer.status < 400:
                return f"{host} redirects (HTTP {answer.status}), which is not followed; write the address itself"
            return None if 200 <= answer.status < 300 else f"{host} answered HTTP {answer.status}"
    except TimeoutError:
        return f"{host} did not answer within {TIMEOUT_SECONDS:g} seconds"
    except (ClientError, OSError, ValueError) as error:
        return f"{host} cannot be reached ({type(error).__name__})"


async def _notify(url: str, one: Delivery) -> str | None:
    try:
        from apprise import Apprise
    except ImportError as error:
        raise AlertError("apprise is not installed; pip install 'onlineeval-dagster[alerts]'") from error
    told = Apprise()
    if not told.add(url):
        return "apprise knows no such address; look at https://appriseit.com/services"
    done = await told.async_notify(title=one.subject, body=one.body)
    return None if done else "apprise could not deliver it; its own log says why"
