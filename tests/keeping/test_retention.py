"""What is older than retention.toml allows goes; what was counted of it stays, and is not counted again."""

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.catalog.retention import Kept, Retention, load_retention
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.estimates import MetricPoint
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.judges.client import Endpoint
from onlineeval_dagster.judges.stage import pending_work, run_judges
from onlineeval_dagster.keeping.retention import apply, due
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.rewrite import drop_days
from onlineeval_dagster.quality.closing import close
from onlineeval_dagster.quality.coverage import count_coverage
from onlineeval_dagster.sampling.select import select_responses
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from onlineeval_dagster.signals.stage import derive_signals, touched_days
from onlineeval_dagster.warehouse.duckdb import finish, plan_build, prepare
from tests.keeping.homes import counted, tables, warehouse_with
from tests.reports.report_worlds import point
from tests.worlds import NOON, NOW, action, answer, lake_of, log_events, settings_at

CATALOG = load_catalog(PACKAGED_CATALOG)
OLD, NEW = NOON - timedelta(days=60), NOON
SECRET = "Zq7secret"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two answers sixty days ago and two of late, with comments, signals and selections."""
    settings = settings_at(tmp_path / "home", warehouse_wait_seconds=1)
    events = [answer(n, at=at, query=f"{SECRET} {n}") for n, at in enumerate([OLD, OLD, NEW, NEW])]
    events += [action(n, "comment", at=at, text=SECRET) for n, at in enumerate([OLD, OLD, NEW, NEW])]
    lake = lake_of(settings, events)
    derive_signals(lake, CATALOG, now=NOW)
    select_responses(lake, CATALOG, now=NOW)
    count_coverage(lake)
    return settings


def keep(**kept: Kept) -> Retention:
    return Retention(kept=kept)


def let_go(settings: Settings, retention: Retention) -> list:
    return apply(settings, Lake(settings.lake_folder), retention, now=NOW)


def test_a_day_goes_whole_and_younger_ones_stay(settings):
    before = tables(settings, ("responses", "signals"))
    went = let_go(settings, keep(responses=Kept(days=30)))
    assert [(each.what, each.goes, each.count) for each in went] == [("responses", "days", 2)]
    after = tables(settings, ("responses", "signals"))
    assert after["responses"] == [row for row in before["responses"] if row["day"] == NEW.date()]
    assert after["signals"] == before["signals"]


def test_points_by_hour_go_before_those_of_the_day(settings):
    places = [("hour", OLD), ("day", OLD), ("hour", NEW), ("day", NEW)]
    points = to_table([point("copied", at, 0.3, grain=grain) for grain, at in places], MetricPoint)
    days = pa.array([at.date() for _, at in places])
    Lake(settings.lake_folder).append("metric_points", points.append_column("day", days))
    assert due(settings, Lake(settings.lake_folder), Retention(), now=NOW) == []  # not 90 days old
    went = let_go(settings, keep(metric_points=Kept(hour_days=30)))
    assert [(each.what, each.goes, each.count) for each in went] == [("metric_points", "hours", 1)]
    left = [(row["grain"], row["day"]) for row in tables(settings, ("metric_points",))["metric_points"]]
    assert sorted(left) == sorted((grain, at.date()) for grain, at in places[1:])
    assert let_go(settings, keep(metric_points=Kept(hour_days=30))) == []


def test_to_look_touches_nothing(settings):
    lake = Lake(settings.lake_folder)
    versions = {name: lake.version(name) for name in TABLES}
    found = due(settings, lake, keep(responses=Kept(days=30, text_days=5), actions=Kept(text_days=5)), now=NOW)
    assert [(each.what, each.goes, each.count) for each in found] == [
        ("responses", "days", 2),
        ("responses", "texts", 2),
        ("actions", "texts", 4),
    ]
    assert {name: lake.version(name) for name in TABLES} == versions


def test_texts_go_before_the_scores(settings):
    before = tables(settings, ("responses", "signals", "selections"))
    let_go(settings, keep(responses=Kept(text_days=30), actions=Kept(text_days=30)))
    after = tables(settings, ("responses", "signals", "selections", "actions"))
    old = [row for row in after["responses"] if row["day"] == OLD.date()]
    assert [(row["query"], row["response"], row["text_erased_at"]) for row in old] == [("", "", NOW)] * 2
    assert [row["text"] for row in after["actions"] if row["day"] == OLD.date()] == [None, None]
    kept = [row for row in before["responses"] if row["day"] == NEW.date()]
    assert [row for row in after["responses"] if row["day"] == NEW.date()] == kept
    assert (after["signals"], after["selections"]) == (before["signals"], before["selections"])
    files = [file.read_bytes() for file in map(Path, Lake(settings.lake_folder).files("responses", [OLD.date()]))]
    assert all(SECRET.encode() not in content for content in files)


def test_what_has_gone_is_not_due_again(settings):
    retention = keep(responses=Kept(text_days=30), actions=Kept(days=30), quarantine=Kept(text_days=1))
    assert let_go(settings, retention)
    assert let_go(settings, retention) == []


def test_what_was_counted_of_a_day_that_went_stays(settings):
    points = to_table([point("copied", OLD, 0.5)], MetricPoint)
    Lake(settings.lake_folder).append("metric_points", points.append_column("day", pa.array([OLD.date()])))
    warehouse_with(settings)
    aggregates = counted(settings)
    let_go(settings, keep(responses=Kept(days=30), actions=Kept(days=30), signals=Kept(days=30)))
    assert counted(settings) == aggregates
    assert [row["day"] for row in tables(settings, ("metric_points",))["metric_points"]] == [OLD.date()]


def test_the_next_tick_builds_nothing_again(settings):
    lake, file = Lake(settings.lake_folder), settings.warehouse_file
    file.parent.mkdir()
    build = plan_build(file, lake, CATALOG)
    assert build is not None
    prepare(file, lake, build.days)
    finish(file, build)
    let_go(settings, keep(responses=Kept(days=30, text_days=5), actions=Kept(days=30, text_days=5)))
    assert plan_build(file, lake, CATALOG) is None
    assert touched_days(lake, CATALOG, now=NOW)[0] == frozenset()
    log_events(settings, [answer("fresh", at=NEW)])
    ingest(settings, lake, now=NOW)
    again = plan_build(file, lake, CATALOG)
    assert again is not None
    assert again.days == (NEW.date(),)


def test_the_accounts_of_the_log_close_afterwards(settings):
    let_go(settings, keep(responses=Kept(days=30), actions=Kept(days=30)))
    outcome = close(settings, Lake(settings.lake_folder))
    assert (outcome.failures, outcome.received) == ((), 8)
    log_events(settings, [answer("fresh", at=NEW)])
    lake = lake_of(settings, [])
    count_coverage(lake, full=True)
    assert close(settings, lake).failures == ()


def test_a_text_that_is_gone_is_neither_scored_nor_judged(settings):
    let_go(settings, keep(responses=Kept(text_days=5)))
    lake = Lake(settings.lake_folder)
    drop_days(lake, "signals", before=date(2027, 1, 1), now=NOW)
    derive_signals(lake, CATALOG, now=NOW, days=[OLD.date(), NEW.date()])
    assert [row for row in tables(settings, ("signals",))["signals"] if row["kind"] == "automated"] == []
    assert pending_work(lake, CATALOG).work.num_rows > 0
    judged: list = []
    run_judges(
        lake,
        CATALOG,
        pending_work(lake, CATALOG),
        endpoint=lambda judge: Endpoint(base_url="http://127.0.0.1:9", api_key=None),
        record=judged.extend,
        now=lambda: NOW,
    )
    assert judged == []


def test_old_pages_go(settings):
    daily = settings.report_folder / "daily"
    daily.mkdir(parents=True)
    for day in (OLD.date(), NEW.date()):
        (daily / f"{day}.html").write_text("page")
        (daily / f"{day}.md").write_text("page")
    let_go(settings, keep(reports=Kept(days=30)))
    assert sorted(page.name for page in daily.iterdir()) == [f"{NEW.date()}.html", f"{NEW.date()}.md"]


def test_an_event_older_than_answers_are_kept_is_not_taken_in(settings, tmp_path):
    catalog = tmp_path / "catalog"
    catalog.mkdir()
    (catalog / "retention.toml").write_text("[responses]\ndays = 30\n")
    log_events(settings, [answer("old", at=OLD), answer("new", at=NEW)])
    done = ingest(settings.model_copy(update={"catalog": catalog}), Lake(settings.lake_folder), now=NOW)
    assert (done.accepted, done.bad) == ({"responses": 1}, 1)


def test_the_packaged_file_drops_no_day_of_any_table_but_minutes():
    retention = load_retention(PACKAGED_CATALOG)
    assert {name: days for name in TABLES if (days := retention.of(name).days) is not None} == {
        "minute_counts": 7,
        "rolling_points": 7,
    }
    assert {name for name in TABLES if retention.of(name).text_days is not None} == {"quarantine"}
    assert (retention.of("log").days, retention.of("runs").days) == (7, 30)


def test_without_the_file_everything_but_minutes_and_old_hours_is_kept(tmp_path):
    retention = load_retention(tmp_path)
    assert all(retention.of(name) == Kept(hour_days=90) for name in ("metric_points", "detrended_metrics"))
    fast = {"minute_counts", "rolling_points", "metric_points", "detrended_metrics"}
    assert all(retention.of(name) == Kept() for name in TABLES.keys() - fast)
    assert retention.of("minute_counts") == Kept(days=7)
    assert retention.accepted_days(400) == 400


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[response]\ndays = 3\n", "response is no table; did you mean 'responses'"),
        ("[responses]\nday = 3\n", "responses.day is not a known key; known keys are days, text_days"),
        ("[responses]\ndays = 0\n", "must be a whole number of days from 1 on, got 0"),
        ("[responses]\ndays = true\n", "must be a whole number of days from 1 on, got True"),
        ("[tombstones]\ndays = 9\n", "tombstones is always kept"),
        ("[ingested_parts]\ndays = 9\n", "ingested_parts is always kept"),
        ("[verdicts]\ndays = 9\n", "keep verdicts as long, or the responses no longer"),
        ("responses = 9\n", "write a table such as"),
        ("[signals]\ntext_days = 9\n", "signals.text_days is not a known key"),
        ("[responses\n", "not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path, text, told):
    (tmp_path / "retention.toml").write_text(text)
    with pytest.raises(CatalogError, match=r"retention\.toml") as refused:
        load_retention(tmp_path)
    assert told in str(refused.value)
