from dataclasses import replace
from datetime import timedelta

from onlineeval_dagster.reports.model import Change, MetricWords
from tests.reports.report_worlds import (
    COVERAGE,
    MIDNIGHT,
    P2,
    P3,
    WORST,
    bad_prompt,
    deploy,
    effect,
    good_week,
    history,
    nothing_checked,
)


def lines_of(world, title):
    report = world.report()
    changes = [*report.changes, *report.earlier_changes]
    return next(change.lines for change in changes if change.title == title)


def test_a_bad_prompt_is_told_with_its_size_and_its_side_effects():
    assert lines_of(bad_prompt(), "prompt p3") == (
        "Answers are good 9 points less often since, likely 6–12.",
        "Time to answer: 240 ms higher since, likely 185–295 ms.",
    )


def test_of_many_numbers_that_moved_two_are_told_in_full_and_the_rest_by_name():
    names = [f"worse_{number}" for number in range(4)] + ["better_1"]
    found = [effect(P3, name, 0.05, 0.01, "better" if name.startswith("better") else "worse") for name in names]
    words = {name: MetricWords(title=f"Share {name}", direction="down") for name in names}
    world = bad_prompt()
    report = replace(world, effects=[*world.effects, *found], metrics={**world.metrics, **words}).report()
    lines = next(change.lines for change in report.changes if change.title == "prompt p3")
    assert len(lines) == 5
    assert lines[3] == "Also worse: share worse_1, share worse_2 and share worse_3."
    assert lines[4] == "Better: share better_1."


def test_no_clear_change_says_between_what_it_lies():
    assert lines_of(good_week(), "prompt p2")[0] == (
        "No clear change since: answers are good somewhere between 3 points less often and 4 points more often."
    )


def test_a_change_too_young_to_tell_says_how_many_checks_there_are():
    young = effect(P3, "good_answers", 0.0, 0.1, None, n_after=12)
    world = replace(good_week(), changes=[P3], effects=[young])
    assert lines_of(world, "prompt p3") == ("Not enough yet to tell: 12 AI checks since.",)


def test_a_deploy_nobody_named_is_called_by_its_id():
    world = replace(good_week(), changes=[], effects=[effect(P3, "good_answers", -0.09, 0.03, "worse")])
    assert world.report().changes[0].title == "change d-17"


def test_changes_are_newest_first_and_numbered_as_in_the_plot():
    assert [(one.number, one.title) for one in bad_prompt().report().changes] == [
        (3, "campaign: winter sale"),
        (2, "prompt p3"),
        (1, "prompt p2"),
    ]


def test_many_deploys_leave_the_first_screen_short_but_keep_the_culprit_on_it():
    later = [deploy(f"d-{number}", 5 - number / 4, f"prompt p{number}") for number in range(4, 14)]
    report = replace(bad_prompt(), changes=[P2, P3, *later]).report()
    assert [one.title for one in report.changes] == [
        "prompt p13",
        "prompt p12",
        "prompt p11",
        "prompt p10",
        "prompt p3",
    ]
    assert len(report.changes) + len(report.earlier_changes) == 12


def test_events_that_come_all_the_time_are_no_changes():
    loads = [
        Change(change_id=f"e{minute}", occurred_at=MIDNIGHT + timedelta(minutes=minute), title="page_load")
        for minute in range(500)
    ]
    report = replace(good_week(), changes=[P2, *loads]).report()
    assert [one.title for one in report.changes] == ["prompt p2"]
    assert "page_load (500 times)" in " ".join(report.computed_notes)


def test_a_bad_prompt_is_to_be_rolled_back_and_its_answers_are_counted():
    assert bad_prompt().report().advice[0] == (
        "Roll back prompt p3, or first read the answers below: 2 of the 3 come from it."
    )


def test_a_bad_prompt_that_was_mended_is_not_rolled_back_again():
    p4 = deploy("d-18", 1, "prompt p4", "p4")
    mended = [*bad_prompt().effects, effect(p4, "good_answers", 0.09, 0.03, "better")]
    world = replace(bad_prompt(), changes=[P2, P3, p4], effects=mended, points=history({27: 0.905}))
    report = world.report()
    assert not any("Roll back" in line for line in report.advice)
    assert report.status == "steady"


def test_a_fall_without_a_change_asks_to_read_the_answers_and_to_record_changes():
    advice = replace(bad_prompt(), changes=[], effects=[]).report().advice
    assert advice[0].startswith("No change was recorded that could explain the fall; read the answers below")


def test_a_change_that_costs_something_else_asks_for_a_decision():
    world = replace(good_week(), changes=[P3], effects=[effect(P3, "latency", 240, 55, "worse")])
    assert world.report().advice == ("Decide whether prompt p3 is worth it: time to answer became worse.",)


def test_holes_in_what_was_checked_are_named_with_their_mend():
    assert "Start the AI reviewer" in nothing_checked().report().advice[0]
    failing = good_week().report(coverage=replace(COVERAGE, judged=400, failed=82)).advice
    assert "failed on 82 of 482 answers (17 %)" in failing[0]
    dead = nothing_checked().report(coverage=replace(COVERAGE, judged=0, failed=482)).advice
    assert "failed on all 482 answers" in dead[0]
    unread = good_week().report(coverage=replace(COVERAGE, quarantined_lines=40)).advice
    assert "40 lines that could not be read" in unread[0]


def test_an_ai_reviewer_nobody_checked_asks_for_people():
    assert "Have people check some 30 answers" in good_week().report(coverage=replace(COVERAGE, labelled=0)).advice[0]


def test_a_quiet_day_leaves_nothing_to_do():
    assert good_week().report().advice == ("Nothing to do: no fall, no gap in what was checked.",)


def test_coverage_is_one_sentence_that_adds_up():
    assert good_week().report().coverage[0] == (
        "3,214 answers, 15 % checked by the AI reviewer, 41 checked by people, 2 lines could not be read."
    )


def test_the_worst_three_are_unlike_where_there_are_unlike_ones():
    again = [replace(WORST[1], response_id=f"r-{number}") for number in range(3)]
    shown = good_week().report(worst=[*again, WORST[0], WORST[2]]).worst
    assert [answer.source.split(" · ")[-1] for answer in shown] == ["r-0", "r-20931", "r-20044"]
    assert len(good_week().report(worst=again).worst) == 3


def test_a_reviewer_that_is_not_asked_for_now_is_named_with_its_reason():
    told = "tone, since 2026-11-20 15:00 UTC: HTTP 401 from host: the key was refused"
    assert good_week().report(paused=[told]).advice[0] == f"An AI reviewer is not asked for now, {told}."
