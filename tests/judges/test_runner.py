"""Every response gets one recorded verdict, in time, and nothing is paid for twice."""

import asyncio
import itertools
import random
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from onlineeval_dagster.catalog.judge_file import Judge, Price
from onlineeval_dagster.contracts.events import Verdict
from onlineeval_dagster.errors import JudgeError, LogError
from onlineeval_dagster.judges.client import Endpoint, EndpointOf, endpoint_of
from onlineeval_dagster.judges.runner import LOCAL_CHUNK, RunSummary, judge_all, run_judge
from onlineeval_dagster.judges.verdicts import verdict_id
from onlineeval_dagster.judges.work import Call, Failure, Paused, Reply, WorkItem
from onlineeval_dagster.settings import load_settings
from tests.fake_endpoint import Say, completion, refusal, serving

QUICK: dict[str, Any] = {"rng": random.Random(1), "first_wait": 0.001}
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
GOOD = '{"score": 3, "reason": "on the question"}'
REMOTE = Judge(
    name="tone",
    axis="tone",
    prompt="Judge {response} to {query}",
    scale={1: "rude", 2: "neutral", 3: "kind"},
    good_from=3,
    model="judge-model",
    price=Price(input_usd_per_million=1.0, output_usd_per_million=2.0),
    max_in_flight=4,
    timeout_seconds=0.5,
)
LOCAL = replace(REMOTE, name="relevance", axis="relevance", model="local/overlap", price=None)


def items(count: int) -> Iterator[WorkItem]:
    for number in range(count):
        yield WorkItem(
            response_id=f"r{number}",
            response_at=NOW - timedelta(hours=1),
            query="How do I return the kettle?",
            response="Return the kettle within 30 days.",
            inclusion_probability=0.05,
            stratum="normal",
            environment="staging",
            app="shop",
            attempt=2,
        )


class Asked:
    """A scripted `call`: what it answers to the nth call, and what was in flight when."""

    def __init__(self, script: Callable[[int], Call], *, delay_s: float = 0.0) -> None:
        self.script, self.delay_s, self.calls, self.now, self.most = script, delay_s, 0, 0, 0

    async def __call__(self, messages: Any, judge: Judge, *, timeout: float) -> Call:
        number, self.calls, self.now = self.calls, self.calls + 1, self.now + 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(self.delay_s)
        self.now -= 1
        return self.script(number)


def reply(text: str = GOOD, finish_reason: str = "stop") -> Reply:
    return Reply(
        text=text,
        finish_reason=finish_reason,
        latency_ms=12.0,
        model="served",
        input_tokens=1000,
        output_tokens=100,
        request_id="req",
        fingerprint="fp",
    )


def failed(kind: Any = "endpoint") -> Failure:
    return Failure(kind=kind, message="HTTP 500 (host, tried 4x)", latency_ms=3.0)


def run(judge: Judge, work: Iterator[WorkItem], ask: Any, **options: Any) -> tuple[RunSummary, list[Verdict]]:
    verdicts: list[Verdict] = []
    summary = asyncio.run(run_judge(judge, work, ask, record=verdicts.extend, now=lambda: NOW, **options))
    return summary, verdicts


def test_a_verdict_carries_the_selection_the_score_and_the_cost() -> None:
    summary, (verdict,) = run(REMOTE, items(1), Asked(lambda n: reply()))
    assert (verdict.response_id, verdict.response_at, verdict.attempt) == ("r0", NOW - timedelta(hours=1), 2)
    assert (verdict.judge, verdict.judge_version, verdict.axis) == ("tone", REMOTE.version, "tone")
    assert (verdict.inclusion_probability, verdict.stratum) == (0.05, "normal")
    assert (verdict.environment, verdict.app, verdict.occurred_at) == ("staging", "shop", NOW)
    assert (verdict.score, verdict.error_kind, verdict.rationale) == (3.0, None, "on the question")
    assert (verdict.latency_ms, verdict.request_id, verdict.fingerprint) == (12.0, "req", "fp")
    assert verdict.cost_usd == pytest.approx(0.0012)
    assert verdict.attributes == {"tries": 1, "served_model": "served"}
    assert (summary.done, summary.failed, summary.input_tokens, summary.output_tokens) == (1, 0, 1000, 100)
    assert summary.cost_usd == pytest.approx(0.0012)


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (reply("no idea"), "unreadable"),
        (reply(""), "empty"),
        (reply(GOOD, "content_filter"), "filtered"),
        (reply("I'm sorry, I can't judge that"), "refused"),
        (failed("endpoint"), "endpoint"),
        (failed("too_long"), "too_long"),
    ],
)
def test_what_brings_no_score_is_an_error_verdict_with_its_kind(outcome: Call, kind: str) -> None:
    summary, (verdict,) = run(REMOTE, items(1), Asked(lambda n: outcome))
    assert (verdict.score, verdict.error_kind) == (None, kind)
    assert verdict.error
    assert (summary.done, summary.failed) == (0, 1)
    assert (verdict.cost_usd or 0) > 0 if isinstance(outcome, Reply) else verdict.cost_usd is None


def test_as_many_calls_as_the_judge_file_says_are_in_flight() -> None:
    ask = Asked(lambda n: reply(), delay_s=0.002)
    summary, verdicts = run(REMOTE, items(50), ask)
    assert (ask.most, ask.calls, summary.done) == (4, 50, 50)
    assert {verdict.response_id for verdict in verdicts} == {f"r{number}" for number in range(50)}


def test_a_verdict_is_recorded_before_the_same_worker_asks_again() -> None:
    recorded: list[Verdict] = []
    unrecorded: list[int] = []

    async def ask(messages: Any, judge: Judge, *, timeout: float) -> Call:
        unrecorded.append(len(unrecorded) - len(recorded))
        return reply()

    work = items(20)
    alone = replace(REMOTE, max_in_flight=1)
    asyncio.run(run_judge(alone, work, ask, record=recorded.extend, now=lambda: NOW))
    assert unrecorded == [0] * 20


def test_work_is_read_as_it_is_needed() -> None:
    taken = 0

    def counted() -> Iterator[WorkItem]:
        nonlocal taken
        for item in items(1000):
            taken += 1
            yield item

    run(REMOTE, counted(), Asked(lambda n: reply() if n < 10 else Paused(reason="stop")))
    assert taken <= 10 + 4 * REMOTE.max_in_flight


def test_memory_stays_flat_over_many_local_verdicts() -> None:
    def peak(count: int) -> int:
        tracemalloc.start()
        asyncio.run(run_judge(LOCAL, items(count), Asked(lambda n: reply()), record=lambda v: None, now=lambda: NOW))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(500)
    assert peak(4000) < 1.5 * peak(1000)


def test_a_pause_stops_the_judge_and_leaves_the_rest_unjudged() -> None:
    ask = Asked(lambda n: reply() if n < 5 else Paused(reason="HTTP 401 from host: the key was refused"), delay_s=0.001)
    summary, verdicts = run(REMOTE, items(100), ask)
    assert summary.paused_reason == "HTTP 401 from host: the key was refused"
    assert len(verdicts) == summary.done == 5
    assert ask.calls <= 5 + REMOTE.max_in_flight


def test_a_judge_that_keeps_failing_pauses_and_names_the_last_failure() -> None:
    ask = Asked(lambda n: failed())
    summary, verdicts = run(REMOTE, items(1000), ask, pause_after=7)
    assert ask.calls <= 7 + REMOTE.max_in_flight
    assert summary.failed == len(verdicts) == ask.calls
    assert summary.paused_reason is not None
    assert "calls in a row failed, the last: HTTP 500" in summary.paused_reason


def test_failures_among_replies_and_bad_replies_do_not_pause() -> None:
    mixed = itertools.cycle([reply("no idea"), failed(), failed("too_long"), reply()])
    summary, _ = run(REMOTE, items(200), Asked(lambda n: next(mixed)), pause_after=3)
    assert summary.paused_reason is None
    assert summary.done + summary.failed == 200


def test_a_disk_that_is_full_stops_all_workers_with_its_own_error() -> None:
    ask = Asked(lambda n: reply(), delay_s=0.001)

    def full(verdicts: list[Verdict]) -> None:
        raise LogError("log/: no space left")

    with pytest.raises(LogError, match="no space left"):
        asyncio.run(run_judge(REMOTE, items(1000), ask, record=full, now=lambda: NOW))
    assert ask.calls <= 2 * REMOTE.max_in_flight


def test_the_event_id_comes_from_the_key_alone() -> None:
    item = next(items(1))
    same = verdict_id(REMOTE, replace(item, query="other", stratum=None, app="x"))
    others = [
        verdict_id(REMOTE, replace(item, response_id="r1")),
        verdict_id(REMOTE, replace(item, attempt=3)),
        verdict_id(REMOTE, replace(item, replicate=1)),
        verdict_id(replace(REMOTE, name="tone2"), item),
        verdict_id(replace(REMOTE, axis="style"), item),
        verdict_id(replace(REMOTE, prompt="{response}?"), item),
    ]
    assert same == verdict_id(REMOTE, item)
    assert len({same, *others}) == 7


def test_local_verdicts_come_in_chunks_and_cost_nothing() -> None:
    sizes: list[int] = []
    summary = asyncio.run(
        run_judge(LOCAL, items(1200), Asked(lambda n: reply()), record=lambda v: sizes.append(len(v)), now=lambda: NOW)
    )
    assert sizes == [LOCAL_CHUNK, LOCAL_CHUNK, 200]
    assert (summary.done, summary.cost_usd, summary.input_tokens) == (1200, 0.0, 0)


def real(base_url: str, key: str | None = "sk-secret") -> EndpointOf:
    return lambda judge: Endpoint(base_url=base_url, api_key=key)


def test_judges_go_on_when_one_of_them_is_paused() -> None:
    unknown = replace(REMOTE, name="lost", model="no-such-model")

    def script(number: int, body: dict[str, Any]) -> Say:
        return refusal(404, code="model_not_found") if body["model"] == "no-such-model" else completion(GOOD)

    verdicts: list[Verdict] = []
    tasks = [(unknown, items(50)), (REMOTE, items(20)), (LOCAL, items(30))]
    with serving(script) as fake:
        local, lost, tone = judge_all(
            tasks, endpoint=real(fake.base_url), record=verdicts.extend, now=lambda: NOW, **QUICK
        )
    assert [local.judge, lost.judge, tone.judge] == ["relevance", "lost", "tone"]
    assert (local.done, tone.done, lost.done, lost.failed) == (30, 20, 0, 0)
    assert "no-such-model" in (lost.paused_reason or "")
    assert len(fake.calls) == 20 + 1, "one call is enough to learn that there is no such model"
    assert len(verdicts) == 50


def test_a_missing_key_costs_the_local_judges_nothing() -> None:
    verdicts: list[Verdict] = []
    with pytest.raises(JudgeError, match="OPENAI_API_KEY"):
        judge_all(
            [(REMOTE, items(5)), (LOCAL, items(5))],
            endpoint=real("http://127.0.0.1:9/v1", key=None),
            record=verdicts.extend,
            now=lambda: NOW,
        )
    assert [verdict.judge for verdict in verdicts] == ["relevance"] * 5


def test_each_judge_is_asked_at_its_own_endpoint_with_its_own_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    verdicts: list[Verdict] = []
    with serving(lambda number, body: completion(GOOD)) as one, serving(lambda number, body: completion(GOOD)) as two:
        settings = load_settings(OPENAI_BASE_URL=one.base_url, OPENAI_API_KEY="sk-first")
        other = replace(REMOTE, name="other", base_url=two.base_url, api_key_env="OTHER_KEY")
        lost = replace(REMOTE, name="lost", base_url=two.base_url, api_key_env="UNSET_KEY")
        first, second, third = judge_all(
            [(REMOTE, items(3)), (lost, items(3)), (other, items(4))],
            endpoint=endpoint_of(settings),
            record=verdicts.extend,
            now=lambda: NOW,
            **QUICK,
        )
    assert (first.done, second.done, third.done) == (3, 0, 4)
    assert second.paused_reason is not None and second.paused_reason.startswith("UNSET_KEY: not set")
    assert (set(one.keys), set(two.keys)) == ({"Bearer sk-first"}, {"Bearer sk-other"})
    assert "sk-" not in repr(verdicts)


def test_a_refused_key_is_told_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", "sk-other")
    with serving(lambda number, body: refusal(401)) as fake:
        judge = replace(REMOTE, base_url=fake.base_url, api_key_env="OTHER_KEY")
        ask = endpoint_of(load_settings(OPENAI_API_KEY=None))
        (summary,) = judge_all([(judge, items(50))], endpoint=ask, record=lambda said: None, now=lambda: NOW, **QUICK)
        assert len(fake.calls) <= judge.max_in_flight, "no storm of calls with a wrong key"
    assert "correct OTHER_KEY" in (summary.paused_reason or "")


def test_local_judges_need_no_endpoint() -> None:
    def never(judge: Judge) -> Endpoint:
        raise AssertionError("an endpoint was opened")

    summaries = judge_all([(LOCAL, items(5))], endpoint=never, record=lambda v: None, now=lambda: NOW)
    assert [summary.done for summary in summaries] == [5]


def test_a_stormy_endpoint_gives_one_verdict_a_response_of_the_right_kind() -> None:
    storm = [
        completion(GOOD),
        completion('{"score": 9}'),
        completion(""),
        completion("cut", finish_reason="content_filter"),
        completion(GOOD, delay_s=2),
        refusal(400, code="context_length_exceeded"),
        Say(body=b"<html>", headers={"content-type": "text/html"}),
        refusal(500),
    ]
    expected = [None, "unreadable", "empty", "filtered", "timeout", "too_long", "endpoint", "endpoint"]

    def script(number: int, body: dict[str, Any]) -> Say:
        text = body["messages"][1]["content"]
        case = int(text.split("case ")[1].split("!")[0])
        return storm[case] if case < len(storm) else completion(GOOD, delay_s=0.02)

    work = [replace(item, response=f"case {n}!") for n, item in enumerate(items(len(storm) + 150))]
    verdicts: list[Verdict] = []
    with serving(script) as fake:
        (summary,) = judge_all(
            [(REMOTE, work)], endpoint=real(fake.base_url), record=verdicts.extend, now=lambda: NOW, **QUICK
        )
    found = {int(verdict.response_id[1:]): verdict.error_kind for verdict in verdicts}
    assert [found[number] for number in range(len(storm))] == expected
    assert (summary.done, summary.failed) == (151, 7)
    assert "secret" not in repr(verdicts)
