"""Complete traces become responses through the log, once, whatever is killed or comes late."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.catalog.traces_file import ResponseSpan, Traces
from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import Response, Span
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from onlineeval_dagster.traces.stage import Assembly, assemble_settled, traces_due
from tests.worlds import log_events, settings_at

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)
CATALOG = load_catalog(PACKAGED_CATALOG)
LLM = {"openinference.span.kind": "LLM", "input.value": "Where is it?", "output.value": "Here."}


def span(trace: str, name: str, *, parent: str | None = None, at: datetime = NOON, **more: Any) -> Span:
    fields: dict[str, Any] = {"attributes": LLM, "received_at": at + timedelta(seconds=2)} | more
    return Span(
        event_id=f"{trace}:{name}",
        trace_id=trace,
        span_id=name,
        parent_span_id=parent,
        name=name,
        occurred_at=at,
        ended_at=at + timedelta(seconds=1),
        **fields,
    )


def verdict_on(trace: str, *, at: datetime) -> Span:
    said = {"gen_ai.evaluation.name": "helpful", "gen_ai.evaluation.score.value": 0.5}
    fields: dict[str, Any] = {"event_id": f"{trace}:log", "record": "log", "trace_id": trace, "span_id": "root"}
    return Span(**fields, name="gen_ai.evaluation.result", occurred_at=at, received_at=at, attributes=said)


def alone(said: dict[str, Any], *, at: datetime = NOON) -> Span:
    """An evaluation as a record of the log that knows no trace."""
    name = "gen_ai.evaluation.result"
    return Span(event_id="log:1", record="log", name=name, occurred_at=at, received_at=at, attributes=said)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path)


def step(settings: Settings, events: Sequence[LogEvent] = (), *, now: datetime = LATER, until: str = "") -> Assembly:
    """What the ingest asset does; it dies where `until` says."""
    log_events(settings, events)
    lake = Lake(settings.lake_folder)
    ingest(settings, lake, now=now)

    def record(said: Sequence[LogEvent]) -> None:
        with open_log(settings, door="traces") as log:
            if said:
                log.append(b"".join(encode(event) for event in said))
        if until == "recorded":
            raise KeyboardInterrupt

    done = assemble_settled(lake, CATALOG, now=now, record=record)
    if until != "marked":
        ingest(settings, lake, now=now)
    return done


def stored(settings: Settings, name: str) -> list[dict[str, Any]]:
    return rows(Lake(settings.lake_folder), f"select * from {name} order by event_id", {name: None}).to_pylist()


def states(settings: Settings) -> dict[str, tuple]:
    found = rows(Lake(settings.lake_folder), "select * from trace_states", {"trace_states": None}).to_pylist()
    assert len({row["trace_id"] for row in found}) == len(found)
    return {row["trace_id"]: (row["state"], row["spans"], row["late_spans"]) for row in found}


def test_a_trace_whose_root_came_and_that_is_quiet_becomes_a_response(settings: Settings) -> None:
    step(settings, [span("t", "root"), span("t", "inner", parent="root", at=NOON + timedelta(seconds=0.1))])
    (made,) = stored(settings, "responses")
    assert (made["response_id"], made["query"], made["response"]) == ("t", "Where is it?", "Here.")
    assert made["latency_ms"] == 1000
    assert states(settings) == {"t": ("response", 2, 0)}


def test_a_trace_that_may_go_on_waits_and_asks_for_a_run_only_when_it_is_due(settings: Settings) -> None:
    lake = Lake(settings.lake_folder)
    soon = NOON + timedelta(seconds=10)
    step(settings, [span("t", "root"), span("orphan", "inner", parent="gone")], now=soon)
    assert states(settings) == {"t": ("waiting", 1, 0), "orphan": ("waiting", 1, 0)}
    assert traces_due(lake, CATALOG, now=soon) == 0
    after = NOON + timedelta(seconds=40)
    assert traces_due(lake, CATALOG, now=after) == 1
    step(settings, now=after)
    assert states(settings) == {"t": ("response", 1, 0), "orphan": ("waiting", 1, 0)}
    step(settings, now=LATER)
    assert states(settings)["orphan"] == ("response", 1, 0)
    assert traces_due(lake, CATALOG, now=LATER + timedelta(days=3)) == 0


def test_a_trace_over_midnight_is_one(settings: Settings) -> None:
    late = NOON.replace(hour=23, minute=59, second=59)
    tokens = {**LLM, "llm.token_count.prompt": 3}
    inner = [span("t", f"i{n}", parent="root", at=late + timedelta(seconds=n), attributes=tokens) for n in range(4)]
    step(settings, [span("t", "root", at=late, attributes={}), *inner], now=late + timedelta(hours=1))
    (made,) = stored(settings, "responses")
    assert made["input_tokens"] == 12
    assert made["day"] == late.date()


def test_plain_http_spans_make_no_response_and_say_why(settings: Settings) -> None:
    step(settings, [span("t", "root", attributes={"http.request.method": "GET"})])
    assert stored(settings, "responses") == []
    (row,) = rows(Lake(settings.lake_folder), "from trace_states", {"trace_states": None}).to_pylist()
    assert (row["state"], row["reason"]) == ("no_content", "no call of a model in it")


@pytest.mark.parametrize("until", ["recorded", "marked"])
def test_a_run_that_dies_between_two_steps_and_is_repeated_writes_each_row_once(settings: Settings, until: str) -> None:
    events = [span("t", "root"), verdict_on("t", at=NOON + timedelta(seconds=3)), span("u", "root")]
    if until == "recorded":
        with pytest.raises(KeyboardInterrupt):
            step(settings, events, until=until)
    else:
        step(settings, events, until=until)
    step(settings, now=LATER + timedelta(minutes=1))
    assert [row["response_id"] for row in stored(settings, "responses")] == ["t", "u"]
    assert len(stored(settings, "verdicts")) == 1
    assert states(settings) == {"t": ("response", 2, 0), "u": ("response", 1, 0)}


def test_a_late_evaluation_yields_its_verdict_and_nothing_else_on_the_responses_day(settings: Settings) -> None:
    step(settings, [span("t", "root")])
    days_later = NOON + timedelta(days=9)
    step(settings, [verdict_on("t", at=days_later)], now=days_later + timedelta(minutes=1))
    assert len(stored(settings, "responses")) == 1
    (verdict,) = stored(settings, "verdicts")
    assert (verdict["response_id"], verdict["axis"], verdict["score"]) == ("t", "helpful", 0.5)
    assert (verdict["day"], verdict["inclusion_probability"]) == (NOON.date(), None)
    assert (verdict["judge"], verdict["judge_version"]) == ("helpful", "imported")
    assert states(settings) == {"t": ("response", 2, 1)}


@pytest.mark.parametrize("named", ["mine", "chatcmpl-7"], ids=["its own", "that of its model call"])
def test_an_evaluation_without_a_trace_finds_its_response_by_an_id(settings: Settings, named: str) -> None:
    inner = span("t", "call", parent="root", attributes=LLM | {"gen_ai.response.id": "chatcmpl-7"})
    step(settings, [span("t", "root", attributes=LLM | {"onlineeval.response_id": "mine"}), inner])
    said = {"gen_ai.evaluation.name": "helpful", "gen_ai.evaluation.score.value": 0.5, "gen_ai.response.id": named}
    days_later = NOON + timedelta(days=9)
    step(settings, [alone(said, at=days_later)], now=days_later + timedelta(hours=1))
    (verdict,) = stored(settings, "verdicts")
    assert (verdict["response_id"], verdict["response_at"], verdict["day"]) == ("mine", NOON, NOON.date())


def test_an_evaluation_waits_for_the_response_that_it_names_and_is_kept_where_none_comes(settings: Settings) -> None:
    said = {"gen_ai.evaluation.name": "helpful", "gen_ai.evaluation.score.value": 0.5, "gen_ai.response.id": "gone"}
    step(settings, [alone(said)], now=NOON + timedelta(minutes=5))
    assert stored(settings, "verdicts") == []
    step(settings)
    (verdict,) = stored(settings, "verdicts")
    assert (verdict["response_id"], verdict["response_at"], verdict["day"]) == ("gone", None, NOON.date())
    gone = span("late", "root", attributes=LLM | {"onlineeval.response_id": "gone"}, received_at=LATER)
    step(settings, [gone], now=LATER + timedelta(hours=1))
    assert len(stored(settings, "verdicts")) == 1


def test_an_evaluation_written_before_a_kill_is_not_written_again_when_its_response_is_found(
    settings: Settings,
) -> None:
    said = {"gen_ai.evaluation.name": "helpful", "gen_ai.evaluation.score.value": 0.5, "gen_ai.response.id": "mine"}
    days_later = NOON + timedelta(days=2)
    with pytest.raises(KeyboardInterrupt):
        step(settings, [alone(said, at=days_later)], now=days_later + timedelta(hours=1), until="recorded")
    answered = Response(event_id="r", occurred_at=NOON, received_at=NOON, response_id="mine", query="?", response="!")
    step(settings, [answered], now=days_later + timedelta(hours=2))
    assert len(stored(settings, "verdicts")) == 1


def test_a_late_span_is_counted_and_the_response_is_not_rewritten(settings: Settings) -> None:
    step(settings, [span("t", "root")])
    (before,) = stored(settings, "responses")
    late = span("t", "late", parent="root", attributes={**LLM, "output.value": "Other."}, received_at=LATER)
    step(settings, [late], now=LATER + timedelta(minutes=1))
    (after,) = stored(settings, "responses")
    assert after == before
    assert states(settings) == {"t": ("response", 2, 1)}


def test_a_root_that_comes_after_its_trace_was_answered_makes_no_second_response(settings: Settings) -> None:
    step(settings, [span("t", "inner", parent="root", at=NOON + timedelta(seconds=1))])
    root = span("t", "root", attributes=LLM | {"output.value": "Other."}, received_at=LATER)
    step(settings, [root], now=LATER + timedelta(minutes=1))
    assert [made["response"] for made in stored(settings, "responses")] == ["Here."]
    assert states(settings) == {"t": ("response", 2, 1)}


def test_a_span_sent_again_changes_nothing(settings: Settings) -> None:
    step(settings, [span("t", "root")])
    done = step(settings, [span("t", "root", received_at=LATER)], now=LATER + timedelta(minutes=1))
    assert done.events == 0
    assert states(settings) == {"t": ("response", 1, 0)}


def test_a_rule_needs_a_value_exactly_where_it_compares_one() -> None:
    assert Traces().response == ResponseSpan(by="root")
    wrong: dict[str, Any]
    for wrong in ({"by": "name"}, {"by": "root", "value": "x"}):
        with pytest.raises(ValueError, match="needs a value"):
            ResponseSpan(**wrong)
