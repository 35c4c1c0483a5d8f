"""A real HTTP server that speaks /v1/chat/completions as a test scripts it: well, or as badly as real ones do."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """One answer of the endpoint. `body` goes out as it is; `reset` breaks the connection; `delay_s` comes first."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    reset: bool = False


Script = Callable[[int, dict[str, Any]], Say]
"""From the number of the call (0 for the first) and its JSON body to what the endpoint says."""


def completion(text: str | None, *, finish_reason: str = "stop", delay_s: float = 0.0, **message: Any) -> Say:
    """A well-formed chat completion: 100 tokens in, 10 out."""
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "served-model-1",
        "system_fingerprint": "fp_1",
        "choices": [
            {"index": 0, "finish_reason": finish_reason, "message": {"role": "assistant", "content": text, **message}}
        ],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }
    headers = {"content-type": "application/json", "x-request-id": "req-1"}
    return Say(body=json.dumps(body).encode(), headers=headers, delay_s=delay_s)


def refusal(status: int, *, code: str | None = None, text: str = "no", **headers: str) -> Say:
    """An error in OpenAI's form; header names with _ for -."""
    body = json.dumps({"error": {"message": text, "type": "error", "code": code}}).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Say(status=status, body=body, headers={"content-type": "application/json", **named})


@dataclass(slots=True)
class FakeEndpoint:
    """The running server: where it is, and the calls it got (JSON body and key), in order of arrival."""

    base_url: str
    calls: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)


@contextmanager
def serving(script: Script) -> Iterator[FakeEndpoint]:
    """Run the endpoint in a thread, on a free port of this machine, until the block ends."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    endpoint = FakeEndpoint(base_url="")

    async def answer(request: web.Request) -> web.Response:
        body = await request.json()
        number = len(endpoint.calls)
        endpoint.calls.append(body)
        endpoint.keys.append(request.headers.get("authorization", ""))
        say = script(number, body)
        await asyncio.sleep(say.delay_s)
        if say.reset and request.transport is not None:
            request.transport.abort()
        return web.Response(status=say.status, body=say.body, headers=say.headers)

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", answer)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint.base_url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        started.set()
        return runner

    def run() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(start())
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    if not started.wait(10):
        raise RuntimeError("the fake endpoint did not start within 10 s")
    try:
        yield endpoint
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
