"""What people are asked to look at, and what never gets in there."""

import dataclasses
from datetime import timedelta
from pathlib import Path

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.sampling_file import Review
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.review.tasks import AuditLabels, Planned, plan_tasks, undrawn_labels
from tests.review.task_worlds import AUDIT, AXIS, CATALOG, complaint, label, put, selected, verdict
from tests.worlds import NOON, answer, lake_of, settings_at

NOW = NOON + timedelta(days=1)


def tasks(lake: Lake) -> dict[str, tuple]:
    """By response: stream, probability, reason, raters, labels."""
    found = rows(lake, "select * from review_tasks", {"review_tasks": None}).to_pylist()
    assert all(row["axis"] == AXIS for row in found)
    return {
        row["response_id"]: tuple(
            row[name] for name in ("stream", "inclusion_probability", "reason", "raters", "labels")
        )
        for row in found
    }


def with_review(**said: object) -> Catalog:
    sampling = CATALOG.sampling.model_copy(update={"review": Review(rate=AUDIT, **said)})  # type: ignore[arg-type]
    return dataclasses.replace(CATALOG, sampling=sampling)


def world(folder: Path, *events: object, answers: int = 6) -> Lake:
    """Answers r0 … r5: the audit drew r0 and r1, judges could see them all."""
    settings = settings_at(folder)
    lake = lake_of(settings, [*(answer(number) for number in range(answers)), *events], now=NOW)  # type: ignore[list-item]
    drawn = [selected(n, state="selected" if n < 2 else "not_selected") for n in range(answers)]
    put(lake, "selections", [*drawn, *(selected(n, "relevance", state="not_selected") for n in range(answers))])
    return lake


def test_the_audit_is_what_was_drawn_with_its_chance_and_what_looks_wrong_has_none(tmp_path: Path) -> None:
    lake = world(tmp_path, verdict(1, 1), verdict(3, 1), verdict(4, 3))
    put(lake, "signals", [complaint(0), complaint(2), complaint(4, score=0.5)])
    done = plan_tasks(lake, CATALOG, now=NOW)
    assert tasks(lake) == {
        "r0": ("audit", AUDIT, "random", 1, 0),  # though its user complained
        "r1": ("audit", AUDIT, "random", 1, 0),  # though the judge gave it the lowest score
        "r2": ("targeted", None, "complaint", 1, 0),
        "r3": ("targeted", None, "low_score", 1, 0),
    }
    assert done == Planned(days=(NOON.date(),), audit=2, targeted=2, waiting=4)


def test_judges_that_disagree_or_waver_and_late_flags_are_looked_at(tmp_path: Path) -> None:
    twin = dataclasses.replace(CATALOG.live_judges[0], name="twin")
    catalog = dataclasses.replace(CATALOG, judges=(*CATALOG.judges, twin))
    lake = world(
        tmp_path,
        *(verdict(2, 3), verdict(2, 2, judge="twin", judge_version=twin.version)),
        verdict(3, 3, expected_score=2.4),
        verdict(5, 1, judge_version="an older one"),
    )
    put(lake, "selections", [selected(4, "relevance", stratum="targeted", inclusion_probability=None)])
    plan_tasks(lake, catalog, now=NOW)
    reasons = {name: task[2] for name, task in tasks(lake).items()}
    assert reasons == {"r0": "random", "r1": "random", "r2": "judges_disagree", "r3": "unsure", "r4": "flagged"}


def test_what_no_judge_may_see_is_nobodys_task(tmp_path: Path) -> None:
    lake = world(tmp_path, answer("staging"))
    put(lake, "selections", [selected("staging", state="filtered", inclusion_probability=None)])
    put(lake, "signals", [complaint("staging")])
    plan_tasks(lake, CATALOG, now=NOW)
    assert set(tasks(lake)) == {"r0", "r1"}


def test_a_day_has_so_many_targeted_answers_and_those_asked_for_once_stay(tmp_path: Path) -> None:
    catalog = with_review(targeted_a_day=2)
    lake = world(tmp_path, verdict(4, 1), verdict(5, 1))
    plan_tasks(lake, catalog, now=NOW)
    assert {name for name, task in tasks(lake).items() if task[0] == "targeted"} == {"r4", "r5"}
    put(lake, "signals", [complaint(2), complaint(3)])  # worse, but the two places are taken
    plan_tasks(lake, catalog, now=NOW)
    assert {name for name, task in tasks(lake).items() if task[0] == "targeted"} == {"r4", "r5"}
    fresh = world(tmp_path / "fresh", verdict(4, 1), verdict(5, 1))
    put(fresh, "signals", [complaint(2), complaint(3)])
    plan_tasks(fresh, catalog, now=NOW)
    assert {name for name, task in tasks(fresh).items() if task[0] == "targeted"} == {"r2", "r3"}


def test_people_who_answered_are_counted_once_each_and_by_stream(tmp_path: Path) -> None:
    lake = world(
        tmp_path,
        *(label(0, 1), label(0, 3, at=NOON + timedelta(hours=2), event_id="again"), label(0, 2, reviewer="bo")),
        label(1, stream="targeted", inclusion_probability=None),  # said before the audit drew it
        label("unknown"),
    )
    done = plan_tasks(lake, with_review(raters={AXIS: 2}), now=NOW)
    assert tasks(lake) == {"r0": ("audit", AUDIT, "random", 2, 2), "r1": ("audit", AUDIT, "random", 2, 0)}
    assert done.waiting == 1


def test_a_second_call_finds_nothing_to_do_and_a_label_brings_its_day_up_again(tmp_path: Path) -> None:
    lake = world(tmp_path)
    assert plan_tasks(lake, CATALOG, now=NOW).days == (NOON.date(),)
    assert plan_tasks(lake, CATALOG, now=NOW) == Planned()
    lake_of(settings_at(tmp_path), [label(0)], now=NOW)
    assert plan_tasks(lake, CATALOG, now=NOW).waiting == 1


def test_answers_of_more_than_28_days_ago_are_left(tmp_path: Path) -> None:
    lake = world(tmp_path)
    assert plan_tasks(lake, CATALOG, now=NOON + timedelta(days=40)) == Planned()
    assert plan_tasks(lake, CATALOG, now=NOON + timedelta(days=40), days=[NOON.date()]).audit == 2


def test_a_label_that_claims_a_chance_its_answer_never_had_is_found(tmp_path: Path) -> None:
    lake = world(tmp_path, label(0), label(1), label(5), label(4, stream="targeted", inclusion_probability=None))
    assert undrawn_labels(lake, now=NOW) == AuditLabels(audit=3, undrawn=1)
    assert undrawn_labels(lake, now=NOW + timedelta(days=40)) == AuditLabels(audit=0, undrawn=0)
