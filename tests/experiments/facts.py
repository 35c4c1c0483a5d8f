"""A warehouse with answers of known units, and the exposures that go with them."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from onlineeval_dagster.catalog.judge_file import Judge
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
    on. A user's own level of copying stays the same for ever; who copies more has the device `ios`.
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
            device = "web" if level[user] < 0.5 else "ios"
            facts.append((f"r{len(facts)}", day, at, f"u{user}", f"s{user}-{day}", bool(copied), latency, device))
    names = ("response_id", "day", "occurred_at", "user_id", "session_id", "copy_seen", "latency_ms", "device")
    table = pa.table({name: [row[place] for row in facts] for place, name in enumerate(names)})
    table = table.append_column("environment", pa.array(["production"] * len(facts)))
    file.parent.mkdir(parents=True, exist_ok=True)
    with connection(file) as warehouse:
        warehouse.register("given", table)
        warehouse.execute("create schema marts; create table marts.response_facts as select * from given")
    return exposures_of(met, warm)


def exposures_of(met: dict[int, datetime], warm: np.ndarray) -> pa.Table:
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


def write_judged_facts(
    file: Path,
    judge: Judge,
    *,
    users: int = 1_200,
    flattered: float = 0.0,
    better: float = 0.0,
    failing: float = 0.0,
    labelled: float = 0.3,
    seed: int = 2,
) -> tuple[pa.Table, pa.Table]:
    """A week of judged answers, two a user, all met on the first day; returns exposures and labels.

    People find 75 % good, `better` more in `warm`. The judge errs on 15 % either way, and passes `flattered` of what is
    bad in `warm`; it fails on 2 %, and `failing` more there. Flagged ones are all judged, the others half.
    """
    rng = np.random.default_rng(seed)
    user = np.repeat(np.arange(users), 2)
    warm = user % 2 == 1
    level = np.repeat(rng.normal(0, 0.1, users), 2)
    good = rng.random(2 * users) < np.clip(0.75 + level + better * warm, 0, 1)
    said = np.where(rng.random(2 * users) < 0.15, ~good, good)
    said |= warm & ~good & (rng.random(2 * users) < flattered)
    chance = np.where(rng.random(2 * users) < 0.2, 1.0, 0.5)
    is_judged = rng.random(2 * users) < chance
    fails = rng.random(2 * users) < 0.02 + failing * warm
    is_labelled = is_judged & ~fails & (rng.random(2 * users) < labelled)
    at = [midnight(START) + timedelta(days=float(day)) for day in rng.uniform(0.1, 6.9, 2 * users)]
    names = [f"r{n}" for n in range(2 * users)]
    column = judge.name.replace("-", "_")
    facts = pa.table(
        {
            "response_id": names,
            "day": [one.date() for one in at],
            "occurred_at": at,
            "user_id": [f"u{one}" for one in user],
            "session_id": [f"s{one}" for one in user],
            "device": ["web"] * len(at),
            "environment": ["production"] * len(at),
            f"{column}_state": np.where(is_judged, np.where(fails, "failed", "done"), "not_selected").tolist(),
            f"{column}_version": [judge.version] * len(at),
            f"{column}_probability": chance,
            f"{column}_score": np.where(said, 3, 1),
            f"{column}_good": said,
        }
    )
    labels = pa.table(
        {
            "axis": [judge.axis] * int(is_labelled.sum()),
            "response_id": [name for name, one in zip(names, is_labelled, strict=True) if one],
            "score": np.where(good, 3, 1)[is_labelled],
            "probability": chance[is_labelled] * labelled,
        }
    )
    with connection(file) as warehouse:
        warehouse.register("given", facts)
        warehouse.execute("create schema marts; create table marts.response_facts as select * from given")
    return exposures_of(dict.fromkeys(range(users), midnight(START)), np.arange(users) % 2 == 1), labels
