"""A condemned deploy calls the user's endpoint: signed, once, not when somebody holds it, not too late."""

import hashlib
import hmac
import json
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from onlineeval_dagster.alerts import channels as door
from onlineeval_dagster.alerts import said as said_of
from onlineeval_dagster.alerts.outbox import Outbox
from onlineeval_dagster.alerts.rollback import LATE, Condemned, condemned_deploys, to_call
from onlineeval_dagster.alerts.said import NOTHING_SAID, read_said
from onlineeval_dagster.alerts.telling import due_key, tell
from onlineeval_dagster.catalog.alert_file import Alerts, Rule
from onlineeval_dagster.catalog.deploy_watch_file import Rollback
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.alerts import DeployLook
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.lake.ingest import ingest
from tests.alerts.alert_worlds import CATALOG
from tests.alerts.deploy_worlds import BEGAN, DEPLOYED, lake_with
from tests.alerts.receivers import Receiver, receiver
from tests.worlds import log_events, settings_at

NOW = BEGAN + timedelta(minutes=65)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


def look(deploy: str = "d1", **more) -> DeployLook:
    return DeployLook(
        **{
            **{"deploy_id": deploy, "rule": "fail", "look_minutes": 60, "metric": "errors", "deployed_at": DEPLOYED},
            **{"began_at": BEGAN, "made_at": NOW, "app": "default", "environment": "production"},
            **{"version": "prompt_version v2", "before": "prompt_version v1", "compared": "before", "windows": 20},
            **{"judge_version": "none", "metric_version": "m1", "value": 0.2, "expected": 0.01, "low": 0.1},
            **{"high": 0.3, "n": 400, "n_before": 9000, "change": 9.0, "strength": 4.0, "chance": 1e-3},
            **{"limit": 0.02, "beyond": True, "told": "More than 2 % of answers fail: 20.0 %.", **more},
        }
    )


def condemned(deploy: str = "d1", *, replaced_at: datetime | None = None, **more) -> Condemned:
    return Condemned(looks=(look(deploy, **more),), replaced_at=replaced_at)


@pytest.fixture(scope="module")
def shared():
    with receiver() as one:
        yield one


@pytest.fixture
def hook(shared: Receiver, monkeypatch: pytest.MonkeyPatch) -> Receiver:
    monkeypatch.setenv("ROLLBACK_SECRET", "a secret")
    shared.got.clear()
    shared.answers[:] = [200]
    return shared


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "alerts.sqlite"


def rules(hook: Receiver, *, rule_status: str = "enabled", **more) -> Catalog:
    rule = Rule(
        title="Fails", owner="team:a", kind="absolute", metric="errors", limit=0.02, after="deploy", status=rule_status
    )
    rollback = Rollback(**{"status": "on", "url": hook.url, "secret": "${ROLLBACK_SECRET}", **more})
    return replace(CATALOG, alerts=Alerts(rules={"fail": rule}, rollback=rollback))


def called(file: Path, catalog: Catalog, *deploys: Condemned, now: datetime = NOW, said=NOTHING_SAID):
    return tell(file, catalog, [], [], now=now, condemned=deploys, said=said)


def deliveries(file: Path) -> dict:
    with Outbox(file) as outbox:
        return {one.key: one for one in outbox.all()}


def test_a_condemned_deploy_is_called_for_once_signed_and_with_its_evidence(hook, file):
    for minutes in range(3):
        called(file, rules(hook), condemned(), now=NOW + minutes * MINUTE)
    ((headers, body),) = hook.got
    told = json.loads(body)
    assert (told["event"], told["test"], told["deploy"]["deploy_id"]) == ("rollback.requested", False, "d1")
    assert (told["deploy"]["version"], told["deploy"]["version_before"]) == ("prompt_version v2", "prompt_version v1")
    assert [one["rule"] for one in told["evidence"]] == ["fail"] and told["evidence"][0]["value"] == 0.2
    assert headers["Idempotency-Key"] == told["idempotency_key"] == "rollback:d1"
    signed = hmac.new(b"a secret", headers["X-Onlineeval-Timestamp"].encode() + b"." + body, hashlib.sha256)
    assert headers["X-Onlineeval-Signature"] == f"sha256={signed.hexdigest()}"
    assert deliveries(file)["rollback:d1"].state == "sent"


def test_it_is_off_until_it_is_switched_on_and_a_dry_run_calls_nobody(hook, file):
    called(file, rules(hook, status="off"), condemned())
    assert not file.exists() and hook.got == []
    called(file, rules(hook, status="dry_run"), condemned())
    assert deliveries(file)["rollback:d1"].state == "dry_run" and hook.got == []


def test_an_endpoint_that_fails_is_called_again_with_the_same_bytes_and_not_for_ever(hook, file):
    hook.answers[:] = [500]
    now = NOW
    while now < NOW + LATE:
        called(file, rules(hook), condemned(), now=now)
        now += 5 * MINUTE
    assert len(hook.got) > 3 and len({body for _, body in hook.got}) == 1
    attempts = len(hook.got)
    for minutes in (0, 30):
        called(file, rules(hook), condemned(), now=NOW + LATE + minutes * MINUTE)
    one = deliveries(file)["rollback:d1"]
    assert (one.state, len(hook.got)) == ("withheld", attempts) and "did not arrive within 2 hours" in one.error


def test_an_endpoint_that_fails_and_comes_back_is_called_once_more(hook, file):
    hook.answers[:] = [503, 200]
    for minutes in range(6):
        called(file, rules(hook), condemned(), now=NOW + minutes * MINUTE)
    assert len(hook.got) == 2 and deliveries(file)["rollback:d1"].state == "sent"


def test_a_redirect_is_not_followed(hook, file):
    with receiver() as elsewhere:
        hook.answers[:] = [elsewhere.url]
        outcome = called(file, rules(hook), condemned())
        assert outcome.failed == 1 and elsewhere.got == []
    assert "redirects (HTTP 307), which is not followed" in outcome.errors[0]


def test_an_endpoint_that_hangs_is_left_and_called_again(hook, file, monkeypatch):
    monkeypatch.setattr(door, "TIMEOUT_SECONDS", 0.3)
    hook.answers[:] = ["hang", 200]
    begin = time.monotonic()
    outcome = called(file, rules(hook), condemned())
    assert time.monotonic() - begin < 5 and outcome.failed == 1
    hook.let_go.set()
    called(file, rules(hook), condemned(), now=NOW + 2 * MINUTE)
    assert deliveries(file)["rollback:d1"].state == "sent"
    assert len({head["Idempotency-Key"] for head, _ in hook.got}) == 1


def test_a_run_that_is_killed_while_it_calls_repeats_under_its_key(hook, file):
    catalog = rules(hook)
    with Outbox(file) as outbox:
        outbox.put(to_call([condemned()], catalog.alerts, [], NOTHING_SAID, now=NOW))
        outbox.sending("rollback:d1")  # and here the run is killed
    called(file, catalog, condemned(), now=NOW + MINUTE)
    called(file, catalog, condemned(), now=NOW + 2 * MINUTE)
    assert [head["Idempotency-Key"] for head, _ in hook.got] == ["rollback:d1"]


def test_after_a_call_there_is_time_to_cool_down_for_this_product_and_not_for_others(hook, file):
    catalog = rules(hook)
    called(file, catalog, condemned("d1"))
    others = condemned("d2", made_at=NOW + MINUTE), condemned("d3", app="another", made_at=NOW + MINUTE)
    called(file, catalog, *others, now=NOW + MINUTE)
    found = deliveries(file)
    assert (found["rollback:d2"].state, found["rollback:d3"].state) == ("withheld", "sent")
    assert "deploy d1 was called for" in found["rollback:d2"].error
    later = NOW + 61 * MINUTE
    called(file, catalog, others[0], condemned("d4", made_at=later), now=later)
    found = deliveries(file)
    assert (found["rollback:d2"].state, found["rollback:d4"].state) == ("withheld", "sent"), "one word for each deploy"


def test_a_person_has_the_last_word_before_the_call_and_while_it_is_tried_again(hook, file, tmp_path):
    settings, lake = settings_at(tmp_path), lake_with(tmp_path, {"deploy_id": "d1"})
    event = said_of.hold("d1", ends_at=NOW + HOUR, by="ada", reason="we know, a fix is on its way", now=NOW)
    log_events(settings, [event])
    ingest(settings, lake, now=NOW)
    said = read_said(lake, now=NOW)
    catalog = rules(hook)
    called(file, catalog, condemned("d1"), said=said)
    assert deliveries(file)["rollback:d1"].error == "held by ada: we know, a fix is on its way" and hook.got == []
    hook.answers[:] = [500]
    other = said_of.Said(
        held=(said_of.Held(deploy_id="*", begins_at=NOW + MINUTE, ends_at=NOW + HOUR, by="bob", reason="a freeze"),)
    )
    called(file, catalog, condemned("d2"), said=other)
    called(file, catalog, condemned("d2"), said=other, now=NOW + 2 * MINUTE)
    assert (deliveries(file)["rollback:d2"].state, len(hook.got)) == ("withheld", 1)


def test_a_deploy_that_is_no_longer_there_is_not_rolled_back(hook, file):
    called(file, rules(hook), condemned("d1", replaced_at=NOW - MINUTE))
    called(file, rules(hook), condemned("d2", made_at=NOW - LATE))
    found = deliveries(file)
    assert found["rollback:d1"].error == "another deploy has taken its place" and "rollback:d2" not in found
    assert hook.got == []


def test_what_waits_is_kept_back_once_rollbacks_are_switched_off(hook, file):
    hook.answers[:] = [500]
    called(file, rules(hook), condemned())
    called(file, rules(hook, status="off"), condemned(), now=NOW + 5 * MINUTE)
    assert "switched off" in deliveries(file)["rollback:d1"].error
    called(file, rules(hook), condemned(), now=NOW + 10 * MINUTE)
    assert len(hook.got) == 1


def test_only_enabled_rules_condemn_and_of_those_that_are_named(hook, tmp_path):
    lake = lake_with(tmp_path, {"deploy_id": "d1"})
    day = [DEPLOYED.date()]
    table = to_table([look(), look(rule="other"), look(look_minutes=30, beyond=False)], DeployLook).append_column(
        DAY, [day * 3]
    )
    lake.replace_days("deploy_looks", day, table.cast(TABLES["deploy_looks"].schema))
    (found,) = condemned_deploys(lake, rules(hook), now=NOW)
    assert [(one.rule, one.look_minutes) for one in found.looks] == [("fail", 60)]
    assert condemned_deploys(lake, rules(hook, rule_status="watch"), now=NOW) == []
    assert condemned_deploys(lake, rules(hook, status="off"), now=NOW) == []
    assert condemned_deploys(lake, rules(hook), now=DEPLOYED + timedelta(days=4)) == []
    assert "rollback:d1" in due_key(tmp_path / "state" / "a.sqlite", lake, rules(hook), now=NOW)
