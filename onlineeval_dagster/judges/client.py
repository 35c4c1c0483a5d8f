"""The only door to a model: any OpenAI-compatible endpoint. Failures are values; no message holds text or key."""

import asyncio
import json
import math
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from onlineeval_dagster.catalog.judge_file import API_KEY_ENV, Judge
from onlineeval_dagster.errors import JudgeError
from onlineeval_dagster.judges.rubric import reply_schema
from onlineeval_dagster.judges.state import cause_of
from onlineeval_dagster.judges.work import Busy, Call, Failure, Messages, Paused, Reply, Token
from onlineeval_dagster.settings import Settings, secret

_AGAIN = {408, 409, 425, 429}
_MOST_ALTERNATIVES, _LONGEST_TOKEN = 20, 256


EndpointOf = Callable[[Judge], "Endpoint"]
"""From a judge to where it is asked."""


class Endpoint:
    """One OpenAI-compatible endpoint, shared by all judges of a run. Use as `async with`, in one event loop.

    api_key, base_url  without a key nothing is ever called
    key_name, url_name where they come from, for messages
    now                for a Retry-After that is a date

    Raises JudgeError without a key or a usable address.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str | None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        key_name: str = API_KEY_ENV,
        url_name: str = "OPENAI_BASE_URL",
    ) -> None:
        if not api_key or not api_key.strip():
            raise JudgeError(
                f'{key_name}: not set, and a judge needs it; set it, or write model = "local/overlap" in the judge '
                "file (an endpoint of your own that asks for no key takes any word)"
            )
        self._key, self._base_url, self._place, self._now = api_key.strip(), base_url, place_of(base_url, url_name), now
        self._key_name, self._url_name = key_name, url_name

    @property
    def address(self) -> tuple[str, str]:
        """Judges with the same one share their connections."""
        return self._base_url, self._key

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

    def cause(self, judge: Judge) -> str:
        """Changes with what a refusal of this judge may rest on: address, key, the judge's version."""
        return cause_of(self._base_url, self._key, judge.version)

    async def call(self, messages: Messages, judge: Judge, *, timeout: float) -> Call:
        """One HTTP call: the reply of the judge's model, or why there is none. `timeout` in seconds."""
        import httpx2
        import openai

        started = time.perf_counter()

        def failure(kind: Any, message: str, **more: Any) -> Failure:
            return Failure(kind=kind, message=f"{message} ({self._place})", latency_ms=_since(started), **more)

        try:
            async with asyncio.timeout(timeout):
                # Not chat.completions.create: looking through the body by its types takes a third of the call's time.
                raw = await self._client.post(
                    "/chat/completions",
                    cast_to=httpx2.Response,
                    body={"model": judge.model, "messages": messages, **extra_of(judge)},
                    options={"timeout": timeout + 1},
                )
                body = raw.content
        except TimeoutError:
            return Busy(failure=failure("timeout", f"no reply within {timeout:g} s", may_have_cost=True))
        except openai.APIStatusError as error:
            return self._refused(error, judge, failure)
        except openai.APIConnectionError as error:
            # Also "APITimeoutError": the aiohttp transport gives a broken connection that name (openai 3.54).
            told = f"the connection failed: {_root(error)}"
            return Busy(failure=failure("endpoint", told, may_have_cost=True))
        except Exception as error:  # noqa: BLE001 (a door: a transport may fail in its own way; it is recorded)
            told = f"the call failed: {type(error).__name__}"
            return Busy(failure=failure("endpoint", told, may_have_cost=True))
        request_id = _text(raw.headers.get("x-request-id"))
        reply = completion_reply(body, latency_ms=_since(started), request_id=request_id)
        if reply is None:
            told = f"HTTP {raw.status_code}, but the body is no chat completion"
            return failure("endpoint", told, request_id=request_id, may_have_cost=True)
        return reply

    def _refused(self, error: Any, judge: Judge, failure: Callable[..., Failure]) -> Call:
        status, code = error.status_code, str(getattr(error, "code", None) or "")
        place = f"HTTP {status} from {self._place}"
        if status in (401, 403):
            return Paused(reason=f"{place}: the key was refused; correct {self._key_name} (or its rights)")
        if status == 404:
            remedy = f"correct `model` in the judge file, or {self._url_name}"
            return Paused(reason=f"{place}: there is no model {judge.model!r}; {remedy}")
        if code == "insufficient_quota":
            return Paused(reason=f"{place}: the account's quota is used up; add credit or lower the rates")
        if judge.reply == "json" and str(getattr(error, "param", None) or "").startswith("response_format"):
            return Paused(reason=f'{place}: {judge.model!r} cannot keep to a schema; write reply = "text"')
        request_id = _text(error.response.headers.get("x-request-id"))
        if status == 413 or code in ("context_length_exceeded", "string_above_max_length"):
            return failure("too_long", f"HTTP {status}: longer than the model can read", request_id=request_id)
        if code == "content_filter":
            return failure("filtered", f"HTTP {status}: the endpoint's content filter", request_id=request_id)
        failed = failure("endpoint", f"HTTP {status}", request_id=request_id)
        if status not in _AGAIN and status < 500:
            return failed
        wait = retry_after(error.response.headers, now=self._now())
        return Busy(failure=failed, is_limit=status == 429 or wait is not None, wait_seconds=wait)


def endpoint_of(settings: Settings, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> EndpointOf:
    """Where each judge is asked: what its file says, else OPENAI_BASE_URL with OPENAI_API_KEY.

    What it gives raises JudgeError where the judge's key is not set, or an address is none.
    """
    return lambda judge: Endpoint(
        base_url=judge.base_url or settings.openai_base_url,
        api_key=key_of(settings, judge),
        now=now,
        key_name=judge.api_key_env,
        url_name=f"base_url in judges/{judge.name}.md" if judge.base_url else "OPENAI_BASE_URL",
    )


def cause_with(settings: Settings) -> Callable[[Judge], str | None]:
    """What a refusal of a judge may rest on here and now; None without its key, when no pause can be over.

    What it gives raises JudgeError where an address is none.
    """
    endpoint = endpoint_of(settings)
    return lambda judge: endpoint(judge).cause(judge) if key_of(settings, judge) else None


def key_of(settings: Settings, judge: Judge) -> str | None:
    """The key of the judge's endpoint; None where it is not set."""
    if judge.api_key_env != API_KEY_ENV:
        return secret(judge.api_key_env)
    return (settings.openai_api_key or "").strip() or None


def extra_of(judge: Judge) -> dict[str, Any]:
    """What a request says beside model and messages."""
    extra = dict(judge.parameters)
    return extra | {"response_format": reply_schema(judge)} if judge.reply == "json" else extra


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


def completion_reply(body: bytes, *, latency_ms: float, request_id: str | None) -> Reply | None:
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
        model=_text(completion.get("model")),
        input_tokens=_count(usage.get("prompt_tokens")),
        output_tokens=_count(usage.get("completion_tokens")),
        request_id=request_id or _text(completion.get("id")),
        fingerprint=_text(completion.get("system_fingerprint")),
        tokens=_tokens(choice.get("logprobs")),
    )


def _tokens(logprobs: Any) -> tuple[Token, ...]:
    """The tokens of a reply with their chances; none where the endpoint told none, or not in OpenAI's form."""
    try:
        return tuple(
            Token(text=entry["token"][:_LONGEST_TOKEN], chances=_chances(entry)) for entry in logprobs["content"]
        )
    except (TypeError, KeyError, AttributeError):
        return ()


def _chances(entry: Any) -> dict[str, float]:
    told = [*entry["top_logprobs"][:_MOST_ALTERNATIVES], entry]
    return {
        one["token"][:_LONGEST_TOKEN]: float(one["logprob"])
        for one in told
        if isinstance(one["logprob"], int | float) and one["logprob"] <= 0
    }


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


def place_of(base_url: str, name: str) -> str:
    """Host and port, for messages: an address may carry a password, which no message may."""
    try:
        parts = urlsplit(base_url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError as error:
        raise JudgeError(f"{name}: not an address; write it as https://host/v1") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise JudgeError(f"{name}: not an address; write it as https://host/v1")
    return f"{parts.hostname}{port}"
