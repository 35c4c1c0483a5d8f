"""What each behaviour of an endpoint becomes, over real HTTP."""

import asyncio
import random
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from onlineeval_dagster.catalog.judge_file import Judge, Price
from onlineeval_dagster.errors import JudgeError
from onlineeval_dagster.judges.client import Endpoint, retry_after
from onlineeval_dagster.judges.work import Failure, Outcome, Paused, Reply
from tests.fake_endpoint import Say, Script, completion, refusal, serving

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


def ask(script: Script, *, times: int = 1, timeout: float = 5.0) -> tuple[list[Outcome], Any]:
    async def run(base_url: str) -> list[Outcome]:
        async with Endpoint(base_url=base_url, api_key=KEY, rng=random.Random(1), first_wait=0.001) as endpoint:
            return [await endpoint.ask(MESSAGES, JUDGE, timeout=timeout) for _ in range(times)]

    with serving(script) as fake:
        return asyncio.run(run(fake.base_url)), fake


def only(script: Script, **options: Any) -> tuple[Outcome, int]:
    outcomes, fake = ask(script, **options)
    return outcomes[0], len(fake.calls)


def in_turn(*says: Say) -> Script:
    return lambda number, body: says[min(number, len(says) - 1)]


def test_a_reply_brings_its_text_tokens_request_id_and_fingerprint() -> None:
    (reply,), fake = ask(in_turn(completion(GOOD)))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish_reason, reply.tries) == (GOOD, "stop", 1)
    assert (reply.input_tokens, reply.output_tokens, reply.request_id) == (100, 10, "req-1")
    assert (reply.fingerprint, reply.model) == ("fp_1", "served-model-1")
    assert 0 < reply.latency_ms < 5000
    assert fake.keys == [f"Bearer {KEY}"]


def test_parameters_reach_the_endpoint_as_the_judge_file_has_them() -> None:
    _, fake = ask(in_turn(completion(GOOD)))
    expected = {"model": "judge-model", "messages": MESSAGES, **JUDGE.parameters}
    assert fake.calls == [expected]


def test_an_overloaded_endpoint_is_asked_again_when_it_said_so() -> None:
    started = time.monotonic()
    outcome, calls = only(in_turn(refusal(429, retry_after="0.3"), completion(GOOD)))
    assert isinstance(outcome, Reply)
    assert (outcome.tries, calls) == (2, 2)
    assert time.monotonic() - started >= 0.3


def test_one_429_holds_back_the_other_calls_too() -> None:
    """Without it, every call in flight would meet its own 429."""

    async def run(base_url: str) -> list[Outcome]:
        async with Endpoint(base_url=base_url, api_key=KEY, rng=random.Random(1), first_wait=0.001) as endpoint:
            first = asyncio.create_task(endpoint.ask(MESSAGES, JUDGE, timeout=5))
            await asyncio.sleep(0.2)
            others = [endpoint.ask(MESSAGES, JUDGE, timeout=5) for _ in range(5)]
            return list(await asyncio.gather(first, *others))

    opened = time.monotonic() + 0.6
    with serving(
        lambda n, b: completion(GOOD) if time.monotonic() > opened else refusal(429, retry_after="0.7")
    ) as fake:
        outcomes = asyncio.run(run(fake.base_url))
    assert all(isinstance(outcome, Reply) for outcome in outcomes)
    assert len(fake.calls) == 7  # one refused, then six good ones


def test_an_endpoint_that_asks_for_a_long_wait_is_left_alone() -> None:
    outcome, calls = only(in_turn(refusal(429, retry_after="3600")))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, calls) == ("endpoint", 1)


def test_errors_of_the_server_are_tried_again_and_bounded() -> None:
    outcome, calls = only(in_turn(refusal(500)))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, outcome.tries, calls) == ("endpoint", 4, 4)
    assert "HTTP 500" in outcome.message


def test_a_broken_connection_is_tried_again() -> None:
    outcome, calls = only(in_turn(Say(reset=True), Say(reset=True), completion(GOOD)))
    assert isinstance(outcome, Reply)
    assert (outcome.tries, calls) == (3, 3)


def test_an_endpoint_that_hangs_is_a_timeout_and_not_asked_again() -> None:
    outcome, calls = only(in_turn(completion(GOOD, delay_s=3)), timeout=0.2)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, calls) == ("timeout", 1)
    assert "0.2 s" in outcome.message


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
    outcome, calls = only(in_turn(say))
    assert isinstance(outcome, Paused)
    assert named in outcome.reason
    assert calls == 1


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
    outcome, calls = only(in_turn(say))
    assert isinstance(outcome, Failure)
    assert (outcome.kind, calls) == (kind, 1)


def test_a_refusal_field_and_lying_usage_are_read_with_care() -> None:
    (reply,), _ = ask(in_turn(completion(None, refusal="I cannot judge this")))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish_reason) == ("", "refusal")
    body = b'{"choices": [{"message": {"content": "3"}, "finish_reason": 9}], "usage": {"prompt_tokens": -4}, "id": 3}'
    (reply,), _ = ask(in_turn(Say(body=body, headers={"content-type": "application/json"})))
    assert isinstance(reply, Reply)
    assert (reply.text, reply.finish_reason, reply.input_tokens, reply.output_tokens) == ("3", None, None, None)


def test_no_message_ever_holds_the_key_or_the_text() -> None:
    leaking = f"key {KEY} text {MESSAGES[0]['content']}"
    says = [refusal(status, text=leaking, code=leaking) for status in (400, 401, 403, 404, 413, 422, 429, 500)]
    for say in [*says, Say(body=leaking.encode()), Say(reset=True)]:
        outcome, _ = only(in_turn(say))
        said = repr(outcome)
        assert KEY not in said
        assert "private" not in said


def test_an_endpoint_that_is_down_says_so_without_its_password() -> None:
    async def run() -> Outcome:
        address = "http://user:hidden@127.0.0.1:9/v1"
        async with Endpoint(base_url=address, api_key=KEY, rng=random.Random(1), first_wait=0.001) as endpoint:
            return await endpoint.ask(MESSAGES, JUDGE, timeout=5)

    outcome = asyncio.run(run())
    assert isinstance(outcome, Failure)
    assert outcome.kind == "endpoint"
    assert "127.0.0.1:9" in outcome.message
    assert "hidden" not in repr(outcome)


@pytest.mark.parametrize("key", [None, "", "  "])
def test_a_missing_key_is_one_clear_error_before_any_call(key: str | None) -> None:
    with pytest.raises(JudgeError, match=r"OPENAI_API_KEY: not set.*local/overlap"):
        Endpoint(base_url="https://api.openai.com/v1", api_key=key, rng=random.Random(1))


@pytest.mark.parametrize(
    "address", ["", "api.openai.com/v1", "ftp://host/v1", "http://", "http://[", "http://host:x/v1"]
)
def test_a_wrong_address_is_named_by_its_variable(address: str) -> None:
    with pytest.raises(JudgeError, match="OPENAI_BASE_URL"):
        Endpoint(base_url=address, api_key=KEY, rng=random.Random(1))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("2", 2.0), ("-1", 0.0), ("Mon, 23 Nov 2026 12:00:30 GMT", 30.0), ("soon", None), ("nan", None), ("inf", None)],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header: str, seconds: float | None) -> None:
    now = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
    assert retry_after({"retry-after": header}, now=now) == seconds
