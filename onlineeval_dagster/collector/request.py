"""The request that a product is serving: its session and its response. On the standard library alone."""

import os
from contextvars import ContextVar


class Request:
    """Shared by all that runs on behalf of one request, threads and tasks included.

    response_id  the latest one given out or tracked; None before
    """

    __slots__ = ("response_id", "session_id")

    def __init__(self, *, session_id: str | None = None) -> None:
        self.session_id = session_id
        self.response_id: str | None = None


REQUEST: ContextVar[Request | None] = ContextVar("onlineeval_request", default=None)
"""The request that is being served here; None outside of one."""


def new_response_id() -> str:
    """An id for the response that is about to be made; the middleware sends it to the browser.

    Ask for it before the first byte goes out where an answer is streamed.
    """
    response_id = os.urandom(16).hex()
    request = REQUEST.get()
    if request is not None:
        request.response_id = response_id
    return response_id
