"""A warehouse with answers of known units, and the exposures that go with them."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from onlineeval_dagster.warehouse.duckdb import connection

START = date(2026, 11, 2)
"""A Monday."""


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def write_facts(
    file: Path, *, users: int = 600, weeks: int = 6, lift: float = 0.0, slower: float = 0.0, seed: int = 1
) -> pa.Table:
    """Answers of two weeks before START and the weeks from it on; returns the exposures of `tone`.

    Half of the users are in `warm`, whose copies rise by `lift` (points) and latency by `slower` (share) from START
    on. A user's own level of copying stays the same for ever.
    """
    rng = np.random.default_rng(seed)
    level = rng.beta(4, 4, users)
    warm = np.arange(users) % 2 == 1
    facts, met = [], {}
    for back in range(-14, 7 * weeks):
        day = START + timedelta(days=back)
        for user in np.flatnonzero(rng.random(users) < 0.3):
            at = midnight(day) + timedelta(seconds=float(rng.uniform(0, 86_000)))
            treated = warm[user] and back >= 0
            if back >= 0:
                met.setdefault(int(user), at)
            copied = rng.random() < np.clip(level[user] + lift * treated, 0, 1)
            latency = rng.lognormal(6, 0.4) * (1 + slower * treated)
            facts.append((f"r{len(facts)}", day, at, f"u{user}", f"s{user}-{day}", bool(copied), latency, "web"))
    names = ("response_id", "day", "occurred_at", "user_id", "session_id", "copy_seen", "latency_ms", "device")
    table = pa.table({name: [row[place] for row in facts] for place, name in enumerate(names)})
    table = table.append_column("environment", pa.array(["production"] * len(facts)))
    file.parent.mkdir(parents=True, exist_ok=True)
    with connection(file) as warehouse:
        warehouse.register("given", table)
        warehouse.execute("create schema marts; create table marts.response_facts as select * from given")
    return pa.Table.from_pylist(
        [
            {
                "experiment": "tone",
                "variant": "warm" if warm[user] else "control",
                "unit": "user",
                "unit_id": f"u{user}",
                "occurred_at": at,
                "environment": "production",
                "assignment_version": "v1",
            }
            for user, at in met.items()
        ]
    )
