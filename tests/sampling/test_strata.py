"""Who belongs to which stratum, which judges share a cohort, and what people see of it."""

from datetime import timedelta

import pytest

from tests.sampling.worlds import catalog_with, decisions, drawn, judge, select
from tests.worlds import NOON, NOW, action, answer, deploy, lake_of, settings_at


@pytest.fixture
def settings(tmp_path):
    return settings_at(tmp_path)


def decided(settings, catalog, events, **more):
    lake = lake_of(settings, events)
    select(lake, catalog, now=NOW)
    return decisions(lake, **more)


def test_a_segment_has_its_own_rate_after_flags_and_new_versions(settings):
    catalog = catalog_with(
        segments={
            "german": {"column": "language", "values": ["de"], "rate": 0.5},
            "newcomers": {"column": "new_user", "values": ["true"], "rate": 0.4},
            "arm_b": {"column": "variant", "values": ["b", "c"], "size": 2},
        }
    )
    events = [
        answer("de", language="de", new_user=True),
        answer("new", new_user=True),
        answer("known", new_user=False),
        answer("b", variant="b"),
        answer("bad", language="de"),
        action("bad", "thumbs_down"),
        deploy("d", at=NOON - timedelta(hours=1), prompt_version="p2"),
        answer("fresh", language="de", prompt_version="p2"),
    ]
    found = {name: row["stratum"] for name, row in decided(settings, catalog, events).items()}
    assert found == {
        **{"rde": "german", "rnew": "newcomers", "rknown": "normal", "rb": "arm_b"},
        **{"rbad": "flagged", "rfresh": "new_version"},
    }


def test_a_version_is_new_by_its_first_deploy_and_again_after_a_month_away(settings):
    days = timedelta(days=1)
    first = NOON - 40 * days
    events = [
        *(deploy(f"d{n}", at=first + n * days, prompt_version="p") for n in (0, 1, 5, 37)),
        *(answer(n, at=first + n * days + timedelta(hours=1), prompt_version="p") for n in (0, 1, 5, 37)),
    ]
    lake = lake_of(settings, events, now=NOON)
    select(lake, catalog_with(), now=NOON)
    found = {name: row["stratum"] for name, row in decisions(lake).items()}
    assert found == {"r0": "new_version", "r1": "new_version", "r5": "normal", "r37": "new_version"}


def test_judges_with_one_salt_see_the_same_answers_and_others_their_own(settings):
    catalog = catalog_with(judges=(judge("one"), judge("two"), judge("three")), salts={"three": "cohort-2"})
    lake = lake_of(settings, [answer(n) for n in range(400)])
    select(lake, catalog, now=NOW)
    one, two, three = (drawn(decisions(lake, judge=name)) for name in ("one", "two", "three"))
    assert one == two and one and three and one != three
    assert len(one & three) < 15, "of some 40 each, some 4 in common"


@pytest.mark.parametrize("normal", [{"rate": 0.1}, {"size": 25}, {"rate": 0.05, "floor": 30}])
def test_people_see_a_share_of_what_the_judges_see_with_a_known_chance(settings, normal):
    catalog = catalog_with(judges=(judge("one"), judge("two", rate=0.08)), normal=normal, review={"rate": 0.05})
    lake = lake_of(settings, [*(answer(n) for n in range(600)), *(action(n, "thumbs_down") for n in range(100))])
    select(lake, catalog, now=NOW)
    review = decisions(lake, judge="review")
    assert len(review) == 600
    for name in ("one", "two"):
        judged = decisions(lake, judge=name)
        assert drawn(review) <= drawn(judged)
        assert all(row["inclusion_probability"] <= judged[key]["inclusion_probability"] for key, row in review.items())
    assert {row["inclusion_probability"] for row in review.values() if row["stratum"] == "flagged"} == {0.05}
    assert drawn(review)


def test_people_wait_for_a_window_that_a_judge_waits_for(settings):
    catalog = catalog_with(normal={"size": 25}, review={"rate": 0.05})
    lake = lake_of(settings, [answer(n) for n in range(100)], now=NOON + timedelta(minutes=30))
    select(lake, catalog, now=NOON + timedelta(minutes=30))
    assert decisions(lake, judge="review") == {}
    select(lake, catalog, now=NOW)
    assert len(decisions(lake, judge="review")) == 100


def test_what_a_deploy_meets_is_watched_for_a_while_at_a_rate_of_its_own(settings):
    hours = timedelta(hours=1)
    events = [
        deploy("prompt", at=NOON, prompt_version="p2"),
        deploy("model", at=NOON, model="m2"),
        deploy("code", at=NOON, app="shop"),
        answer("before", at=NOON - hours, prompt_version="p2"),
        answer("prompt", at=NOON + hours, prompt_version="p2"),
        answer("model", at=NOON + hours, model="m2", prompt_version="p1"),
        answer("other", at=NOON + hours, prompt_version="p1", model="m1"),
        answer("code", at=NOON + hours, app="shop", prompt_version="p1"),
        answer("elsewhere", at=NOON + hours, app="desk", prompt_version="p2"),
        answer("later", at=NOON + 3 * hours, prompt_version="p2"),
        answer("bad", at=NOON + hours, prompt_version="p2"),
        action("bad", "thumbs_down", at=NOON + hours),
    ]
    catalog = catalog_with(watched={"rate": 0.5, "minutes": 120})
    found = decided(settings, catalog, events)
    assert {name: row["stratum"] for name, row in found.items()} == {
        **{"rbefore": "normal", "rprompt": "watched", "rmodel": "watched", "rother": "normal", "rcode": "watched"},
        **{"relsewhere": "new_version", "rlater": "new_version", "rbad": "flagged"},
    }
    assert {row["inclusion_probability"] for row in found.values() if row["stratum"] == "watched"} == {0.5}


def test_a_judge_that_sees_more_than_watched_answers_get_sees_as_much_of_these(settings):
    events = [deploy("d", at=NOON, prompt_version="p2"), answer("one", at=NOON, prompt_version="p2")]
    catalog = catalog_with(watched={"rate": 0.5}, judges=(judge(rate=0.9),))
    assert decided(settings, catalog, events)["rone"]["inclusion_probability"] == 0.9
