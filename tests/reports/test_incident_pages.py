"""The page of an incident and the draft of its post-mortem say what is on record, as HTML and as Markdown."""

from datetime import timedelta
from html.parser import HTMLParser

import pytest

from onlineeval_dagster.alerts.blame import attribute
from onlineeval_dagster.alerts.said import acknowledgement
from onlineeval_dagster.alerts.stage import evaluate
from onlineeval_dagster.errors import AlertError
from onlineeval_dagster.reports.incident_stage import gathered, write_incident, write_incidents
from tests.alerts.alert_worlds import NOW, hourly, put
from tests.alerts.cause_worlds import BEGAN, FALL, GOOD, HOUR, RULES, facts, lake, warehouse
from tests.worlds import deploy, lake_of, settings_at


def step(made, after, rng):
    made.loc[after, "p"] *= FALL


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Answers fell with deploy d2; somebody has it and put d3 in place."""
    folder = tmp_path_factory.mktemp("pages")
    said = [
        deploy("d2", at=BEGAN, description="a shorter prompt"),
        deploy("d3<b>", at=BEGAN + 6 * HOUR),
    ]
    home = folder / "home"
    made = lake(home, said)
    latency = hourly(n=200)
    put(made, [*latency, *hourly(**GOOD, noise=0.01, error=0.027, n=200, fall=(BEGAN, NOW, FALL))])
    evaluate(made, RULES, now=BEGAN + 3 * HOUR)
    incident = evaluate(made, RULES, now=BEGAN + 3 * HOUR).incidents[0].incident_id
    heard = acknowledgement(incident, by="ada@example.org", note="looks like d2", now=BEGAN + 4 * HOUR)
    lake_of(settings_at(home), [heard], now=NOW)
    done = evaluate(made, RULES, now=NOW)
    attribute(warehouse(folder / "w.duckdb", facts(step)), made, RULES, done.incidents, done.alerts, now=NOW)
    return settings_at(home), made, incident


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in ("meta", "rect", "line", "circle", "polygon", "polyline"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if self.open and self.open[-1] == tag:
            self.open.pop()


def test_a_page_has_the_series_its_band_the_cause_and_what_happened_when(world):
    settings, made, incident = world
    written = write_incident(settings, made, RULES, incident, now=NOW)
    html = written.page.read_text(encoding="utf-8")
    tags = _Tags()
    tags.feed(html)
    assert tags.open == [] and "script" not in tags.seen
    assert {"polygon", "polyline", "rect"} <= set(tags.seen)
    assert "Cause: Deploy d2 of" in html and "d3&lt;b&gt;" in html and "d3<b>" not in html
    for said in (
        "## What may be behind it",
        "## Timeline",
        "ada@example.org has it: looks like d2",
        "rule fewer fires",
    ):
        assert said in written.markdown
    assert written.markdown == written.page.with_suffix(".md").read_text(encoding="utf-8")


def test_a_post_mortem_compares_every_metric_and_says_what_was_tried_and_what_is_open(world):
    settings, made, incident = world
    known = gathered(settings, made, RULES, incident, now=NOW)
    moved = {one.metric: one for one in known.moved}
    fell = moved["good_answers"]
    assert fell.low < -0.16 * 0.9 < fell.high < 0 and fell.n == 8 * 200
    assert fell.during - fell.before == pytest.approx((fell.low + fell.high) / 2)
    assert moved["latency"].low < 0 < moved["latency"].high
    assert moved["copied"].reason == "no hour of the incident has a number"
    text = write_incident(settings, made, RULES, incident, now=NOW).post_mortem.with_suffix(".md").read_text()
    tried = text.split("## What was tried")[1].split("##")[0]
    assert "deploy d3" in tried and "ada@example.org has it" in tried and "deploy d2" not in tried
    assert "What in Deploy d2 did it" in text.split("## Open questions")[1]


def test_pages_are_written_while_an_incident_is_open_and_not_for_ever(world):
    settings, made, incident = world
    (one,) = write_incidents(settings, made, RULES, now=NOW)
    assert one.incident_id == incident
    one.page.unlink()
    assert [one.incident_id for one in write_incidents(settings, made, RULES, now=NOW + timedelta(days=90))] == [
        incident
    ]


def test_an_incident_that_is_not_there_is_an_error_that_says_where_to_look(world):
    settings, made, _ = world
    with pytest.raises(AlertError, match="no incident 'i-gone'; `onlineeval alerts list --all` names them"):
        gathered(settings, made, RULES, "i-gone", now=NOW)
