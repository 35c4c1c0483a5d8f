"""Selection at size: ten million responses for five judges with bottom-k, every row of them written."""

import dataclasses
import os
import shutil
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.catalog.sampling_file import Stratum
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.copied import commit_copied, copy_part
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine, rows
from onlineeval_dagster.sampling.select import select_responses
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.bench.measured import Measured

RESPONSES = int(os.environ.get("BENCH_RESPONSES", 10_000_000))
DAYS, JUDGES, SIZE = 10, 5, 200
UNTIL = datetime(2026, 11, 23, tzinfo=UTC)


def selection(scratch: Path) -> list[Measured]:
    """Selection of 10,000,000 responses for 5 judges, bottom-k in normal traffic, rows written (BENCH_RESPONSES)."""
    folder = scratch / "selection"
    shutil.rmtree(folder, ignore_errors=True)
    lake = Lake(folder)
    for name, sql in (("responses", _RESPONSES), ("signals", _SIGNALS)):
        _write(lake, name, sql)
    catalog = five_judges()
    started, worked = time.perf_counter(), time.process_time()
    done = select_responses(lake, catalog, now=UNTIL + timedelta(hours=2))
    seconds, cpu = time.perf_counter() - started, time.process_time() - worked
    sql = "select count(*) as n from selections where stratum = 'normal' and state = 'selected'"
    drawn = rows(lake, sql, {"selections": None}).column("n")[0].as_py()
    assert (done.decided, drawn) == (RESPONSES * JUDGES, DAYS * 24 * SIZE * JUDGES)
    shutil.rmtree(folder)
    return [
        Measured(
            name=f"selection of {RESPONSES:,} responses for {JUDGES} judges",
            value=seconds,
            unit="s",
            at_most=30,
            note=f"{done.decided / seconds:,.0f} rows a second; {cpu:.0f} s of CPU",
        )
    ]


def five_judges() -> Catalog:
    """The packaged catalog with five judges, a fixed size of normal traffic an hour, other rates as they are."""
    catalog = load_catalog(PACKAGED_CATALOG)
    judges = tuple(dataclasses.replace(catalog.live_judges[0], name=f"judge{n}", rate=None) for n in range(JUDGES))
    sampling = catalog.sampling.model_copy(update={"normal": Stratum(size=SIZE)})
    return dataclasses.replace(catalog, judges=judges, sampling=sampling)


_RESPONSES = """
select
    'r' || i as event_id, 'r' || i as response_id, 'production' as environment, 'default' as app, '' as attributes,
    '{day}'::timestamptz + to_microseconds((i % {count}) * 86400000000 // {count}) as occurred_at,
    occurred_at as received_at, 'Where is it?' as query, 'On its way.' as response, 'p' || i % 3 as prompt_version,
    'u' || i % 50000 as user_id, 'bench' as log_segment, i as log_offset
from range({first}, {first} + {count}) as numbers(i)
"""

_SIGNALS = """
select
    'r' || i as response_id, '{day}'::timestamptz as response_at, 'thumbs_down' as signal, 'explicit' as kind,
    -1.0 as score, true as flagged, 'v' as version, response_at as occurred_at, response_at as arrived_at
from range({first}, {first} + {count}, 20) as numbers(i)
"""


def _write(lake: Lake, name: str, sql: str) -> None:
    """The rows of ten days, a file each."""
    count = RESPONSES // DAYS
    parts = []
    with engine(lake, {}) as connection:
        for number in range(DAYS):
            day: date = (UNTIL - timedelta(days=DAYS - number)).date()
            made = sql.format(day=day, count=count, first=number * count)
            known = {row[0] for row in connection.execute(f"describe {made}").fetchall()}
            absent = [f for f in TABLES[name].schema if f.name not in known and f.name != "day"]
            nulls = "".join(f", null as {field.name}" for field in absent)
            part = copy_part(connection, lake, name, f"select *{nulls} from ({made})", day)
            assert part is not None
            parts.append(part)
    commit_copied(lake, name, parts, reads={}, now=UNTIL)
