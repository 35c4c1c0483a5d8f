"""The rules as Dagster runs them, from points to a message."""

import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from onlineeval_dagster.alerts.stage import read_incidents
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.alerts.alert_worlds import NOW, hourly, put, shifted
from tests.alerts.receivers import receiver
from tests.pipeline import definitions, run_in

HOUR = timedelta(hours=1)
RULES = """
[budget]
false_alarms_a_week = 0.05
[rules.slow]
title = "Answers take longer"
owner = "team:search"
kind = "relative"
metric = "latency"
limit = 0.1
status = "enabled"
[channels.ops]
kind = "webhook"
url = "URL"
secret = "${ALERTS_SECRET}"
"""


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    folder = tmp_path / "catalog"
    shutil.copytree(PACKAGED_CATALOG, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return folder


def test_an_incident_is_written_checked_and_told_by_a_job_that_needs_no_tick(tmp_path: Path, catalog: Path) -> None:
    home = tmp_path / "home"
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    by = this_hour - NOW
    put(Lake(home / "lake"), shifted(hourly(fall=(NOW - 5 * HOUR, NOW, 1.6)), by))
    with receiver() as hook:
        (catalog / "alerts.toml").write_text(RULES.replace("URL", hook.url), encoding="utf-8")
        environment = {"ONLINEEVAL_CATALOG": str(catalog), "ALERTS_SECRET": "a secret"}
        for _ in range(2):
            outcome = run_in(home, "watch_rules", **environment)
            assert outcome.success, outcome.failures
        (told,) = (json.loads(body) for _, body in hook.got)
    (incident,) = read_incidents(Lake(home / "lake"))
    assert (incident.state, incident.began_at, incident.watched) == ("open", this_hour - 5 * HOUR, False)
    assert told["incident"]["incident_id"] == incident.incident_id
    assert told["cause"] == "No cause can be named: the warehouse has no answers yet."
    assert (home / "reports" / "incidents" / f"{incident.incident_id}-post-mortem.html").exists()


def test_incidents_are_in_the_tick_and_have_checks_that_stop_it() -> None:
    graph = definitions().resolve_asset_graph()
    tick = definitions().resolve_job_def("tick")
    assert {dg.AssetKey(name) for name in ("alerts", "incidents", "incident_causes", "incident_pages")} <= set(
        tick.asset_layer.executable_asset_keys
    )
    key = dg.AssetCheckKey(dg.AssetKey("incidents"), "alerts_add_up")
    assert graph.get_check_spec(key).blocking
