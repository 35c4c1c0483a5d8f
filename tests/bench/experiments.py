"""Experiments: all comparisons of many metrics, arms, segments and looks; and units counted from answers."""

import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.experiments.bayes import posterior
from onlineeval_dagster.experiments.compare import compare
from onlineeval_dagster.experiments.moments import UnitMoments
from onlineeval_dagster.experiments.multiplicity import adjusted
from onlineeval_dagster.experiments.sequential import always_valid_p, boundary, running
from onlineeval_dagster.experiments.totals import count_units
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.warehouse.duckdb import connection
from tests.bench.measured import Measured
from tests.experiments.facts import START, midnight

METRICS, ARMS, SEGMENTS, LOOKS = 50, 3, 10, 14
PEER = "gbstats==0.8.0"
ROWS = 10_000_000


def compared(scratch: Path) -> list[Measured]:
    """50 metrics x 3 arms x 10 segments x 14 looks with CUPED, always-valid intervals, Bayes and BH: seconds."""
    rng = np.random.default_rng(1)
    shape = (LOOKS, METRICS, SEGMENTS, ARMS)
    factors = rng.normal(size=(*shape, 5, 8))
    factors[..., 0, :] = 1.0
    factors[..., 2, :] = 1.0 + rng.random((*shape, 8))
    products = 500 * np.einsum("...ik,...jk->...ij", factors, factors).cumsum(axis=0)
    before, peer = _compared(UnitMoments(products=products)), _peer(scratch, products[:1])
    seconds = sorted([before, *(_compared(UnitMoments(products=products)) for _ in range(4))])[2]
    return [
        Measured(name="50 metrics, 3 arms, 10 segments, 14 looks", value=seconds, unit="s", at_most=1.0),
        Measured(
            name="… times faster than gbstats, one of 14 looks measured in the same run",
            value=LOOKS * peer / seconds,
            unit="x",
            at_least=200,
            note=f"gbstats {peer:.1f} s a look",
        ),
    ]


def _peer(scratch: Path, products: np.ndarray) -> float:
    """Seconds of gbstats, which needs numpy 1: in an environment of its own."""
    home, uv = scratch / "gbstats", Path(sys.executable).with_name("uv")
    python, moments = home / "bin" / "python", scratch / "moments.npy"
    if not python.exists():
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, home], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--system-certs", "--python", python, PEER], check=True)
    np.save(moments, products)
    script = Path(__file__).with_name("gbstats_peer.py")
    told = subprocess.run([python, script, moments], check=True, capture_output=True, text=True)
    return float(told.stdout.split()[-1])


def _compared(moments: UnitMoments) -> float:
    began = time.perf_counter()
    found = compare(moments)
    fraction = (found.units + found.control_units) / (found.units + found.control_units)[-1]
    found.lift_limits(boundary(fraction, alpha=0.05))
    found.limits(found.quantile(0.05))
    p = running(always_valid_p(found.z(), fraction, alpha=0.05), axis=0)
    adjusted(p.reshape(LOOKS, -1), "bh")
    posterior(found.lift, found.lift_error, prior_sd=0.05)
    return time.perf_counter() - began


def counted(scratch: Path) -> list[Measured]:
    """Moments of 10,000,000 answers (one a unit and day), 10 metrics: seconds of 14 looks."""
    catalog = load_catalog(PACKAGED_CATALOG)
    names = [f"metric_{number}" for number in range(10)]
    copied = catalog.metrics.metrics["copied"]
    # Each has a column of its own: equal expressions would be summed once.
    metrics = {name: copied.model_copy(update={"numerator": name}) for name in names}
    catalog = replace(catalog, metrics=catalog.metrics.model_copy(update={"metrics": metrics}))
    one = Experiment.model_validate(
        {
            "hypothesis": "A benchmark of counting",
            "variants": {"control": 0.5, "other": 0.5},
            "starts_on": START,
            "weeks": 14,
            "primary": names[0],
            "secondary": names[1:],
            "covariates": [names[0]],
        }
    )
    file = scratch / "experiments" / "w.duckdb"
    exposures = _world(file)
    looks = [midnight(START) + timedelta(days=look) for look in range(1, 15)]
    began, used = time.perf_counter(), time.process_time()
    count_units(file, catalog, "bench", one, exposures, looks=looks)
    return [
        Measured(name="10 M unit-days, 10 metrics, 14 looks, CPU", value=time.process_time() - used, unit="s"),
        Measured(name="10 M unit-days, 10 metrics, 14 looks", value=time.perf_counter() - began, unit="s", at_most=60),
    ]


def _world(file: Path) -> pa.Table:
    """Two weeks of answers, one a unit and day, and everybody's exposure on the first."""
    units = ROWS // 14
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    with connection(file) as warehouse:
        warehouse.execute(
            f"create schema marts; create table marts.response_facts as select 'u' || u as user_id, 's' as session_id, "
            f"'production' as environment, date '{START}' + d::int as day, "
            f"timestamptz '{START} 00:01:00+00' + to_days(d::int) as occurred_at, "
            f"{', '.join(f'hash(u, d, {place}) % 3 = 0 as metric_{place}' for place in range(10))} "
            f"from range({units}) as us(u), range(14) as ds(d)"
        )
        return warehouse.sql(
            "select 'bench' as experiment, case when hash(user_id) % 2 = 0 then 'control' else 'other' end as variant, "
            "'user' as unit, user_id as unit_id, occurred_at, environment, 'v1' as assignment_version "
            f"from marts.response_facts where day = date '{START}'"
        ).to_arrow_table()
