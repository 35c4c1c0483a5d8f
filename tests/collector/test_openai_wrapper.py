"""The openai client behaves as before, and every answer it gives is told once."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from onlineeval_dagster.collector.client import Client
from onlineeval_dagster.collector.openai_wrapper import wrap
from onlineeval_dagster.collector.request import REQUEST, Request
from onlineeval_dagster.contracts.events import Response
from tests.collector.test_client import Memory
from tests.fake_endpoint import FakeEndpoint, Say, completion, refusal, serving

MESSAGES: list[Any] = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hello"},
    {"role": "assistant", "content": "Hi!"},
    {"role": "user", "content": [{"type": "text", "text": "How are you?"}]},
]
WORDS = ["I ", "am ", "well"]


def streamed() -> Say:
    """The words as server-sent chunks, then the usage."""
    chunks = [{"choices": [{"index": 0, "delta": {"content": word}, "finish_reason": None}]} for word in WORDS]
    chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}]
    chunks += [{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}}]
    head = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1, "model": "served-model-1"}
    lines = [f"data: {json.dumps(head | chunk)}\n\n" for chunk in chunks] + ["data: [DONE]\n\n"]
    return Say(body="".join(lines).encode(), headers={"content-type": "text/event-stream"})


def script(number: int, body: dict[str, Any]) -> Say:
    if body["model"] == "broken":
        return refusal(400, text="no such model")
    if body["model"] == "tools":
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        return completion(None, finish_reason="tool_calls", tool_calls=[call])
    return streamed() if body.get("stream") else completion("I am well")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[FakeEndpoint]:
    with serving(script) as endpoint:
        yield endpoint


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def sync(endpoint: FakeEndpoint, memory: Memory) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key="k", base_url=endpoint.base_url, max_retries=0) as bare:
        yield wrap(bare, Client(transport=memory), prompt_version="v3")


def told(memory: Memory) -> Response:
    (event,) = memory.events()
    assert isinstance(event, Response)
    return event


def test_a_completion_is_told_with_all_that_it_says(
    sync: openai.OpenAI, memory: Memory, endpoint: FakeEndpoint
) -> None:
    create: Any = sync.chat.completions.create
    done = create(model="small-1", messages=MESSAGES, user="u-1", track={"variant": "b"})
    assert type(done).__name__ == "ChatCompletion" and done.choices[0].message.content == "I am well"
    event = told(memory)
    assert (event.response_id, event.query, event.response) == ("chatcmpl-1", "How are you?", "I am well")
    assert event.conversation == "user: Hello\n\nassistant: Hi!"
    assert (event.model, event.provider, event.user_id) == ("served-model-1", "openai", "u-1")
    assert (event.prompt_version, event.variant, event.finish_reason) == ("v3", "b", "stop")
    assert (event.input_tokens, event.output_tokens) == (100, 10)
    assert event.latency_ms is not None and event.latency_ms > 0
    assert "track" not in endpoint.calls[-1]


def test_the_rest_of_the_client_is_the_clients_own(sync: openai.OpenAI, memory: Memory) -> None:
    assert sync.api_key == "k"
    raw = sync.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)
    assert raw.status_code == 200
    assert memory.lines == []


def test_an_error_is_told_and_raised_untouched(sync: openai.OpenAI, memory: Memory) -> None:
    with pytest.raises(openai.BadRequestError, match="no such model"):
        sync.chat.completions.create(model="broken", messages=MESSAGES)
    event = told(memory)
    assert event.error is not None and event.error.startswith("BadRequestError: ")
    assert (event.response, event.query) == ("", "How are you?")


def test_a_reply_that_only_calls_tools_is_no_response(sync: openai.OpenAI, memory: Memory) -> None:
    sync.chat.completions.create(model="tools", messages=MESSAGES)
    assert memory.lines == []


def test_a_stream_is_passed_on_chunk_by_chunk_and_told_at_its_end(sync: openai.OpenAI, memory: Memory) -> None:
    heard = []
    for chunk in sync.chat.completions.create(model="m", messages=MESSAGES, stream=True):
        assert memory.lines == []
        heard += [choice.delta.content for choice in chunk.choices]
    assert heard == [*WORDS, None]
    event = told(memory)
    assert (event.response_id, event.response, event.finish_reason) == ("chatcmpl-7", "I am well", "stop")
    assert (event.input_tokens, event.output_tokens) == (9, 3)
    assert 0 < event.attributes["first_token_ms"] <= event.latency_ms  # pyright: ignore
    assert "stopped_early" not in event.attributes


@pytest.mark.parametrize("way", ["close", "with", "forget"])
def test_a_stream_that_is_left_early_is_told_with_what_was_heard(sync: openai.OpenAI, memory: Memory, way: str) -> None:
    stream = sync.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    if way == "with":
        with stream as heard:
            next(iter(heard))
    else:
        next(stream)
        if way == "close":
            stream.close()
    del stream
    event = told(memory)
    assert (event.response, event.attributes["stopped_early"]) == ("I ", True)


def test_the_async_client_is_told_too_whole_streamed_left_early_and_failed(
    endpoint: FakeEndpoint, memory: Memory
) -> None:
    async def use() -> list[str | None]:
        bare = openai.AsyncOpenAI(api_key="k", base_url=endpoint.base_url, max_retries=0)
        async with wrap(bare, Client(transport=memory)) as client:
            done = await client.chat.completions.create(model="m", messages=MESSAGES)
            stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
            heard = [choice.delta.content async for chunk in stream for choice in chunk.choices]
            async with await client.chat.completions.create(model="m", messages=MESSAGES, stream=True) as early:
                await anext(aiter(early))
            with pytest.raises(openai.BadRequestError):
                await client.chat.completions.create(model="broken", messages=MESSAGES)
            return [done.choices[0].message.content, *heard]

    assert asyncio.run(use()) == ["I am well", *WORDS, None]
    events = [event for event in memory.events() if isinstance(event, Response)]
    assert [event.response for event in events] == ["I am well", "I am well", "I ", ""]
    assert [event.error is None for event in events] == [True, True, True, False]


def test_inside_a_request_the_id_is_known_before_the_stream_ends(sync: openai.OpenAI, memory: Memory) -> None:
    request = Request(session_id="s")
    token = REQUEST.set(request)
    try:
        stream = sync.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        early = request.response_id
        list(stream)
    finally:
        REQUEST.reset(token)
    event = told(memory)
    assert (event.response_id, event.session_id) == (early, "s")
    assert event.attributes["completion_id"] == "chatcmpl-7"


def test_words_that_cannot_be_read_leave_the_answer_alone(sync: openai.OpenAI, memory: Memory) -> None:
    memory.breaks = True
    done = sync.chat.completions.create(model="m", messages=MESSAGES)
    assert done.choices[0].message.content == "I am well"
