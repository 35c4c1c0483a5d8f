"""What Dagster shows and does: assets, checks that stop a run, schedules, sensors, backfills."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest

from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.settings import Settings
from tests.pipeline import LAKE, definitions, instance_at, living_at, run_assets, run_in, table
from tests.worlds import action, answer, deploy, lake_of, log_events, settings_at

ROOT = Path(__file__).parents[2]
NOW = datetime.now(UTC)
YESTERDAY = NOW.replace(hour=12, minute=0, second=0, microsecond=0) - timedelta(days=1)

STAGING = {f"stg_{name}" for name in ("responses", "signals", "selections", "verdicts", "labels", "deploys")}
DEPENDS_ON: dict[str, set[str]] = {
    "imports": set(),
    **{name: {"imports"} for name in TABLES if TABLES[name].written_by == "ingest"},
    "trace_states": {"spans"},
    "tombstones": set(),
    "signals": {"responses", "actions"},
    "signal_validity": {"responses", "labels", "signals"},
    "quality_weights": {"responses", "labels", "signals"},
    "selections": {"responses", "signals", "deploys"},
    "verdicts": {"responses", "selections"},
    "judge_comparisons": {"verdicts", "responses", "judge_reliability"},
    "judged_days": {"verdicts", "responses"},
    "judge_trials": {"gold_answers", "responses"},
    "judge_drift": {"judge_trials", "judge_reliability"},
    "judge_reliability": {"judge_trials", "verdicts", "responses"},
    "coverage": {*(name for name in TABLES if TABLES[name].written_by == "ingest"), "signals"},
    **{name: {name.removeprefix("stg_")} for name in STAGING},
    "selection_outcomes": {"stg_selections", "stg_verdicts"},
    "response_facts": {"stg_responses", "stg_signals", "stg_labels", "selection_outcomes"},
    "metric_moments": {"response_facts"},
    "week_moments": {"response_facts"},
    "minute_moments": {"response_facts"},
    "minute_sums": {"response_facts"},
    "deploy_moments": {"response_facts", "stg_deploys"},
    "arrivals": {"responses", "actions", "labels", "verdicts"},
    "daily_coverage": {"response_facts"},
    "judge_coverage": {"selection_outcomes"},
    "metric_points": {"metric_moments", "week_moments"},
    "detrended_metrics": {"metric_points"},
    "minute_counts": {"minute_moments"},
    "rolling_points": {"minute_sums"},
    "deploy_effects": {"deploy_moments"},
    "alerts": {
        *("metric_points", "detrended_metrics", "rolling_points", "coverage", "selections", "verdicts", "events"),
        "deploy_looks",
    },
    "deploy_looks": {"response_facts", "deploys"},
    "incidents": {"alerts"},
    "incident_causes": {"incidents", "response_facts", "metric_points", "detrended_metrics", "deploys", "events"},
    "incident_pages": {"incident_causes", "metric_points", "detrended_metrics"},
    "gold_answers": {"responses", "labels"},
    "reviewer_quality": {"labels", "gold_answers"},
    "promotion_evidence": {"labels", "verdicts", "responses", "judge_reliability"},
    "review_tasks": {"responses", "selections", "signals", "verdicts", "labels", "gold_answers"},
    "reviewer_agreement": {"responses", "labels"},
    "judge_agreement": {"responses", "labels", "verdicts"},
    "judge_calibration": {"responses", "labels", "verdicts"},
    "corrected_points": {"response_facts", "labels"},
    "experiment_results": {"response_facts", "exposures"},
    "daily_report": {
        *("metric_points", "deploy_effects", "corrected_points", "daily_coverage", "judge_coverage", "arrivals"),
        *("incidents", "incident_causes"),
    },
}
GROUPS = {
    "keeping": {"tombstones"},
    "sources": {"imports"},
    "lake": {name for name in TABLES if TABLES[name].written_by == "ingest"} - {"verdicts"},
    "traces": {"trace_states"},
    "signals": {"signals", "signal_validity", "quality_weights"},
    "sampling": {"selections"},
    "judges": {"verdicts", "judge_comparisons", "judged_days", "judge_trials", "judge_reliability", "judge_drift"},
    "coverage": {"coverage"},
    "staging": STAGING,
    "marts": {
        *("selection_outcomes", "response_facts", "metric_moments", "deploy_moments"),
        *("week_moments", "minute_moments", "minute_sums", "arrivals", "daily_coverage", "judge_coverage"),
    },
    "metrics": {"metric_points", "detrended_metrics", "rolling_points", "minute_counts", "deploy_effects"},
    "review": {
        *("review_tasks", "gold_answers", "reviewer_quality", "corrected_points"),
        *("reviewer_agreement", "judge_agreement", "judge_calibration", "promotion_evidence"),
    },
    "alerts": {"deploy_looks", "alerts", "incidents", "incident_causes", "incident_pages"},
    "experiments": {"experiment_results"},
    "reports": {"daily_report"},
}
POOLS = {
    "sources": {"imports"},
    "lake": {
        *("ingest", "signals", "signal_worth", "selections", "detrended_metrics", "review_tasks", "coverage"),
        *("judge_comparisons", "judge_reliability", "judge_drift", "judge_worth"),
        *("gold_answers", "reviewer_quality", "promotion_evidence", "alerting", "incident_pages"),
    },
    "judges": {"verdicts", "judge_trials", "judged_days"},
    "warehouse": {
        *("warehouse", "metric_points", "rolling_points", "minute_counts", "deploy_effects", "corrected_points"),
        *("daily_report", "experiment_results", "incident_causes", "deploy_looks"),
    },
}


@pytest.fixture(scope="module")
def graph():
    return definitions().resolve_asset_graph()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_at(tmp_path / "home")


def test_the_assets_are_these_and_each_rests_on_these(graph) -> None:
    found = {key.to_user_string(): graph.get(key).parent_keys for key in graph.get_all_asset_keys()}
    assert {name: {key.to_user_string() for key in keys} for name, keys in found.items()} == DEPENDS_ON


def test_every_asset_stands_in_the_group_of_its_room(graph) -> None:
    found: dict[str, set[str]] = {}
    for key in graph.get_all_asset_keys():
        found.setdefault(graph.get(key).group_name, set()).add(key.to_user_string())
    assert found == GROUPS


@pytest.mark.parametrize("name", sorted(DEPENDS_ON))
def test_an_asset_says_what_it_is_whose_it_is_and_what_it_is_made_of(graph, name: str) -> None:
    asset = graph.get(dg.AssetKey(name))
    assert len(asset.description) > 40
    assert asset.owners == ["team:evaluation"]
    kinds = {"delta", "parquet"} if name in TABLES or name == "judged_days" else {"dbt", "duckdb"}
    assert asset.kinds == ({"html", "markdown"} if name in ("daily_report", "incident_pages") else kinds)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_lake_has_a_contract_that_blocks_and_a_column_schema(graph, name: str) -> None:
    (check,) = [key for key in graph.asset_check_keys if key == dg.AssetCheckKey(dg.AssetKey(name), "contract")]
    assert graph.get_check_spec(check).blocking
    columns = graph.get(dg.AssetKey(name)).metadata["dagster/column_schema"].columns
    assert [column.name for column in columns] == TABLES[name].schema.names


def test_dbts_own_tests_are_checks_of_its_models(graph) -> None:
    names = {key.name for key in graph.asset_check_keys}
    assert {"unique_response_facts_response_id", "no_response_is_lost", "moments_are_possible"} <= names


def test_what_opens_the_warehouse_waits_in_one_pool() -> None:
    found: dict[str, set[str]] = {}
    for assets in definitions().assets or ():
        if isinstance(assets, dg.AssetSpec):  # no run makes it
            continue
        assert isinstance(assets, dg.AssetsDefinition)
        found.setdefault(str(assets.op.pool), set()).add(assets.op.name)
    assert found == POOLS


def test_runs_work_in_one_process() -> None:
    for job in ("tick", "full_tick", "report", "tidy_lake"):
        assert definitions().resolve_job_def(job).executor_def.name == "in_process"
    assert definitions().executor is dg.in_process_executor


def test_schedules_and_sensors_run_from_the_start() -> None:
    schedules = {s.name: (s.cron_schedule, s.default_status) for s in definitions().schedules or ()}  # pyright: ignore
    running = dg.DefaultScheduleStatus.RUNNING
    assert schedules == {
        "every_five_minutes": ("*/5 * * * *", running),
        "windows_mature": ("*/5 * * * *", running),
        "every_fifteen_minutes": ("*/15 * * * *", running),
        "nightly": ("30 2 * * *", running),
        "judges_tried": ("45 3 * * *", running),
        "tidying": ("0 3 * * *", running),
        "signals_measured": ("15 4 * * *", running),
        "people_measured": ("0 4 * * *", running),
        "judges_measured": ("20 4 * * *", running),
        "corrected": ("30 4 * * *", running),
        "evidence_gathered": ("50 4 * * *", running),
        "judges_compared": ("45 4 * * *", running),
        "mondays": ("0 6 * * 1", running),
        "every_morning": ("0 5 * * *", running),
    }
    sensors = {sensor.name: sensor.default_status for sensor in definitions().sensors or ()}
    assert sensors == dict.fromkeys(
        ("sealed_segments", "deploys_seen", "new_judge_versions", "batches_over"), dg.DefaultSensorStatus.RUNNING
    )


def look(settings: Settings, sensor: str, cursor: str | None = None) -> Any:
    """What a sensor says now."""
    with living_at(settings.home), instance_at(settings) as instance:
        resources = {"place": definitions().resources["place"]}  # pyright: ignore
        context = dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources)
        return definitions().resolve_sensor_def(sensor).evaluate_tick(context)  # pyright: ignore


def test_new_content_of_the_log_asks_for_one_run(settings: Settings) -> None:
    assert look(settings, "sealed_segments").run_requests == []
    log_events(settings, [answer(1, at=YESTERDAY)])
    first = look(settings, "sealed_segments")
    (asked,) = first.run_requests
    assert asked.run_key == first.cursor
    again = look(settings, "sealed_segments", first.cursor)
    assert again.run_requests == []
    assert again.skip_message == "the run for this content has been requested"
    log_events(settings, [answer(2, at=YESTERDAY)])
    more = look(settings, "sealed_segments", again.cursor)
    assert len(more.run_requests) == 1
    assert more.cursor != first.cursor


def test_content_that_was_taken_in_asks_for_nothing(settings: Settings) -> None:
    lake_of(settings, [answer(1, at=YESTERDAY)], now=NOW)
    seen = look(settings, "sealed_segments")
    assert seen.run_requests == []
    assert seen.skip_message == "nothing new in the log"


def test_a_deploy_is_looked_at_after_minutes_an_hour_a_day_and_when_its_watch_looks(settings: Settings) -> None:
    ages = {"fresh": timedelta(minutes=5), "older": timedelta(hours=2), "oldest": timedelta(hours=25)}
    lake_of(settings, [deploy(name, at=NOW - age) for name, age in ages.items()], now=NOW)
    first = look(settings, "deploys_seen")
    (asked,) = first.run_requests
    watched = [f"watch {minutes}+{wait}" for minutes in (15, 30, 60, 120) for wait in (15, 5)]
    early = [look for look in watched if not look.startswith("watch 120")]  # older than 2 hours, not than 125 minutes
    looks = ["fresh:5m", *(f"older:{look}" for look in ("1h", "5m", *early))]
    looks += [f"oldest:{look}" for look in ("1h", "24h", "5m", *watched)]
    assert asked.run_key == "deploys " + " ".join(sorted(looks))
    assert look(settings, "deploys_seen", first.cursor).skip_message == "no deploy is due for a look"
    (again,) = look(settings, "deploys_seen").run_requests
    assert again.run_key == asked.run_key, "a lost cursor asks for the same run, which Dagster knows"
    lake_of(settings, [deploy("new", at=NOW - timedelta(minutes=6))], now=NOW)
    (more,) = look(settings, "deploys_seen", first.cursor).run_requests
    assert more.run_key == "deploys new:5m"


def ask(settings: Settings, schedule: str) -> dg.RunRequest | str | None:
    """What a schedule asks for at five to the hour; its reason where it skips."""
    with living_at(settings.home), instance_at(settings) as instance:
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=datetime(2026, 11, 23, 5, tzinfo=UTC),
            resources={"place": definitions().resources["place"]},  # pyright: ignore
            repository_def=definitions().get_repository_def(),
        )
        said = definitions().resolve_schedule_def(schedule).evaluate_tick(context)  # pyright: ignore
    return said.run_requests[0] if said.run_requests else said.skip_message


def test_the_tick_of_the_clock_skips_when_everything_is_up_to_date(settings: Settings) -> None:
    assert ask(settings, "every_five_minutes") == "everything is up to date"
    log_events(settings, [answer(1, at=YESTERDAY)])
    asked = ask(settings, "every_five_minutes")
    assert isinstance(asked, dg.RunRequest) and asked.run_key == "2026-11-23T05:00:00+00:00"


def test_the_morning_asks_for_the_report_of_yesterday(settings: Settings) -> None:
    asked = ask(settings, "every_morning")
    assert isinstance(asked, dg.RunRequest)
    assert (asked.partition_key, asked.run_key) == ("2026-11-22", "report:2026-11-22")


def steps(result: dg.ExecuteInProcessResult, kind: dg.DagsterEventType) -> set[str]:
    return {str(event.step_key) for event in result.all_events if event.event_type == kind}


def an_impossible_chance(lake: Lake) -> None:
    row = {
        **{"response_id": "rx", "judge": "relevance", "axis": "relevance", "judge_version": "v", "stratum": "normal"},
        **{"inclusion_probability": 1.5, "state": "selected", "policy_version": "p", "selected_at": NOW},
        **{"response_at": YESTERDAY, "day": YESTERDAY.date()},
    }
    lake.append("selections", pa.Table.from_pylist([row], TABLES["selections"].schema))


def a_key_twice(lake: Lake) -> None:
    lake.append("selections", rows(lake, "select * exclude (file_name) from selections", {"selections": None}))


@pytest.mark.parametrize(
    ("breaking", "told"),
    [(an_impossible_chance, "inclusion_probability"), (a_key_twice, "expect_compound_columns_to_be_unique")],
)
def test_a_row_that_breaks_the_contract_stops_what_is_downstream(settings: Settings, breaking, told: str) -> None:
    log_events(settings, [answer(n, at=YESTERDAY) for n in range(40)])
    assert run_assets(settings.home, [*LAKE, "signals", "selections"]).success
    breaking(Lake(settings.lake_folder))
    result = run_assets(settings.home, ["selections", "verdicts"])
    assert not result.success
    failed = [check for check in result.get_asset_check_evaluations() if not check.passed]
    assert [check.asset_key for check in failed] == [dg.AssetKey("selections")]
    assert told in str(failed[0].metadata["failures"].value)
    assert "verdicts" not in steps(result, dg.DagsterEventType.STEP_START)
    assert not Lake(settings.lake_folder).exists("verdicts")


def test_a_check_that_failed_is_asked_again_until_it_passes(settings: Settings) -> None:
    log_events(settings, [answer(n, at=YESTERDAY) for n in range(5)])
    assert run_assets(settings.home, [*LAKE, "signals", "selections"]).success
    an_impossible_chance(Lake(settings.lake_folder))
    assert not run_assets(settings.home, ["selections"]).success
    assert not run_assets(settings.home, ["selections"]).success, "no row is new, and the bad one still stands"
    Lake(settings.lake_folder).open("selections").delete("inclusion_probability > 1")
    assert run_assets(settings.home, ["selections"]).success


def test_a_backfill_of_one_day_gives_the_same_signals(settings: Settings) -> None:
    before = YESTERDAY - timedelta(days=1)
    events = [answer(n, at=day) for n, day in enumerate([before, YESTERDAY] * 20)]
    events += [action(n, "copy", at=before) for n in range(0, 20, 2)]
    log_events(settings, events)
    assert run_assets(settings.home, [*LAKE, "signals"]).success
    first = table(settings, "signals", "select * exclude (file_name) from signals order by all")
    Lake(settings.lake_folder).open("signals").delete(f"day = DATE '{before.date()}' and signal = 'copy'")
    assert len(table(settings, "signals")) < len(first)
    assert run_assets(settings.home, ["signals"], partition=str(before.date())).success
    assert table(settings, "signals", "select * exclude (file_name) from signals order by all") == first


def test_the_lake_is_tidied_without_a_change_of_its_rows(settings: Settings) -> None:
    lake = lake_of(settings, [answer(1, at=YESTERDAY)], now=NOW)
    with open_log(settings, door="test") as log:
        log.append(encode(answer(2, at=YESTERDAY)))
    ingest(settings, lake, now=NOW)
    assert len(lake.files("responses")) == 2
    assert run_in(settings.home, "tidy_lake").success
    assert len(lake.files("responses")) == 1
    assert {row["response_id"] for row in table(settings, "responses")} == {"r1", "r2"}
    assert lake.days("responses") == {YESTERDAY.date()}


def test_a_tick_leaves_the_report_of_a_day_to_a_job_of_its_own() -> None:
    steps = {job: set(definitions().resolve_job_def(job).graph.node_dict) for job in ("tick", "report")}
    assert "daily_report" not in steps["tick"]
    assert steps["report"] == {"daily_report"}


def test_today_is_the_last_partition(graph) -> None:
    days = graph.get(dg.AssetKey("signals")).partitions_def
    assert days.get_last_partition_key() in {str(NOW.date()), str(datetime.now(UTC).date())}


def test_the_workspace_file_loads_in_a_fresh_process_from_the_checkout(tmp_path: Path) -> None:
    environment = {**os.environ, "ONLINEEVAL_HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path)}
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    command = [sys.executable, "-m", "dagster", "definitions", "validate", "-w", "workspace.yaml"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert "Validation successful for code location onlineeval_dagster" in done.stdout + done.stderr
