"""A real HTTP server that speaks /v1/chat/completions as a test scripts it: well, or as badly as real ones do."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    """One answer of the endpoint. `body` goes out as it is; `reset` breaks the connection; `delay_s` comes first.

    bytes_a_second  how fast the body goes out; None: at once
    cut_off_after   bytes of the body after which the connection is closed, though the header promised all of it
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    reset: bool = False
    bytes_a_second: float | None = None
    cut_off_after: int | None = None


Script = Callable[[int, dict[str, Any]], Say]
"""From the number of the call (0 for the first) and its JSON body to what the endpoint says."""


def completion(
    text: str | None, *, finish_reason: str = "stop", delay_s: float = 0.0, logprobs: Any = None, **message: Any
) -> Say:
    """A well-formed chat completion: 100 tokens in, 10 out."""
    said = {"role": "assistant", "content": text, **message}
    body = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "served-model-1",
        "system_fingerprint": "fp_1",
        "choices": [{"index": 0, "finish_reason": finish_reason, "message": said, "logprobs": logprobs}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }
    headers = {"content-type": "application/json", "x-request-id": "req-1"}
    return Say(body=json.dumps(body).encode(), headers=headers, delay_s=delay_s)


def replaying(recorded: Mapping[str, Say]) -> Script:
    """Answer a request whose messages were recorded; HTTP 400 for any other. Keys are made by `asked`."""
    return lambda number, body: recorded.get(asked(body["messages"])) or refusal(400, code="never_recorded")


def asked(messages: Any) -> str:
    """Messages as a key: what was said, by whom, in order."""
    return json.dumps([[message["role"], message["content"]] for message in messages])


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
    in_flight: int = 0
    most_in_flight: int = 0


@contextmanager
def serving(script: Script, *, routes: Iterable[web.RouteDef] = ()) -> Iterator[FakeEndpoint]:
    """Run the endpoint in a thread, on a free port of this machine, until the block ends. `routes` are further ones."""
    loop, started = asyncio.new_event_loop(), threading.Event()
    endpoint = FakeEndpoint(base_url="")

    async def answer(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        number = len(endpoint.calls)
        endpoint.calls.append(body)
        endpoint.keys.append(request.headers.get("authorization", ""))
        endpoint.in_flight += 1
        endpoint.most_in_flight = max(endpoint.most_in_flight, endpoint.in_flight)
        try:
            say = script(number, body)
            await asyncio.sleep(say.delay_s)
        finally:
            endpoint.in_flight -= 1
        if say.reset and request.transport is not None:
            request.transport.abort()
        if say.bytes_a_second is None and say.cut_off_after is None:
            return web.Response(status=say.status, body=say.body, headers=say.headers)
        return await _trickle(request, say)

    async def start() -> web.AppRunner:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", answer)
        app.add_routes(routes)
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


async def _trickle(request: web.Request, say: Say) -> web.StreamResponse:
    """The body byte by byte, or only the beginning of it."""
    response = web.StreamResponse(status=say.status, headers=say.headers)
    response.content_length = len(say.body)
    await response.prepare(request)
    for start in range(0, say.cut_off_after or len(say.body)):
        if request.transport is None or request.transport.is_closing():
            break  # the other side has given up
        await response.write(say.body[start : start + 1])
        await asyncio.sleep(1 / say.bytes_a_second if say.bytes_a_second else 0)
    if say.cut_off_after is not None and request.transport is not None:
        request.transport.abort()
    return response
