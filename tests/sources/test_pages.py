"""Pages of a server that is slow, busy, broken or gone: patience that ends, and no secret in any message."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from onlineeval_dagster.catalog.source_file import Source
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.sources.pages import Patience, Server, credentials, server
from onlineeval_dagster.sources.place import opened
from tests.sources.scripted import Asked, Say, Script, answering

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
KEY = "geheim-123"


def server_at(host: str, waits: list[float] | None = None, **patience: Any) -> Server:
    ready = opened(Source(dialect="langfuse", url=f"http://{host}"), place="sources.lf", now=NOW)
    asked = server(ready, headers={"Authorization": f"Bearer {KEY}"}, secrets={KEY})
    quick = {"sleep": ([] if waits is None else waits).append, "timeout": 5} | patience
    return replace(asked, patience=Patience(**quick))


def in_turn(*said: Say) -> Script:
    return lambda number, _: said[min(number, len(said) - 1)]


GOOD = Say(body={"data": [1]})


@pytest.mark.parametrize(
    ("first", "wait"),
    [
        (Say(status=429, headers={"Retry-After": "7"}), 7),
        (Say(status=429), 0.5),
        (Say(status=503, headers={"Retry-After": "soon"}), 0.5),
        (Say(status=500), 0.5),
        (Say(body={"data": ["x" * 1000]}, torn=True), 0.5),
        (Say(delay_s=1), 0.5),
    ],
)
def test_what_passes_is_asked_again_after_the_wait_that_the_server_wishes(first, wait):
    waits: list[float] = []
    with answering(in_turn(first, GOOD)) as (host, calls):
        assert server_at(host, waits, timeout=0.3).get("/x", limit=5, nothing=None) == {"data": [1]}
    assert waits == [wait]
    assert len(calls) == 2 and calls[1].query == {"limit": ["5"]}
    assert calls[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_date_in_retry_after_is_understood():
    waits: list[float] = []
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30))
    with answering(in_turn(Say(status=503, headers={"Retry-After": soon}), GOOD)) as (host, _):
        server_at(host, waits).get("/x")
    assert 25 < waits[0] <= 30


def test_waits_grow_and_end():
    waits: list[float] = []
    with answering(in_turn(Say(status=502))) as (host, calls), pytest.raises(SourceError, match="status 502, 5 times"):
        server_at(host, waits).get("/x")
    assert waits == [0.5, 1, 2, 4] and len(calls) == 5


@pytest.mark.parametrize(
    ("say", "said"),
    [
        (Say(status=401, body={"message": f"bad key {KEY}"}), r"status 401 \(bad key \*\*\*\); check the key"),
        (Say(status=404), "status 404; check the url"),
        (Say(status=302, headers={"Location": "http://elsewhere/"}), "status 302; write the address it points to"),
        (Say(status=400, body={"detail": "limit"}), r"status 400 \(limit\)"),
        (Say(status=429, headers={"Retry-After": "3600"}), "status 429, it asks to wait 3600 s; the next pull"),
        (Say(body=b"<html>"), "not JSON"),
        (Say(body=[1]), "list, not an object"),
    ],
)
def test_what_does_not_pass_is_told_at_once_with_place_and_remedy_and_without_the_key(say, said):
    with answering(in_turn(say)) as (host, calls), pytest.raises(SourceError, match=said) as caught:
        server_at(host).get("/x")
    assert len(calls) == 1
    assert str(caught.value).startswith(f"sources.lf: http://{host}/x: ") and KEY not in str(caught.value)


def test_a_server_that_is_not_there_is_named():
    with answering(in_turn(GOOD)) as (host, _):
        gone = server_at(host, tries=2)
    with pytest.raises(SourceError, match=r"no answer \(.*refused.*\), 2 times; see whether it is up"):
        gone.get("/x")


def test_pages_follow_their_cursors_and_a_server_that_turns_in_a_circle_is_left():
    def script(_: int, asked: Asked) -> Say:
        cursor = asked.query.get("cursor", ["0"])[0]
        following = {"0": "a", "a": "b", "b": None, "x": "x"}
        return Say(body={"data": [{"page": cursor}], "next": following[cursor]})

    with answering(script) as (host, calls):
        asked = server_at(host)
        found = [asked.rows(page, "/x")[0]["page"] for page in asked.pages("/x", lambda page: page["next"], limit=1)]
        assert found == ["0", "a", "b"] and all(call.query["limit"] == ["1"] for call in calls)
        with pytest.raises(SourceError, match="the same cursor twice"):
            list(asked.pages("/x", lambda page: "x"))
        with pytest.raises(SourceError, match="no list of objects under data"):
            asked.rows({"data": 1}, "/x")


@pytest.mark.parametrize("url", ["ftp://h/x", "file:///etc/passwd", "http://", "http://h:x", "h"])
def test_an_address_that_is_none_is_refused(url):
    ready = opened(Source(dialect="langfuse", url=url), place="sources.lf", now=NOW)
    with pytest.raises(SourceError, match="is no address of a server; write it as https://host"):
        server(ready, headers={}, secrets=set())


def test_a_key_in_the_url_is_read_as_it_is_meant():
    ready = opened(Source(dialect="langfuse", url="https://pk:s%2Fk@h/"), place="x", now=NOW)
    assert credentials(ready) == ("pk", "s/k")
    assert server(ready, headers={}, secrets=set()).address == "https://h"
