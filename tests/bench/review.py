"""The review pages with 100,000 open tasks: what a run takes to publish them, and how fast a page answers."""

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.collector.keys import ApiKeys
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.copied import commit_copied, copy_part
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine
from onlineeval_dagster.privacy.policy import load_privacy
from onlineeval_dagster.review.published import publish
from onlineeval_dagster.review.tasks import plan_tasks
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings, load_settings
from tests.bench.measured import Measured
from tests.collector.collectors import serving

TASKS = int(os.environ.get("BENCH_TASKS", 100_000))
DAYS, PEOPLE, EACH = 25, 100, 20
ORIGIN = {"sec-fetch-site": "same-origin"}


def review(scratch: Path) -> list[Measured]:
    """A review page with 100,000 open tasks at the 99th percentile, served by `onlineeval serve` (BENCH_TASKS)."""
    folder = scratch / "review"
    shutil.rmtree(folder, ignore_errors=True)
    settings, now = load_settings(home=folder), datetime.now(UTC)
    planned, written = _published(settings, now)
    keys = ApiKeys(settings.keys_file)
    people = [keys.add(f"person{n}", environment=None, scope="review", now=now) for n in range(PEOPLE)]
    pages: list[float] = []
    labels: list[float] = []
    with serving(folder) as (_, address):
        for key in people:
            _rate(address, key, pages, labels)
    shutil.rmtree(folder)
    several = f"{len(pages):,} pages, {PEOPLE} people one after the other, 2 kB answers"
    return [
        Measured(
            name=f"review page of {TASKS:,} open tasks, p99", value=_p99(pages), unit="ms", at_most=50, note=several
        ),
        Measured(name="  a label until it is on the disk, p99", value=_p99(labels), unit="ms"),
        Measured(name="  median page", value=float(np.median(pages)), unit="ms"),
        Measured(name="  finding the tasks", value=planned, unit="s"),
        Measured(name="  publishing them", value=written, unit="s"),
    ]


def _p99(seen: list[float]) -> float:
    return float(np.quantile(seen, 0.99))


def _rate(address: str, key: str, pages: list[float], labels: list[float]) -> None:
    """One person signs in and rates as many as the limit lets through at once."""
    with httpx.Client(base_url=address, headers=ORIGIN) as client:
        client.post("/review/in", data={"key": key})
        for _ in range(EACH):
            began = time.perf_counter()
            page = client.get("/review")
            pages.append(1000 * (time.perf_counter() - began))
            lease = page.text.partition('name="lease" value="')[2].partition('"')[0]
            began = time.perf_counter()
            said = client.post("/review/label", data={"lease": lease, "score": "3"})
            labels.append(1000 * (time.perf_counter() - began))
            assert said.status_code == 303, said.text


def _published(settings: Settings, now: datetime) -> tuple[float, float]:
    """The audit of 25 days, all of it open; seconds that finding and publishing took."""
    lake, catalog = Lake(settings.lake_folder), load_catalog(PACKAGED_CATALOG)
    for name, sql in (("responses", _RESPONSES), ("selections", _SELECTIONS)):
        _write(lake, name, sql, now)
    began = time.perf_counter()
    planned = plan_tasks(lake, catalog, now=now)
    found = time.perf_counter()
    redact = load_privacy(settings, catalog).clean_text
    published = publish(settings.review_tasks_file, lake, catalog, now=now, redact=redact)
    assert (planned.audit, published.open) == (TASKS, TASKS)
    return found - began, time.perf_counter() - found


_RESPONSES = """
select
    'r' || i as event_id, 'r' || i as response_id, 'production' as environment, 'default' as app, '{{}}' as attributes,
    '{day}'::timestamptz + to_seconds(i % 80000) as occurred_at, occurred_at as received_at,
    'Where is my parcel, and when does it come?' as query,
    repeat('The parcel left Leipzig on Monday and reaches you by Wednesday. ', 32) as response,
    repeat('Parcels take two days. ', 40) as context, 'bench' as log_segment, i as log_offset
from range({first}, {first} + {count}) as numbers(i)
"""

_SELECTIONS = """
select
    'r' || i as response_id, '{day}'::timestamptz + to_seconds(i % 80000) as response_at, 'review' as judge,
    'review' as axis, 'review' as judge_version, 'normal' as stratum, 0.01 as inclusion_probability,
    'selected' as state, 'p' as policy_version, response_at as selected_at
from range({first}, {first} + {count}) as numbers(i)
"""


def _write(lake: Lake, name: str, sql: str, now: datetime) -> None:
    """The rows of 25 days, a file each."""
    count, parts = TASKS // DAYS, []
    with engine(lake, {}) as connection:
        for number in range(DAYS):
            day = (now - timedelta(days=DAYS - number)).date()
            made = sql.format(day=day, count=count, first=number * count)
            known = {row[0] for row in connection.execute(f"describe {made}").fetchall()}
            absent = [f for f in TABLES[name].schema if f.name not in known and f.name != "day"]
            nulls = "".join(f", null as {field.name}" for field in absent)
            part = copy_part(connection, lake, name, f"select *{nulls} from ({made})", day)
            assert part is not None
            parts.append(part)
    commit_copied(lake, name, parts, reads={}, now=now)
