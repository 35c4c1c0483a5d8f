"""Answers before and after a deploy in a warehouse, and the deploy in a lake: what a watch looks at."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.warehouse.duckdb import connection
from tests.alerts.alert_worlds import CATALOG

DEPLOYED = datetime(2026, 11, 20, 10, 30, tzinfo=UTC)
BEGAN = DEPLOYED + timedelta(minutes=5)
JUDGE = next(judge for judge in CATALOG.judges if judge.name == "relevance")


@dataclass(frozen=True, kw_only=True)
class World:
    """Traffic of `days` before the deploy and three hours after; what is told of the new version is what it brought.

    per_hour   answers of 200 users; `share` of those after the deploy are of the new version
    good       pass rate before; `new_good` of the new version
    pending    of the new version's chosen answers, those without a verdict yet
    """

    days: int = 10
    per_hour: int = 400
    share: float = 1.0
    good: float = 0.8
    new_good: float = 0.8
    slower: float = 0.0
    errors: float = 0.005
    new_errors: float = 0.005
    thumbs_down: float = 0.08
    new_thumbs_down: float = 0.08
    pending: float = 0.0
    judged: float = 0.1
    new_judged: float = 0.5
    seed: int = 5


def facts(world: World) -> pa.Table:
    """The answers as response_facts has them, as far as the packaged rules ask."""
    rng = np.random.default_rng(world.seed)
    hours = 24 * world.days + 3
    count = rng.poisson(world.per_hour, hours).sum()
    offset = np.sort(rng.uniform(-24 * world.days, 3, count))  # hours from the first answer of the new version
    is_new = (offset >= 0) & (rng.random(count) < world.share)
    if world.share == 1:
        is_new[np.searchsorted(offset, 0)] = True
    user = rng.integers(0, 200, count)
    liking = np.random.default_rng(1).normal(0, 0.05, 200)[user]
    good = rng.random(count) < np.where(is_new, world.new_good, world.good) + liking
    chance = np.where(is_new, world.new_judged, world.judged)
    chosen = rng.random(count) < chance
    waits = chosen & is_new & (rng.random(count) < world.pending)
    state = np.where(chosen, np.where(waits, "pending", "done"), "not_selected")
    rated = rng.random(count) < 0.2
    down = rng.random(count) < np.where(is_new, world.new_thumbs_down, world.thumbs_down)
    known = state == "done"
    at = np.datetime64(BEGAN.replace(tzinfo=None), "us") + (offset * 3.6e9).astype("timedelta64[us]")
    columns: dict[str, Any] = {
        "response_id": [f"r{number}" for number in range(count)],
        "day": at.astype("datetime64[D]"),
        "occurred_at": pa.array(at, pa.timestamp("us", tz="UTC")),
        "app": ["default"] * count,
        "environment": ["production"] * count,
        "user_key": [f"user:u{one}" for one in user],
        "prompt_version": np.where(is_new, "v2", "v1").tolist(),
        "variant": pa.nulls(count, pa.string()),
        "model": ["m1"] * count,
        "relevance_version": [JUDGE.version] * count,
        "relevance_stratum": np.where(is_new, "watched", "normal").tolist(),
        "relevance_probability": chance,
        "relevance_state": state.tolist(),
        "relevance_score": pa.array(np.where(good, 3.0, 1.0), mask=~known),
        "relevance_good": pa.array(good, mask=~known),
        "is_error": rng.random(count) < np.where(is_new, world.new_errors, world.errors),
        "latency_ms": rng.lognormal(6.5, 0.4, count) * np.where(is_new, 1 + world.slower, 1),
        "thumbs_down_seen": rated & down,
        "thumbs_up_seen": rated & ~down,
        "regenerate_seen": rng.random(count) < 0.05,
        "refusal_or_empty_score": pa.array(np.ones(count), mask=rng.random(count) > 0.02),
        "refusal_or_empty_seen": [True] * count,
    }
    return pa.table(columns)


def write_facts(file: Path, table: pa.Table) -> Path:
    """A warehouse that holds just these answers."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with connection(file) as warehouse:
        warehouse.register("given", table)
        warehouse.execute("create schema if not exists marts")
        warehouse.execute("create or replace table marts.response_facts as select * from given")
    return file


def lake_with(folder: Path, *deploys: dict[str, Any]) -> Lake:
    """A lake with deploys; what is not told is `prompt_version` v2 for everybody."""
    lake = Lake(folder / "lake")
    given = [
        {
            **{"event_id": one["deploy_id"], "occurred_at": DEPLOYED, "environment": "production", "app": "default"},
            **{"attributes": "{}", "kind": "deploy", "traffic_share": 1.0, "log_segment": "s", "log_offset": place},
            **({} if "variant" in one or "model" in one or one.get("code") else {"prompt_version": "v2"}),
            **{name: value for name, value in one.items() if name != "code"},
        }
        for place, one in enumerate(deploys)
    ]
    rows = [one | {"received_at": one["occurred_at"], "day": one["occurred_at"].date()} for one in given]
    days = sorted({row["day"] for row in rows})
    lake.replace_days("deploys", days, pa.Table.from_pylist(rows, TABLES["deploys"].schema))
    return lake
