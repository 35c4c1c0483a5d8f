"""What a judge's word is worth: people against people, each judge version against people, and what its scores mean."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.agreement import JudgeAgreement, JudgeCalibration, ReviewerAgreement
from onlineeval_dagster.contracts.arrow import from_table, to_table
from onlineeval_dagster.contracts.base import Contract
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.metrics.intervals import wilson
from onlineeval_dagster.review.agreement import MEASURES, agreement, coincidences_of, krippendorffs_alpha, tables_of
from onlineeval_dagster.review.bias import effect_at_equal
from onlineeval_dagster.review.calibration import calibration_map, cross_fitted, reliability
from onlineeval_dagster.review.pairs import Pairs, said_of_audit
from onlineeval_dagster.review.stage import People
from onlineeval_dagster.review.versions import shift_of_mean
from onlineeval_dagster.review.windows import DAYS

DRIFT_LEVEL = 0.99
Found = Estimate | NotEnough


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """The rows of one day, of the three tables."""

    reviewers: list[ReviewerAgreement]
    judges: list[JudgeAgreement]
    calibration: list[JudgeCalibration]


def judge_worth(lake: Lake, catalog: Catalog, *, now: datetime) -> Worth:
    """Of all axes that people labelled in the 28 days up to `now`; writes nothing."""
    first = now.date() - timedelta(days=DAYS - 1)
    found = Worth(reviewers=[], judges=[], calibration=[])
    for axis in sorted({judge.axis for judge in catalog.live_judges}):
        key = {"computed_at": now, "since": now - timedelta(days=DAYS), "axis": axis}
        said = said_of_audit(lake, axis, now=now)
        people = People.of(lake, axis, [first + timedelta(days=n) for n in range(DAYS)])
        found.reviewers.extend(_reviewers(said.labels, key))
        for (judge, version), pairs in said.pairs.items():
            of_judge = key | {"judge": judge, "judge_version": version}
            found.judges.extend(_against_people(pairs, of_judge))
            named = of_judge | {"calibration_version": people.version(version, first, now.date())}
            found.calibration.extend(_calibration(pairs, named))
    return found


def write_worth(lake: Lake, catalog: Catalog, *, now: datetime) -> Worth:
    """The same into the lake, in place of what was computed earlier on the same day."""
    found = judge_worth(lake, catalog, now=now)
    for name, some, contract in (
        ("reviewer_agreement", found.reviewers, ReviewerAgreement),
        ("judge_agreement", found.judges, JudgeAgreement),
        ("judge_calibration", found.calibration, JudgeCalibration),
    ):
        table = to_table(list(some), contract)
        table = table.append_column(DAY, pa.array([now.date()] * len(table), DAY.type))
        empty = TABLES[name].schema.empty_table()
        lake.replace_days(name, [now.date()], pa.concat_tables([empty, table]))
    return found


def read_worth(lake: Lake) -> Worth:
    """What was computed on the latest day."""

    def latest(name: str, contract: type[Contract]) -> list[Any]:
        days = sorted(lake.days(name))[-1:]
        return from_table(rows(lake, f"select * from {name}", {name: days}), contract)

    return Worth(
        reviewers=latest("reviewer_agreement", ReviewerAgreement),
        judges=latest("judge_agreement", JudgeAgreement),
        calibration=latest("judge_calibration", JudgeCalibration),
    )


def _reviewers(labels: pa.Table, key: dict[str, Any]) -> Iterator[ReviewerAgreement]:
    columns = {name: labels.column(name).to_pylist() for name in ("response_id", "reviewer", "score", "user_key")}
    answers, row, _ = np.unique(np.array(columns["response_id"], dtype=object), return_index=True, return_inverse=True)
    place = np.unique(np.array(columns["response_id"], dtype=object), return_inverse=True)[1]
    names, who = np.unique(np.array(columns["reviewer"], dtype=object), return_inverse=True)
    scores = np.full((len(answers), max(len(names), 1)), np.nan)
    scores[place, who] = columns["score"]
    several = np.isfinite(scores).sum(axis=1) > 1
    users = np.array(columns["user_key"], dtype=object)[row]
    told = {
        "n": int(several.sum()),
        "users": len(set(users[several])),
        "reviewers": int(np.isfinite(scores[several]).any(axis=0).sum()),
    }
    tables = coincidences_of(scores, clusters=users)
    for measure, function in {**MEASURES, "alpha": krippendorffs_alpha}.items():
        yield ReviewerAgreement(**key, **told, measure=measure, **_numbers(agreement(tables, function)))


def _against_people(pairs: Pairs, key: dict[str, Any]) -> Iterator[JudgeAgreement]:
    for name, value, part in pairs.parts():
        told = key | {"slice": name, "slice_value": value, "n": part.count, "users": part.user_count}
        for measure, found in _measures(part):
            yield JudgeAgreement(**told, measure=measure, **_numbers(found))
    told = key | {"slice": "all", "slice_value": "all", "n": pairs.count, "users": pairs.user_count}
    for measure, found in (*_confusion(pairs), *_biases(pairs)):
        yield JudgeAgreement(**told, measure=measure, **_numbers(found))


def _measures(pairs: Pairs) -> Iterator[tuple[str, Found]]:
    tables = tables_of(pairs.judge, pairs.people, clusters=pairs.users, weights=pairs.weights)
    for measure, function in MEASURES.items():
        yield measure, agreement(tables, function)
    both = coincidences_of(np.stack([pairs.judge, pairs.people], axis=1), clusters=pairs.users)
    yield "alpha", agreement(both, krippendorffs_alpha)


def _confusion(pairs: Pairs) -> Iterator[tuple[str, Found]]:
    """Shares of the pairs by the judge's and people's score, with Wilson's limits at the weights' effective size."""
    mass = np.bincount(pairs.users, pairs.weights)
    size = float(mass.sum() ** 2 / (mass**2).sum())
    scale = np.unique(np.concatenate([pairs.judge, pairs.people]))
    for one in scale:
        for other in scale:
            here = pairs.weights[(pairs.judge == one) & (pairs.people == other)].sum()
            share = min(float(here / pairs.weights.sum()), 1.0)
            low, high = (float(limit) for limit in wilson(share, size))
            found = Estimate(value=share, low=low, high=high, n=pairs.count, n_effective=size, method="wilson")
            yield f"share_{one:g}_{other:g}", found


def _biases(pairs: Pairs) -> Iterator[tuple[str, Found]]:
    given = {"users": pairs.users, "weights": pairs.weights}
    span = float(max(pairs.judge.max(), pairs.people.max()) - min(pairs.judge.min(), pairs.people.min()))
    gap = pairs.judge - pairs.people
    yield "lenience", shift_of_mean(gap, weights=pairs.weights, clusters=_numbered(pairs.users), span=span)
    doublings = np.log2(np.maximum(pairs.characters, 1))
    yield "verbosity", effect_at_equal(pairs.judge, pairs.people, doublings, **given)
    known = np.isfinite(pairs.own_family)
    own = {name: column[known] for name, column in given.items()}
    yield (
        "self_preference",
        effect_at_equal(pairs.judge[known], pairs.people[known], pairs.own_family[known], **own),
    )
    yield "drift", effect_at_equal(pairs.people, pairs.judge, pairs.recent, **given, level=DRIFT_LEVEL)


def _calibration(pairs: Pairs, key: dict[str, Any]) -> Iterator[JudgeCalibration]:
    fitted = calibration_map(pairs.judge, pairs.people, weights=pairs.weights)
    table = reliability(pairs.judge, pairs.people, weights=pairs.weights)
    apart = cross_fitted(pairs.judge, pairs.people, pairs.users, weights=pairs.weights)
    for place, score in enumerate(fitted.scores):
        limits = table.low[place], table.high[place]
        held_out = apart[pairs.judge == score].mean()
        yield JudgeCalibration(
            **key,
            judge_score=float(score),
            expected=float(fitted.expected[place]),
            block_labels=int(fitted.labels[place]),
            out_of_fold=float(held_out) if np.isfinite(held_out) else None,
            people=float(table.mean[place]),
            people_low=float(limits[0]) if np.isfinite(limits[0]) else None,
            people_high=float(limits[1]) if np.isfinite(limits[1]) else None,
            labels=int(table.labels[place]),
        )


def _numbered(users: np.ndarray) -> np.ndarray:
    return np.unique(users, return_inverse=True)[1]


def _numbers(found: Found) -> dict[str, Any]:
    if isinstance(found, NotEnough):
        return {"reason": f"{found.reason}: {found.have} of {found.needed}"}
    return {"value": found.value, "low": found.low, "high": found.high, "method": found.method}
