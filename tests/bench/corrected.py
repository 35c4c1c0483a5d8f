"""Corrected estimates of 13 weeks and 50 slices from 1,000,000 verdicts and 20,000 labels."""

import os
import shutil
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.copied import commit_copied, copy_part
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine, rows
from onlineeval_dagster.review.stage import correct_points
from onlineeval_dagster.settings import PACKAGED_CATALOG, load_settings
from onlineeval_dagster.warehouse.duckdb import Build, connection, finish
from tests.bench.measured import Measured

VERDICTS = int(os.environ.get("BENCH_VERDICTS", 1_000_000))
DAYS, LABELS_A_VERDICT = 91, 0.02
LAST = date(2026, 11, 22)  # a Sunday
SLICES = 50


def corrected(scratch: Path) -> list[Measured]:
    """Corrected points of 91 days: each day, its week and its 28 days, by 50 slices (BENCH_VERDICTS)."""
    catalog, lines = load_catalog(PACKAGED_CATALOG), []
    for name, kind in (("good_answers", "rate"), ("relevance_score", "mean")):
        folder = scratch / "corrected"
        shutil.rmtree(folder, ignore_errors=True)
        settings = load_settings(home=folder)
        lake = Lake(settings.lake_folder)
        _write(settings.warehouse_file, lake, catalog)
        began, before = time.perf_counter(), time.process_time()
        done = correct_points(settings.warehouse_file, lake, _only(catalog, name))
        seconds, work = time.perf_counter() - began, time.process_time() - before
        assert len(done.days) == DAYS
        asked = "select as_of, grain, count(*) as n from corrected_points group by all"
        assert {row["n"] for row in rows(lake, asked, {"corrected_points": None}).to_pylist()} == {SLICES}
        note = f"{done.points:,} points: day, week, 28 days by {SLICES} slices; {VERDICTS:,} verdicts, 2 % labelled"
        lines.append(
            Measured(name=f"corrected points of 13 weeks, a {kind}", value=seconds, unit="s", at_most=10, note=note)
        )
        lines.append(Measured(name="  its work, all threads together", value=work, unit="s of CPU"))
    shutil.rmtree(folder)
    return lines


def _only(catalog: Catalog, name: str) -> Catalog:
    metrics = catalog.metrics.model_copy(update={"metrics": {name: catalog.metrics.metrics[name]}})
    return replace(catalog, metrics=metrics)


_FACTS = """
create table marts.response_facts as
with drawn as (
    select i, hash(i, 'a') % 1000 / 1000 as a, hash(i, 'b') % 1000 / 1000 as b, hash(i, 'c') % 100000 as c
    from range({count}) as numbers(i)
)
select
    'r' || i as response_id,
    date '{first}' + (i % {days})::int as day,
    'production' as environment,
    'u' || c % 60000 as user_key,
    -- Forty versions, six variants, three models, and all: fifty slices on every day.
    'p' || hash(i, 'p') % 40 as prompt_version,
    'v' || c % 6 as variant,
    'm' || c % 3 as model,
    'done' as relevance_state,
    '{version}' as relevance_version,
    0.1 + 0.9 * (c % 10 = 0)::int as relevance_probability,
    case when a < 0.7 then 3 when a < 0.85 then 2 else 1 end::double as relevance_score,
    relevance_score >= {good_from} as relevance_good
from drawn
"""

_LABELS = """
select
    'l' || response_id as event_id, response_id, '{{}}' as attributes, 'production' as environment, 'default' as app,
    'relevance' as axis, 'ann' as reviewer, 'audit' as stream, 0.02 as inclusion_probability,
    day::timestamptz + interval 12 hour as response_at, response_at as occurred_at, response_at as received_at,
    case when hash(response_id, 'y') % 100 < 25 + 25 * relevance_score then 3 else 1 end::double as score,
    'bench' as log_segment, row_number() over () as log_offset
from facts
where hash(response_id, 'l') % 1000 < {per_mille}
"""


def _write(file: Path, lake: Lake, catalog: Catalog) -> None:
    judge = next(judge for judge in catalog.live_judges if judge.name == "relevance")
    first = LAST - timedelta(days=DAYS - 1)
    days = tuple(first + timedelta(days=n) for n in range(DAYS))
    file.parent.mkdir(parents=True, exist_ok=True)
    with connection(file) as warehouse:
        warehouse.execute("create schema marts; create schema tick")
        made = {"count": VERDICTS, "first": first, "days": DAYS, "version": judge.version, "good_from": judge.good_from}
        warehouse.execute(_FACTS.format(**made))
        facts = warehouse.sql("select response_id, day, relevance_score from marts.response_facts").to_arrow_table()
    finish(file, Build(days=days, reads={}, catalog_version="c"))
    labels = _LABELS.format(per_mille=int(1000 * LABELS_A_VERDICT))
    with engine(lake, {}) as connected:
        connected.register("facts", facts)
        connected.execute(f"create temp table labels as {labels}")
        known = {row[0] for row in connected.execute("describe labels").fetchall()}
        absent = [f"null as {f.name}" for f in TABLES["labels"].schema if f.name not in {*known, "day"}]
        sql = f"select *, {', '.join(absent)} from labels where response_at::date = date "
        parts = [copy_part(connected, lake, "labels", f"{sql}'{day}'", day) for day in days]
        commit_copied(lake, "labels", [part for part in parts if part], reads={}, now=datetime.now(UTC))
        answers = (
            "select response_id, response_id as event_id, 'production' as environment, 'default' as app, "
            "'{}' as attributes, day::timestamptz as occurred_at, occurred_at as received_at, '' as query, "
            "'' as response, 'bench' as log_segment, 0 as log_offset from facts where day = date "
        )
        known = {"response_id", "event_id", "environment", "app", "attributes", "occurred_at", "received_at", "query"}
        known |= {"response", "log_segment", "log_offset", "day"}
        nulls = "".join(f", null as {f.name}" for f in TABLES["responses"].schema if f.name not in known)
        sql = answers.replace(" from facts", f"{nulls} from facts")
        parts = [copy_part(connected, lake, "responses", f"{sql}'{day}' limit 1", day) for day in days]
        commit_copied(lake, "responses", [part for part in parts if part], reads={}, now=datetime.now(UTC))
