"""The client says what the contracts say, ingest takes all of it, and the product never feels a mistake."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from onlineeval_dagster.collector import client as client_module
from onlineeval_dagster.collector import fields
from onlineeval_dagster.collector.client import Client
from onlineeval_dagster.collector.encoding import careful_line
from onlineeval_dagster.collector.request import REQUEST, Request
from onlineeval_dagster.collector.transport import Counters
from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import EVENTS, Action, Event, Response
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.log.reader import parse_line
from onlineeval_dagster.quality.coverage import LOSS_EVENTS
from onlineeval_dagster.settings import load_settings


class Memory:
    """A transport that keeps what it is sent."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.breaks = False

    def send(self, line: bytes) -> bool:
        if self.breaks:
            raise RuntimeError("no way")
        self.lines.append(line)
        return True

    def counters(self) -> Counters:
        return Counters(captured=len(self.lines))

    def close(self) -> None: ...

    def events(self) -> list[LogEvent]:
        """What the log's reader makes of them."""
        now = datetime.now(UTC)
        events = [parse_line(line.removesuffix(b"\n"), now=now, retention_days=400) for line in self.lines]
        assert all(isinstance(event, LogEvent) for event in events), events
        return events  # pyright: ignore[reportReturnType]

    def said(self) -> dict[str, Any]:
        """The only event, as it stands in the log."""
        (line,) = self.lines
        return orjson.loads(line)


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def client(memory: Memory) -> Iterator[Client]:
    with Client(transport=memory, app="shop") as client:
        yield client


KINDS: dict[str, tuple[Callable[..., bool], type]] = {
    "response": (Client.track_response, fields.ResponseFields),
    "action": (Client.track_user_action, fields.ActionFields),
    "deploy": (Client.track_deploy, fields.DeployFields),
    "event": (Client.track_event, fields.EventFields),
    "exposure": (Client.track_exposure, fields.ExposureFields),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_product_says_the_contracts_fields_by_their_names(kind: str) -> None:
    track, optional = KINDS[kind]
    contract = EVENTS[kind].model_fields
    named = [name for name in inspect.signature(track).parameters if name not in ("self", "fields")]
    assert {*named, *optional.__annotations__} == set(contract) - {"kind"}
    client_sets = {"kind", "event_id", "occurred_at", "received_at"}
    assert set(named) == {name for name, field in contract.items() if field.is_required()} - client_sets
    nullable = {name for name, said in optional.__annotations__.items() if type(None) in getattr(said, "__args__", ())}
    assert nullable == {name for name, field in contract.items() if not field.is_required() and field.default is None}


def test_ingest_takes_every_line_and_a_response_told_twice_has_one_event_id(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    with Client(home=tmp_path, app="shop", environment="staging") as client:
        moment = datetime.now(UTC) - timedelta(hours=1)
        for _ in range(2):
            client.track_response(response_id="r1", query="q", response="a", occurred_at=moment, new_user=None)
        client.track_response(response_id="r2", query="q\n“é”", response="a", page="/chat", attributes={"n": 1})
        client.track_response(response_id="r" * 256, query="q", response="", error="Timeout: none")
        client.track_user_action("r1", "star_rating", value=4, text="fine")
        client.track_deploy("d1", prompt_version="v4", traffic_share=0.25)
        client.track_event("outage", ended_at=datetime.now(UTC), description="for a minute")
        client.track_exposure(experiment="e", variant="b", unit_id="u", propensity=0.5, unit="session")
        assert client.counters == Counters(captured=8)
    done = ingest(settings, Lake(settings.lake_folder), now=datetime.now(UTC))
    assert (done.lines, done.bad) == (8, 0)
    wanted = "event_id, response_id, app, environment, occurred_at, attributes"
    stored = rows(Lake(settings.lake_folder), f"select {wanted} from responses", {"responses": None}).to_pylist()
    by_id = {row["response_id"]: row for row in stored}
    assert by_id["r1"]["event_id"] == "r1:response"
    assert by_id["r1"]["occurred_at"] == moment
    assert (by_id["r1"]["app"], by_id["r1"]["environment"]) == ("shop", "staging")
    assert orjson.loads(by_id["r2"]["attributes"]) == {"n": 1, "page": "/chat"}


def test_other_events_have_ids_of_their_own(client: Client, memory: Memory) -> None:
    for _ in range(100):
        client.track_user_action("r", "copy")
    assert len({event.event_id for event in memory.events()}) == 100


def test_what_is_not_known_goes_to_the_attributes_even_a_kind(client: Client, memory: Memory) -> None:
    client.track_response(response_id="r", query="q", response="a", **{"kind": "verdict", "tenant": "t"})
    (event,) = memory.events()
    assert isinstance(event, Response)
    assert event.attributes == {"kind": "verdict", "tenant": "t"}
    assert memory.said()["attributes"] == {"kind": "verdict", "tenant": "t"}


def test_nulls_leave_the_defaults_alone(client: Client, memory: Memory) -> None:
    nothing: Any = None
    client.track_response(
        response_id="r", query="q", response="a", environment=nothing, occurred_at=nothing, attributes=nothing
    )
    client.track_deploy("d", traffic_share=nothing)
    assert [event.environment for event in memory.events()] == ["production"] * 2


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"response_id": 7}, {"response_id": "7"}),
        ({"response_id": UUID(int=5)}, {"response_id": str(UUID(int=5))}),
        ({"user_id": 7}, {"user_id": "7"}),
        ({"session_id": 8}, {"session_id": "8"}),
        ({"prompt_version": 3}, {"prompt_version": "3"}),
        ({"variant": 0}, {"variant": "0"}),
        ({"response": "torn \ud800 letter"}, {"response": "torn ? letter"}),
        ({"latency_ms": float("nan")}, {"latency_ms": None}),
        ({"attributes": {"price": Decimal("1.5"), "seen": {1}}}, {"attributes": {"price": "1.5", "seen": [1]}}),
        ({"attributes": {"day": datetime(2026, 11, 23, tzinfo=UTC), 5: b"x"}}, {"attributes": {"5": "b'x'"}}),
    ],
)
def test_values_that_json_cannot_hold_cost_no_event(
    client: Client, memory: Memory, said: dict[str, Any], kept: dict[str, Any]
) -> None:
    assert client.track_response(**({"response_id": "r", "query": "q", "response": "a"} | said))
    (event,) = memory.events()
    whole = event.model_dump()
    for name, value in kept.items():
        assert (whole[name] | value if isinstance(value, dict) else value) == whole[name]


def test_without_orjson_the_line_says_the_same() -> None:
    moment = datetime(2026, 11, 23, 8, 0, 0, 5, tzinfo=UTC)
    said = {
        "kind": "event",
        "event_id": "e",
        "occurred_at": moment,
        "received_at": moment,
        "name": "n\n“é”",
        "value": 2.5,
    }
    quick = orjson.dumps(said, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)
    read = [parse_line(line, now=moment, retention_days=30) for line in (quick, careful_line(said))]
    assert read[0] == read[1] and isinstance(read[0], LogEvent)


def test_the_example_does_what_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    example = [line[4:] for line in (client_module.__doc__ or "").splitlines() if line.startswith("    ")]
    names: dict[str, Any] = {"Client": Client}
    exec("\n".join(example), names)
    assert capsys.readouterr().out == "Counters(captured=4, deferred=0, dropped=0, errors=0, shipped=0, waiting=0)\n"
    names["client"].close()
    (segment,) = (tmp_path / "evaluation" / "log").iterdir()
    assert len(segment.read_bytes().splitlines()) == 4


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no")


def test_a_mistake_in_tracking_is_counted_and_does_not_reach_the_product(client: Client, memory: Memory) -> None:
    circle: dict[str, Any] = {}
    circle["again"] = circle
    assert not client.track_event("e", attributes={"x": Unprintable()})
    assert not client.track_event("e", attributes=circle)
    memory.breaks = True
    assert not client.track_event("e")
    assert not client.track_response(response_id="r", query="q", response="a")
    assert client.counters == Counters(errors=4)


def test_a_client_wants_a_home_or_a_transport(memory: Memory) -> None:
    with pytest.raises(TypeError, match="give the folder `home`"):
        Client()
    with pytest.raises(TypeError, match="give the folder `home`"):
        Client("here", transport=memory)


def test_inside_a_request_events_carry_its_session_unless_they_name_one(client: Client, memory: Memory) -> None:
    request = Request(session_id="s-1")
    token = REQUEST.set(request)
    try:
        client.track_response(response_id="r1", query="q", response="a")
        client.track_response(response_id="r2", query="q", response="a", session_id="own")
        client.track_response(response_id="r3", query="q", response="a", tenant="t")
        client.track_user_action("r1", "copy")
        client.track_event("campaign")
    finally:
        REQUEST.reset(token)
    client.track_user_action("r1", "copy")
    sessions = [event.session_id if isinstance(event, Response | Action) else "none" for event in memory.events()]
    assert sessions == ["s-1", "own", "s-1", "s-1", "none", None]
    assert request.response_id == "r3"


def test_a_timed_call_is_told_with_its_answer_and_latency(client: Client, memory: Memory) -> None:
    with client.timed(query="q", response_id="r", model="m") as call:
        call.response = "a"
        call.add(output_tokens=3)
    (event,) = memory.events()
    assert isinstance(event, Response)
    assert (event.response_id, event.response, event.model, event.output_tokens) == ("r", "a", "m", 3)
    assert event.latency_ms is not None and 0 < event.latency_ms < 1000


def test_a_timed_call_that_fails_is_told_with_its_error_which_goes_on(client: Client, memory: Memory) -> None:
    failure = TimeoutError("after 3 s")
    with pytest.raises(TimeoutError) as caught, client.timed(query="q"):
        raise failure
    assert caught.value is failure
    (event,) = memory.events()
    assert isinstance(event, Response)
    assert (event.response, event.error) == ("", "TimeoutError: after 3 s")
    assert len(event.response_id) == 32


def test_a_decorated_function_is_told_and_answers_as_before(client: Client, memory: Memory) -> None:
    @client.tracked(model="m")
    def answer(question: str, loud: bool = False) -> str:
        """Its docstring."""
        return question.upper()

    @client.tracked(query=lambda n, **_: f"{n} squared", response=lambda result: f"it is {result['value']}")
    async def square(n: int, *, fail: bool = False) -> dict[str, int]:
        await asyncio.sleep(0.01)
        if fail:
            raise ZeroDivisionError("none")
        return {"value": n * n}

    assert answer("who?") == "WHO?" and answer(question="why?") == "WHY?"
    assert answer.__doc__ == "Its docstring."
    assert asyncio.run(square(3)) == {"value": 9}
    with pytest.raises(ZeroDivisionError):
        asyncio.run(square(3, fail=True))
    told = [(e.query, e.response, e.model, e.error) for e in memory.events() if isinstance(e, Response)]
    assert told == [
        ("who?", "WHO?", "m", None),
        ("why?", "WHY?", "m", None),
        ("3 squared", "it is 9", None, None),
        ("3 squared", "", None, "ZeroDivisionError: none"),
    ]
    assert [e.latency_ms >= 10 for e in memory.events()[2:] if isinstance(e, Response) and e.latency_ms] == [True] * 2


def test_a_decorator_that_cannot_read_question_or_answer_leaves_the_function_alone(
    client: Client, memory: Memory
) -> None:
    @client.tracked(query=lambda *_: 1 / 0, response=lambda _: 1 / 0)  # pyright: ignore
    def answer() -> str:
        return "well"

    assert answer() == "well"
    assert client.counters == Counters(captured=1, errors=2)


def test_a_generator_is_refused_when_it_is_decorated(client: Client) -> None:
    with pytest.raises(TypeError, match=r"yields its answer; use `with client\.timed"):

        @client.tracked()
        def answer() -> Iterator[str]:
            yield "a"


def losses(home: Path) -> list[Event]:
    paths = sorted((home / "log").glob("*.ndjson"))
    lines = [line for path in paths for line in path.read_bytes().splitlines()]
    events = [parse_line(line, now=datetime.now(UTC), retention_days=400) for line in lines]
    return [event for event in events if isinstance(event, Event) and event.name in LOSS_EVENTS]


def test_what_was_lost_is_told_as_an_event_that_counts_as_no_call(tmp_path: Path) -> None:
    with Client(home=tmp_path, app="shop", environment="staging") as client:
        client.track_event("e", attributes={"x": Unprintable()})
        client.track_event("e")
        client.track_event("e", attributes={"x": Unprintable()})
    assert client.counters == Counters(captured=1, errors=2)
    (loss,) = losses(tmp_path)
    assert (loss.value, loss.app, loss.environment) == (2, "shop", "staging")


def test_where_every_event_was_lost_that_is_told_too_and_where_none_was_nothing_is(tmp_path: Path) -> None:
    with Client(home=tmp_path / "all") as client:
        client.track_event("e", attributes={"x": Unprintable()})
    with Client(home=tmp_path / "none") as client:
        client.track_event("e")
    assert [loss.value for loss in losses(tmp_path / "all")] == [1]
    assert losses(tmp_path / "none") == []


def test_a_loss_is_told_once(memory: Memory) -> None:
    told: list[Callable[[], bytes | None]] = []
    memory.tell_losses = told.append  # pyright: ignore[reportAttributeAccessIssue]
    client = Client(transport=memory)
    client.track_event("e", attributes={"x": Unprintable()})
    (loss_line,) = told
    assert orjson.loads(loss_line() or b"")["value"] == 1
    assert loss_line() is None
