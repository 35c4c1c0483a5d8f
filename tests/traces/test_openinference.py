"""A span in OpenInference's names says what was asked, answered and retrieved."""

import json
from typing import Any

import pytest

from onlineeval_dagster.traces.openinference import read
from onlineeval_dagster.traces.said import Said
from tests.traces.steps import a_step

MESSAGES = {
    "openinference.span.kind": "LLM",
    "llm.input_messages.0.message.role": "system",
    "llm.input_messages.0.message.content": "Be brief.",
    "llm.input_messages.1.message.role": "user",
    "llm.input_messages.1.message.content": "Capital of Spain?",
    "llm.input_messages.2.message.role": "assistant",
    "llm.input_messages.2.message.content": "Madrid.",
    "llm.input_messages.10.message.role": "user",
    "llm.input_messages.10.message.contents.0.message_content.type": "text",
    "llm.input_messages.10.message.contents.0.message_content.text": "And of France?",
    "llm.input_messages.10.message.contents.1.message_content.type": "image",
    "llm.output_messages.0.message.role": "assistant",
    "llm.output_messages.0.message.content": "Paris.",
    "input.value": json.dumps({"messages": "the whole request"}),
    "input.mime_type": "application/json",
    "output.value": json.dumps({"choices": "the whole reply"}),
    "output.mime_type": "application/json",
}


def test_messages_tell_the_conversation_in_the_order_of_their_numbers() -> None:
    said = read(a_step(attributes=MESSAGES))
    assert (said.kind, said.query, said.answered) == ("llm", "And of France?", "Paris.")
    assert said.system == "Be brief."
    assert said.conversation == "user: Capital of Spain?\n\nassistant: Madrid."


def test_a_call_says_its_model_tokens_cost_and_the_version_of_its_prompt() -> None:
    told = {
        "llm.model_name": "m-1",
        "llm.provider": "openai",
        "llm.token_count.prompt": 7,
        "llm.token_count.completion": 2,
        "llm.cost.total": 0.003,
        "llm.prompt_template.version": "v12",
        "llm.finish_reason": "stop",
    }
    said = read(a_step(attributes=MESSAGES | told))
    assert (said.model, said.provider, said.prompt_version) == ("m-1", "openai", "v12")
    assert (said.input_tokens, said.output_tokens, said.cost_usd, said.finish_reason) == (7, 2, 0.003, "stop")


@pytest.mark.parametrize("prefix", ["retrieval.documents", "reranker.output_documents"])
def test_documents_come_in_the_order_of_their_numbers(prefix: str) -> None:
    told = {f"{prefix}.{n}.document.content": text for n, text in ((11, "last"), (2, "second"), (0, "first"))}
    told |= {f"{prefix}.0.document.score": 0.5, f"{prefix}.3.document.id": "no content"}
    said = read(a_step(attributes={"openinference.span.kind": "RETRIEVER", **told}))
    assert (said.kind, said.documents) == ("retriever", ("first", "second", "last"))


@pytest.mark.parametrize(
    ("value", "mime", "asked"),
    [
        ("Where is it?", None, "Where is it?"),
        ('{"question": "plain"}', None, '{"question": "plain"}'),
        ('{"question": "Where is it?"}', "application/json", "Where is it?"),
        ('{"messages": [{"role": "user", "content": "Where is it?"}]}', "application/json", "Where is it?"),
        ('{"only": "Where is it?"}', "application/json", "Where is it?"),
        ('{"a": 1, "b": 2}', "application/json", '{"a":1,"b":2}'),
        ("{no json", "application/json", "{no json"),
        ("", None, None),
    ],
)
def test_an_input_is_read_as_its_mime_type_says(value: str, mime: str | None, asked: str | None) -> None:
    told = {"openinference.span.kind": "CHAIN", "input.value": value, "output.value": value}
    if mime:
        told |= {"input.mime_type": mime, "output.mime_type": mime}
    assert read(a_step(attributes=told)).query == asked


def test_a_message_that_only_calls_tools_answers_nothing() -> None:
    call = {
        "openinference.span.kind": "LLM",
        "llm.output_messages.0.message.role": "assistant",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "f",
    }
    assert not read(a_step(attributes=call)).answered


def test_metadata_and_tags_are_kept() -> None:
    said = read(a_step(attributes=MESSAGES | {"metadata": '{"tenant": "x"}', "tag.tags": ["a"]}))
    assert said.more == {"metadata": {"tenant": "x"}, "tags": ["a"]}


def test_a_span_of_something_else_says_nothing() -> None:
    assert read(a_step(attributes={"http.request.method": "GET", "metadata": "{}"})) == Said()


@pytest.mark.parametrize("junk", [7, True, None, [], {}, [1], {"a": {}}, "x"])
@pytest.mark.parametrize(
    "name", ["input.value", "llm.input_messages.0.message.content", "llm.input_messages.x", "openinference.span.kind"]
)
def test_values_of_the_wrong_type_break_nothing(name: str, junk: Any) -> None:
    read(a_step(attributes={"openinference.span.kind": "LLM", name: junk, "input.mime_type": "application/json"}))
