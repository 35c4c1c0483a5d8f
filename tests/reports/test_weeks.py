"""Weeks on the page: what they are called, what keeps one from being whole, and windows nobody asked for."""

from dataclasses import replace
from datetime import timedelta

from onlineeval_dagster.reports.figures import figure
from onlineeval_dagster.reports.html import render_html
from onlineeval_dagster.reports.markdown import render_markdown
from onlineeval_dagster.reports.model import Plot
from tests.reports.report_worlds import DAY, MIDNIGHT, first_week, good_week, weeks


def by_week(world=None, **given) -> Plot:
    plot = (world or good_week()).report(**given).by_week
    assert plot is not None
    return plot


def test_weeks_stand_on_their_mondays_and_one_without_a_number_is_a_gap():
    plot = by_week()
    assert [point.name for point in plot.points] == ["Mon 26 Oct", "Mon 2 Nov", "Mon 9 Nov", "Mon 16 Nov"]
    assert [point.value is None for point in plot.points] == [False, False, True, False]
    assert plot.caption.endswith("1 week without a number is left open. Weeks begin on Monday.")
    drawn = figure(plot, ())
    assert drawn["layout"]["xaxis"]["ticktext"][0] == "16 Nov"
    assert drawn["data"][0]["x"][0] == (MIDNIGHT - timedelta(days=27) + timedelta(days=3.5)).timestamp() * 1000


def test_a_week_that_is_not_over_is_said_to_be_so_far():
    wednesday = DAY - timedelta(days=4)
    now = MIDNIGHT - timedelta(days=4, hours=-20)
    points = [*good_week().points, *weeks({0: 0.9}, days_covered=3)]
    points = [point for point in points if point.days_covered != 7 or point.window_start < MIDNIGHT - timedelta(days=6)]
    plot = by_week(replace(good_week(), points=points, day=wednesday, now=now))
    assert plot.points[-1].name == "Mon 16 Nov, so far (3 of 7 days)"
    assert plot.caption.endswith("The last one is not over.")
    assert "Mon 16 Nov, so far (3 of 7 days)" in plot.summary


def test_a_past_week_with_days_without_answers_says_how_many_it_has():
    points = [*good_week().points, *weeks({5: 0.88}, days_covered=5)]
    assert by_week(replace(good_week(), points=points)).points[0].name == "Mon 12 Oct (5 of 7 days)"


def test_twelve_weeks_are_shown_at_most():
    points = [*good_week().points, *weeks(dict.fromkeys(range(4, 30), 0.88))]
    assert len(by_week(replace(good_week(), points=points)).points) == 12


def test_windows_that_the_catalog_does_not_ask_for_are_not_drawn_at_all():
    report = good_week().report()
    assert [plot.grain for plot in report.plots] == ["day", "week", "hour"]
    small = replace(good_week(), grains=("day", "week")).report()
    assert [plot.grain for plot in small.plots] == ["day", "week"]
    page = render_html(small)
    assert "by week</h2>" in page
    assert "by hour" not in page and "by-hour" not in page
    assert [plot.grain for plot in replace(good_week(), grains=("day",)).report().plots] == ["day"]


def test_before_the_first_week_is_counted_there_is_no_empty_place_for_it():
    assert first_week().report().by_week is None
    assert "by week" not in render_html(first_week().report())


def test_the_markdown_lists_the_weeks():
    section = render_markdown(good_week().report()).split("## Answers were good, by week")[1].split("##")[0]
    assert section.count("\n|") == 2 + 4
    assert "| Mon 9 Nov | – | not enough yet" in section
