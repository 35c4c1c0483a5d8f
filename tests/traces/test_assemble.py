"""A response is what a user was shown: of a trace the span that the rule names, with what stands below it."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onlineeval_dagster.catalog.traces_file import ResponseSpan
from onlineeval_dagster.contracts.events import Response, Verdict
from onlineeval_dagster.log.segments import encode
from onlineeval_dagster.traces.assemble import assemble
from onlineeval_dagster.traces.said import Step
from tests.traces.steps import NOON, a_record, a_step, an_event

ROOT = ResponseSpan()
AGENTS = ResponseSpan(by="kind", value="AGENT")
RESULT = "gen_ai.evaluation.result"


def chain(asked: str = "Where is it?", answered: str = "It is here.") -> dict[str, Any]:
    return {"openinference.span.kind": "CHAIN", "input.value": asked, "output.value": answered}


def agent(asked: str, answered: str) -> dict[str, Any]:
    return chain(asked, answered) | {"openinference.span.kind": "AGENT"}


def call(asked: str = "Rephrase.", answered: str = "Here.", **more: Any) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.model": "m-1",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 3,
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": asked}]}],
        "gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "text", "content": answered}]}],
    } | {name.replace("__", "."): value for name, value in more.items()}


def search(*documents: str) -> dict[str, Any]:
    told = {f"retrieval.documents.{n}.document.content": text for n, text in enumerate(documents)}
    return {"openinference.span.kind": "RETRIEVER", **told}


def only(*steps: Step, rule: ResponseSpan = ROOT) -> Response:
    (response,) = assemble(steps, rule).responses
    return response


def none(*steps: Step, rule: ResponseSpan = ROOT) -> str | None:
    made = assemble(steps, rule)
    assert made.responses == ()
    return made.reason


def test_the_root_is_the_response_and_calls_and_searches_below_it_are_its_context_and_tokens() -> None:
    made = only(
        a_step(attributes=chain(), user_id="u"),
        a_step("search", parent="root", after_s=0.1, attributes=search("One.", "Two.")),
        a_step("again", parent="root", after_s=0.2, attributes=search("Two.", "Three.")),
        a_step("draft", parent="root", after_s=0.3, attributes=call(), session_id="s"),
        a_step("final", parent="root", after_s=0.4, attributes=call(gen_ai__usage__cost=0.5)),
    )
    assert (made.response_id, made.query, made.response) == ("t", "Where is it?", "It is here.")
    assert made.context == "One.\n\nTwo.\n\nThree."
    assert (made.input_tokens, made.output_tokens, made.cost_usd) == (20, 6, 0.5)
    assert (made.model, made.provider) == ("m-1", "openai")
    assert (made.user_id, made.session_id, made.latency_ms) == ("u", "s", 1000)
    assert made.attributes["trace_id"] == "t"


def test_a_root_without_words_shows_what_its_outermost_call_said_last() -> None:
    made = only(
        a_step(attributes={"http.request.method": "POST"}),
        a_step("plan", parent="root", after_s=0.1, attributes=call("Plan.", "A plan.")),
        a_step("answer", parent="root", after_s=0.2, attributes=call("Where?", "Here.")),
        a_step("tool", parent="answer", after_s=0.3, attributes={"gen_ai.operation.name": "execute_tool"}),
        a_step("inner", parent="tool", after_s=0.4, attributes=call("Deep?", "Deep.")),
    )
    assert (made.query, made.response) == ("Where?", "Here.")


def test_a_call_of_a_tool_only_is_not_what_the_user_was_shown() -> None:
    silent = call() | {"gen_ai.output.messages": [{"role": "assistant", "parts": [{"type": "tool_call", "name": "f"}]}]}
    made = only(
        a_step(),
        a_step("answer", parent="root", after_s=0.1, attributes=call("Where?", "Here.")),
        a_step("calls", parent="root", after_s=0.2, attributes=silent),
    )
    assert made.response == "Here."


def test_an_agent_that_states_its_sums_speaks_for_the_calls_below_it() -> None:
    sums = agent("Where?", "Here.") | {"llm.token_count.prompt": 20, "llm.token_count.completion": 6}
    made = only(a_step(attributes=sums), a_step("call", parent="root", attributes=call()))
    assert (made.input_tokens, made.output_tokens) == (20, 6)


SEVERAL = [
    a_step(attributes={"http.request.method": "POST"}),
    a_step("a", parent="root", after_s=1, attributes=agent("One?", "One.")),
    a_step("a-sub", parent="a", after_s=1.1, attributes=agent("Sub?", "Sub.")),
    a_step("a-call", parent="a", after_s=1.2, attributes=call()),
    a_step("b", parent="root", after_s=2, attributes=agent("Two?", "Two.")),
    a_step("b-search", parent="b", after_s=2.1, attributes=search("For two.")),
]


@pytest.mark.parametrize(
    ("rule", "attributes"),
    [
        (AGENTS, {}),
        (ResponseSpan(by="name", value="said"), {"name": "said"}),
        (
            ResponseSpan(by="operation", value="invoke_agent"),
            {"attributes": {"gen_ai.operation.name": "invoke_agent"}},
        ),
        (ResponseSpan(by="marked"), {"attributes": {"onlineeval.response": True}}),
        (ROOT, {"attributes": {"onlineeval.response": "true"}}),
    ],
    ids=["kind", "name", "operation", "marked", "marked beside the rule"],
)
def test_a_rule_finds_every_response_of_a_trace_each_with_what_stands_below_it(
    rule: ResponseSpan, attributes: dict[str, Any]
) -> None:
    told = []
    for step in SEVERAL:
        more = attributes if step.span_id in ("a", "b") else {}
        plain = {name: getattr(step, name) for name in Step.__slots__}
        told.append(Step(**{**plain, **more, "attributes": {**step.attributes, **more.get("attributes", {})}}))
    one, two = assemble(told, rule).responses
    assert [(made.query, made.response) for made in (one, two)] == [("One?", "One."), ("Two?", "Two.")]
    assert (one.response_id, two.response_id) == ("t:a", "t:b")
    assert (one.context, two.context) == (None, "For two.")
    assert (one.input_tokens, two.input_tokens) == (10, None)


def test_a_response_has_the_id_that_the_product_or_the_provider_gave_it() -> None:
    provider = call(gen_ai__response__id="chatcmpl-1")
    assert only(a_step(attributes=provider)).response_id == "chatcmpl-1"
    assert only(a_step(attributes=provider | {"onlineeval.response_id": "mine"})).response_id == "mine"
    assert only(a_step(attributes=chain()), a_step("c", parent="root", attributes=provider)).response_id == "t"


def test_a_trace_whose_root_never_came_is_answered_by_its_first_span_for_all() -> None:
    made = only(
        a_step("call", parent="gone", after_s=1, attributes=call("Where?", "Here.")),
        a_step("first", parent="gone", attributes=search("One.")),
        a_step("last", parent="gone", after_s=2, attributes={}),
        rule=ResponseSpan(by="name", value="call"),
    )
    assert made.response == "Here."
    made = only(
        a_step("first", parent="gone", attributes={}),
        a_step("call", parent="gone", after_s=1, attributes=call("Where?", "Here.")),
        a_step("search", parent="gone", after_s=2, attributes=search("One.")),
    )
    assert (made.query, made.response, made.context, made.input_tokens) == ("Where?", "Here.", "One.", 10)


def test_a_true_root_comes_before_a_span_that_lost_its_parent() -> None:
    lost = a_step("lost", parent="gone", attributes=chain("Other?", "Other."))
    assert only(lost, a_step(after_s=1, attributes=chain())).response == "It is here."


def test_a_failed_root_is_a_response_with_its_error() -> None:
    failed = a_step(attributes=chain(answered=""), status="error", status_message="503 from the model")
    made = only(failed)
    assert (made.query, made.response, made.error) == ("Where is it?", "", "503 from the model")


def test_events_of_the_log_stand_with_the_span_they_speak_of() -> None:
    made = only(
        a_step(),
        a_step("call", parent="root", attributes={"gen_ai.system": "openai"}),
        a_record("gen_ai.user.message", {"body": {"content": "Where?"}}, of="call"),
        a_record("gen_ai.choice", {"body": {"index": 0, "message": {"content": "Here."}}}, of="call"),
    )
    assert (made.query, made.response) == ("Where?", "Here.")


def test_no_response_says_why() -> None:
    silent = {"gen_ai.operation.name": "chat"}
    assert none(a_step(attributes={"http.request.method": "GET"})) == "no call of a model in it"
    assert "CAPTURE_MESSAGE_CONTENT" in str(none(a_step(), a_step("c", parent="root", attributes=silent)))
    assert none(a_step(attributes=chain(answered=""))) == "no answer in it, and no error"
    assert none(a_step(attributes={"input.value": "Where?"})) == "no answer in it, and no error"
    assert none(a_step(attributes=chain()), rule=AGENTS) == "no span with kind 'AGENT' (traces.toml)"
    assert none(a_step(attributes=chain()), rule=ResponseSpan(by="marked")) == "no span is marked"
    evaluator = chain() | {"openinference.span.kind": "EVALUATOR"}
    assert none(a_step(attributes=evaluator)) == "the chosen span is of kind evaluator"
    assert none(a_record("gen_ai.choice", {})) == "no span, only events of the log"


def test_a_span_that_speaks_both_dialects_is_a_call_of_a_model() -> None:
    both = call("Where?", "Here.") | {"input.value": "Where?", "output.value": "Here."}
    made = only(a_step(), a_step("call", parent="root", attributes=both))
    assert (made.query, made.response, made.model) == ("Where?", "Here.", "m-1")


def test_an_evaluation_of_an_inner_span_is_of_the_response_that_holds_it() -> None:
    said = {"gen_ai.evaluation.name": "helpful", "gen_ai.evaluation.score.value": 1}
    made = assemble([*SEVERAL, a_record(RESULT, said, of="b-search"), a_record(RESULT, said, of=None)], AGENTS)
    assert [getattr(event, "response_id") for event in made.opinions] == ["t:b", "t:a"]  # noqa: B009


def test_an_evaluation_whose_trace_is_not_here_is_of_the_response_that_it_names() -> None:
    said = {"gen_ai.evaluation.name": "x", "gen_ai.evaluation.score.value": 1, "gen_ai.response.id": "chatcmpl-1"}
    (verdict,) = assemble([a_record(RESULT, said, of=None, trace_id=None)], ROOT).opinions
    assert isinstance(verdict, Verdict)
    assert (verdict.response_id, verdict.response_at) == ("chatcmpl-1", None)


def test_parents_in_a_circle_end() -> None:
    made = only(
        a_step("a", parent="b", attributes=chain()),
        a_step("b", parent="c", attributes={}),
        a_step("c", parent="a", attributes=call()),
    )
    assert made.input_tokens == 10


def test_a_span_that_ended_before_it_began_has_no_latency() -> None:
    assert only(a_step(attributes=chain(), ended_at=NOON.replace(hour=11))).latency_ms is None


NAMES = [
    "openinference.span.kind",
    "input.value",
    "input.mime_type",
    "output.value",
    "metadata",
    "llm.input_messages.0.message.content",
    "llm.output_messages.0.message.role",
    "llm.token_count.prompt",
    "llm.cost.total",
    "retrieval.documents.0.document.content",
    "onlineeval.response",
    "onlineeval.response_id",
    "gen_ai.operation.name",
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.prompt.0.content",
    "gen_ai.response.finish_reasons",
    "gen_ai.usage.input_tokens",
    "gen_ai.response.id",
    "gen_ai.evaluation.name",
    "gen_ai.evaluation.score.value",
    "onlineeval.inclusion_probability",
    "annotations.0.annotation.name",
    "annotations.0.annotation.score",
    "annotations.0.annotation.annotator_kind",
    "annotations.0.annotation.metadata",
    "body",
    "content",
    "index",
    "message",
    "error.type",
]
WORDS = ["LLM", "HUMAN", "chat", "text", "application/json", '{"a":[1]}', "[[", "", "x" * 300, "é", "\x00"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.sampled_from(WORDS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*NAMES, "role", "type", "parts", "content"]), inner, max_size=3)
    ),
    max_leaves=5,
)
ATTRIBUTES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)
EVENT_NAMES = ["gen_ai.user.message", "gen_ai.choice", "gen_ai.content.prompt", RESULT]
EVENT_NAMES += ["gen_ai.client.inference.operation.details"]
EVENTS = st.lists(
    VALUES
    | st.builds(
        lambda name, said: {"name": name, "time": 3, "attributes": said},
        st.sampled_from(EVENT_NAMES),
        VALUES | ATTRIBUTES,
    ),
    max_size=2,
)


@settings(max_examples=200, deadline=None)
@given(
    told=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([None, "a", "b"]), ATTRIBUTES, EVENTS), max_size=4),
    rule=st.sampled_from([ROOT, AGENTS, ResponseSpan(by="marked")]),
    status=st.sampled_from([None, "error"]),
)
def test_whatever_a_trace_holds_it_becomes_lines_of_the_log_or_says_why_not(
    told: list[Any], rule: ResponseSpan, status: str | None
) -> None:
    steps = [
        a_step(name, parent=parent, attributes=said, events=events, status=status, event_id=f"t:{n}")
        for n, (name, parent, said, events) in enumerate(told)
    ]
    steps += [a_record(RESULT, said, of=name, event_id=f"l:{n}") for n, (name, _, said, _) in enumerate(told)]
    made = assemble(steps, rule)
    assert bool(made.responses) == (made.reason is None)
    for event in (*made.responses, *made.opinions):
        assert type(event).model_validate_json(encode(event)) == event
    assert orjson.dumps(made.reason)


def test_the_chosen_span_is_found_whatever_the_order_of_arrival() -> None:
    told = [*SEVERAL, a_step("note", parent="root", events=[an_event("exception")])]
    for rule in (ROOT, AGENTS):
        assert assemble(told, rule).responses == assemble(told[::-1], rule).responses
