"""Time a call and tell its response: `with client.timed(…)`, `@client.tracked(…)`. On the standard library alone."""

import functools
from collections.abc import Callable
from time import perf_counter
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, Unpack, cast

from onlineeval_dagster.collector.fields import ResponseFields
from onlineeval_dagster.collector.request import new_response_id

Track = Callable[..., bool]
"""`Client.track_response`."""

P = ParamSpec("P")
R = TypeVar("R")


class Call:
    """A call to a model while it runs. Set `response`, and more by `add`; it is told when the block ends.

    An error that leaves the block is told as `error` and goes on untouched.
    """

    __slots__ = ("_began", "_fields", "_query", "_track", "response", "response_id")

    def __init__(self, track: Track, query: str, response_id: str | None, fields: ResponseFields) -> None:
        self._track, self._query, self._fields = track, query, fields
        self.response_id = response_id or new_response_id()
        self.response = ""

    def add(self, **fields: Unpack[ResponseFields]) -> None:
        """Say more of the response: `model`, `output_tokens` …"""
        self._fields.update(fields)

    def __enter__(self) -> Self:
        self._began = perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._fields.setdefault("latency_ms", (perf_counter() - self._began) * 1000)
        if error is not None:
            self._fields.setdefault("error", describe(error))
        self._track(response_id=self.response_id, query=self._query, response=self.response, **self._fields)


def describe(error: BaseException) -> str:
    """An error as a contract's `error`: its type and at most 500 characters of what it says."""
    try:
        return f"{type(error).__name__}: {error}"[:500]
    except Exception:  # noqa: BLE001 - an error that cannot be printed still has a type
        return type(error).__name__


def tracked(
    timed: Callable[..., Call],
    *,
    query: Callable[..., str] | None,
    response: Callable[[Any], str],
    failed: Callable[[], bool],
    fields: ResponseFields,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """What `Client.tracked` returns. `failed` counts what goes wrong in `query` and `response`."""

    def begin(arguments: tuple[Any, ...], named: dict[str, Any]) -> Call:
        try:
            asked = query(*arguments, **named) if query else str([*arguments, *named.values()][0])
        except Exception:  # noqa: BLE001 - a question that cannot be read must not stop the call
            failed()
            asked = ""
        return timed(query=asked, **fields)

    def end(call: Call, result: Any) -> None:
        try:
            call.response = response(result)
        except Exception:  # noqa: BLE001 - an answer that cannot be read must not be lost to the product
            failed()

    def decorate(work: Callable[P, R]) -> Callable[P, R]:
        import inspect  # 5 ms that a product which does not decorate need not spend

        if inspect.isgeneratorfunction(work) or inspect.isasyncgenfunction(work):
            raise TypeError(f"tracked: {work.__qualname__} yields its answer; use `with client.timed(…)` inside it")
        if inspect.iscoroutinefunction(work):

            @functools.wraps(work)
            async def awaited(*arguments: Any, **named: Any) -> Any:
                with begin(arguments, named) as call:
                    result = await work(*arguments, **named)
                    end(call, result)
                    return result

            return cast(Callable[P, R], awaited)

        @functools.wraps(work)
        def called(*arguments: P.args, **named: P.kwargs) -> R:
            with begin(arguments, named) as call:
                result = work(*arguments, **named)
                end(call, result)
                return result

        return called

    return decorate
