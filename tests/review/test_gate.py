"""The promotion gate: who passes, who does not, and how often an equally good judge would."""

from dataclasses import replace

import numpy as np
import pytest

from onlineeval_dagster.catalog.promotion_file import Promotion
from onlineeval_dagster.contracts.estimates import Estimate
from onlineeval_dagster.review.gate import Labelled, compare, conditions, labels_to_see, power_to_see


def labelled(rng, count: int, *, only_one: float, both: float, worse_by: float = 0.0, users: int = 10**6) -> Labelled:
    """People's scores, and judges that hit them: both, or only one of them; `worse_by` moves hits to the active one."""
    people = rng.integers(1, 4, count).astype(float)
    drawn = rng.random(count)
    shadow_alone = (only_one - worse_by) / 2
    new = (drawn < both) | ((drawn >= both) & (drawn < both + shadow_alone))
    old = (drawn < both) | ((drawn >= both + shadow_alone) & (drawn < both + only_one))
    miss = 1 + people % 3
    user = np.unique(rng.integers(0, users, count), return_inverse=True)[1].astype(np.int64)
    return Labelled(
        people=people,
        shadow=np.where(new, people, miss),
        active=np.where(old, people, miss),
        weights=np.ones(count),
        users=user,
    )


def passes(found: Labelled, margin: float) -> bool:
    difference = compare(found).difference
    return isinstance(difference, Estimate) and difference.low > -margin


def test_a_weeks_224_labels_show_a_margin_of_five_points_with_chance_one_half() -> None:
    """Of 3,200 answers a day people see 1 %; one label in five is hit by one of the judges only."""
    stated = power_to_see(0.05, labels=224, spread=0.2**0.5)
    assert stated == pytest.approx(0.51, abs=0.005)
    rng = np.random.default_rng(3)
    seen = np.mean([passes(labelled(rng, 224, only_one=0.2, both=0.7), 0.05) for _ in range(2000)])
    assert abs(seen - stated) < 0.035  # three Monte-Carlo errors of 2,000


def test_a_judge_that_is_worse_by_the_margin_passes_once_in_twenty() -> None:
    rng = np.random.default_rng(4)
    seen = np.mean([passes(labelled(rng, 400, only_one=0.2, both=0.7, worse_by=0.05), 0.05) for _ in range(2000)])
    assert abs(seen - 0.05) < 0.016


def test_the_labels_that_are_asked_for_give_the_power_that_is_promised() -> None:
    count = labels_to_see(0.05, spread=0.2**0.5)
    assert power_to_see(0.05, labels=count, spread=0.2**0.5) == pytest.approx(0.8, abs=0.001)
    rng = np.random.default_rng(5)
    assert np.mean([passes(labelled(rng, count, only_one=0.2, both=0.7), 0.05) for _ in range(1000)]) == pytest.approx(
        0.8, abs=0.04
    )


def held(found: Labelled, limit: float = 0.5, **more) -> dict[str, bool]:
    said = {"labels": len(found.people), "verdicts": 500, "failed": 0.0, "reliability": None, "is_local": True} | more
    names = ("labels", "agrees", "no worse", "orders", "errors", "noise")
    told = conditions(compare(found), limit=limit, promotion=Promotion(), **said)
    return {name: one.holds for name, one in zip(names, told, strict=True)}


def test_a_good_judge_lacks_only_what_was_not_tried() -> None:
    found = labelled(np.random.default_rng(6), 900, only_one=0.1, both=0.85)
    assert held(found) == {
        "labels": True,
        "agrees": True,
        "no worse": True,
        "orders": False,
        "errors": True,
        "noise": True,
    }


def test_a_judge_that_always_says_good_is_stopped_by_kappa_though_it_hits_nine_of_ten() -> None:
    rng = np.random.default_rng(7)
    people = np.where(rng.random(900) < 0.9, 3.0, 1.0)
    active = np.where(rng.random(900) < 0.9, people, 2.0)
    found = Labelled(people=people, shadow=np.full(900, 3.0), active=active, weights=np.ones(900), users=np.arange(900))
    said = held(found)
    assert said["no worse"] and not said["agrees"]


def test_errors_too_few_labels_and_an_unknown_noise_stop_it() -> None:
    found = labelled(np.random.default_rng(8), 60, only_one=0.1, both=0.85)
    said = held(found, failed=0.05, is_local=False)
    assert not (said["labels"] or said["errors"] or said["noise"])
    assert not held(found, failed=0.0, verdicts=10)["errors"]


def test_users_with_many_answers_make_the_bound_wider() -> None:
    found = labelled(np.random.default_rng(9), 600, only_one=0.3, both=0.6)
    # The same answers twice, by the same users: nothing more is known.
    twice = Labelled(
        people=np.tile(found.people, 2),
        shadow=np.tile(found.shadow, 2),
        active=np.tile(found.active, 2),  # type: ignore[arg-type]
        weights=np.tile(found.weights, 2),
        users=np.tile(found.users, 2),
    )
    one, two = compare(found).difference, compare(twice).difference
    assert isinstance(one, Estimate) and isinstance(two, Estimate)
    assert two.low == pytest.approx(one.low)
    assert compare(replace(found, active=None)).difference is None
