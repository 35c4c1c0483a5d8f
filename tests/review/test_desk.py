"""Who is looking at what: nobody's work is done twice, and nobody's is lost without being told."""

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from onlineeval_dagster.catalog.sampling_file import Review
from onlineeval_dagster.errors import TaskRefused
from onlineeval_dagster.review.desk import A_DAY, LEASE, SKIPPED_FOR, Desk
from onlineeval_dagster.review.forget import forget_answers
from onlineeval_dagster.review.published import opened, publish
from onlineeval_dagster.review.shown import Progress, Task
from onlineeval_dagster.review.tasks import plan_tasks
from onlineeval_dagster.settings import Settings
from tests.review.task_worlds import AUDIT, AXIS, CATALOG, label, put, selected
from tests.worlds import NOON, answer, lake_of, settings_at

NOW = NOON + timedelta(days=1)


def published(folder: Path, *events: object, answers: int = 3, raters: int = 1) -> Settings:
    settings = settings_at(folder)
    lake = lake_of(settings, [*(answer(n, response=f"answer {n}") for n in range(answers)), *events], now=NOW)  # type: ignore[list-item]
    put(lake, "selections", [selected(n) for n in range(answers)])
    sampling = CATALOG.sampling.model_copy(update={"review": Review(rate=AUDIT, raters={AXIS: raters})})
    catalog = dataclasses.replace(CATALOG, sampling=sampling)
    plan_tasks(lake, catalog, now=NOW)
    publish(settings.review_tasks_file, lake, catalog, now=NOW, redact=str)
    return settings


def desk_of(settings: Settings) -> Desk:
    return Desk(settings.review_state_file, settings.review_tasks_file)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with desk_of(published(tmp_path)) as desk:
        yield desk


def rate(desk: Desk, reviewer: str, score: int = 3, *, after: timedelta = timedelta()) -> Task:
    task = desk.take(reviewer, now=NOW + after)
    assert task is not None
    assert desk.check(task.lease, reviewer, score, now=NOW + after) == task
    desk.rated(task, reviewer, score, now=NOW + after)
    return task


def test_two_people_never_have_one_task_and_a_reload_shows_the_same(desk: Desk) -> None:
    ann, bo, cy = (desk.take(name, now=NOW) for name in ("ann", "bo", "cy"))
    assert ann and bo and cy
    assert len({ann.response_id, bo.response_id, cy.response_id}) == 3
    assert desk.take("dee", now=NOW) is None
    assert desk.take("ann", now=NOW) == ann
    assert ann.scale == CATALOG.live_judges[0].scale and ann.probability == AUDIT


def test_everything_is_done_once_and_then_there_is_nothing(desk: Desk) -> None:
    done = {rate(desk, "ann").response_id for _ in range(3)}
    assert done == {"r0", "r1", "r2"}
    assert desk.take("ann", now=NOW) is None and desk.take("bo", now=NOW) is None
    assert desk.progress("ann", now=NOW) == Progress(done=3, of=3)


def test_an_axis_that_asks_for_two_gets_two_different_people_and_no_third(tmp_path: Path) -> None:
    with desk_of(published(tmp_path, label(0, reviewer="ann"), answers=1, raters=2)) as desk:
        assert desk.take("ann", now=NOW) is None  # her label is in the lake
        assert desk.take("bo", now=NOW) is not None
        assert desk.take("cy", now=NOW) is None  # bo has it
        rate(desk, "bo")
        assert desk.take("cy", now=NOW) is None


def test_a_lease_that_ran_out_is_given_to_another_and_the_late_answer_is_refused(desk: Desk) -> None:
    late = desk.take("ann", now=NOW)
    assert late
    taken = [rate(desk, "bo", after=LEASE + timedelta(seconds=1)) for _ in range(3)]
    assert late.response_id in {task.response_id for task in taken}
    with pytest.raises(TaskRefused, match=r"15 minutes .* were over, and others have done it"):
        desk.check(late.lease, "ann", 3, now=NOW + LEASE * 2)


def test_an_answer_that_comes_late_is_kept_while_nobody_else_has_the_task(desk: Desk) -> None:
    late = desk.take("ann", now=NOW)
    assert late
    hours = NOW + timedelta(hours=3)
    assert desk.check(late.lease, "ann", 3, now=hours) == late
    others = [desk.take(name, now=hours) for name in ("bo", "cy", "dee")]
    assert late.response_id not in {task.response_id for task in others if task}  # it is hers again


def test_a_form_sent_twice_is_one_answer(desk: Desk) -> None:
    task = rate(desk, "ann")
    assert desk.check(task.lease, "ann", 1, now=NOW) is None
    assert desk.progress("ann", now=NOW).done == 1


def test_another_persons_lease_an_unknown_one_and_a_score_off_the_scale_are_refused(desk: Desk) -> None:
    task = desk.take("ann", now=NOW)
    assert task
    for lease, reviewer in ((task.lease, "bo"), ("nobody's", "ann")):
        with pytest.raises(TaskRefused, match="not in your hands"):
            desk.check(lease, reviewer, 3, now=NOW)
    for score in (0, 4, 2.5, float("nan")):
        with pytest.raises(TaskRefused, match="not on the scale"):
            desk.check(task.lease, "ann", score, now=NOW)


def test_undo_brings_the_last_ones_back_one_by_one_and_what_was_said_stands_until_then(desk: Desk) -> None:
    first = rate(desk, "ann", 1)
    second = rate(desk, "ann", 2, after=timedelta(seconds=5))
    now = NOW + timedelta(seconds=10)
    assert desk.take("ann", now=now)
    for expected, said in ((second, 2), (first, 1)):
        assert desk.undo("ann", now=now)
        back = desk.take("ann", now=now)
        assert back and (back.response_id, back.before) == (expected.response_id, said)
        assert back.lease != expected.lease
    assert not desk.undo("ann", now=now)
    again = rate(desk, "ann", 3, after=timedelta(seconds=10))
    assert again.response_id == first.response_id
    assert desk.progress("ann", now=now) == Progress(done=2, of=3)
    assert not desk.undo("bo", now=now)


def test_what_was_taken_back_is_not_given_to_another(desk: Desk) -> None:
    mine = rate(desk, "ann")
    desk.undo("ann", now=NOW)
    others = {task.response_id for name in ("bo", "cy") if (task := desk.take(name, now=NOW))}
    assert mine.response_id not in others and desk.take("dee", now=NOW) is None


def test_a_skipped_task_goes_to_others_and_comes_back_after_a_day(desk: Desk) -> None:
    skipped = desk.take("ann", now=NOW)
    assert skipped
    desk.skip(skipped.lease, "ann", now=NOW)
    seen = {rate(desk, "ann").response_id for _ in range(2)}
    assert skipped.response_id not in seen and desk.take("ann", now=NOW) is None
    later = SKIPPED_FOR + timedelta(minutes=1)
    tomorrow = desk.take("ann", now=NOW + later)
    assert tomorrow and tomorrow.response_id == skipped.response_id
    assert rate(desk, "bo", after=later + LEASE).response_id == skipped.response_id


def test_an_answer_that_lost_its_text_is_told_as_gone(tmp_path: Path) -> None:
    settings = published(tmp_path)
    with desk_of(settings) as desk:
        task = desk.take("ann", now=NOW)
        assert task
        with opened(settings.review_tasks_file) as file:
            file.execute("delete from tasks where task = ?", (task.task,))
        with pytest.raises(TaskRefused, match="no longer up for review") as refused:
            desk.check(task.lease, "ann", 3, now=NOW)
        assert refused.value.status == 410
        assert (fresh := desk.take("ann", now=NOW)) and fresh.response_id != task.response_id


def test_an_erased_answer_is_in_nobodys_hands_and_in_no_byte_of_either_file(tmp_path: Path) -> None:
    settings = published(tmp_path, raters=3)
    with desk_of(settings) as desk:
        mine = rate(desk, "ann")
        held = next(task for _ in range(3) if (task := rate(desk, "bo")).task == mine.task)
        desk.undo("bo", now=NOW)
        while (skipped := desk.take("cy", now=NOW)) and skipped.task != mine.task:
            rate(desk, "cy")
        assert skipped
        desk.skip(skipped.lease, "cy", now=NOW)
        assert holding(settings, mine.task)
        assert forget_answers(settings, [mine.response_id], [AXIS]) == 1
        with pytest.raises(TaskRefused, match="not in your hands"):
            desk.check(held.lease, "bo", 3, now=NOW)
        assert (fresh := desk.take("dee", now=NOW)) and fresh.response_id != mine.response_id
        assert not holding(settings, mine.task) and not holding(settings, mine.response_id)
        assert holding(settings, fresh.task), "of others nothing goes"
        assert forget_answers(settings, [mine.response_id], [AXIS]) == 0


def holding(settings: Settings, word: str) -> list[str]:
    """The pages' files, with their write-ahead logs, that hold a word."""
    folders = (settings.review_tasks_file.parent, settings.review_state_file.parent)
    return [file.name for folder in folders for file in folder.glob("review.*") if word.encode() in file.read_bytes()]


def test_before_the_first_run_there_is_nothing_and_the_first_run_is_seen(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    with desk_of(settings) as desk:
        assert desk.take("ann", now=NOW) is None and not desk.undo("ann", now=NOW)
        assert desk.progress("ann", now=NOW) == Progress(done=0, of=0)
        published(tmp_path)
        assert desk.take("ann", now=NOW) is not None


def test_leases_and_answers_outlive_the_server(tmp_path: Path) -> None:
    settings = published(tmp_path)
    with desk_of(settings) as desk:
        done, held = rate(desk, "ann"), desk.take("ann", now=NOW)
    with desk_of(settings) as desk:
        assert desk.take("ann", now=NOW) == held
        assert (other := desk.take("bo", now=NOW)) and other.response_id not in {done.response_id}
        assert desk.progress("ann", now=NOW + timedelta(days=1)).done == 0


def test_a_days_work_is_forty_where_there_is_more(tmp_path: Path) -> None:
    with desk_of(published(tmp_path, answers=A_DAY + 10)) as desk:
        rate(desk, "ann")
        assert desk.progress("ann", now=NOW) == Progress(done=1, of=A_DAY)
