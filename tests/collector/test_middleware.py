"""The browser's session reaches what is tracked, and the response's id reaches the browser."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from onlineeval_dagster.collector.client import Client
from onlineeval_dagster.collector.middleware import SessionMiddleware
from onlineeval_dagster.collector.request import REQUEST, new_response_id
from tests.collector.test_client import Memory


def ask(memory: Memory, path: str, *headers: dict[str, str]) -> list[httpx.Response]:
    """One request for each of `headers`, all at once."""
    client = Client(transport=memory)

    async def answer(request: Request) -> Response:
        await asyncio.sleep(0.01)
        client.track_response(response_id=f"r-{request.query_params['n']}", query="q", response="a")
        return PlainTextResponse("a")

    def in_a_thread(request: Request) -> Response:
        with client.timed(query="q"):
            return PlainTextResponse("a")

    async def stream(request: Request) -> Response:
        response_id = new_response_id()

        async def parts() -> AsyncIterator[str]:
            yield "a"
            client.track_response(response_id=response_id, query="q", response="a")

        return StreamingResponse(parts())

    async def odd(request: Request) -> Response:
        client.track_response(response_id="r\r\nSet-Cookie: x", query="q", response="a")
        return PlainTextResponse("a")

    async def nothing(request: Request) -> Response:
        return PlainTextResponse("a")

    pages = {"/answer": answer, "/thread": in_a_thread, "/stream": stream, "/odd": odd, "/nothing": nothing}
    app = Starlette(routes=[Route(*page) for page in pages.items()], middleware=[Middleware(SessionMiddleware)])

    async def all_at_once() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://t") as browser:
            asked = [browser.get(path, params={"n": n}, headers=given) for n, given in enumerate(headers)]
            return await asyncio.gather(*asked)

    return asyncio.run(all_at_once())


def sessions(memory: Memory) -> dict[str, Any]:
    return {event.response_id: event.session_id for event in memory.events()}  # pyright: ignore


def test_requests_at_the_same_time_keep_their_sessions_apart() -> None:
    memory = Memory()
    answers = ask(memory, "/answer", {"X-Session-Id": "s0"}, {"x-session-id": "s1"}, {})
    assert [answer.headers["X-Response-Id"] for answer in answers] == ["r-0", "r-1", "r-2"]
    assert sessions(memory) == {"r-0": "s0", "r-1": "s1", "r-2": None}


@pytest.mark.parametrize("path", ["/thread", "/stream"])
def test_threads_and_streams_belong_to_their_request(path: str) -> None:
    memory = Memory()
    (answer,) = ask(memory, path, {"X-Session-Id": "s"})
    assert sessions(memory) == {answer.headers["X-Response-Id"]: "s"}


def test_a_request_without_a_response_has_no_id_and_no_id_can_forge_a_header() -> None:
    memory = Memory()
    for path in ("/nothing", "/odd"):
        (answer,) = ask(memory, path, {})
        assert "x-response-id" not in answer.headers and "set-cookie" not in answer.headers


def test_a_session_id_that_no_contract_takes_is_left_out() -> None:
    memory = Memory()
    ask(memory, "/answer", {"X-Session-Id": "s" * 257}, {"X-Session-Id": " "})
    assert sessions(memory) == {"r-0": None, "r-1": None}


def test_after_a_request_its_session_is_gone() -> None:
    async def fails(scope: Any, receive: Any, send: Any) -> None:
        assert REQUEST.get() is not None
        raise RuntimeError("no")

    async def serve() -> None:
        nothing: Any = None
        with pytest.raises(RuntimeError, match="no"):
            await SessionMiddleware(fails)({"type": "http", "headers": []}, nothing, nothing)
        assert REQUEST.get() is None

    asyncio.run(serve())
