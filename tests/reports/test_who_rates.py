"""The report says who rates, in plain words, and every slice with its range under "How was this computed"."""

from dataclasses import fields

from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.metrics.raters import Raters, SliceRate
from onlineeval_dagster.reports.build import build_daily_report
from onlineeval_dagster.reports.html import render_html
from onlineeval_dagster.reports.markdown import render_markdown
from onlineeval_dagster.reports.raters import rater_lines, rater_table
from tests.reports.report_worlds import WORLDS
from tests.reports.test_pages import STATISTICAL, Page


def rate(name, value, share, *, n=900, half=0.015):
    found = Estimate(value=share, low=share - half, high=share + half, n=n, n_effective=n / 2, method="wilson-mover")
    return SliceRate(slice=name, value=value, n=n, rate=found)


NEW, KNOWN = rate("new_user", "true", 0.02), rate("new_user", "false", 0.06)
PHONE, DESK = rate("device", "mobile", 0.03), rate("device", "desktop", 0.05)
FEW = SliceRate(slice="language", value="fi", n=4, rate=NotEnough(have=4, needed=30, reason="too few judged responses"))
OVERALL = rate("all", "all", 0.04, n=3000, half=0.005)


def found(*apart):
    return Raters(days=7, overall=OVERALL, slices=(NEW, KNOWN, PHONE, DESK, FEW), apart=apart)


def test_groups_that_rate_less_are_named_beside_those_that_rate_more():
    assert rater_lines(found((NEW, KNOWN), (PHONE, DESK))) == (
        "Who rates: over 7 days 4.0 % of the answers got a rating or a comment, likely 3.5–4.5 %. Some rate less than "
        "others: new users 2 % against known users 6 % and device mobile 3 % against device desktop 5 %.",
    )


def test_where_nobody_clearly_differs_the_page_says_so():
    (line,) = rater_lines(found())
    assert line.endswith("; no group of answers clearly more often than another.")


def test_nothing_is_said_of_raters_where_there_is_no_number():
    without = Raters(days=7, overall=SliceRate(slice="all", value="all", n=4, rate=FEW.rate), slices=(), apart=())
    assert rater_lines(without) == rater_lines(None) == ()


def test_every_slice_has_its_range_or_its_reason_in_the_table():
    table = rater_table(found((NEW, KNOWN)))
    assert table.rows[0] == ("all", "all", "3,000", "0.04", "0.035", "0.045", "1,500", "")
    assert table.rows[-1] == ("language", "fi", "4", "–", "–", "–", "–", "too few judged responses: 4 of 30")
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_page_and_markdown_hold_the_line_in_plain_words_and_the_table_below():
    world = next(iter(WORLDS.values()))()
    given = {field.name: getattr(world, field.name) for field in fields(world)}
    report = build_daily_report(**given, raters=found((NEW, KNOWN)))
    words = Page(render_html(report)).text
    assert "new users 2 % against known users 6 %" in words
    assert not STATISTICAL.findall(words)
    before, after = render_markdown(report).split("## How was this computed")
    assert "Who rates: over 7 days" in before
    assert "| new\\_user | true | 900 | 0.02 |" in after


def test_a_value_from_production_is_cut_and_kept_on_one_line():
    rude = rate("prompt_version", "a\nb " * 90, 0.09)
    (line,) = rater_lines(found((PHONE, rude)))
    assert "\n" not in line
    assert len(line) < 320
