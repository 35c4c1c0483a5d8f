"""What each behaviour of an endpoint becomes, over real HTTP."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from onlineeval_dagster.catalog.judge_file import Judge, Price
from onlineeval_dagster.errors import JudgeError
from onlineeval_dagster.judges.client import Endpoint, retry_after
from onlineeval_dagster.judges.work import Busy, Call, Failure, Paused, Reply, Token
from tests.fake_endpoint import FakeEndpoint, Say, Script, completion, refusal, serving

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
KEY = "sk-very-secret-key"
GOOD = '{"score": 3, "reason": "on the question"}'
JUDGE = Judge(
    name="tone",
    axis="tone",
    prompt="Judge {response}",
    scale={1: "rude", 2: "neutral", 3: "kind"},
    good_from=3,
    model="judge-model",
    parameters={"temperature": 0, "max_tokens": 50, "some_vendor_switch": True},
    price=Price(input_usd_per_million=1.0, output_usd_per_million=2.0),
)
MESSAGES = [{"role": "user", "content": "the private text"}]


def ask(script: Script, *, judge: Judge = JUDGE, timeout: float = 5.0) -> tuple[Call, FakeEndpoint]:
    async def run(base_url: str) -> Call:
        async with Endpoint(base_url=base_url, api_key=KEY, now=lambda: NOW) as endpoint:
            return await endpoint.call(MESSAGES, judge, timeout=timeout)

    with serving(script) as fake:
        return asyncio.run(run(fake.base_url)), fake


def only(say: Say, **options: Any) -> Call:
    outcome, fake = ask(lambda number, body: say, **options)
    assert len(fake.calls) == 1, "one call is one HTTP call"
    return outcome


def test_a_reply_brings_its_text_tokens_request_id_and_fingerprint() -> None:
    reply, fake = ask(lambda number, body: completion(GOOD))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish_reason, reply.tries) == (GOOD, "stop", 1)
    assert (reply.input_tokens, reply.output_tokens, reply.request_id) == (100, 10, "req-1")
    assert (reply.fingerprint, reply.model) == ("fp_1", "served-model-1")
    assert 0 < reply.latency_ms < 5000
    assert fake.keys == [f"Bearer {KEY}"]


def test_parameters_reach_the_endpoint_as_the_judge_file_has_them() -> None:
    _, fake = ask(lambda number, body: completion(GOOD))
    expected = {"model": "judge-model", "messages": MESSAGES, **JUDGE.parameters}
    assert fake.calls == [expected]


@pytest.mark.parametrize(
    ("say", "is_limit", "wait"),
    [
        (refusal(429, retry_after="0.3"), True, 0.3),
        (refusal(429), True, None),
        (refusal(503, retry_after="Mon, 23 Nov 2026 12:00:30 GMT"), True, 30.0),
        (refusal(500), False, None),
        (refusal(408), False, None),
        (Say(reset=True), False, None),
        (completion(GOOD, delay_s=3), False, None),
        (replace(completion(GOOD), bytes_a_second=20), False, None),
        (replace(completion(GOOD), cut_off_after=40), False, None),
    ],
)
def test_a_call_that_is_not_served_says_whether_to_slow_down_and_for_how_long(
    say: Say, is_limit: bool, wait: float | None
) -> None:
    outcome = only(say, timeout=0.5)
    assert isinstance(outcome, Busy)
    assert (outcome.is_limit, outcome.wait_seconds) == (is_limit, wait)
    is_slow = say.delay_s > 1 or say.bytes_a_second is not None
    assert outcome.failure.kind == ("timeout" if is_slow else "endpoint")
    assert outcome.failure.may_have_cost == (say.status == 200), "what broke off may have been charged"


def test_a_judge_that_wants_json_holds_the_endpoint_to_a_schema_of_its_scale() -> None:
    _, fake = ask(lambda number, body: completion(GOOD), judge=replace(JUDGE, reply="json"))
    schema = fake.calls[0]["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["properties"]["score"]["enum"] == [1, 2, 3]


def test_an_endpoint_without_schemas_pauses_a_judge_that_needs_one() -> None:
    body = {"error": {"message": "no", "param": "response_format", "code": "unsupported"}}
    say = Say(status=400, body=json.dumps(body).encode(), headers={"content-type": "application/json"})
    outcome = only(say, judge=replace(JUDGE, reply="json"))
    assert isinstance(outcome, Paused)
    assert 'reply = "text"' in outcome.reason
    assert isinstance(only(say), Failure), "to a judge that sent none it says nothing"


def test_the_chances_of_tokens_are_read_where_they_are_told_in_the_known_form() -> None:
    content = [{"token": "3", "logprob": -0.1, "top_logprobs": [{"token": "2", "logprob": -2.5}]}]
    reply = only(completion("3", logprobs={"content": content}))
    assert isinstance(reply, Reply)
    assert reply.tokens == (Token(text="3", chances={"2": -2.5, "3": -0.1}),)
    for odd in ({"content": None}, {"content": [{"token": 3}]}, [], "x", {"content": [{"token": "3"}]}):
        reply = only(completion("3", logprobs=odd))
        assert isinstance(reply, Reply)
        assert reply.tokens == ()


@pytest.mark.parametrize(
    ("say", "named"),
    [
        (refusal(401, text=f"Incorrect API key provided: {KEY}"), "OPENAI_API_KEY"),
        (refusal(403), "OPENAI_API_KEY"),
        (refusal(404, code="model_not_found"), "judge-model"),
        (refusal(429, code="insufficient_quota"), "quota"),
    ],
)
def test_what_every_call_would_be_told_pauses_the_judge_after_one_call(say: Say, named: str) -> None:
    outcome = only(say)
    assert isinstance(outcome, Paused)
    assert named in outcome.reason


@pytest.mark.parametrize(
    ("say", "kind"),
    [
        (refusal(400, code="context_length_exceeded"), "too_long"),
        (refusal(413), "too_long"),
        (refusal(400, code="content_filter"), "filtered"),
        (refusal(422), "endpoint"),
        (Say(body=b"<html>gateway</html>", headers={"content-type": "text/html"}), "endpoint"),
        (Say(body=b"", headers={"content-type": "application/json"}), "endpoint"),
        (Say(body=b'{"choices": []}', headers={"content-type": "application/json"}), "endpoint"),
        (
            Say(body=b'{"choices": [{"message": {"content": 7}}]}', headers={"content-type": "application/json"}),
            "endpoint",
        ),
        (Say(body=b"[[[[", headers={"content-type": "application/json"}), "endpoint"),
        (Say(body=b"\xff\xfe", headers={"content-type": "application/json"}), "endpoint"),
    ],
)
def test_an_answer_that_is_no_reply_is_a_failure_of_its_kind(say: Say, kind: str) -> None:
    outcome = only(say)
    assert isinstance(outcome, Failure)
    assert outcome.kind == kind


def test_a_refusal_field_and_lying_usage_are_read_with_care() -> None:
    reply = only(completion(None, refusal="I cannot judge this"))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish_reason) == ("", "refusal")
    body = b'{"choices": [{"message": {"content": "3"}, "finish_reason": 9}], "usage": {"prompt_tokens": -4}, "id": 3}'
    reply = only(Say(body=body, headers={"content-type": "application/json"}))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish_reason, reply.input_tokens, reply.output_tokens) == ("3", None, None, None)


def test_no_message_ever_holds_the_key_or_the_text() -> None:
    leaking = f"key {KEY} text {MESSAGES[0]['content']}"
    says = [refusal(status, text=leaking, code=leaking) for status in (400, 401, 403, 404, 413, 422, 429, 500)]
    for say in [*says, Say(body=leaking.encode()), Say(reset=True)]:
        outcome = only(say)
        said = repr(outcome)
        assert KEY not in said
        assert "private" not in said


def test_an_endpoint_that_is_down_says_so_without_its_password() -> None:
    async def run() -> Call:
        address = "http://user:hidden@127.0.0.1:9/v1"
        async with Endpoint(base_url=address, api_key=KEY) as endpoint:
            return await endpoint.call(MESSAGES, JUDGE, timeout=5)

    outcome = asyncio.run(run())
    assert isinstance(outcome, Busy)
    assert outcome.failure.kind == "endpoint"
    assert "127.0.0.1:9" in outcome.failure.message
    assert "hidden" not in repr(outcome)


@pytest.mark.parametrize("key", [None, "", "  "])
def test_a_missing_key_is_one_clear_error_before_any_call(key: str | None) -> None:
    with pytest.raises(JudgeError, match=r"OPENAI_API_KEY: not set.*local/overlap"):
        Endpoint(base_url="https://api.openai.com/v1", api_key=key)


@pytest.mark.parametrize(
    "address", ["", "api.openai.com/v1", "ftp://host/v1", "http://", "http://[", "http://host:x/v1"]
)
def test_a_wrong_address_is_named_by_its_variable(address: str) -> None:
    with pytest.raises(JudgeError, match="OPENAI_BASE_URL"):
        Endpoint(base_url=address, api_key=KEY)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("2", 2.0), ("-1", 0.0), ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0), ("soon", None), ("nan", None), ("inf", None)],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str, seconds: float | None) -> None:
    assert retry_after({"retry-after": header}, now=NOW) == seconds
