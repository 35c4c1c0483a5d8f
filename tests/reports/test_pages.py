import html
import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import plotly.graph_objects as go
import pytest

from onlineeval_dagster.reports.figures import figure
from onlineeval_dagster.reports.html import render_html
from onlineeval_dagster.reports.markdown import render_markdown
from tests.reports.report_worlds import MIDNIGHT, WORLDS, WORST, bad_prompt, good_week, point

STATISTICAL = re.compile(
    r"\b(interval|confiden\w*|strat(a|um|ified)|weight\w*|effective n|estimand\w*|estimat\w*|sampl(e|es|ed|ing)"
    r"|probabilit\w*|significan\w*|p-value\w*|cluster\w*|varianc\w*|wilson|newcombe|mover|jeffreys|bayes\w*"
    r"|hypothes\w*|deviation|standard error|percentile\w*|quantile\w*|median|mean|moments?|judges?|judged"
    r"|verdicts?|labels?|regress\w*|correlat\w*|population|metrics?)\b",
    re.IGNORECASE,
)
ATTACK = (
    '<script>window.hit=1</script><img src=x onerror="window.hit=1">](javascript:hit) ![x](http://evil.test/x.png) | `'
)


class Page(HTMLParser):
    """What a reader sees outside "How was this computed", and every tag with its attributes."""

    def __init__(self, text):
        super().__init__()
        self.words, self.tags, self.hidden, self.details = [], [], 0, 0
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.hidden += tag in ("script", "style")
        if tag == "details" and (self.details or ("class", "how") in attrs):
            self.details += 1
        shown = [value for name, value in attrs if name in ("aria-label", "alt", "title", "content") and value]
        if not self.details and ("http-equiv", "Content-Security-Policy") not in attrs:
            self.words += shown

    def handle_endtag(self, tag):
        self.hidden -= tag in ("script", "style")
        self.details -= tag == "details" and self.details > 0

    def handle_data(self, data):
        if not self.hidden and not self.details:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())


@pytest.mark.parametrize("name", WORLDS)
def test_statistical_words_stand_only_under_how_was_this_computed(name):
    report = WORLDS[name]().report()
    assert not STATISTICAL.findall(Page(render_html(report)).text)
    before, after = render_markdown(report).split("## How was this computed")
    assert not STATISTICAL.findall(before)
    assert STATISTICAL.findall(after)


def test_a_day_without_a_bad_answer_says_so_in_plain_words():
    report = good_week().report(worst=[])
    assert "No bad answer was found." in Page(render_html(report)).text
    assert "No bad answer was found." in render_markdown(report)


def test_what_a_figure_holds_cannot_end_its_script_element():
    page = render_html(bad_prompt().report())
    held = re.findall(r'data-figure="[a-z-]+">(.*?)</script>', page, flags=re.DOTALL)
    assert len(held) == 2 and not any("<" in figure for figure in held)


@pytest.mark.parametrize("name", WORLDS)
def test_a_page_loads_nothing_from_outside(name):
    page = render_html(WORLDS[name]().report())
    tags = Page(page).tags
    assert not [attrs for _, attrs in tags if {"src", "href", "srcset", "action", "data", "poster"} & set(attrs)]
    assert not [tag for tag, _ in tags if tag in ("link", "base", "iframe", "object", "embed", "form")]
    without_library = re.sub(r'<script type="application/gzip".*?</script>', "", page, flags=re.DOTALL)
    assert not re.search(r"https?:|url\(|@import", without_library)
    assert next(attrs["content"] for _, attrs in tags if "http-equiv" in attrs).startswith("default-src 'none';")


def test_a_page_is_small_enough_to_send():
    assert len(render_html(bad_prompt().report()).encode()) < 2_200_000


def test_the_same_report_gives_the_same_page():
    assert render_html(bad_prompt().report()) == render_html(bad_prompt().report())


def test_texts_from_production_are_shown_as_text():
    attacker = replace(WORST[0], question=ATTACK, answer=ATTACK, why=ATTACK, response_id=ATTACK, prompt_version=ATTACK)
    change = replace(bad_prompt().changes[1], title=ATTACK, description=ATTACK)
    report = replace(bad_prompt(), worst=[attacker], changes=[change]).report()
    page = render_html(report)
    assert ATTACK not in page
    assert html.escape(ATTACK, quote=True).replace("&quot;", "&#34;") in page
    assert [tag for tag, _ in Page(page).tags if tag in ("img", "a")] == []
    assert page.count("<script") == render_html(bad_prompt().report()).count("<script")
    markdown = render_markdown(report)
    assert "<script" not in markdown and "<img" not in markdown
    assert "](javascript" not in markdown.replace("\\]", "") and "![x]" not in markdown
    numbers = markdown.split("## All numbers")[1].split("## What was")[0]
    assert all(line.count("|") == 5 for line in numbers.splitlines() if line.startswith("|"))


def test_simulated_data_is_labelled_and_real_data_is_not():
    for simulated in (True, False):
        report = good_week().report(simulated=simulated)
        assert ("Simulated data" in Page(render_html(report)).text) is simulated
        assert ("**Simulated data**" in render_markdown(report)) is simulated


def test_the_first_line_of_the_markdown_is_the_sentence():
    report = bad_prompt().report()
    assert render_markdown(report).splitlines()[0] == report.sentence


def test_page_and_markdown_hold_every_part():
    report = bad_prompt().report()
    page, markdown = Page(render_html(report)).text, render_markdown(report)
    for part in (report.sentence, report.advice[0], report.coverage[0], WORST[0].answer, "down from 90 %"):
        assert part in page and part in markdown
    for heading in ("What changed", "What to do next", "The worst answers", "All numbers of the day"):
        assert heading in page and f"## {heading}" in markdown


def test_a_page_can_be_read_without_seeing_it():
    page = Page(render_html(bad_prompt().report()))
    assert ("html", {"lang": "en"}) in page.tags
    assert [tag for tag, _ in page.tags if tag == "h1"] == ["h1"]
    plots = [attrs for _, attrs in page.tags if attrs.get("role") == "img"]
    assert [bool(re.search(r"lowest \d+ %.*last \d+ %", attrs["aria-label"])) for attrs in plots] == [True, True]
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {attrs["aria-labelledby"] for _, attrs in page.tags if "aria-labelledby" in attrs} <= set(ids)


def test_missing_days_are_gaps_and_never_zeros():
    report = good_week().report()
    missing = report.by_day.points[-13]
    assert (missing.name, missing.value, missing.likely_text) == ("Tue 10 Nov", None, "nothing seen")
    drawn = figure(report.by_day, report.changes)
    bars, line = drawn["data"]
    assert len(bars["x"]) == 27 and len(line["x"]) == 28
    assert line["y"][-13] is None and line["connectgaps"] is False
    assert min(value for value in line["y"] if value is not None) > 80


def test_the_line_breaks_where_another_ai_reviewer_takes_over():
    points = [
        point("good_answers", MIDNIGHT - timedelta(days=ago), 0.9, 0.03, judge_version="new" if ago < 5 else "old")
        for ago in range(12)
    ]
    report = replace(good_week(), points=points).report()
    lines = figure(report.by_day, ())["data"][1:]
    drawn = [[place for place, value in enumerate(line["y"]) if value is not None] for line in lines]
    assert sorted(drawn) == [list(range(7)), list(range(7, 12))]
    assert "line breaks" in report.by_day.caption


def test_a_change_stands_at_its_own_hour_in_the_plot():
    report = bad_prompt().report()
    layout = figure(report.by_day, report.changes)["layout"]
    assert [shape["x0"] for shape in layout["shapes"]] == [
        change.occurred_at.timestamp() * 1000 for change in report.changes
    ]
    assert [note["text"] for note in layout["annotations"]] == ["<b>3</b>", "<b>2</b>", "<b>1</b>"]


@pytest.mark.parametrize("name", ["good_week", "bad_prompt", "first_week"])
def test_plotly_accepts_every_figure(name):
    report = WORLDS[name]().report()
    for plot in report.plots:
        drawn = figure(plot, report.changes)
        go.Figure(data=drawn["data"], layout=drawn["layout"])
