"""Incidents and rules on watch, as the daily page and its Markdown tell them."""

from datetime import UTC, date, datetime, timedelta

from onlineeval_dagster.contracts.alerts import Incident
from onlineeval_dagster.reports.html import render_html
from onlineeval_dagster.reports.incidents import incident_lines
from onlineeval_dagster.reports.markdown import render_markdown
from tests.alerts.alert_worlds import catalog
from tests.reports.report_worlds import good_week

SUNDAY = date(2026, 11, 22)
BEGAN = datetime(2026, 11, 20, 14, tzinfo=UTC)
RULES = catalog(
    slow={"kind": "relative", "metric": "latency", "limit": 0.1},
    dear={"kind": "relative", "metric": "cost", "limit": 0.1},
    down={"kind": "absolute", "metric": "errors", "limit": 0.02, "status": "enabled"},
).alerts.rules


def incident(**more) -> Incident:
    return Incident(
        **{
            **{"incident_id": "i-1", "opened_at": BEGAN + timedelta(hours=2), "began_at": BEGAN, "state": "open"},
            **{"watched": True, "role": "technical", "severity": "page", "owner": "team:search"},
            **{"title": "Answers take longer", "alerts": 1, "rules": "slow", **more},
        }
    )


def test_what_is_open_or_was_in_the_last_days_is_told_with_who_has_it():
    over = BEGAN + timedelta(hours=6)
    told = incident(incident_id="i-2", watched=False, rules="down", title="Failing", acknowledged_by="ada")
    gone = {"state": "resolved", "resolved_at": over}
    assert incident_lines([incident(**gone), told], RULES, day=SUNDAY - timedelta(days=1)) == (
        "Answers take longer: since Fri 20 Nov 14:00 UTC, until Fri 20 Nov 20:00 UTC (on watch, nobody was told).",
        "Failing: since Fri 20 Nov 14:00 UTC, still going on (owner team:search; ada has it).",
    )
    assert incident_lines([incident(**gone)], RULES, day=date(2026, 11, 28)) == ()
    assert incident_lines([incident()], RULES, day=date(2026, 11, 19)) == ()  # not yet, on that day


def test_mondays_report_names_the_rules_that_only_watch():
    *_, watching = incident_lines([incident()], RULES, day=SUNDAY)
    assert watching.startswith("Rules on watch, in this week: slow (1 incident); 1 rule saw nothing.")
    assert incident_lines([], RULES, day=SUNDAY + timedelta(days=1)) == ()


def test_both_forms_of_the_report_have_them_and_markup_stays_text():
    world = good_week()
    report = world.report(incidents=["Slow <b>model</b>: still going on."])
    assert "## Incidents" in render_markdown(report) and "&lt;b>" in render_markdown(report)
    assert "<b>model" not in render_html(report) and "Slow &lt;b&gt;model" in render_html(report)
    assert "Incidents" not in render_markdown(world.report()) and "Incidents" not in render_html(world.report())
