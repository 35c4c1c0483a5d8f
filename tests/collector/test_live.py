"""The live counters count what came, and no client can make them grow without bound."""

from typing import Any

import pytest

from onlineeval_dagster.collector.live import Live, counted


def event(number: int = 0, **more: Any) -> dict[str, Any]:
    return {"kind": "response", "event_id": f"e{number}", **more}


def values(live: Live, name: str) -> dict[str, float]:
    """The lines of one name, by their labels."""
    lines = [
        line.rpartition(" ") for line in live.page().decode().splitlines() if line.startswith((name + "{", name + " "))
    ]
    return {place.removeprefix(name): float(value) for place, _, value in lines}


def test_events_are_counted_by_kind_version_and_variant() -> None:
    live = Live()
    live.accept(counted([event(1, prompt_version="v1", variant="b"), event(2, prompt_version="v1"), event(3)]))
    live.accept(counted([{"kind": "action", "event_id": "a1", "action": "copy"}, {"kind": "deploy", "event_id": "d1"}]))
    assert values(live, "onlineeval_events_total") == {
        '{kind="response"}': 3,
        '{kind="action"}': 1,
        '{kind="deploy"}': 1,
    }
    assert values(live, "onlineeval_responses_total") == {
        '{prompt_version="v1",variant="b"}': 1,
        '{prompt_version="v1",variant="none"}': 1,
        '{prompt_version="none",variant="none"}': 1,
    }
    assert values(live, "onlineeval_actions_total") == {'{action="copy"}': 1}


def test_beyond_so_many_values_a_label_says_other() -> None:
    live = Live(most_values=3)
    for number in range(1_000):
        live.accept(counted([{"kind": "action", "event_id": str(number), "action": f"mine-{number}"}]))
        live.accept(counted([event(number, prompt_version=f"v{number}", variant=f"b{number}", latency_ms=1)]))
        live.refuse([f"field{number}: wrong; correct it"])
    actions = values(live, "onlineeval_actions_total")
    assert len(actions) <= 4
    assert sum(actions.values()) == 1_000
    assert actions['{action="other"}'] >= 996
    assert len(values(live, "onlineeval_responses_total")) <= 16
    assert len(values(live, "onlineeval_refused_events_total")) <= 4
    assert len(live.page()) < 20_000


def test_a_value_known_before_the_bound_keeps_its_own_line() -> None:
    live = Live(most_values=1)
    live.accept(
        counted([{"kind": "action", "event_id": str(number), "action": name} for number, name in enumerate("abacada")])
    )
    assert values(live, "onlineeval_actions_total") == {'{action="a"}': 4, '{action="other"}': 3}


def test_a_label_may_hold_any_text() -> None:
    live = Live()
    live.accept(counted([event(1, prompt_version='a"b\\c\nd'), event(2, prompt_version="é\U0001f600")]))
    assert b'prompt_version="a\\"b\\\\c\\nd"' in live.page()


def test_an_event_seen_shortly_before_is_a_duplicate() -> None:
    live = Live(recent=10)
    live.accept(counted([event(number) for number in (1, 2, 1)]))
    live.accept(counted([event(2)]))
    assert values(live, "onlineeval_duplicate_events_total") == {"": 2}
    for number in range(100, 200):
        live.accept(counted([event(number)]))
    live.accept(counted([event(1)]))  # long ago: it is not remembered for ever
    assert values(live, "onlineeval_duplicate_events_total") == {"": 2}


@pytest.mark.parametrize(("latency_ms", "bucket"), [(0, "0.1"), (100, "0.1"), (101, "0.25"), (59_999, "60.0")])
def test_a_latency_falls_into_its_bucket(latency_ms: float, bucket: str) -> None:
    live = Live()
    live.accept(counted([event(1, latency_ms=latency_ms), event(2)]))
    buckets = values(live, "onlineeval_response_latency_seconds_bucket")
    assert buckets[f'{{le="{bucket}",prompt_version="none"}}'] == 1
    assert buckets['{le="+Inf",prompt_version="none"}'] == 1
    below = [count for place, count in buckets.items() if float(place.split('"')[1]) < float(bucket)]
    assert sum(below) == 0


def test_requests_and_what_waits_are_told() -> None:
    live = Live(waiting=lambda: 17)
    live.answered("/v1/events", 200, 0.0007)
    live.answered("/v1/events", 507, 3)
    assert values(live, "onlineeval_collector_waiting_bytes") == {"": 17}
    assert values(live, "onlineeval_collector_request_seconds_count") == {
        '{route="/v1/events",status="200"}': 1,
        '{route="/v1/events",status="507"}': 1,
    }
