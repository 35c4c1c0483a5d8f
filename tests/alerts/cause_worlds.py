"""Answers whose fall has a known cause: in the warehouse one by one, in the lake as points, deploys and events."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.lake.delta import Lake
from tests.alerts.alert_worlds import DAYS, FIRST, NOW, catalog, hourly, put
from tests.worlds import lake_of, settings_at

HOUR = timedelta(hours=1)
BEGAN = NOW - 8 * HOUR
AN_HOUR, LEVEL, FALL = 200, 0.8, 0.8
GOOD = {"metric": "good_answers", "mean": LEVEL, "judge_version": "v1"}
RULES = catalog(fewer={"kind": "relative", "metric": "good_answers", "limit": 0.1, "role": "quality"})
SINCE = NOW - timedelta(days=10)


def facts(change: Callable[[pd.DataFrame, pd.Series, np.random.Generator], None]) -> pd.DataFrame:
    """Ten days of answers; `change` is given them, which came since BEGAN, and chance. p: of a good one."""
    rng = np.random.default_rng(11)
    count = int((NOW - SINCE) / HOUR) * AN_HOUR
    at = pd.Series(SINCE + pd.to_timedelta(np.sort(rng.random(count)) * (NOW - SINCE).total_seconds(), unit="s"))
    made = pd.DataFrame(
        {
            **{"occurred_at": at, "day": at.dt.date, "environment": "production", "app": "default"},
            **{"prompt_version": "p1", "variant": None, "model": "m1", "is_error": rng.random(count) < 0.01},
            **{"latency_ms": rng.lognormal(7, 0.3, count), "language": np.where(rng.random(count) < 0.1, "fr", "en")},
            **{"device": "phone", "location": "at", "new_user": False, "relevance_version": "v1"},
            **{"relevance_probability": 1.0, "judged": True},
            "p": LEVEL * (1 + 0.1 * np.sin(at.dt.hour / 24 * 2 * np.pi)),
        }
    )
    change(made, made["occurred_at"] >= BEGAN, rng)
    good = pd.Series(rng.random(count) < made.pop("p")).astype("boolean").where(made.pop("judged"))
    return made.assign(relevance_good=good, relevance_score=1.0 + 2 * good.astype("Float64"))


def warehouse(file: Path, made: pd.DataFrame) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(file)) as opened:
        opened.register("given", made)
        opened.execute("create schema marts; create table marts.response_facts as select * from given")
    return file


def lake(home: Path, events: Sequence[LogEvent] = (), *, began: datetime = BEGAN) -> Lake:
    """Points of good answers that fell by a fifth at `began`, and what people said had happened."""
    made = lake_of(settings_at(home), events, now=NOW)
    return put(made, hourly(**GOOD, noise=0.01, error=0.027, n=AN_HOUR, fall=(began, NOW, FALL)))


assert timedelta(days=DAYS) == NOW - FIRST
