import doctest
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from onlineeval_dagster.contracts.estimates import Estimate
from onlineeval_dagster.errors import ReportError
from onlineeval_dagster.reports import wording
from onlineeval_dagster.reports.model import MetricWords
from onlineeval_dagster.reports.wording import format_for, part, quoted
from tests.reports.report_worlds import (
    COVERAGE,
    MIDNIGHT,
    P3,
    bad_prompt,
    effect,
    first_week,
    good_week,
    history,
    nothing_checked,
    point,
    too_little,
)

WEEK_AGO = MIDNIGHT - timedelta(days=7)


def sentence(now, then, *, words=None, **more):
    """The sentence for a day and the same weekday before, each (value, half of its range)."""
    points = [point("good_answers", WEEK_AGO, *then), point("good_answers", MIDNIGHT, *now, **more)]
    world = replace(good_week(), points=points)
    return world.report(metrics={"good_answers": words or MetricWords(title="Answers were good")}).sentence


def test_a_good_week_is_said_in_one_sentence():
    assert good_week().report().sentence == "Answers were good 87 % of the time, likely 84–90 %, as a week earlier."


def test_a_fall_names_the_value_of_a_week_earlier():
    report = bad_prompt().report()
    assert report.sentence == "Answers were good 81 % of the time, likely 78–84 %, down from 90 % a week earlier."
    assert report.status == "worse"


def test_a_rise_is_better_and_a_rise_of_what_should_be_low_is_worse():
    assert sentence((0.95, 0.01), (0.87, 0.02)).endswith(", up from 87 % a week earlier.")
    points = [point("good_answers", WEEK_AGO, 0.05, 0.01), point("good_answers", MIDNIGHT, 0.12, 0.01)]
    world = replace(good_week(), points=points, changes=[], effects=[])
    for direction, status in (("up", "better"), ("down", "worse"), ("none", "measured")):
        words = {"good_answers": MetricWords(title="Answers were odd", direction=direction)}
        assert world.report(metrics=words).status == status


def test_a_wide_range_is_not_called_as_a_week_earlier():
    assert sentence((0.80, 0.09), (0.87, 0.08)).endswith("; no clear change from 87 % a week earlier.")


def test_two_values_that_differ_are_not_written_alike():
    said = sentence((0.8660, 0.0020), (0.8740, 0.0020))
    assert "86.6 %" in said and "down from 87.4 %" in said


def test_a_metric_that_is_no_clause_is_said_with_a_colon():
    words = MetricWords(title="Time to answer", direction="down", unit="ms")
    assert sentence((2400, 300), (2350, 200), words=words).startswith("Time to answer: 2.4 s, likely 2.1–2.7 s")


def test_the_first_week_says_in_how_many_days_a_week_can_be_compared():
    said = first_week().report().sentence
    assert said == (
        "Answers were good 87 % of the time, likely 84–90 %; 4 more days until there is a week to compare with."
    )
    later = replace(first_week(), points=history({27: 0.872}, days=8)).report().sentence
    assert later.endswith(", as a week earlier.")


def test_a_week_with_a_hole_seven_days_ago_says_that_there_is_no_number():
    points = history({27: 0.872}, missing=(7,))
    assert replace(good_week(), points=points).report().sentence.endswith("; there is no number for a week earlier.")


def test_numbers_of_two_ai_reviewers_are_not_compared():
    said = sentence((0.87, 0.03), (0.95, 0.03), judge_version="another")
    assert said.endswith("; not compared with a week earlier, as another AI reviewer checked then.")


def test_too_little_in_all_says_how_many_more_days_the_pace_so_far_takes():
    report = too_little().report()
    assert report.sentence == "Not enough yet: 3 more days (12 of 24 AI checks so far)."
    assert report.status == "not_enough"


def test_days_that_have_enough_only_together_are_told_together():
    together = Estimate(value=0.9, low=0.8, high=0.95, n=90, n_effective=70, method="wilson-mover")
    said = too_little().report(so_far=together).sentence
    assert said == ("Answers were good 90 % of the time, likely 80–95 %, over 3 days; not enough yet for a single day.")


def test_a_day_too_small_for_a_number_promises_no_date():
    report = too_little().report(so_far=None)
    assert report.sentence == "Not enough yet: a day brings 4 of the 29 AI checks it takes."
    assert report.advice[0] == "Wait, or let the AI reviewer check every answer: 4 of 31 were."


def test_a_day_that_is_not_over_says_how_many_hours_are_left_at_this_pace():
    world = replace(too_little(), so_far=None, now=MIDNIGHT + timedelta(hours=2))
    points = [point("good_answers", MIDNIGHT, None, n=4)]
    assert world.report(points=points).sentence == (
        "Not enough yet: about 13 more hours (4 of 29 AI checks until 02:00)."
    )


def test_a_product_that_went_live_late_in_the_day_needs_one_more():
    late = point("good_answers", MIDNIGHT + timedelta(hours=21), None, grain="hour", n=4)
    points = [point("good_answers", MIDNIGHT, None, n=4), late]
    assert too_little().report(so_far=None, points=points).sentence == (
        "Not enough yet: 1 more day (4 of 29 AI checks so far)."
    )


def test_users_are_called_users_and_answers_that_are_all_alike_are_no_number():
    few = point("good_answers", MIDNIGHT, None, reason="too few different users: 9 of 15")
    assert "9 of the 15 users" in too_little().report(so_far=None, points=[few]).sentence
    alike = point("good_answers", MIDNIGHT, None, n=40, reason="all values are equal: 1 of 2")
    assert too_little().report(so_far=None, points=[alike]).sentence == (
        "Not enough yet: 40 AI checks, and all came out alike."
    )


def test_a_day_where_nothing_was_checked_says_so():
    report = nothing_checked().report()
    assert report.sentence == "Nothing checked yet: the AI reviewer looked at none of 3,214 answers."
    assert report.status == "nothing_checked"
    none_at_all = [one for one in nothing_checked().points if one.metric != "good_answers"]
    assert nothing_checked().report(points=none_at_all).status == "nothing_checked"


def test_a_day_without_data_names_itself_and_the_days_there_are():
    world = replace(good_week(), day=(MIDNIGHT + timedelta(days=3)).date())
    days = "2026-10-26 to 2026-11-09, 2026-11-11 to 2026-11-22"
    with pytest.raises(ReportError, match=rf"no answers on 2026-11-25; .*: {days}"):
        world.report()
    with pytest.raises(ReportError, match="no answers on 2026-11-22"):
        good_week().report(coverage=replace(COVERAGE, responses=0, judged=0))


def test_a_headline_that_is_no_metric_names_those_that_are():
    with pytest.raises(ReportError, match="'goodness' is no metric; choose one of good_answers, copied"):
        good_week().report(headline="goodness")


def test_what_comes_after_the_day_is_not_in_its_report():
    earlier = replace(bad_prompt(), day=(MIDNIGHT - timedelta(days=7)).date()).report()
    assert earlier.status in {"steady", "unclear"}
    assert [change.title for change in earlier.changes] == ["prompt p2"]
    assert earlier.by_day.points[-1].name == "Sun 15 Nov"


def test_other_slices_than_all_traffic_do_not_enter():
    slice_of_p3 = [point("good_answers", MIDNIGHT, 0.1, 0.01, slice="prompt_version", slice_value="p3", n=9999)]
    assert good_week().report(points=good_week().points + slice_of_p3).sentence == good_week().report().sentence


def test_a_change_that_made_it_worse_outweighs_an_unclear_week():
    world = replace(good_week(), effects=[effect(P3, "good_answers", -0.04, 0.03, "worse")], changes=[P3])
    assert world.report().status == "worse"


@example(low=0.0, value=0.0002780237517621132, high=1.0)
@given(low=st.floats(0, 1), value=st.floats(0, 1), high=st.floats(0, 1))
def test_a_written_share_is_never_a_false_all_or_none(low, value, high):
    low, value, high = sorted((low, value, high))
    written = format_for("share", low, value, high)
    if value < 0.9999:
        assert written.value(value) != "100 %"
    if value > 0.0001:
        assert written.value(value) != "0 %"


@given(st.integers(0, 10**9), st.integers(1, 10**9))
def test_a_part_is_all_only_when_it_is(number, whole):
    number = min(number, whole)
    assert (part(number, whole) == "100 %") == (number == whole)
    assert (part(number, whole) == "0 %") == (number == 0)


@given(st.text(max_size=60), st.integers(2, 30))
def test_a_quoted_text_keeps_to_its_limit_and_has_no_unseen_characters(text, limit):
    cut = quoted(text, limit=limit)
    assert len(cut) <= limit + 2
    assert not set(cut) & {"\u202e", "\x00", "\x1b"}


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(wording).failed == 0 and doctest.testmod(wording).attempted > 8
