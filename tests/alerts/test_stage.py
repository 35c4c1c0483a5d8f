"""From points to alerts and incidents: what is raised, when, once; what becomes of it."""

import shutil
from datetime import timedelta

import numpy as np
import pytest

from onlineeval_dagster.alerts import said as said_of
from onlineeval_dagster.alerts.findings import find
from onlineeval_dagster.alerts.stage import evaluate, read_alerts, read_incidents
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from tests.alerts.alert_worlds import FIRST, NOW, catalog, hourly, lake_of_points, put, received
from tests.worlds import log_events, settings_at

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
SLOW = {"kind": "relative", "metric": "latency", "limit": 0.1}
BEGAN, OVER = NOW - 10 * HOUR, NOW - 5 * HOUR


@pytest.fixture(scope="module")
def slow(tmp_path_factory) -> Lake:
    """Latency is up by half between ten and five hours ago."""
    return lake_of_points(tmp_path_factory.mktemp("slow"), hourly(fall=(BEGAN, OVER, 1.5)))


def copy_of(lake: Lake, folder) -> Lake:
    shutil.copytree(lake.folder, folder / "lake")
    return Lake(folder / "lake")


def test_a_quiet_past_raises_nothing(slow):
    found = find(slow, catalog(slow=SLOW), now=BEGAN + HOUR)
    assert found == []


def test_a_rise_is_found_in_its_first_mature_window_and_told_with_its_evidence(slow):
    rules = catalog(slow=SLOW)
    assert find(slow, rules, now=BEGAN + 2 * HOUR - timedelta(minutes=1)) == []  # not mature: it ends and waits an hour
    (one,) = find(slow, rules, now=BEGAN + 2 * HOUR)
    assert (one.began_at, one.fired_at, one.ended_at) == (BEGAN, BEGAN + 2 * HOUR, None)
    assert one.change == pytest.approx(0.5, abs=0.1) and one.strength > 1
    assert one.low < one.value < one.high and one.n == 400
    assert "more than that" in one.told and "400 answers" in one.told and "ms" in one.told


def test_an_alert_lives_from_firing_over_acknowledged_to_resolved(slow, tmp_path):
    lake, rules, settings = copy_of(slow, tmp_path), catalog(slow=SLOW), settings_at(tmp_path)
    evaluate(lake, rules, now=BEGAN + 2 * HOUR)
    (alert,) = read_alerts(lake)
    assert (alert.state, alert.watched, alert.openings) == ("firing", True, 1)
    (incident,) = read_incidents(lake)
    assert (incident.state, incident.alerts, incident.opened_at) == ("open", 1, BEGAN + 2 * HOUR)
    heard = said_of.acknowledgement(incident.incident_id, by="ada@example.org", note=None, now=BEGAN + 3 * HOUR)
    log_events(settings, [heard])
    ingest(settings, lake, now=NOW)
    evaluate(lake, rules, now=BEGAN + 3 * HOUR)
    assert [one.state for one in read_alerts(lake)] == ["acknowledged"]
    assert [(one.state, one.acknowledged_by) for one in read_incidents(lake)] == [("acknowledged", "ada@example.org")]
    evaluate(lake, rules, now=NOW)
    (alert,), (incident,) = read_alerts(lake), read_incidents(lake)
    assert (alert.state, alert.resolved_at) == ("resolved", OVER + 4 * HOUR)  # three clear looks, the last one mature
    assert (incident.state, incident.resolved_at, incident.opened_at) == ("resolved", OVER + 4 * HOUR, BEGAN + 2 * HOUR)


def test_looking_again_changes_nothing_and_a_kill_between_the_tables_is_made_good(slow, tmp_path):
    lake, rules = copy_of(slow, tmp_path), catalog(slow=SLOW)
    first = evaluate(lake, rules, now=NOW)
    assert (first.alert_days, first.incident_days) == ((BEGAN.date(),), (NOW.date(),))
    again = evaluate(lake, rules, now=NOW + timedelta(minutes=5))
    assert (again.alert_days, again.incident_days) == ((), ())
    assert again.alerts == first.alerts
    lake.replace_days("incidents", [NOW.date()], TABLES["incidents"].schema.empty_table())
    evaluate(lake, rules, now=NOW + timedelta(minutes=10))
    assert read_incidents(lake) == list(first.incidents)


def test_the_past_is_not_raised_when_rules_are_new(slow, tmp_path):
    lake = copy_of(slow, tmp_path)
    assert evaluate(lake, catalog(slow=SLOW), now=NOW + 2 * DAY).alerts == ()


def test_what_late_data_take_back_is_resolved_and_stays_on_record(slow, tmp_path):
    lake, rules = copy_of(slow, tmp_path), catalog(slow=SLOW)
    evaluate(lake, rules, now=BEGAN + 3 * HOUR)
    put(lake, [point for point in hourly() if point["window_start"] >= BEGAN - DAY])
    evaluate(lake, rules, now=BEGAN + 4 * HOUR)
    (alert,) = read_alerts(lake)
    assert (alert.state, alert.ending) == ("resolved", "its points, as they are known now, say nothing of it")
    assert alert.value > 1300  # what somebody was told


def test_trouble_that_comes_back_soon_is_the_same_alert_again(tmp_path):
    rules = catalog(slow={**SLOW, "recover": 1})
    begin, pause, again = NOW - 12 * HOUR, NOW - 10 * HOUR, NOW - 7 * HOUR
    points = hourly(fall=(begin, pause, 1.5))
    for point in points:
        if point["window_start"] >= again:
            for name in ("value", "low", "high"):
                point[name] *= 1.5
    lake = lake_of_points(tmp_path, points)
    for hours in range(12):
        evaluate(lake, rules, now=begin + hours * HOUR)
    evaluate(lake, rules, now=NOW)
    (alert,) = read_alerts(lake)
    assert (alert.state, alert.openings) == ("firing", 2)
    assert [one.openings for one in read_incidents(lake)] == [2]


def test_alerts_that_begin_together_are_one_incident_and_business_comes_first(tmp_path):
    fall = (BEGAN, NOW, 1.6)
    points = [
        *hourly(fall=fall),
        *hourly(metric="abandoned", mean=0.2, noise=0.008, error=0.01, fall=fall, seed=4),
        *hourly(metric="cost", mean=0.01, noise=0.0002, error=0.0002, seed=5, fall=(BEGAN + 5 * HOUR, NOW, 1.6)),
    ]
    rules = catalog(
        slow={**SLOW, "role": "technical", "severity": "page"},
        left={"kind": "dynamic", "metric": "abandoned", "limit": 0.1, "role": "business", "wait_minutes": 90},
        dear={"kind": "relative", "metric": "cost", "limit": 0.1, "role": "technical"},
    )
    lake = lake_of_points(tmp_path, points)
    for hours in range(2, 11):
        evaluate(lake, rules, now=BEGAN + hours * HOUR)
    first, second = read_incidents(lake)
    assert (first.alerts, first.role, first.rules, first.severity) == (2, "business", "left, slow", "page")
    assert first.title == "left, and 1 more" and first.diagnosis.startswith("slow: ")
    assert (second.rules, second.opened_at - first.opened_at) == ("dear", 5 * HOUR)


def test_a_silence_holds_until_its_end_and_a_rule_that_is_off_resolves(slow, tmp_path):
    lake, settings = copy_of(slow, tmp_path), settings_at(tmp_path)
    until = BEGAN + 4 * HOUR
    quiet = said_of.silence(
        "slow", "*", begins_at=BEGAN, ends_at=until, by="ada", reason="a migration", now=BEGAN - DAY
    )
    log_events(settings, [quiet])
    ingest(settings, lake, now=NOW)
    evaluate(lake, catalog(slow=SLOW), now=BEGAN + 3 * HOUR)
    assert [one.silenced_until for one in read_alerts(lake)] == [until]
    assert [one.silenced_until for one in read_incidents(lake)] == [until]
    evaluate(lake, catalog(slow=SLOW), now=until)
    assert [one.silenced_until for one in read_incidents(lake)] == [None]
    evaluate(lake, catalog(slow={**SLOW, "status": "off"}), now=until)
    assert [(one.state, one.ending) for one in read_alerts(lake)] == [
        ("resolved", "its rule is off, or no longer there")
    ]


def test_another_version_of_a_judge_begins_a_series_and_blames_nobody(tmp_path):
    change = NOW - 5 * DAY
    points = [
        *hourly(metric="relevance_score", mean=2.4, noise=0.04, error=0.03, judge_version="v1", until=change),
        *(
            point
            for point in hourly(metric="relevance_score", mean=1.9, noise=0.04, error=0.03, judge_version="v2")
            if point["window_start"] >= change
        ),
    ]
    rule = {"kind": "relative", "metric": "relevance_score", "limit": 0.1}
    assert find(lake_of_points(tmp_path, points), catalog(low=rule), now=NOW) == []


def test_each_value_of_a_slice_is_a_series_and_only_the_largest_are_looked_at(tmp_path):
    points = [
        point
        for size, name in ((900, "large"), (500, "middle"), (20, "small"))
        for point in hourly(slice="model", slice_value=name, n=size, fall=(BEGAN, NOW, 1.6), seed=size)
    ]
    rules = catalog(budget={"slice_values": 2}, slow={**SLOW, "slices": ["model"]})
    lake = lake_of_points(tmp_path, points)
    assert {one.slice_value for one in find(lake, rules, now=NOW)} == {"large", "middle"}
    one_incident = evaluate(lake, rules, now=NOW).incidents
    assert [incident.alerts for incident in one_incident] == [2]


def night_and_day(quiet_from=None, days=40):
    rng = np.random.default_rng(8)
    made = {}
    for hour in range(days * 24):
        at = FIRST + hour * HOUR
        mean = 0.2 if at.hour < 6 else 60
        made[at] = 0 if quiet_from is not None and at >= quiet_from else int(rng.negative_binomial(mean / 3, 0.25))
    return made


def test_silence_is_an_alarm_by_day_and_none_in_hours_that_are_usually_quiet(tmp_path):
    rules = catalog(silent={"kind": "no_data", "metric": "answers", "wait_minutes": 15, "recover": 1})
    noon = NOW - DAY + 12 * HOUR
    quiet = Lake(tmp_path / "quiet")
    received(quiet, night_and_day())
    assert find(quiet, rules, now=NOW) == []
    fell = Lake(tmp_path / "fell")
    received(fell, night_and_day(noon))
    (one,) = find(fell, rules, now=noon + HOUR + timedelta(minutes=15))
    assert (one.began_at, one.fired_at) == (noon, noon + HOUR + timedelta(minutes=15))
    assert "none in the hour" in one.told and one.expected == pytest.approx(60, rel=0.2)
    asleep = Lake(tmp_path / "asleep")
    received(asleep, night_and_day(NOW - DAY))
    assert find(asleep, rules, now=NOW - DAY + 6 * HOUR) == []  # silent since midnight, and that is usual
    assert find(asleep, rules, now=NOW - DAY + 7 * HOUR + timedelta(minutes=15)) != []


def test_events_that_come_in_late_are_an_alarm_and_an_import_of_old_ones_is_none(tmp_path):
    rules = catalog(late={"kind": "absolute", "metric": "late_events", "limit": 0.2, "wait_minutes": 15})
    noon = NOW - DAY + 12 * HOUR
    lake = Lake(tmp_path / "lake")
    traffic = {NOW - DAY + hour * HOUR: 60 for hour in range(24)}
    received(lake, traffic, late={noon: 40})
    (one,) = find(lake, rules, now=NOW)
    assert (one.began_at, one.fired_at) == (noon, noon + HOUR + timedelta(minutes=15))
    assert one.value == pytest.approx(40 / 60) and "66.7 %" in one.told
    imported = Lake(tmp_path / "imported")
    received(imported, traffic, late={noon: 60}, source="import_langfuse")
    assert find(imported, rules, now=NOW) == []


def test_without_a_past_there_is_nothing_to_say(tmp_path):
    rules = catalog(silent={"kind": "no_data", "metric": "answers"}, slow=SLOW)
    assert evaluate(Lake(tmp_path / "lake"), rules, now=NOW).alerts == ()
