import hashlib
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import pytest

from onlineeval_dagster.contracts.events import EVENTS
from onlineeval_dagster.errors import SettingsError, SourceError
from onlineeval_dagster.simulate.texts import QUALITIES, load_corpus
from onlineeval_dagster.simulate.traffic import Simulation, simulate
from onlineeval_dagster.simulate.truth import read_truth, write_truth
from onlineeval_dagster.simulate.world import intraclass_correlation
from onlineeval_dagster.simulate.write import write_traffic

START = datetime(2026, 11, 9, tzinfo=UTC)


def small(seed: int = 1, days: int = 4, **settings) -> Simulation:
    return simulate(
        days=days, start=START, seed=seed, daily_users=80, population=240, responses_per_day=320, **settings
    )


def sent(simulation: Simulation, **options) -> bytes:
    out: list[bytes] = []
    write_traffic(out.append, simulation, **options)
    return b"".join(out)


def as_event(line: bytes):
    value = orjson.loads(line)
    return EVENTS[value["kind"]].model_validate(value)


@pytest.fixture(scope="module")
def events() -> list:
    return list(small().events)


@pytest.fixture(scope="module")
def fortnight() -> Simulation:
    return simulate(days=14, start=START)


@pytest.fixture(scope="module")
def fortnight_events(fortnight) -> list:
    return list(fortnight.events)


def of_kind(events: list, kind: str) -> list:
    return [event for event in events if event.kind == kind]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others():
    first, again, other = (hashlib.sha256(sent(small(seed))).digest() for seed in (1, 1, 2))
    assert first == again != other


def test_two_simulations_never_share_an_id(events):
    ids = {event.event_id for event in events}
    assert ids.isdisjoint(event.event_id for event in small(seed=2).events)
    assert ids.isdisjoint(event.event_id for event in small(days=3).events)


def test_every_line_is_an_event_of_the_contracts():
    for line in sent(small(), bad_lines=0).splitlines():
        assert as_event(line).app == "shop-assistant"


def test_events_come_in_order_of_arrival_and_within_the_period(events):
    arrivals = [event.received_at for event in events]
    assert arrivals == sorted(arrivals)
    assert arrivals[0] >= START and arrivals[-1] < START + timedelta(days=4)
    assert all(event.occurred_at <= event.received_at for event in events)


def test_every_event_says_that_it_is_simulated(events):
    assert all(event.attributes == {"simulated": True} and event.app == "shop-assistant" for event in events)


def test_the_typical_shop_has_some_3200_answers_a_day_and_a_night(fortnight):
    counts = [day.responses for day in fortnight.truth.days]
    assert 43_000 < sum(counts) < 47_000
    assert min(counts) > 2_200 and max(counts) < 4_200
    weekend = [day.responses for day in fortnight.truth.days if day.day.weekday() >= 5]
    assert np.mean(weekend) < 0.85 * np.mean(counts)


def test_the_night_is_quiet(events):
    hours = Counter(event.occurred_at.hour for event in of_kind(events, "response"))
    assert hours[19] > 5 * hours[3]


def test_quality_is_alike_within_users_and_more_so_within_sessions(fortnight):
    assert fortnight.truth.icc_user >= 0.2
    assert fortnight.truth.icc_session >= fortnight.truth.icc_user + 0.05


def test_the_intraclass_correlation_of_known_groups_is_found():
    rng = np.random.default_rng(7)
    groups = np.repeat(np.arange(4_000), 5)
    shares = rng.beta(1.5, 1.5, size=4_000)  # ICC of a beta-binomial: 1 / (a + b + 1)
    assert intraclass_correlation(rng.random(20_000) < shares[groups], groups) == pytest.approx(0.25, abs=0.02)
    assert intraclass_correlation(rng.random(20_000) < 0.8, groups) == pytest.approx(0.0, abs=0.02)


def test_the_planted_regression_is_as_large_as_the_truth_says(fortnight):
    days, planted = fortnight.truth.days, fortnight.truth.regression
    assert (
        planted is not None and planted.size == -0.10 and planted.deployed_at == datetime(2026, 11, 19, 14, tzinfo=UTC)
    )
    before = [day for day in days if day.day < planted.deployed_at.date()]
    after = [day for day in days if day.day > planted.deployed_at.date()]
    rates = [sum(day.good for day in part) / sum(day.responses for day in part) for part in (before, after)]
    assert rates[0] == pytest.approx(0.87, abs=0.015)
    assert rates[1] - rates[0] == pytest.approx(-0.10, abs=0.02)


def test_without_a_regression_nothing_changes_at_the_last_deploy():
    truth = small(regression=0.0).truth
    assert truth.regression is None
    assert [day.expected_rate for day in truth.days] == pytest.approx([0.87] * 4)


def test_the_truth_knows_each_production_answer_and_no_other(events):
    truth = small().truth
    answers = {event.response_id: event for event in of_kind(events, "response")}
    production = {key for key, answer in answers.items() if answer.environment == "production"}
    assert production == set(truth.qualities)
    assert 0 < len(answers) - len(production) < 0.03 * len(answers)
    assert sum(day.responses for day in truth.days) == len(production)
    assert sum(day.good for day in truth.days) == sum(quality == "good" for quality in truth.qualities.values())


def test_bad_answers_are_of_the_stated_kinds_and_look_like_it(events):
    truth = small().truth
    found = Counter(truth.qualities.values())
    assert all(found[quality] > 10 for quality in QUALITIES)
    for answer in of_kind(events, "response"):
        if truth.qualities.get(answer.response_id) == "cut_off":
            assert answer.response[-1] not in ".!?"
        if truth.qualities.get(answer.response_id) == "good":
            assert answer.response[-1] in ".!?" and answer.finish_reason == "stop"


def test_numbers_of_an_unsupported_answer_are_not_those_of_its_page(events):
    truth = small().truth
    by_id = {event.response_id: event for event in of_kind(events, "response")}
    supported = {quality: [] for quality in ("good", "unsupported")}
    for key, quality in truth.qualities.items():
        if quality in supported:
            said = set(filter(str.isdigit, by_id[key].response.split()))
            supported[quality].append(said <= set(by_id[key].context.replace(".", " ").split()))
    assert np.mean(supported["good"]) == 1
    assert np.mean(supported["unsupported"]) < 0.1


def test_every_answer_to_a_topic_has_a_number_that_can_be_wrong():
    topics = [topic for topics in load_corpus().topics.values() for topic in topics]
    assert len(topics) >= 40
    for topic in topics:
        assert len(topic.n) > 1 and len(topic.m) > 1
        assert all("{n}" in answer or "{m}" in answer for answer in topic.answers)


def test_users_show_what_they_think(fortnight, fortnight_events):
    truth, done = fortnight.truth, Counter()
    for event in fortnight_events:
        if event.kind == "action" and event.response_id in truth.qualities:
            done[event.action, truth.qualities[event.response_id] == "good"] += 1
    good = sum(quality == "good" for quality in truth.qualities.values())
    bad = len(truth.qualities) - good
    for action in ("copy", "task_completed", "thumbs_up"):
        assert done[action, True] / good > 2 * done[action, False] / bad
    for action in ("regenerate", "thumbs_down", "abandon", "follow_up"):
        assert done[action, False] / bad > 2 * done[action, True] / good
    assert done["star_rating", True] and done["star_rating", False]


def test_actions_come_later_and_few_of_them_days_later(events):
    served = {event.response_id: event.occurred_at for event in of_kind(events, "response")}
    waits = [(event.received_at - served[event.response_id]).total_seconds() for event in of_kind(events, "action")]
    assert min(waits) > 0
    assert 10 < np.median(waits) < 300
    assert 0 < np.mean(np.array(waits) > 86_400) < 0.01


def test_a_few_events_are_sent_twice_with_the_same_id_and_time(events):
    seen = Counter(event.event_id for event in events)
    twice = {key for key, count in seen.items() if count == 2}
    assert max(seen.values()) == 2 and 0.0005 < len(twice) / len(seen) < 0.005
    times: dict[str, set] = {}
    for event in events:
        times.setdefault(event.event_id, set()).add(event.occurred_at)
    assert all(len(found) == 1 for found in times.values())


def test_the_audit_labels_one_answer_in_a_hundred_and_agrees_with_the_truth_but_for_slips(fortnight, fortnight_events):
    labels = of_kind(fortnight_events, "label")
    assert len({label.response_id for label in labels}) == pytest.approx(0.01 * len(fortnight.truth.qualities), rel=0.2)
    assert {label.inclusion_probability for label in labels} == {0.01} and {label.stream for label in labels} == {
        "audit"
    }
    agree = [(label.score == 3) == (fortnight.truth.qualities[label.response_id] == "good") for label in labels]
    assert 0.95 < np.mean(agree) < 1


def test_a_user_keeps_one_variant_and_is_exposed_once(events):
    exposures = of_kind(events, "exposure")
    variant = {exposure.unit_id: exposure.variant for exposure in exposures}
    assert {"control", "warm"} == set(variant.values())
    for answer in of_kind(events, "response"):
        if answer.environment == "production":
            assert answer.variant == variant[answer.user_id]


def test_broken_lines_lie_between_the_good_ones_and_none_is_an_event():
    clean, dirty = (set(sent(small(), bad_lines=share).split(b"\n")) for share in (0, 0.02))
    assert clean <= dirty
    broken = dirty - clean
    assert len(broken) >= 5
    for line in broken:
        with pytest.raises((ValueError, KeyError)):
            as_event(line)


def test_what_was_written_is_counted():
    out: list[bytes] = []
    written = write_traffic(out.append, small(), bad_lines=0.01)
    assert sum(written.events.values()) + written.bad_lines == b"".join(out).count(b"\n")
    assert written.events["deploy"] == 3 and written.events["event"] == 2 and written.bad_lines > 0


def test_the_truth_is_read_as_it_was_written_and_calls_itself_simulated(tmp_path):
    truth = small().truth
    write_truth(truth, tmp_path / "side" / "truth.json")
    assert read_truth(tmp_path / "side" / "truth.json") == truth
    assert b"simulated traffic" in (tmp_path / "side" / "truth.json").read_bytes()
    with pytest.raises(SourceError, match=r"nowhere\.json"):
        read_truth(tmp_path / "nowhere.json")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"start": datetime(2026, 11, 9)}, "midnight UTC"),  # noqa: DTZ001
        ({"start": datetime(2026, 11, 9, 5, tzinfo=UTC)}, "midnight UTC"),
        ({"days": 0}, "days"),
        ({"regression": 0.9}, "regression"),
        ({"daily_users": 2_000}, "daily_users"),
    ],
)
def test_an_impossible_world_is_refused_by_name(wrong, message):
    with pytest.raises(SettingsError, match=message):
        simulate(**({"days": 2, "start": START} | wrong))
