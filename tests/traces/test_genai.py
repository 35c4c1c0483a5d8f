"""Whatever shape of OpenTelemetry's GenAI conventions a span has, the same conversation is read from it."""

import json
from typing import Any

import pytest

from onlineeval_dagster.traces.genai import read
from onlineeval_dagster.traces.said import Said
from tests.traces.steps import a_step, an_event

ASKED = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Capital of Spain?"},
    {"role": "assistant", "content": "Madrid."},
    {"role": "user", "content": "And of France?"},
]
IN = [{"role": said["role"], "parts": [{"type": "text", "content": said["content"]}]} for said in ASKED]
OUT = [{"role": "assistant", "parts": [{"type": "text", "content": "Paris."}], "finish_reason": "stop"}]
INDEXED = {f"gen_ai.prompt.{n}.{part}": said[part] for n, said in enumerate(ASKED) for part in ("role", "content")}
CHOICE = {"index": 0, "finish_reason": "stop"}

SHAPES: dict[str, dict[str, Any]] = {
    "newest, structured": {"attributes": {"gen_ai.input.messages": IN, "gen_ai.output.messages": OUT}},
    "newest, JSON in text": {
        "attributes": {"gen_ai.input.messages": json.dumps(IN), "gen_ai.output.messages": json.dumps(OUT)}
    },
    "newest, instructions apart": {
        "attributes": {
            "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
            "gen_ai.input.messages": json.dumps(IN[1:]),
            "gen_ai.output.messages": json.dumps(OUT),
        }
    },
    "event with the details": {
        "attributes": {"gen_ai.operation.name": "chat"},
        "events": [
            an_event(
                "gen_ai.client.inference.operation.details", gen_ai__input__messages=IN, gen_ai__output__messages=OUT
            )
        ],
    },
    "event with the details in its body": {
        "attributes": {"gen_ai.operation.name": "chat"},
        "events": [
            an_event(
                "gen_ai.client.inference.operation.details",
                body={"gen_ai.input.messages": IN, "gen_ai.output.messages": OUT},
            )
        ],
    },
    "v1.36, an event a message": {
        "attributes": {"gen_ai.system": "openai"},
        "events": [
            *(an_event(f"gen_ai.{said['role']}.message", content=said["content"]) for said in ASKED),
            an_event("gen_ai.choice", **CHOICE, message=json.dumps({"role": "assistant", "content": "Paris."})),
        ],
    },
    "v1.36, records with bodies": {
        "attributes": {"gen_ai.system": "openai"},
        "events": [
            *(an_event(f"gen_ai.{said['role']}.message", body={"content": said["content"]}) for said in ASKED),
            an_event("gen_ai.choice", body={**CHOICE, "message": {"content": "Paris."}}),
        ],
    },
    "indexed": {
        "attributes": {
            **INDEXED,
            "gen_ai.completion.0.role": "assistant",
            "gen_ai.completion.0.content": "Paris.",
            "gen_ai.completion.0.finish_reason": "stop",
        }
    },
    "events with all content": {
        "attributes": {"gen_ai.system": "openai"},
        "events": [
            an_event("gen_ai.content.prompt", gen_ai__prompt=json.dumps(ASKED)),
            an_event(
                "gen_ai.content.completion",
                gen_ai__completion=json.dumps([{"role": "assistant", "content": "Paris.", "finish_reason": "stop"}]),
            ),
        ],
    },
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_content_tells_the_same_conversation(shape: str) -> None:
    said = read(a_step(**SHAPES[shape]))
    assert (said.query, said.answered, said.system) == ("And of France?", "Paris.", "Be brief.")
    assert said.conversation == "user: Capital of Spain?\n\nassistant: Madrid."
    assert (said.kind, said.finish_reason) == ("llm", "stop")


NEW = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "m",
    "gen_ai.response.model": "m-1",
    "gen_ai.response.id": "c1",
    "gen_ai.response.finish_reasons": ["length"],
    "gen_ai.usage.input_tokens": 7,
    "gen_ai.usage.output_tokens": 2,
}
OLD = {name: value for name, value in NEW.items() if "provider" not in name and "usage" not in name} | {
    "gen_ai.system": "openai",
    "gen_ai.usage.prompt_tokens": 7,
    "gen_ai.usage.completion_tokens": 2,
    "gen_ai.response.finish_reasons": '["length"]',
}


@pytest.mark.parametrize("names", [NEW, OLD], ids=["newest", "older"])
def test_a_call_says_its_model_provider_id_tokens_and_why_it_ended(names: dict[str, Any]) -> None:
    said = read(a_step(attributes=names))
    assert (said.model, said.provider, said.response_id) == ("m-1", "openai", "c1")
    assert (said.input_tokens, said.output_tokens, said.finish_reason) == (7, 2, "length")
    assert (said.query, said.answered) == (None, None)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        ("chat", "llm"),
        ("generate_content", "llm"),
        ("text_completion", "llm"),
        ("invoke_agent", "agent"),
        ("execute_tool", "tool"),
        ("embeddings", "embedding"),
        ("retrieval", "retriever"),
        ("search_memory", "other"),
    ],
)
def test_an_operation_names_the_kind_of_a_span(operation: str, kind: str) -> None:
    assert read(a_step(attributes={"gen_ai.operation.name": operation})).kind == kind


def test_calls_of_tools_reasoning_and_pictures_are_no_words_of_an_answer() -> None:
    parts = [
        {"type": "reasoning", "content": "Hm."},
        {"type": "tool_call", "id": "1", "name": "f", "arguments": {"content": "x"}},
        {"type": "blob", "content": "AAAA"},
    ]
    words = [{"type": "text", "content": "So"}, {"type": "text", "content": "it is."}]
    only_calls, with_words = ([{"role": "assistant", "parts": some}] for some in (parts, parts + words))
    assert not read(a_step(attributes={"gen_ai.output.messages": only_calls})).answered
    assert read(a_step(attributes={"gen_ai.output.messages": with_words})).answered == "So\nit is."


def test_the_first_of_several_choices_is_the_answer() -> None:
    choices = [an_event("gen_ai.choice", index=n, message={"content": f"choice {n}"}) for n in (1, 0)]
    assert read(a_step(events=choices)).answered == "choice 0"
    assert read(a_step(attributes={"gen_ai.output.messages": [*OUT, *IN]})).answered == "Paris."


def test_a_reply_of_a_tool_is_not_what_the_user_asked() -> None:
    tool = {"role": "tool", "parts": [{"type": "tool_call_response", "id": "1", "response": "42"}]}
    assert read(a_step(attributes={"gen_ai.input.messages": [*IN, tool]})).query == "And of France?"


def test_retrieved_documents_are_read_from_text_or_structure() -> None:
    held = [{"id": "d1", "content": "Paris is in France.", "score": 0.9}, {"id": "d2"}, "As text."]
    for said in (held, json.dumps(held)):
        read_so = read(a_step(attributes={"gen_ai.operation.name": "retrieval", "gen_ai.retrieval.documents": said}))
        assert read_so.documents == ("Paris is in France.", "As text.")


@pytest.mark.parametrize(
    "step",
    [
        {"attributes": {"http.request.method": "GET"}},
        {"attributes": {}, "events": [an_event("exception", exception__message="no")]},
        {"events": [an_event("gen_ai.evaluation.result", gen_ai__evaluation__name="x")]},
    ],
)
def test_a_span_of_something_else_says_nothing(step: dict[str, Any]) -> None:
    assert read(a_step(**step)) == Said()


@pytest.mark.parametrize("junk", ["{", "[1, 2", 7, True, None, [], {}, [None, 3, "x"], {"role": "user"}])
@pytest.mark.parametrize("name", ["gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.system_instructions"])
def test_what_is_no_list_of_messages_says_nothing_and_breaks_nothing(name: str, junk: Any) -> None:
    said = read(a_step(attributes={"gen_ai.operation.name": "chat", name: junk}))
    assert (said.kind, said.query) == ("llm", None)
