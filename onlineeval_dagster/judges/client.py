"""The only door to a model: any OpenAI-compatible endpoint. Failures are values; no message holds text or key."""

import asyncio
import json
import math
import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import urlsplit

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.errors import JudgeError
from onlineeval_dagster.judges.work import Failure, Messages, Outcome, Paused, Reply

_AGAIN = {408, 409, 425, 429}
_LONGEST_WAIT = 60.0  # seconds; an endpoint that asks for more is tried again by the next run


class Endpoint:
    """One OpenAI-compatible endpoint, shared by all judges of a run. Use as `async with`, in one event loop.

    api_key, base_url  from Settings; without a key nothing is ever called
    max_tries          HTTP calls for one response at most, over 429, 5xx and broken connections
    first_wait         seconds before the second try, doubled each time, shaken by `rng`

    Raises JudgeError without a key or a usable address.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str | None,
        rng: random.Random | None = None,
        max_tries: int = 4,
        first_wait: float = 0.5,
    ) -> None:
        if not api_key or not api_key.strip():
            raise JudgeError(
                'OPENAI_API_KEY: not set, and a judge needs it; set it, or write model = "local/overlap" in the judge '
                "file (an endpoint of your own that asks for no key takes any word)"
            )
        self._key, self._base_url, self._place = api_key.strip(), base_url, _host(base_url)
        self._rng = rng or random.Random()
        self._max_tries, self._first_wait = max_tries, first_wait
        self._closed_until = 0.0  # monotonic; a 429 with Retry-After holds back every call, not only its own

    async def __aenter__(self) -> Self:
        from openai import AsyncOpenAI, DefaultAioHttpClient

        # Its own retries are off: they know neither the other calls nor when to stop.
        self._client = AsyncOpenAI(
            api_key=self._key, base_url=self._base_url, max_retries=0, http_client=DefaultAioHttpClient()
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def ask(self, messages: Messages, judge: Judge, *, timeout: float) -> Outcome:
        """One reply of the judge's model, or why there is none. `timeout` in seconds, for each HTTP call.

        A timeout is not tried again here: the endpoint may have worked, and charged, for it.
        """
        for tries in range(1, self._max_tries + 1):
            await self._until_open()
            outcome, wait = await self._one_call(messages, judge, timeout=timeout, tries=tries)
            if wait is None or wait > _LONGEST_WAIT or tries == self._max_tries:
                return outcome
            await asyncio.sleep(max(wait, self._backoff(tries)))
        raise AssertionError("max_tries is at least 1")

    def _backoff(self, tries: int) -> float:
        return min(_LONGEST_WAIT, self._first_wait * 2 ** (tries - 1)) * (0.5 + self._rng.random() / 2)

    async def _until_open(self) -> None:
        while (wait := self._closed_until - time.monotonic()) > 0:
            await asyncio.sleep(wait)

    async def _one_call(
        self, messages: Messages, judge: Judge, *, timeout: float, tries: int
    ) -> tuple[Outcome, float | None]:
        """The outcome, and the seconds to wait at least before another try; None where there must be none."""
        import openai

        started = time.perf_counter()

        def failure(kind: Any, message: str, request_id: str | None = None) -> Failure:
            text = f"{message} ({self._place}, tried {tries}x)"
            return Failure(kind=kind, message=text, latency_ms=_since(started), tries=tries, request_id=request_id)

        try:
            async with asyncio.timeout(timeout):
                raw = await self._client.chat.completions.with_raw_response.create(
                    model=judge.model,
                    messages=cast(Any, messages),
                    extra_body=dict(judge.parameters),
                    timeout=timeout + 1,
                )
                body = raw.content
        except TimeoutError:
            return failure("timeout", f"no reply within {timeout:g} s"), None
        except openai.APIStatusError as error:
            return self._refused(error, judge, failure)
        except openai.APIConnectionError as error:
            # Also "APITimeoutError": the aiohttp transport gives a broken connection that name (openai 3.54).
            return failure("endpoint", f"the connection failed: {_root(error)}"), 0.0
        except Exception as error:  # noqa: BLE001 (a door: a transport may fail in its own way; it is recorded)
            return failure("endpoint", f"the call failed: {type(error).__name__}"), 0.0
        request_id = _text(raw.headers.get("x-request-id"))
        reply = _reply(body, latency_ms=_since(started), tries=tries, request_id=request_id)
        if reply is None:
            return failure("endpoint", f"HTTP {raw.status_code}, but the body is no chat completion", request_id), None
        return reply, None

    def _refused(self, error: Any, judge: Judge, failure: Any) -> tuple[Outcome, float | None]:
        status, code = error.status_code, str(getattr(error, "code", None) or "")
        place = f"HTTP {status} from {self._place}"
        if status in (401, 403):
            return Paused(reason=f"{place}: the key was refused; correct OPENAI_API_KEY (or its rights)"), None
        if status == 404:
            remedy = "correct `model` in the judge file, or OPENAI_BASE_URL"
            return Paused(reason=f"{place}: there is no model {judge.model!r}; {remedy}"), None
        if code == "insufficient_quota":
            return Paused(reason=f"{place}: the account's quota is used up; add credit or lower the rates"), None
        request_id = _text(error.response.headers.get("x-request-id"))
        if status == 413 or code in ("context_length_exceeded", "string_above_max_length"):
            return failure("too_long", f"HTTP {status}: longer than the model can read", request_id), None
        if code == "content_filter":
            return failure("filtered", f"HTTP {status}: the endpoint's content filter", request_id), None
        outcome = failure("endpoint", f"HTTP {status}", request_id)
        if status not in _AGAIN and status < 500:
            return outcome, None
        wait = retry_after(error.response.headers, now=datetime.now(UTC))
        if wait is not None and wait <= _LONGEST_WAIT:
            self._closed_until = max(self._closed_until, time.monotonic() + wait)
        return outcome, wait or 0.0


def retry_after(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """Seconds that a Retry-After header asks for, as a number or an HTTP date; None where it says nothing readable."""
    text = headers.get("retry-after")
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        seconds = (moment - now).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _reply(body: bytes, *, latency_ms: float, tries: int, request_id: str | None) -> Reply | None:
    """A chat completion's first choice; None where the body is none. Any field may be missing or of another type."""
    try:
        completion = json.loads(body)
        choice = completion["choices"][0]
        message = choice["message"]
        content, refusal = message.get("content"), message.get("refusal")
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None
    if content is not None and not isinstance(content, str):
        return None
    usage = completion.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    refused = not content and isinstance(refusal, str) and bool(refusal)
    return Reply(
        text=content or "",
        finish_reason="refusal" if refused else _text(choice.get("finish_reason")),
        latency_ms=latency_ms,
        tries=tries,
        model=_text(completion.get("model")),
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        request_id=request_id or _text(completion.get("id")),
        fingerprint=_text(completion.get("system_fingerprint")),
    )


def _text(value: object) -> str | None:
    return value.encode("utf-8", "replace").decode()[:256] or None if isinstance(value, str) else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _root(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return type(error).__name__


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def _host(base_url: str) -> str:
    """Host and port, for messages: an address may carry a password, which no message may."""
    try:
        parts = urlsplit(base_url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise JudgeError("OPENAI_BASE_URL: not an address; write it as https://host/v1") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise JudgeError("OPENAI_BASE_URL: not an address; write it as https://host/v1")
    return f"{parts.hostname}{port}"
