"""Endpoints behave badly in every way that real ones do: each selection ends in one state, and other judges go on.

Every test runs two judges side by side over real HTTP, run after run with what is then pending, and counts the calls
at the endpoint.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from onlineeval_dagster.catalog.judge_file import Judge, Price
from onlineeval_dagster.contracts.events import Verdict
from onlineeval_dagster.judges.asking import MAX_TRIES
from onlineeval_dagster.judges.client import Endpoint
from onlineeval_dagster.judges.pace import MOST_EVENTS
from onlineeval_dagster.judges.runner import PAUSE_AFTER, RunSummary, judge_all
from onlineeval_dagster.judges.stage import ATTEMPTS
from onlineeval_dagster.judges.state import FIRST_PAUSE, JudgeState
from onlineeval_dagster.judges.work import WorkItem
from tests.fake_endpoint import FakeEndpoint, Say, completion, refusal, serving
from tests.worlds import NOW

ITEMS, IN_FLIGHT, TIMEOUT, RUNS = 40, 4, 0.3, 6
GOOD = completion('{"score": 3, "reason": "kind"}')
HTML = Say(body=b"<html>gateway</html>", headers={"content-type": "text/html"})
BAD = Judge(
    name="bad",
    axis="tone",
    prompt="{response}",
    scale={1: "rude", 3: "kind"},
    good_from=3,
    model="bad-model",
    parameters={"max_tokens": 20},
    price=Price(input_usd_per_million=100.0, output_usd_per_million=100.0),
    max_in_flight=IN_FLIGHT,
    timeout_seconds=TIMEOUT,
)
# It has time: on a busy machine a good answer may well take longer than what the other judge is given.
FINE = replace(BAD, name="fine", model="fine-model", timeout_seconds=30)


class World:
    """Two judges on one endpoint, their journal, and a clock that each run moves on."""

    def __init__(self, fake: FakeEndpoint, *, judge: Judge = BAD, items: int = ITEMS, file: Path | None = None) -> None:
        self.fake, self.judge, self.items, self.now = fake, judge, items, NOW
        self.state = JudgeState(file or ":memory:")
        self.verdicts: list[Verdict] = []
        self.key = "k"

    def calls(self, judge: str = "bad") -> int:
        return sum(call["model"] == f"{judge}-model" for call in self.fake.calls)

    def pending(self, judge: Judge) -> Iterator[WorkItem]:
        """As judges/stage.py finds it in the lake."""
        mine = [verdict for verdict in self.verdicts if verdict.judge == judge.name]
        over = {verdict.response_id for verdict in mine if verdict.score is not None or verdict.error_kind == "shed"}
        tried = Counter(verdict.response_id for verdict in mine)
        for number in range(self.items):
            name = f"r{number}"
            if name not in over and tried[name] < ATTEMPTS:
                yield WorkItem(response_id=name, response_at=NOW, query="q", response=name, attempt=tried[name])

    def run(self, *, after: timedelta = timedelta()) -> RunSummary:
        """One run some time later; the summary of the judge whose endpoint is bad."""
        self.now += after
        judges = [self.judge, FINE]
        summaries = judge_all(
            [(judge, list(self.pending(judge))) for judge in judges],
            endpoint=lambda judge: Endpoint(base_url=self.fake.base_url, api_key=self.key),
            record=self.verdicts.extend,
            now=lambda: self.now,
            state=self.state,
            rng=random.Random(1),
            first_wait=0.005,
        )
        return next(summary for summary in summaries if summary.judge == self.judge.name)

    def states(self, judge: str = "bad") -> Counter[str]:
        """How many selections ended how; pending ones have no verdict, or may be asked for again."""
        found: dict[str, list[Verdict]] = {f"r{number}": [] for number in range(self.items)}
        for verdict in self.verdicts:
            if verdict.judge == judge:
                found[verdict.response_id].append(verdict)
        keys = [(v.judge, v.response_id, v.attempt) for v in self.verdicts]
        assert len(keys) == len(set(keys)), "one verdict a response and attempt"
        return Counter(_state(verdicts) for verdicts in found.values())

    def the_other_judge_is_done(self) -> bool:
        return self.states("fine") == {"done": self.items} and self.calls("fine") == self.items


def _state(verdicts: list[Verdict]) -> str:
    if any(verdict.score is not None for verdict in verdicts):
        return "done"
    kinds = [verdict.error_kind for verdict in verdicts]
    if "shed" in kinds:
        return "shed"
    return f"failed: {kinds[-1]}" if len(kinds) >= ATTEMPTS else "pending"


def bad_only(script: Callable[[int, str], Say]) -> Callable[[int, dict[str, Any]], Say]:
    """What `script` says, from its number and the response, to calls of the bad judge; good replies to the other's."""
    numbers = iter(range(10**6))

    def says(number: int, body: dict[str, Any]) -> Say:
        if body["model"] == "fine-model":
            return GOOD
        return script(next(numbers), body["messages"][1]["content"].split("\n")[1])

    return says


def some(name: str) -> bool:
    """One response in five."""
    return int(name[1:]) % 5 == 1


SOME = sum(some(f"r{number}") for number in range(ITEMS))


@pytest.mark.parametrize(
    ("say", "kind", "most_calls"),
    [
        (refusal(500), "endpoint", MAX_TRIES),
        (Say(reset=True), "endpoint", MAX_TRIES),
        (replace(GOOD, cut_off_after=30), "endpoint", MAX_TRIES),
        (completion("", delay_s=5), "timeout", 2),
        (replace(GOOD, bytes_a_second=30), "timeout", 2),
        (completion(""), "empty", 1),
        (completion("score: ", finish_reason="length"), "unreadable", 1),
        (completion("I think it is", finish_reason="length"), "unreadable", 1),
        (completion("", finish_reason="content_filter"), "filtered", 1),
        (refusal(400, code="content_filter"), "filtered", 1),
        (completion(None, refusal="I will not"), "refused", 1),
        (completion('{"score" 3'), "unreadable", 1),
        (completion('{"score": "high"}'), "unreadable", 1),
        (completion('{"score": 1}{"score": 3}'), "unreadable", 1),
        (completion('{"points": 3}'), "unreadable", 1),
        (HTML, "endpoint", 1),
        (refusal(400, code="context_length_exceeded"), "too_long", 1),
        (refusal(422), "endpoint", 1),
    ],
)
def test_what_befalls_some_responses_is_their_own_failure_and_all_others_are_judged(
    say: Say, kind: str, most_calls: int
) -> None:
    """Bound: of what fails, each attempt takes `most_calls`; of the rest one call each."""
    with serving(bad_only(lambda number, name: say if some(name) else GOOD)) as fake:
        world = World(fake)
        for _ in range(RUNS):
            world.run(after=timedelta(hours=2))
            if "pending" not in world.states():
                break
    states = world.states()
    # A pause, where the last ones left fail together, holds them back for a later run: never lost, never doubled.
    assert set(states) <= {"done", f"failed: {kind}", "pending"}
    assert states["done"] == ITEMS - SOME
    assert states["pending"] <= (SOME if most_calls > 1 else 0)
    assert world.calls() <= ITEMS - SOME + SOME * ATTEMPTS * most_calls + RUNS * (2 * IN_FLIGHT + MOST_EVENTS)
    assert world.the_other_judge_is_done()


@pytest.mark.parametrize(
    "say",
    [
        refusal(429),
        refusal(429, retry_after="0.02"),
        refusal(500),
        refusal(503),
        Say(reset=True),
        completion("", delay_s=5),
        replace(GOOD, bytes_a_second=30),
        replace(GOOD, cut_off_after=30),
    ],
    ids=["429", "429 with Retry-After", "500", "503", "reset", "hang", "slow bytes", "cut off"],
)
def test_an_outage_pauses_the_judge_burns_nothing_and_ends_by_itself(say: Say) -> None:
    """Bound: 2 x calls in flight + MOST_EVENTS until the pause, then one call a probe."""
    down, is_slow = True, say.delay_s > 0 or say.bytes_a_second is not None
    with serving(bad_only(lambda number, name: say if down and number >= 10 else GOOD)) as fake:
        world = World(fake)
        first = world.run()
        assert first.paused_reason and first.paused_until == world.now + FIRST_PAUSE
        assert world.calls() <= 10 + 2 * IN_FLIGHT + MOST_EVENTS
        assert world.states() == {"done": 10, "pending": ITEMS - 10}
        # A hang may be the response's own fault: what was in flight when it began loses one of three attempts.
        burnt = [verdict for verdict in world.verdicts if verdict.error_kind]
        assert len(burnt) <= (IN_FLIGHT if is_slow else 0)
        assert world.the_other_judge_is_done(), "the other judge goes on"
        before = world.calls()
        world.run(after=timedelta(seconds=5))
        assert world.calls() == before, "a paused judge is not asked"
        for probes in range(1, 4):
            summary = world.run(after=FIRST_PAUSE * 2**probes)
            assert world.calls() == before + probes, "one call finds out that it is still down"
            assert summary.paused_until == world.now + FIRST_PAUSE * 2**probes
        down = False
        last = world.run(after=timedelta(hours=1))
        assert (last.paused_reason, last.failed) == (None, 0)
        assert world.states() == {"done": ITEMS}
        assert world.calls() == before + 3 + ITEMS - 10, "nothing that was answered is asked again"
        assert world.state.pauses() == []


@pytest.mark.parametrize(
    ("say", "named"),
    [
        (refusal(401), "OPENAI_API_KEY"),
        (refusal(403), "OPENAI_API_KEY"),
        (refusal(404, code="model_not_found"), "bad-model"),
        (refusal(429, code="insufficient_quota"), "quota"),
        (refusal(429, retry_after="7200"), "HTTP 429"),
    ],
    ids=["wrong key", "no rights", "unknown model", "no quota", "come back in two hours"],
)
def test_what_only_a_person_can_mend_costs_one_call_a_probe_and_names_the_remedy(say: Say, named: str) -> None:
    with serving(bad_only(lambda number, name: say)) as fake:
        world = World(fake)
        summary = world.run()
        assert named in (summary.paused_reason or "")
        assert world.calls() == 1
        for _ in range(20):
            world.run(after=timedelta(minutes=3))
        assert world.calls() <= 1 + 7, "an hour of runs: probes after 30 s, 1, 2, 4 … minutes"
        assert world.states() == {"pending": ITEMS}
        assert world.the_other_judge_is_done()


def test_a_corrected_key_is_tried_at_once_and_the_pause_outlives_the_process(tmp_path: Path) -> None:
    right = False
    with serving(bad_only(lambda number, name: GOOD if right else refusal(401))) as fake:
        world = World(fake, file=tmp_path / "judges.sqlite")
        world.run()
        world.state = JudgeState(tmp_path / "judges.sqlite")
        right = True
        assert world.run().paused_reason is not None
        assert world.calls() == 1
        world.key = "corrected"
        assert world.run().paused_reason is None
    assert world.states() == {"done": ITEMS}


def test_a_call_that_every_response_is_refused_for_pauses_after_some() -> None:
    """A parameter that the endpoint does not know: HTTP 400 for all. Bound: PAUSE_AFTER calls, then one a probe."""
    with serving(bad_only(lambda number, name: refusal(400))) as fake:
        world = World(fake)
        summary = world.run()
        assert "HTTP 400" in (summary.paused_reason or "")
        assert world.calls() <= PAUSE_AFTER
        before = world.calls()
        world.run(after=timedelta(hours=1))
        assert world.calls() <= before + PAUSE_AFTER
        assert world.the_other_judge_is_done()


def test_an_endpoint_that_says_now_and_then_to_slow_down_gets_every_response_judged() -> None:
    """Every fifth call meets a 429, and is made again. Bound: a quarter more calls than responses, and the last."""

    def script(number: int, name: str) -> Say:
        return replace(GOOD, delay_s=0.005) if number % 5 else refusal(429, retry_after="0.01")

    with serving(bad_only(script)) as fake:
        world = World(fake)
        world.run()
    assert world.states() == {"done": ITEMS}
    assert world.calls() <= ITEMS * 1.25 + 1


def test_what_is_over_the_budget_of_the_day_is_shed_and_the_next_day_has_its_own() -> None:
    """The fake reports 110 tokens a call: 0.011 dollars."""
    with serving(bad_only(lambda number, name: GOOD)) as fake:
        world = World(fake, judge=replace(BAD, daily_budget_usd=0.25))
        first = world.run()
        states = world.states()
        assert first.shed == states["shed"] == ITEMS - states["done"]
        assert 0.011 * world.calls() <= 0.25
        assert world.state.spent("bad", world.now.date()) == pytest.approx(0.011 * world.calls())
        assert world.calls() >= 10
        world.items += 5
        world.run(after=timedelta(days=1))
        assert world.states()["done"] == states["done"] + 5
        assert world.states()["shed"] == states["shed"], "what was shed stays shed"


def test_calls_stay_within_the_requests_a_minute_of_the_judge_file() -> None:
    with serving(bad_only(lambda number, name: GOOD)) as fake:
        world = World(fake, judge=replace(BAD, requests_per_minute=1_200))
        started = time.monotonic()
        world.run()
        assert time.monotonic() - started >= (ITEMS - 20 - 1) / 20
    assert world.states() == {"done": ITEMS}
    assert fake.most_in_flight <= 2 * IN_FLIGHT
