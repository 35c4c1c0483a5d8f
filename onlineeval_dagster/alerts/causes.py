"""What is known of an incident's suspects and mechanisms becomes ranked causes, each with its evidence in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from onlineeval_dagster.alerts.contrasts import Contrast
from onlineeval_dagster.alerts.mechanisms import Explained
from onlineeval_dagster.alerts.onset import Shares, named
from onlineeval_dagster.alerts.suspects import Suspect
from onlineeval_dagster.alerts.wording import shown
from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.contracts.alerts import Alert, Incident, IncidentCause
from onlineeval_dagster.metrics.counterfactual import Effect

EVEN = 0.5
"""Chance of none of the deploys and events, above which it is said that none of them explains a fall."""
NO_WEIGHT = 0.1
"""Chance below which a suspect is unlikely, whatever cannot be told of the others."""
UNDECIDED = "no cause is likely enough to be named"
WAY_WORDS = {
    "latency": ("slower answers", "explain"),
    "failures": ("failed answers", "explain"),
    "traffic": ("more traffic", "explains"),
    "mix": ("another mix of users", "explains"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Of one suspect: before and after, beside and against what it did not touch, and (share, number) of placebos.

    structural  in the metric's unit; the others on the scale of its link
    """

    change: Contrast | None
    after: float | None
    beside: Contrast | None
    structural: Effect | None
    placebo: tuple[float, int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was found of one incident; `reason`: why its suspects could not be weighed.

    shares    of `suspects`, in their order
    ways      what each mechanism explains, by its name; `mix_of`: the column that tells the mix
    versions  other versions of the judge that began near the incident
    """

    suspects: Sequence[Suspect]
    shares: Shares | None
    evidence: Sequence[Evidence]
    ways: Mapping[str, Explained]
    mix_of: str | None
    versions: Mapping[str, datetime]
    reason: str | None


def causes_of(incident: Incident, alert: Alert, metric: Metric, found: Found) -> list[IncidentCause]:
    """Every candidate, ranked: what is named first, then by chance."""
    said = [] if found.shares is None else named(found.shares)
    rows = [_of_suspect(at, one, said, metric, found) for at, one in enumerate(found.suspects)]
    rows += [_of_way(name, part, found) for name, part in found.ways.items()]
    rows += [_of_version(version, began) for version, began in found.versions.items()]
    rows.append(_unexplained(said, found))
    whole = {
        "incident_id": incident.incident_id,
        "opened_at": incident.opened_at,
        **{name: getattr(alert, name) for name in ("metric", "slice", "slice_value")},
    }
    ordered = sorted(rows, key=_weight)
    return [IncidentCause(**whole, **_rounded(row), rank=place) for place, row in enumerate(ordered, start=1)]


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """To six digits: sums over threads differ in the last ones, and a repeated look is to find the same."""
    return {name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in row.items()}


def _weight(row: Mapping[str, Any]) -> tuple[int, int, float, str]:
    order = 0 if row["verdict"] == "named" else 1
    kind = 0 if row["kind"] in ("deploy", "event") else 2 if row["kind"] == "unexplained" else 1
    return order, kind, -(row.get("probability") or row.get("explained") or 0.0), row["name"]


def _of_suspect(at: int, one: Suspect, said: list[int], metric: Metric, found: Found) -> dict[str, Any]:
    evidence = found.evidence[at] if found.evidence else None
    row: dict[str, Any] = {"kind": one.kind, "name": one.name, "occurred_at": one.occurred_at}
    if found.shares is None or evidence is None:
        told = f"{_called(one)}: cannot be weighed, {found.reason}."
        return row | {"verdict": "unknown", "reason": found.reason, "told": told}
    chance = float(found.shares.suspects[at])
    row |= {"verdict": "named" if at in said else "unlikely", "probability": chance}
    if _is_undecided(said, found.shares) and chance > NO_WEIGHT:
        row |= {"verdict": "unknown", "reason": UNDECIDED}
    row |= _numbers(evidence, metric)
    told = f"{_called(one)}: {_chance(chance)}"
    if row.get("difference") is not None:
        told += f"; {_change(row, metric)}"
    if row.get("beside_low") is not None:
        clear = row["beside_low"] > 0 or row["beside_high"] < 0
        told += f"; its answers {'differ' if clear else 'do not clearly differ'} from those of the version beside it"
    if row.get("structural_low") is not None:
        clear = row["structural_low"] > 0 or row["structural_high"] < 0
        told += f"; what it did not touch {'does not explain' if clear else 'may explain'} that"
    if evidence.placebo is not None:
        told += f"; at {_percent(evidence.placebo[0])} of times without a deploy as much changed"
    return row | {"told": f"{told}."}


def _numbers(evidence: Evidence, metric: Metric) -> dict[str, Any]:
    """The contrasts in the metric's unit."""
    row: dict[str, Any] = {}
    if evidence.change is not None and evidence.after is not None:
        ratio = metric.unit in ("ms", "usd")

        def moved(by: float) -> float:
            # From before to after: what lies `by` under the mean after it.
            after = evidence.after or 0.0
            return after - after * float(np.exp(-by)) if ratio else by

        change = evidence.change
        difference = moved(change.value)
        row |= {"after": evidence.after, "before": evidence.after - difference, "difference": difference}
        row |= {"low": moved(change.low), "high": moved(change.high)}
        if evidence.beside is not None:
            parts = (evidence.beside.value, evidence.beside.low, evidence.beside.high)
            row |= dict(zip(("beside", "beside_low", "beside_high"), map(moved, parts), strict=True))
    if (effect := evidence.structural) is not None:
        row |= {"structural": effect.value, "structural_low": effect.low, "structural_high": effect.high}
    if evidence.placebo is not None:
        row |= {"placebo": evidence.placebo[0], "placebos": evidence.placebo[1]}
    return row


def _of_way(name: str, part: Explained, found: Found) -> dict[str, Any]:
    called = WAY_WORDS[name][0] + (f" (by {found.mix_of})" if name == "mix" else "")
    told = (
        f"{called[0].upper()}{called[1:]}: would make {_part(part.value)} of the change, "
        f"likely {_part(part.low)} to {_part(part.high)}."
    )
    return {
        "kind": name,
        "name": found.mix_of if name == "mix" else name,
        "verdict": "named" if part.enough else "unlikely",
        "explained": part.value,
        "explained_low": part.low,
        "explained_high": part.high,
        "told": told,
    }


def _of_version(version: str, began: datetime) -> dict[str, Any]:
    told = (
        f"Another version of the AI reviewer ({version[:12]}) began {_when(began)}; the series rests on one version "
        "alone, so that it cannot be the cause."
    )
    row = {"kind": "judge_version", "name": version, "occurred_at": began, "verdict": "unlikely", "explained": 0.0}
    return row | {"told": told}


def _unexplained(said: list[int], found: Found) -> dict[str, Any]:
    row: dict[str, Any] = {"kind": "unexplained", "name": "unexplained"}
    if found.shares is None:
        told = f"No cause can be named: {found.reason}."
        return row | {"verdict": "unknown", "reason": found.reason, "told": told}
    shares = found.shares
    if not found.suspects:
        told = "No deploy and no event is known near it."
    elif _is_undecided(said, shares):
        likeliest, chance = found.suspects[int(np.argmax(shares.suspects))], float(shares.suspects.max())
        told = (
            f"It cannot be told what did this: {_called(likeliest)} has {_chance(chance)}, none of the deploys and "
            f"events {_percent(shares.unexplained)}."
        )
        return row | {"verdict": "unknown", "probability": shares.unexplained, "reason": UNDECIDED, "told": told}
    else:
        told = f"No deploy explains this: chance {_percent(shares.unexplained)}"
        parts = {"a sudden change at another time": shares.sudden, "a slow one": shares.gradual}
        likely, most = max(parts.items(), key=lambda item: item[1])
        told += f"; most like it is {likely}." if most >= shares.older else "; it began before all that is looked at."
    return row | {"verdict": "unlikely" if said else "named", "probability": shares.unexplained, "told": told}


def _is_undecided(said: Sequence[int], shares: Shares) -> bool:
    """Nothing is named, and that it was none of the deploys and events is not likely either."""
    return not said and shares.unexplained <= EVEN


def verdict(causes: Sequence[IncidentCause]) -> str | None:
    """The first line that people read; None where nothing was looked for.

    One cause, some that cannot be told apart, or none; then the mechanism by which it went, where one is named.
    """
    if not causes:
        return None
    first = min(causes, key=lambda one: one.rank)
    if first.verdict != "named":
        return next((one.told for one in causes if one.kind == "unexplained"), None)
    ways = [one for one in causes if one.verdict == "named" and one.kind in WAY_WORDS]
    by_way = ", ".join(f"{' '.join(WAY_WORDS[one.kind])} {_part(min(one.explained or 0.0, 1.0))} of it" for one in ways)
    suspects = [one for one in causes if one.verdict == "named" and one.kind in ("deploy", "event")]
    if not suspects:
        none = next(one for one in causes if one.kind == "unexplained")
        if none.verdict == "named" and ways:
            return f"No deploy explains this; {by_way}."
        return f"{none.told} {by_way[0].upper()}{by_way[1:]}." if ways else none.told
    if len(suspects) == 1:
        said = suspects[0].told
    else:
        names = ", ".join(_called(one) for one in suspects)
        chance = _percent(sum(one.probability or 0.0 for one in suspects))
        said = f"One of these, which cannot be told apart: {names}; chance {chance} together."
    return f"{said} {by_way[0].upper()}{by_way[1:]}." if by_way else said


def _called(one: Suspect | IncidentCause) -> str:
    when = "" if one.occurred_at is None else f" of {_when(one.occurred_at)}"
    return f"{'Deploy' if one.kind == 'deploy' else 'Event'} {one.name}{when}"


def _when(instant: datetime) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def _chance(chance: float) -> str:
    return f"chance {_percent(chance)}"


def _percent(chance: float) -> str:
    return "under 1 %" if chance < 0.01 else "over 99 %" if chance > 0.99 else f"{100 * chance:.0f} %"


def _part(part: float) -> str:
    """`80 %`, also below nothing and above all."""
    return f"{100 * part:.0f} %".replace("-0 %", "0 %").replace("-", "−")


def _change(row: Mapping[str, Any], metric: Metric) -> str:
    if metric.unit == "share":
        numbers = [f"{100 * row[name]:+.1f}".replace("-", "−") for name in ("difference", "low", "high")]
        return f"{metric.title}: {numbers[0]} points after it, likely {numbers[1]} to {numbers[2]}"
    sign = "+" if row["difference"] > 0 else "−"
    return (
        f"{metric.title}: {sign}{shown(abs(row['difference']), metric.unit)} after it "
        f"({shown(row['before'], metric.unit)} to {shown(row['after'], metric.unit)})"
    )
