"""ASGI middleware: the browser's session comes in by `X-Session-Id`, the response's id goes out by `X-Response-Id`.

    app.add_middleware(SessionMiddleware)      # FastAPI, Starlette; or SessionMiddleware(app) around any ASGI app

On the standard library alone: products import it.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from onlineeval_dagster.collector.encoding import KEY_CHARACTERS
from onlineeval_dagster.collector.request import REQUEST, Request

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class SessionMiddleware:
    """Responses and actions tracked while `app` serves a request carry its session, unless they name their own.

    The id sent back is that of the latest response tracked, timed or given out (`new_response_id`) before the headers
    go out; none, no header. A session id that no contract takes (empty, longer than 256 characters) is left out.
    """

    def __init__(
        self, app: App, *, session_header: str = "X-Session-Id", response_header: str = "X-Response-Id"
    ) -> None:
        self._app = app
        self._session_header = session_header.lower().encode("latin-1")
        self._response_header = response_header.lower().encode("latin-1")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request = Request(session_id=self._session(scope))

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and (value := _header_value(request.response_id)):
                # A new message: the app may send the same one for every request.
                message = {**message, "headers": [*message.get("headers", ()), (self._response_header, value)]}
            await send(message)

        token = REQUEST.set(request)
        try:
            await self._app(scope, receive, answer)
        finally:
            REQUEST.reset(token)

    def _session(self, scope: Scope) -> str | None:
        for name, value in scope.get("headers", ()):
            if name.lower() == self._session_header:
                session_id = value.decode("latin-1").strip()
                return session_id if 0 < len(session_id) <= KEY_CHARACTERS else None
        return None


def _header_value(response_id: str | None) -> bytes | None:
    """The id as a header, or None where it cannot be one: a line break in it would be a header of its own."""
    if response_id is None or not response_id.isascii() or not response_id.isprintable():
        return None
    return response_id.encode("ascii")
