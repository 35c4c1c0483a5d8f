"""OpenTelemetry's own exporter and OpenInference's instrumentation, unchanged, end in rows of `responses`."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest
from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.privacy.policy import load_privacy
from tests.collector.collectors import serving as collecting
from tests.fake_endpoint import Say, completion, serving
from tests.worlds import settings_at, take_in_traces


@pytest.fixture
def traced(tmp_path: Path) -> Iterator[tuple[TracerProvider, Any]]:
    """A provider that exports to a live `onlineeval serve`, and what to call for the rows of `responses`."""
    settings = settings_at(tmp_path)
    with collecting(settings.home) as (process, address):
        provider = TracerProvider(
            resource=Resource({"service.name": "shop", "deployment.environment.name": "production"})
        )
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{address}/v1/traces")))

        def responses() -> list[dict[str, Any]]:
            provider.shutdown()
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
            lake, later = Lake(settings.lake_folder), datetime.now(UTC) + timedelta(minutes=5)
            take_in_traces(settings, now=later)
            return rows(lake, "select * from responses", {"responses": None}).to_pylist()

        yield provider, responses


NEW = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.usage.input_tokens": 7,
    "gen_ai.usage.output_tokens": 2,
    "gen_ai.input.messages": '[{"role":"user","parts":[{"type":"text","content":"Capital of France?"}]}]',
    "gen_ai.output.messages": '[{"role":"assistant","parts":[{"type":"text","content":"Paris."}]}]',
}
OLD = {
    "gen_ai.system": "openai",
    "gen_ai.usage.prompt_tokens": 7,
    "gen_ai.usage.completion_tokens": 2,
    "gen_ai.prompt.0.role": "user",
    "gen_ai.prompt.0.content": "Capital of France?",
    "gen_ai.completion.0.role": "assistant",
    "gen_ai.completion.0.content": "Paris.",
}


@pytest.mark.parametrize("names", [NEW, OLD], ids=["newest", "legacy"])
def test_gen_ai_attributes_through_the_official_exporter(traced: tuple[TracerProvider, Any], names: dict) -> None:
    provider, responses = traced
    tracer = provider.get_tracer("test")
    with tracer.start_as_current_span("POST /ask"), tracer.start_as_current_span("chat", attributes=names):
        pass
    (made,) = responses()
    assert (made["query"], made["response"], made["provider"]) == ("Capital of France?", "Paris.", "openai")
    assert (made["input_tokens"], made["output_tokens"], made["app"]) == (7, 2, "shop")


def test_the_instrumented_openai_client_below_a_chain_with_a_retriever(
    traced: tuple[TracerProvider, Any], tmp_path: Path
) -> None:
    provider, responses = traced
    tracer, instrumentor = provider.get_tracer("test"), OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        chain = {
            "openinference.span.kind": "CHAIN",
            "input.value": "Where is Paris?",
            "session.id": "s",
            "user.id": "u",
        }
        found = {
            "openinference.span.kind": "RETRIEVER",
            "retrieval.documents.0.document.content": "Paris is in France.",
        }
        with (
            serving(lambda number, body: completion("In France.")) as endpoint,
            tracer.start_as_current_span("answer", attributes=chain) as root,
        ):
            with tracer.start_as_current_span("search", attributes=found):
                pass
            client = openai.OpenAI(base_url=endpoint.base_url, api_key="k", max_retries=0)
            client.chat.completions.create(model="m", messages=[{"role": "user", "content": "Rephrased?"}])
            root.set_attribute("output.value", "It is in France.")
    finally:
        instrumentor.uninstrument()
    (made,) = responses()
    assert (made["query"], made["response"]) == ("Where is Paris?", "It is in France.")
    assert made["context"] == "Paris is in France."
    assert (made["input_tokens"], made["output_tokens"], made["model"]) == (100, 10, "served-model-1")
    assert (made["session_id"], made["user_id"]) == ("s", load_privacy(settings_at(tmp_path)).user_key("u"))


def streamed(*pieces: str) -> Say:
    """The same completion as a stream, one event a piece; the last chunk states the tokens."""
    head = {"id": "chatcmpl-2", "object": "chat.completion.chunk", "created": 1, "model": "served-model-1"}
    choices = [{"index": 0, "delta": {"role": "assistant", "content": piece}} for piece in pieces]
    choices.append({"index": 0, "delta": {}, "finish_reason": "stop"})
    chunks = [head | {"choices": [choice]} for choice in choices]
    chunks.append(head | {"choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}})
    body = b"".join(b"data: " + orjson.dumps(chunk) + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    return Say(body=body, headers={"content-type": "text/event-stream"})


def test_the_instrumented_openai_client_with_a_streamed_answer(traced: tuple[TracerProvider, Any]) -> None:
    provider, responses = traced
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        with serving(lambda number, body: streamed("Paris ", "is in ", "France.")) as endpoint:
            client = openai.OpenAI(base_url=endpoint.base_url, api_key="k", max_retries=0)
            turns = ["Capital of Spain?", "Madrid.", "And where is Paris?"]
            messages: list[Any] = [
                {"role": role, "content": turn} for role, turn in zip(("user", "assistant", "user"), turns, strict=True)
            ]
            stream = client.chat.completions.create(
                model="m", messages=messages, stream=True, stream_options={"include_usage": True}
            )
            said = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    finally:
        instrumentor.uninstrument()
    (made,) = responses()
    assert said == "Paris is in France."
    assert (made["query"], made["response"]) == ("And where is Paris?", said)
    assert made["conversation"] == "user: Capital of Spain?\n\nassistant: Madrid."
    assert (made["input_tokens"], made["output_tokens"], made["model"]) == (100, 10, "served-model-1")
    assert made["latency_ms"] > 0
