"""A thin wrapper around an `openai` client, sync or async, that tells each chat completion as a response.

    openai = wrap(OpenAI(), client)
    openai.chat.completions.create(model=…, messages=…, track={"user_id": "u-1", "prompt_version": "v3"})

What the client returns, raises and streams is untouched. Only `chat.completions.create` is told; everything else goes
straight through. It knows the client by its methods: nothing here imports openai.
"""

import inspect
from collections.abc import AsyncIterator, Iterator
from time import perf_counter
from typing import Any, TypeVar, cast

from onlineeval_dagster.collector.client import Client
from onlineeval_dagster.collector.fields import ResponseFields
from onlineeval_dagster.collector.openai_words import Said, conversation, question
from onlineeval_dagster.collector.request import REQUEST, new_response_id
from onlineeval_dagster.collector.timing import describe

T = TypeVar("T")


def wrap(openai: T, client: Client, **fields: Any) -> T:
    """The same client, telling its chat completions to `client`, each with `fields` and the call's own `track={…}`.

    The response id is `track`'s, else the request's (inside `SessionMiddleware`), else the completion's. A reply that
    only calls tools was shown to nobody: it is not told.
    """
    return cast(T, _Through(openai, ("chat", "completions", "create"), client, ResponseFields(**fields)))


class _Through:
    """An attribute of the client on the way to `create`; any other attribute is the client's own."""

    def __init__(self, target: Any, path: tuple[str, ...], client: Client, fields: ResponseFields) -> None:
        self._target, self._path, self._client, self._fields = target, path, client, fields

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if name != self._path[0]:
            return found
        if len(self._path) > 1:
            return _Through(found, self._path[1:], self._client, self._fields)
        return _create(found, self._client, self._fields)

    def __enter__(self) -> Any:
        self._target.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        return self._target.__exit__(*error)

    async def __aenter__(self) -> Any:
        await self._target.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await self._target.__aexit__(*error)


def _create(create: Any, client: Client, fields: ResponseFields) -> Any:
    def told(*arguments: Any, track: dict[str, Any] | None = None, **named: Any) -> Any:
        telling = _Telling(client, {**fields, **(track or {})}, named)
        try:
            result = create(*arguments, **named)
        except BaseException as error:
            telling.end(error)
            raise
        return _awaited(result, telling) if inspect.isawaitable(result) else _told(result, telling)

    return told


async def _awaited(result: Any, telling: "_Telling") -> Any:
    try:
        done = await result
    except BaseException as error:
        telling.end(error)
        raise
    return _told(done, telling)


def _told(result: Any, telling: "_Telling") -> Any:
    if hasattr(result, "__aiter__"):
        return _AsyncStream(result, telling)
    if hasattr(result, "__next__"):
        return _Stream(result, telling)
    telling.hear(result)
    telling.end()
    return result


class _Telling:
    """One call: what is heard of it, told once. Nothing in here raises."""

    def __init__(self, client: Client, fields: dict[str, Any], named: dict[str, Any]) -> None:
        self._client, self._fields, self._named = client, fields, named
        self._said, self._began, self._is_told = Said(), perf_counter(), False
        self._first_ms: float | None = None
        self._id = fields.pop("response_id", None)
        if self._id is None and REQUEST.get() is not None:
            self._id = new_response_id()  # now: a stream's headers go out before it ends

    def hear(self, part: Any) -> None:
        """Take in a completion, or a chunk of one."""
        try:
            self._said.hear(part)
            if self._first_ms is None and self._said.text:
                self._first_ms = (perf_counter() - self._began) * 1000
        except Exception:  # noqa: BLE001 - another server's chunk must not stop the product's stream
            self._client.count_error()

    def end(self, error: BaseException | None = None, *, stopped: bool = False) -> None:
        if self._is_told:
            return
        self._is_told = True
        try:
            if error is None and self._said.only_calls_tools():
                return
            self._tell(error, stopped)
        except Exception:  # noqa: BLE001 - the product's door: it must not feel what goes wrong in here
            self._client.count_error()

    def _tell(self, error: BaseException | None, stopped: bool) -> None:
        said, messages = self._said, self._named.get("messages") or []
        attributes = {"completion_id": said.completion_id, "stopped_early": stopped or None}
        if self._named.get("stream"):
            attributes["first_token_ms"] = self._first_ms
        told = {
            "provider": "openai",
            "model": said.model or self._named.get("model"),
            "user_id": self._named.get("user") if isinstance(self._named.get("user"), str) else None,
            "conversation": conversation(messages),
            "latency_ms": (perf_counter() - self._began) * 1000,
            "input_tokens": said.input_tokens,
            "output_tokens": said.output_tokens,
            "finish_reason": said.finish_reason,
            "error": describe(error) if error is not None else None,
            **self._fields,
        }
        told["attributes"] = {name: value for name, value in attributes.items() if value is not None} | (
            self._fields.get("attributes") or {}
        )
        self._client.track_response(
            response_id=self._id or said.completion_id or new_response_id(),
            query=told.pop("query", None) or question(messages),
            response="".join(said.text),
            **cast(ResponseFields, told),
        )


class _StreamOf:
    """What a sync and an async stream share: anything but iterating and closing is the stream's own."""

    def __init__(self, stream: Any, telling: _Telling) -> None:
        self._stream, self._telling = stream, telling

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __del__(self) -> None:
        self._telling.end(stopped=True)


class _Stream(_StreamOf):
    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            chunk = next(self._stream)
        except StopIteration:
            self._telling.end()
            raise
        except BaseException as error:
            self._telling.end(error)
            raise
        self._telling.hear(chunk)
        return chunk

    def close(self) -> Any:
        self._telling.end(stopped=True)
        return self._stream.close()

    def __enter__(self) -> Any:
        self._stream.__enter__()
        return self

    def __exit__(self, *error: Any) -> Any:
        self._telling.end(error[1], stopped=True)
        return self._stream.__exit__(*error)


class _AsyncStream(_StreamOf):
    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            chunk = await anext(self._stream)
        except StopAsyncIteration:
            self._telling.end()
            raise
        except BaseException as error:
            self._telling.end(error)
            raise
        self._telling.hear(chunk)
        return chunk

    async def close(self) -> Any:
        self._telling.end(stopped=True)
        return await self._stream.close()

    async def __aenter__(self) -> Any:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        self._telling.end(error[1], stopped=True)
        return await self._stream.__aexit__(*error)
