"""The detectors on public series, scored by the rules of those who made them.

python -m tests.real.anomalies      the tables of docs/series.md
"""

import json
from collections.abc import Iterable
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from onlineeval_dagster.metrics.changes import change_points
from onlineeval_dagster.metrics.counterfactual import Effect, Synthetic, structural_effect, synthetic_control
from onlineeval_dagster.metrics.days import days_of
from onlineeval_dagster.metrics.detrend import detrend
from onlineeval_dagster.metrics.records import surprises
from tests.real.scoring import NabSeries, change_f1, covering, nab_score, nab_series, precision_recall

DATA = Path(__file__).parents[3] / "shared" / "data"
FILES = (
    *(DATA / "anomalies" / f"nab_{part}.parquet" for part in ("series", "windows", "peer_scores")),
    *(DATA / "anomalies" / name for name in ("nab_config.json", "mscloud_series.parquet")),
    *(DATA / "anomalies" / f"tcpd_{part}.parquet" for part in ("series", "annotations")),
    DATA / "traces" / "servegen_m-small.parquet",
    DATA / "experiments" / "synthetic_control_basque.parquet",
    DATA / "experiments" / "causalimpact_comparison.parquet",
)
PROFILES = ("standard", "reward_low_FP_rate", "reward_low_FN_rate")
HOUR = 12
"""Points of an hour of NAB's series, most of which have one every five minutes."""


@cache
def nab_world() -> tuple[dict[str, Any], dict[str, NabSeries]]:
    """NAB's scoring constants, and its series with their windows."""
    config = json.loads((DATA / "anomalies" / "nab_config.json").read_text())
    values = pd.read_parquet(DATA / "anomalies" / "nab_series.parquet")
    labels = pd.read_parquet(DATA / "anomalies" / "nab_windows.parquet")
    labels = labels[labels["kind"] == "window"].sort_values("start")
    truths = {}
    for name in config["series"]:
        instants = values.loc[values["series"] == name, "timestamp"].to_numpy()
        own = labels[labels["series"] == name]
        ends = (np.searchsorted(instants, own[side].to_numpy()) for side in ("start", "end"))
        truths[name] = nab_series(len(instants), [(int(a), int(b)) for a, b in zip(*ends, strict=True)])
    return config, truths


def nab_peers() -> dict[str, list[float]]:
    """What NAB's rules give its six recorded detectors at their own recorded thresholds."""
    config, truths = nab_world()
    recorded = pd.read_parquet(DATA / "anomalies" / "nab_peer_scores.parquet")
    of_series = dict(iter(recorded.groupby("series")))
    return {
        peer: [
            nab_score(
                [of_series[name][peer].to_numpy(dtype=np.float64) for name in config["series"]],
                [truths[name] for name in config["series"]],
                config["cost"][profile],
                config["thresholds"][peer][profile],
            )[0]
            for profile in PROFILES
        ]
        for peer in config["thresholds"]
    }


def nab_ours(*, lasting: int = HOUR, half_life: float = 3 * HOUR) -> list[float]:
    """The same for `surprises`, with one threshold for the whole corpus and profile, as NAB chooses it."""
    config, truths = nab_world()
    values = pd.read_parquet(DATA / "anomalies" / "nab_series.parquet")
    scores = [
        surprises(
            values.loc[values["series"] == name, "value"].to_numpy()[None],
            recent=14 * 24 * HOUR,
            lasting=lasting,
            half_life=half_life,
        )[0]
        for name in config["series"]
    ]
    return [nab_score(scores, list(truths.values()), config["cost"][profile])[0] for profile in PROFILES]


def mscloud() -> dict[str, tuple[float, float, float]]:
    """Precision, recall and F1 on hourly production metrics, from the eighth day of each series on."""
    told: dict[str, list[np.ndarray]] = {}
    true = []
    table = pd.read_parquet(DATA / "anomalies" / "mscloud_series.parquet")
    for _, rows in table.groupby("series"):
        values = rows["value"].to_numpy()
        days = days_of(rows["timestamp"].dt.tz_localize(None).to_numpy(), step=timedelta(hours=1))
        scored = days.day >= 7
        left = days.at_instants(detrend(days.grid(values[None]), days.weekday).standardised)[0]
        recent = rows["value"].shift(1).rolling(28 * 24, min_periods=2)
        plain = (np.abs(values - recent.mean()) > 3 * recent.std()).to_numpy()
        for name, found in {
            "plain 3 sigma over the last 28 days": plain,
            "detrended, beyond 4 either way": np.abs(left) > 4,
            "detrended, 4 above": left > 4,
        }.items():
            told.setdefault(name, []).append(found[scored])
        true.append(rows["label"].to_numpy()[scored] == 1)
    everything = np.concatenate(true)
    return {name: precision_recall(np.concatenate(found), everything) for name, found in told.items()}


def tcpd() -> dict[str, tuple[float, float, int]]:
    """Covering and F1 of `change_points` for each series, and how many changes it found."""
    table = pd.read_parquet(DATA / "anomalies" / "tcpd_series.parquet")
    people = pd.read_parquet(DATA / "anomalies" / "tcpd_annotations.parquet")
    scored = {}
    for name, rows in table.groupby("series"):
        values = rows.pivot(index="index", columns="dim", values="value").to_numpy()
        annotations = [list(map(int, changes)) for changes in people.loc[people["series"] == name, "change_points"]]
        found = change_points(values, shape="trend")
        scored[str(name)] = (covering(annotations, found, len(values)), change_f1(annotations, found), len(found))
    return scored


def servegen() -> tuple[float, float]:
    """Autocorrelation at 24 h of the hourly log rate on days 8-14 of ServeGen's m-small: raw, and detrended."""
    table = pd.read_parquet(DATA / "traces" / "servegen_m-small.parquet")
    by_window = table.groupby("window_start_s")["rate_rps"].sum()
    hourly = by_window.groupby(by_window.index // 3600).mean().to_numpy().reshape(14, 24)
    left = detrend(hourly[None], np.arange(14) % 7, link="log").residual[0]
    with np.errstate(divide="ignore"):
        raw = np.where(hourly > 0, np.log(hourly), np.nan)
    return _at_a_day(raw[7:]), _at_a_day(left[7:])


def basque() -> tuple[Synthetic, list[str]]:
    """The Basque Country against 16 other regions: outcomes of 1955-1974 fitted, 1975-1997 after; with their names."""
    table = pd.read_parquet(DATA / "experiments" / "synthetic_control_basque.parquet")
    wide = table.pivot(index="year", columns="regionname", values="gdpcap")
    donors = [name for name in wide.columns if name not in ("Basque Country (Pais Vasco)", "Spain (Espana)")]
    treated = wide["Basque Country (Pais Vasco)"].to_numpy()
    return synthetic_control(treated, wide[donors].to_numpy(), before=20), donors


def causal_impact() -> Effect:
    """The series that tfcausalimpact compares with R's CausalImpact: the last 18 of 108 days are after the change."""
    table = pd.read_parquet(DATA / "experiments" / "causalimpact_comparison.parquet")
    others = table[[name for name in table.columns if name.startswith("NOT_CHANGED")]]
    return structural_effect(table["CHANGED"].to_numpy(), others.to_numpy(np.float64), before=90)


def _at_a_day(values: np.ndarray) -> float:
    apart = values - np.nanmean(values)
    return float(np.nansum(apart[1:] * apart[:-1]) / np.nansum(apart**2))


def tables() -> Iterable[str]:
    """The figures of docs/series.md, in Markdown."""
    yield "| NAB, 28 series | standard | few false alarms | few misses |\n|---|---|---|---|"
    lines = {"**`surprises`**": nab_ours(), **nab_peers()}
    for name, scores in sorted(lines.items(), key=lambda line: -line[1][0]):
        yield f"| {name} | {' | '.join(f'{score:.1f}' for score in scores)} |"
    yield "\n| mscloud, 38 series | precision | recall | F1 |\n|---|---|---|---|"
    for name, shares in mscloud().items():
        yield f"| {name} | {' | '.join(f'{share:.3f}' for share in shares)} |"
    scored = tcpd()
    yield "\n| TCPD, 14 series | covering | F1 | changes |\n|---|---|---|---|"
    for name, (cover, f1, count) in scored.items():
        yield f"| {name} | {cover:.3f} | {f1:.3f} | {count} |"
    mean = np.mean(list(scored.values()), axis=0)
    yield f"| **mean** | **{mean[0]:.3f}** | **{mean[1]:.3f}** | {mean[2]:.1f} |"
    raw, left = servegen()
    yield f"\nServeGen m-small, days 8–14: autocorrelation at 24 h {raw:.2f} raw, {left:.2f} detrended."
    region, names = basque()
    shares = ", ".join(
        f"{name} {share:.3f}" for name, share in zip(names, region.weights, strict=True) if share > 0.001
    )
    yield f"\nBasque Country 1975–1997: {region.gaps[20:].mean():.4f} ({shares})."
    effect = causal_impact()
    yield f"\nCausalImpact's comparison: {effect.value:.0f} (sd {effect.deviation:.0f})."


if __name__ == "__main__":
    print("\n".join(tables()))
