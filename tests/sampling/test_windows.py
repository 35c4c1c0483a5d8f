"""Strata with a size or a floor: drawn when their window closes, by hash, whatever the order of arrival."""

from datetime import timedelta

import pytest

from onlineeval_dagster.progress import waiting
from onlineeval_dagster.sampling.chance import unit_interval
from onlineeval_dagster.sampling.draw import SETTLE
from onlineeval_dagster.sampling.select import select_responses
from tests.sampling.worlds import catalog_with, decisions, drawn, select
from tests.worlds import NOON, NOW, action, answer, lake_of, log_events, settings_at

CLOSED = NOON + timedelta(hours=1) + SETTLE
SIZE = catalog_with(normal={"size": 20}, late_rate=0.2)


def at(name: str) -> float:
    return unit_interval(name, "cohort-1")


@pytest.fixture
def settings(tmp_path):
    return settings_at(tmp_path)


def spread(count, *, start=0, hours=1):
    """Answers over some hours from noon."""
    step = timedelta(hours=hours) / count
    return [answer(start + n, at=NOON + n * step) for n in range(count)]


def test_exactly_so_many_a_window_are_selected_those_with_the_lowest_hashes(settings):
    lake = lake_of(settings, spread(300, hours=3))
    select(lake, SIZE, now=NOW)
    decided = decisions(lake)
    assert len(decided) == 300
    for hour in range(3):
        window = [f"r{n}" for n in range(100 * hour, 100 * hour + 100)]
        ranked = sorted(window, key=at)
        assert drawn(decided) & set(window) == set(ranked[:20])
        assert {decided[name]["inclusion_probability"] for name in window} == {at(ranked[20])}


def test_a_window_waits_for_its_close_and_is_then_found_without_a_new_answer(settings):
    lake = lake_of(settings, spread(60))
    assert select(lake, SIZE, now=CLOSED - timedelta(seconds=1)).decided == 0
    assert not any("select from" in line for line in waiting(settings, SIZE, now=CLOSED - timedelta(seconds=1)))
    assert any("select from" in line for line in waiting(settings, SIZE, now=CLOSED))
    assert select(lake, SIZE, now=CLOSED).selected == 20
    assert not any("select from" in line for line in waiting(settings, SIZE, now=CLOSED))
    version = lake.version("selections")
    select_responses(lake, SIZE, now=CLOSED + timedelta(minutes=30))
    assert lake.version("selections") == version, "nothing closed, nothing is written"


def test_the_order_of_arrival_before_the_close_does_not_matter(tmp_path):
    events = spread(80)
    outcomes = []
    for name, order in (("a", [events]), ("b", [events[50:], events[:50]])):
        lake = lake_of(settings_at(tmp_path / name), [])
        for part in order:
            lake_of(settings_at(tmp_path / name), part)
            select(lake, SIZE, now=CLOSED - timedelta(minutes=5))
        select(lake, SIZE, now=CLOSED)
        outcomes.append({name: (row["state"], row["inclusion_probability"]) for name, row in decisions(lake).items()})
    assert outcomes[0] == outcomes[1]


def test_a_late_answer_is_selected_if_its_hash_lies_below_the_frozen_threshold(settings):
    lake = lake_of(settings, spread(60))
    select(lake, SIZE, now=CLOSED)
    before = decisions(lake)
    threshold = next(iter(before.values()))["inclusion_probability"]
    log_events(settings, spread(200, start=1000))
    lake_of(settings, [])
    select(lake, SIZE, now=NOW)
    after = decisions(lake)
    assert {name: after[name] for name in before} == before, "what was decided stays"
    late = {name: row for name, row in after.items() if name not in before}
    assert len(late) == 200 and {row["inclusion_probability"] for row in late.values()} == {threshold}
    assert drawn(late) == {name for name in late if at(name) < threshold}
    assert 0 < len(drawn(late)) < 200


def test_a_window_that_took_all_takes_late_answers_at_a_rate_of_their_own(settings):
    lake = lake_of(settings, spread(12))
    assert select(lake, SIZE, now=CLOSED).selected == 12
    for start in (1000, 2000):
        log_events(settings, spread(150, start=start))
        lake_of(settings, [])
        select(lake, SIZE, now=NOW)
    late = {name: row for name, row in decisions(lake).items() if len(name) > 3}
    assert {(row["stratum"], row["inclusion_probability"]) for row in late.values()} == {("late", 0.2)}
    assert drawn(late) == {name for name in late if at(name) < 0.2}


def test_a_floor_tops_a_rate_up_in_quiet_windows_only(settings):
    catalog = catalog_with(normal={"rate": 0.1, "floor": 15})
    busy = [answer(f"b{n}", at=NOON + timedelta(hours=1, seconds=n)) for n in range(1000)]
    lake = lake_of(settings, [*spread(50), *busy])
    select(lake, catalog, now=NOW)
    decided = decisions(lake)
    quiet = {name: row for name, row in decided.items() if not name.startswith("rb")}
    assert len(drawn(quiet)) == 15
    loud = {name: row for name, row in decided.items() if name.startswith("rb")}
    assert {row["inclusion_probability"] for row in loud.values()} == {0.1}


def test_a_plain_rate_decides_at_once_beside_a_stratum_that_waits(settings):
    lake = lake_of(settings, [*spread(30), action(3, "thumbs_down", at=NOON + timedelta(minutes=1))])
    select(lake, SIZE, now=NOON + timedelta(minutes=30))
    assert set(decisions(lake)) == {"r3"}


def test_a_changed_rate_holds_for_new_windows_and_never_for_a_decided_one(settings):
    lake = lake_of(settings, spread(50))
    select(lake, catalog_with(normal={"rate": 0.1}), now=NOW)
    log_events(settings, [*spread(50, start=500), *(answer(n, at=NOON + timedelta(hours=5)) for n in range(900, 950))])
    lake_of(settings, [])
    select(lake, catalog_with(normal={"rate": 0.5}), now=NOW)
    decided = decisions(lake)
    assert decided["r510"]["inclusion_probability"] == 0.1, "its window had its rate already"
    assert decided["r910"]["inclusion_probability"] == 0.5


def test_raising_a_rate_or_a_size_only_adds(tmp_path):
    events = spread(200)
    found = []
    for number, normal in enumerate([{"size": 10}, {"size": 30}, {"rate": 0.2}, {"rate": 0.4}]):
        lake = lake_of(settings_at(tmp_path / str(number)), events)
        select(lake, catalog_with(normal=normal), now=NOW)
        found.append(drawn(decisions(lake)))
    assert found[0] < found[1] and found[2] < found[3]


def test_a_stratum_that_was_taken_out_of_the_catalog_keeps_its_rows_and_stops_nothing(tmp_path):
    settings = settings_at(tmp_path)
    german = {"german": {"column": "language", "values": ["de"], "rate": 1.0}}
    lake = lake_of(settings, [answer(n, language="de") for n in range(5)])
    select(lake, catalog_with(segments=german), now=NOW)
    log_events(settings, [answer(n, language="de") for n in range(5, 10)])
    lake_of(settings, [])
    select(lake, catalog_with(), now=NOW)
    strata = [decisions(lake)[f"r{n}"]["stratum"] for n in range(10)]
    assert strata == ["german"] * 5 + ["normal"] * 5
