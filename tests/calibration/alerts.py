"""False alarms of rules on quiet series with a daily rhythm, through the detrending that the product uses.

.venv/bin/python -m tests.calibration.alerts
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from onlineeval_dagster.alerts.backtest import openings
from onlineeval_dagster.alerts.findings import find
from tests.alerts.alert_worlds import DAYS, FIRST, NOW, catalog, hourly, lake_of_points

SERIES, WARM_DAYS = 50, 7
_LATENCY = {"metric": "latency", "slices": ["model"], "windows": ["hour"]}
RULES = {
    "relative, 2 %": _LATENCY | {"kind": "relative", "limit": 0.02},
    "dynamic, deviations": _LATENCY | {"kind": "dynamic", "worse": "both"},
    "dynamic, ewma": _LATENCY | {"kind": "dynamic", "chart": "ewma"},
    "change_point": _LATENCY | {"kind": "change_point"},
}


@dataclass(frozen=True, kw_only=True)
class Quiet:
    """Opened incidents of one rule set in `weeks` of 50 series where nothing happens; `late`: from four weeks on."""

    rules: str
    weeks: float
    incidents: int
    late_weeks: float
    late: int


def quiet_runs(runs: int, *, budget: float) -> Iterator[Quiet]:
    """The incidents of each rule alone, and of all of them together."""
    sets = {**{name: {"one": rule} for name, rule in RULES.items()}}
    sets["all four together"] = {f"rule_{number}": rule for number, rule in enumerate(RULES.values())}
    counts = {name: [0, 0] for name in sets}
    since = FIRST + timedelta(days=28)
    for run in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            points = [
                point
                for number in range(SERIES)
                for point in hourly(slice="model", slice_value=f"m{number:02}", seed=1000 * (run + 1) + number)
            ]
            lake = lake_of_points(Path(folder), points)
            for name, rules in sets.items():
                looked = catalog(budget={"false_alarms_a_week": budget, "slice_values": SERIES}, **rules)
                found = [one for one in find(lake, looked, now=NOW, begin=FIRST) if one.fired_at is not None]
                opened = openings(found, timedelta(hours=2))
                counts[name][0] += len(opened)
                counts[name][1] += sum(at >= since for at in opened)
    for name, (every, late) in counts.items():
        yield Quiet(
            rules=name,
            weeks=runs * (DAYS - WARM_DAYS) / 7,
            incidents=every,
            late_weeks=runs * (DAYS - 28) / 7,
            late=late,
        )


if __name__ == "__main__":
    print("| rules | incidents a week | of them from four weeks of history on |\n|---|---|---|")
    for row in quiet_runs(8, budget=1.0):
        print(f"| {row.rules} | {row.incidents / row.weeks:.2f} | {row.late / row.late_weeks:.2f} |")
