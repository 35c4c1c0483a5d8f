"""Every acknowledged event arrives at the collector, whatever the network and the collector do."""

import json
import logging
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from onlineeval_dagster.collector.http_transport import Pace
from onlineeval_dagster.collector.transport import Counters
from tests.collector.scripted_collector import Answering, Scripted, client_of, track, until


def test_what_is_tracked_arrives_once_with_the_key_and_leaves_no_trace_on_the_disk(
    collector: Scripted, tmp_path: Path
) -> None:
    names = [f"e{i}" for i in range(500)]
    with client_of(collector, tmp_path) as client:
        assert track(client, *names) == names
        until(lambda: client.counters.shipped == 500)
    assert client.counters == Counters(captured=500, shipped=500)
    assert collector.ids() == Counter(names)
    assert {(r["Authorization"], r["path"]) for r in collector.requests} == {("Bearer oe_k_s", "/v1/events")}
    assert any(request["zipped"] for request in collector.requests)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("trouble", ["cut", "forget", 408, 429, 500, 503, 507])
def test_after_a_trouble_the_same_events_are_sent_again(collector: Scripted, tmp_path: Path, trouble: Any) -> None:
    collector.script = [trouble] * 3
    with client_of(collector, tmp_path) as client:
        track(client, "a", "b", "c")
        until(lambda: client.counters.shipped == 3)
    assert set(collector.ids()) == {"a", "b", "c"}
    assert max(collector.ids().values()) == (4 if trouble == "forget" else 1), "only what got no answer is sent again"
    assert client.counters == Counters(captured=3, shipped=3)


@pytest.mark.parametrize("trouble", [401, 403, 404, 405, 301, 200])
def test_what_somebody_has_to_mend_keeps_the_events_and_is_told_once_with_the_remedy(
    collector: Scripted, tmp_path: Path, trouble: int, caplog: pytest.LogCaptureFixture
) -> None:
    collector.script = [(trouble, {"Location": "/"}, {"hello": "world"})] * 4
    with client_of(collector, tmp_path) as client:
        track(client, "a")
        until(lambda: client.counters.shipped == 1)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING and "; give Client(" in record.message and str(tmp_path) in record.message
    assert len(collector.requests) == 5
    assert collector.ids() == Counter({"a": 1})


def test_a_collector_that_asks_for_time_gets_it(collector: Scripted, tmp_path: Path) -> None:
    collector.script = [(429, {"Retry-After": "1"}, {"error": "too many"})]
    with client_of(collector, tmp_path) as client:
        began = time.monotonic()
        track(client, "a")
        until(lambda: client.counters.shipped == 1)
        assert 1 <= time.monotonic() - began < 3


def test_a_batch_that_is_too_large_goes_in_pieces(collector: Scripted, tmp_path: Path) -> None:
    collector.most_lines = 3
    collector.script = [503]
    names = [f"e{i}" for i in range(50)]
    with client_of(collector, tmp_path, pace=Pace(look=0.2, retry=0.01)) as client:
        track(client, *names)
        until(lambda: client.counters.shipped == 50)
    assert collector.ids() == Counter(names)
    assert len(collector.requests) < 60, "halved, not tried one less at a time"


def test_one_event_that_spoils_a_whole_body_is_found_and_the_others_arrive(collector: Scripted, tmp_path: Path) -> None:
    class Spoiled(Answering):
        def do_POST(self) -> None:
            body = self.rfile.peek(int(self.headers["Content-Length"]))
            if b'"event_id":"bad"' in body:
                self.rfile.read(int(self.headers["Content-Length"]))
                return self._answer(400, {}, {"error": "body: spoiled"})
            return super().do_POST()

    collector.RequestHandlerClass = Spoiled
    names = [f"e{i}" for i in range(5)] + ["bad"] + [f"f{i}" for i in range(5)]
    with client_of(collector, tmp_path) as client:
        track(client, *names)
        until(lambda: client.counters.waiting == 0)
    assert set(names) - set(collector.ids()) == {"bad"}
    assert client.counters == Counters(captured=10, errors=1, shipped=10)
    (refused,) = map(json.loads, (tmp_path / "refused.ndjson").read_text().splitlines())
    assert refused["event"]["event_id"] == "bad" and "body: spoiled" in refused["reason"]


def test_refused_events_are_counted_as_errors_and_kept_with_the_reason(
    collector: Scripted, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    collector.refuses = lambda event: "name: bad; say it better" if event["event_id"].startswith("bad") else None
    with client_of(collector, tmp_path) as client:
        track(client, "a", "bad1", "b", "bad2")
        until(lambda: client.counters.waiting == 0)
        track(client, "bad3")
        until(lambda: client.counters.waiting == 0)
    assert client.counters == Counters(captured=2, errors=3, shipped=2)
    kept = [json.loads(line) for line in (tmp_path / "refused.ndjson").read_text().splitlines()]
    assert [(one["event"]["event_id"], one["reason"]) for one in kept] == [
        (name, "name: bad; say it better") for name in ("bad1", "bad2", "bad3")
    ]
    assert "refused.ndjson" in caplog.text and "say it better" not in caplog.text
    assert (tmp_path / "refused.ndjson").stat().st_mode & 0o077 == 0


def test_what_was_refused_is_told_to_the_collector_as_a_loss(collector: Scripted, tmp_path: Path) -> None:
    collector.refuses = lambda event: "no" if event["event_id"] == "bad" else None
    with client_of(collector, tmp_path) as client:
        track(client, "a", "bad")
        until(lambda: client.counters.waiting == 0)
    (loss,) = [event for event in collector.stored if event["name"] == "onlineeval.sdk_loss"]
    assert loss["value"] == 1
    assert client.counters == Counters(captured=1, errors=1, shipped=1)


def test_what_a_short_write_left_behind_is_no_event(collector: Scripted, tmp_path: Path) -> None:
    with client_of(collector, tmp_path) as client:
        client._transport._log._writer.append(b'{"kind":"respo\n')  # pyright: ignore
        track(client, "a")
        until(lambda: client.counters.shipped == 1)
    assert client.counters == Counters(captured=1, shipped=1)
    assert not (tmp_path / "refused.ndjson").exists()


def test_a_collector_that_reads_no_gzip_gets_plain_text(collector: Scripted, tmp_path: Path) -> None:
    collector.script = [415]
    with client_of(collector, tmp_path) as client:
        client.track_response(response_id="r", query="q", response="a" * 10_000)
        until(lambda: client.counters.shipped == 1)
    assert [request["zipped"] for request in collector.requests] == [True, False]
