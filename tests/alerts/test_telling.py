"""From an incident to people: signed, once, again where it failed, and nowhere else."""

import hashlib
import hmac
import json
import socket
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from onlineeval_dagster.alerts import channels as door
from onlineeval_dagster.alerts.channels import send_due
from onlineeval_dagster.alerts.messages import on_call, to_tell
from onlineeval_dagster.alerts.outbox import GIVEN_UP_AFTER, Outbox
from onlineeval_dagster.alerts.telling import tell
from onlineeval_dagster.catalog.alert_file import Channel
from onlineeval_dagster.contracts.alerts import Alert, Incident, IncidentCause
from tests.alerts.alert_worlds import NOW, catalog
from tests.alerts.receivers import Receiver, receiver

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def alert(**more) -> Alert:
    return Alert(
        **{
            **{"alert_id": "a-1", "rule": "slow", "slice": "all", "slice_value": "all", "metric": "latency"},
            **{"kind": "relative", "role": "technical", "severity": "page", "owner": "team:search"},
            **{"watched": False, "state": "firing", "incident_id": "i-1", "began_at": NOW - HOUR, "seen_at": NOW},
            **{"fired_at": NOW, "last_window": NOW - HOUR, "grain": "hour", "judge_version": "none"},
            **{"metric_version": "m1", "chance": 1e-4, "told": "slow: 1,500 ms; 1,000 ms was expected."},
            **more,
        }
    )


def incident(**more) -> Incident:
    return Incident(
        **{
            **{"incident_id": "i-1", "opened_at": NOW, "began_at": NOW - HOUR, "state": "open", "watched": False},
            **{"role": "technical", "severity": "page", "owner": "team:search", "title": "Answers take longer"},
            **{"alerts": 1, "rules": "slow", **more},
        }
    )


def with_channels(**said):
    made = catalog(slow={"kind": "relative", "metric": "latency", "limit": 0.1, "runbook": "https://example.org/slow"})
    alerts = made.alerts.model_copy(update={"channels": {name: Channel(**one) for name, one in said.items()}})
    return replace(made, alerts=alerts)


@pytest.fixture(scope="module")
def shared():
    with receiver() as one:
        yield one


@pytest.fixture
def hook(shared: Receiver, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    monkeypatch.setenv("ALERTS_SECRET", "a secret")
    shared.got.clear()
    shared.answers[:] = [200]
    return shared


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "alerts.sqlite"


def ops(hook: Receiver, **more) -> dict:
    return {"kind": "webhook", "url": hook.url, "secret": "${ALERTS_SECRET}", **more}


def told(file: Path, rules, one: Incident, *, now=NOW):
    return tell(file, rules, [one], [alert(state="firing" if one.state == "open" else "resolved")], now=now)


def deliveries(file: Path) -> list:
    with Outbox(file) as outbox:
        return outbox.all()


def test_a_webhook_is_signed_and_told_once_of_the_opening_and_once_of_the_end(hook, file):
    rules = with_channels(ops=ops(hook))
    for minutes in range(3):
        told(file, rules, incident(), now=NOW + minutes * MINUTE)
    over = incident(state="resolved", resolved_at=NOW + HOUR)
    for minutes in range(3):
        told(file, rules, over, now=NOW + HOUR + minutes * MINUTE)
    opened, resolved = (json.loads(body) for _, body in hook.got)
    assert (opened["event"], resolved["event"]) == ("incident.opened", "incident.resolved")
    assert opened["alerts"][0]["told"].startswith("slow: 1,500 ms")
    assert opened["alerts"][0]["runbook"] == "https://example.org/slow"
    headers, body = hook.got[0]
    signed = hmac.new(b"a secret", headers["X-Onlineeval-Timestamp"].encode() + b"." + body, hashlib.sha256)
    assert headers["X-Onlineeval-Signature"] == f"sha256={signed.hexdigest()}"
    assert headers["Idempotency-Key"] == opened["idempotency_key"] == "i-1:opened:1:ops"
    assert {one.state for one in deliveries(file)} == {"sent"}


def test_a_receiver_that_fails_for_an_hour_gets_it_then_and_each_attempt_is_the_same(hook, file):
    rules, hour_over = with_channels(ops=ops(hook)), NOW + HOUR
    hook.answers[:] = [500]
    attempts = 0
    now = NOW
    while now < hour_over:
        attempts += told(file, rules, incident(), now=now).failed
        now += MINUTE
    hook.answers[:] = [204]
    sent = sum(told(file, rules, incident(), now=hour_over + n * MINUTE).sent for n in range(20))
    assert sent == 1 and 6 <= attempts <= 9 and len(hook.got) == attempts + 1
    assert len({body for _, body in hook.got}) == 1 and len({head["Idempotency-Key"] for head, _ in hook.got}) == 1


def test_what_fails_for_two_days_is_given_up_and_says_why(hook, file):
    rules = with_channels(ops=ops(hook))
    hook.answers[:] = [503]
    told(file, rules, incident())
    told(file, rules, incident(), now=NOW + GIVEN_UP_AFTER)
    (one,) = deliveries(file)
    assert (one.state, one.error) == ("given_up", "127.0.0.1 answered HTTP 503")
    assert told(file, rules, incident(), now=NOW + 2 * GIVEN_UP_AFTER).failed == 0


def test_a_redirect_is_not_followed(hook, file):
    with receiver() as elsewhere:
        hook.answers[:] = [elsewhere.url]
        outcome = told(file, with_channels(ops=ops(hook)), incident())
        assert outcome.failed == 1 and elsewhere.got == []
    assert "redirects (HTTP 307), which is not followed" in outcome.errors[0]


def test_a_receiver_that_hangs_times_out_and_holds_up_no_other(hook, file, monkeypatch):
    monkeypatch.setattr(door, "TIMEOUT_SECONDS", 0.3)
    hook.answers[:] = ["hang"]
    with receiver() as quick:
        rules = with_channels(slow=ops(hook), quick=ops(quick))
        begin = time.monotonic()
        outcome = told(file, rules, incident())
        assert time.monotonic() - begin < 5
    assert (outcome.sent, outcome.failed) == (1, 1)
    assert outcome.errors == ("slow: 127.0.0.1 did not answer within 0.3 seconds",)
    hook.let_go.set()


def test_a_receiver_that_is_not_there_is_an_error_without_the_address(file, monkeypatch):
    monkeypatch.setenv("ALERTS_SECRET", "a secret")
    away = {"kind": "webhook", "url": "http://127.0.0.1:9/token-in-the-path", "secret": "${ALERTS_SECRET}"}
    outcome = told(file, with_channels(ops=away), incident())
    assert outcome.failed == 1 and "cannot be reached" in outcome.errors[0] and "token" not in outcome.errors[0]


def test_a_secret_that_is_not_set_is_named_and_nothing_is_sent(hook, file, monkeypatch):
    monkeypatch.delenv("ALERTS_SECRET")
    outcome = told(file, with_channels(ops=ops(hook)), incident())
    assert "channels.ops.secret" in outcome.errors[0] and "ALERTS_SECRET" in outcome.errors[0] and hook.got == []


def test_killed_while_sending_a_webhook_repeats_under_its_key_and_mail_is_left_unsure(hook, file):
    mail = {"kind": "apprise", "url": "mailto://127.0.0.1:9?from=a@example.org&to=b@example.org"}
    rules = with_channels(ops=ops(hook), mail=mail)
    with Outbox(file) as outbox:
        outbox.put(to_tell([incident()], [alert()], rules, [], now=NOW))
        for one in outbox.due(NOW):
            outbox.sending(one.key)  # and here the run is killed
    with Outbox(file) as outbox:
        assert outbox.due(NOW) == []
        assert send_due(outbox, rules.alerts.channels, now=NOW).sent == 1
        states = {one.channel: one.state for one in outbox.all()}
    assert states == {"ops": "sent", "mail": "unsure"} and len(hook.got) == 1


def test_a_dry_run_is_written_down_and_not_sent(hook, file):
    told(file, with_channels(ops=ops(hook, dry_run=True)), incident())
    (one,) = deliveries(file)
    assert (one.state, hook.got) == ("dry_run", []) and json.loads(one.body)["event"] == "incident.opened"


@pytest.mark.parametrize(
    ("more", "arrives"),
    [
        ({}, True),
        ({"watched": True}, False),
        ({"silenced_until": NOW + HOUR}, False),
        ({"silenced_until": NOW}, True),
        ({"owner": "team:other"}, False),
        ({"severity": "note"}, False),
        ({"role": "business"}, False),
        ({"state": "resolved", "resolved_at": NOW}, True),  # it was over before anybody looked: one message
        ({"state": "resolved", "resolved_at": NOW - 25 * HOUR}, False),
    ],
)
def test_who_is_told_of_what(hook, file, more, arrives):
    chosen = {"owners": ["team:search"], "severities": ["page", "ticket"], "roles": ["technical", "quality"]}
    rules = with_channels(ops=ops(hook, **chosen))
    for minutes in range(2):
        told(file, rules, incident(**more), now=NOW + minutes * MINUTE)
    assert len(hook.got) == arrives


def test_the_ladder_climbs_only_while_nobody_has_it_and_names_who_is_on_call(hook, file):
    rules = with_channels(second=ops(hook, after_minutes=15, rota=["ada", "bob"]))
    told(file, rules, incident(), now=NOW + 14 * MINUTE)
    heard = {"state": "acknowledged", "acknowledged_at": NOW, "acknowledged_by": "ada"}
    told(file, rules, incident(**heard), now=NOW + 16 * MINUTE)
    assert hook.got == []
    told(file, rules, incident(), now=NOW + 16 * MINUTE)
    assert json.loads(hook.got[0][1])["on_call"] in ("ada", "bob")
    weeks = [on_call(rules.alerts.channels["second"], NOW + timedelta(days=day)) for day in range(15)]
    changes = [day for day in range(14) if weeks[day] != weeks[day + 1]]
    assert [(NOW + timedelta(days=day + 1)).weekday() for day in changes] == [0, 0]


def test_trouble_that_comes_back_is_told_again(hook, file):
    rules = with_channels(ops=ops(hook))
    told(file, rules, incident())
    told(file, rules, incident(state="resolved", resolved_at=NOW + HOUR), now=NOW + HOUR)
    told(file, rules, incident(openings=2), now=NOW + 2 * HOUR)
    assert [head["Idempotency-Key"] for head, _ in hook.got] == [
        *("i-1:opened:1:ops", "i-1:resolved:1:ops", "i-1:opened:2:ops")
    ]


def test_mail_arrives_through_apprise(file):
    from aiosmtpd.controller import Controller
    from aiosmtpd.handlers import Message

    class Kept(Message):
        def __init__(self) -> None:
            super().__init__()
            self.got: list = []

        def handle_message(self, message) -> None:
            self.got.append(message)

    kept = Kept()
    with socket.socket() as free:  # its controller connects to itself, and cannot be given port 0
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Controller(kept, hostname="127.0.0.1", port=port)
    server.start()
    try:
        url = f"mailto://127.0.0.1:{port}?from=alerts@example.org&to=ada@example.org&smtp=127.0.0.1&mode=insecure"
        rules = with_channels(mail={"kind": "apprise", "url": url, "rota": ["ada@example.org"]})
        assert told(file, rules, incident()).sent == 1
        assert told(file, rules, incident(), now=NOW + MINUTE).sent == 0
    finally:
        server.stop()
    (message,) = kept.got
    assert message["Subject"] == "Page: Answers take longer"
    text = "".join(
        part.get_payload(decode=True).decode() for part in message.walk() if part.get_content_maintype() == "text"
    )
    assert "1,500 ms" in text and "onlineeval alerts ack i-1" in text and "on call: ada@example.org" in text


def test_mail_that_cannot_be_sent_is_tried_again(file):
    rules = with_channels(mail={"kind": "apprise", "url": "mailto://127.0.0.1:9?from=a@example.org&to=b@example.org"})
    assert told(file, rules, incident()).failed == 1
    (one,) = deliveries(file)
    assert (one.state, one.attempts) == ("waiting", 1) and "could not deliver" in one.error


def test_a_message_names_the_first_cause_in_a_line():
    cause = IncidentCause(
        **{"incident_id": "i-1", "kind": "deploy", "name": "d7", "rank": 1, "verdict": "named", "opened_at": NOW},
        **{"metric": "latency", "slice": "all", "slice_value": "all", "told": "Deploy d7: chance 97 %."},
    )
    rules = with_channels(
        ops={"kind": "webhook", "url": "https://example.org", "secret": "s"},
        mail={"kind": "apprise", "url": "mailto://example.org"},
    )
    told = {one.channel: one.body for one in to_tell([incident()], [alert()], rules, [], [cause], now=NOW)}
    assert json.loads(told["ops"])["cause"] == "Deploy d7: chance 97 %."
    assert told["mail"].splitlines()[1] == "Cause: Deploy d7: chance 97 %."
