"""Detrending and thresholds of many series at once."""

import time
from pathlib import Path

import numpy as np

from onlineeval_dagster.metrics.charts import cusum, cusum_limit, ewma, ewma_limit
from onlineeval_dagster.metrics.detrend import detrend
from onlineeval_dagster.metrics.limits import robust_limits
from tests.bench.measured import Measured

SERIES, DAYS, SLOTS = 5_000, 90, 24


def series(scratch: Path) -> list[Measured]:
    """5,000 series of 90 days hourly: what is expected of each point, and five kinds of thresholds on what is left."""
    rng = np.random.default_rng(7)
    weekday = np.arange(DAYS) % 7
    shape = 0.8 + 0.05 * np.sin(np.arange(SLOTS) / SLOTS * 2 * np.pi)[None] + 0.02 * (weekday > 4)[:, None]
    values = shape[None] + rng.normal(0, 0.03, (SERIES, DAYS, SLOTS))
    values[rng.random(values.shape) < 0.05] = np.nan
    started, cpu = time.perf_counter(), time.process_time()
    left = detrend(values, weekday, error=np.full_like(values, 0.01))
    detrended = time.perf_counter()
    looks = left.standardised.reshape(SERIES, DAYS * SLOTS)
    robust_limits(looks)
    cusum(looks, slack=0.5, limit=cusum_limit(50_000.0, slack=0.5))
    ewma(looks, weight=0.1, limit=ewma_limit(50_000.0, weight=0.1))
    done, spent = time.perf_counter(), time.process_time() - cpu
    return [
        Measured(name="detrending and thresholds, 5,000 series", value=done - started, unit="s", at_most=60),
        Measured(name="  of it detrending", value=detrended - started, unit="s", note=f"{spent:.0f} s of CPU in all"),
    ]
