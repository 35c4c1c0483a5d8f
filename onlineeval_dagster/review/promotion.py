"""Evidence on every shadow judge: labels of the audit, both judges' scores of the same answers, trials."""

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.arrow import from_table, to_table
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.contracts.promotion import PromotionEvidence
from onlineeval_dagster.contracts.tables import DAY
from onlineeval_dagster.judges.trials import latest_reliability
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine, first_rows, rows
from onlineeval_dagster.review.agreement import agreement, quadratic_kappa, tables_of
from onlineeval_dagster.review.gate import (
    Compared,
    Condition,
    Labelled,
    compare,
    conditions,
    labels_to_see,
    noise_of,
    power_to_see,
)

WINDOW_DAYS = 90
Row = dict[str, Any]


def incumbent_of(catalog: Catalog, judge: Judge) -> Judge | None:
    """The active judge of the same axis."""
    return next((one for one in catalog.judges if one.axis == judge.axis and one.status == "active"), None)


def gather(
    lake: Lake, catalog: Catalog, *, now: datetime, judge: str | None = None
) -> list[tuple[PromotionEvidence, list[Condition]]]:
    """Of every shadow judge, or of the one by this name, the evidence and the gate's conditions. Writes nothing."""
    known = latest_reliability(lake)
    shadows = [one for one in catalog.judges if one.status == "shadow" and judge in (None, one.name)]
    return [_evidence(lake, catalog, one, known.get((one.name, one.version)), now) for one in shadows]


def write_evidence(lake: Lake, catalog: Catalog, *, now: datetime) -> list[tuple[PromotionEvidence, list[Condition]]]:
    """The same into the lake, in place of what was found earlier on the same day."""
    found = gather(lake, catalog, now=now)
    table = to_table([evidence for evidence, _ in found], PromotionEvidence)
    day = pa.array([now.date()] * len(found), DAY.type)
    lake.replace_days("promotion_evidence", [now.date()], table.append_column(DAY, day))
    return found


def read_evidence(lake: Lake) -> list[PromotionEvidence]:
    """What was found on the latest day."""
    latest = sorted(lake.days("promotion_evidence"))[-1:]
    return from_table(
        rows(lake, "select * from promotion_evidence order by judge", {"promotion_evidence": latest}), PromotionEvidence
    )


def _evidence(
    lake: Lake, catalog: Catalog, judge: Judge, reliability: Any, now: datetime
) -> tuple[PromotionEvidence, list[Condition]]:
    since, incumbent, asked = now - timedelta(days=WINDOW_DAYS), incumbent_of(catalog, judge), catalog.promotion
    labelled, people, said = _read(lake, judge, incumbent, since)
    people_kappa = _people_kappa(people)
    limit = asked.at_least if people_kappa is None else asked.of_people * people_kappa
    compared = compare(_labelled(labelled, incumbent)) if labelled else None
    failed = said["failed"] / said["verdicts"] if said["verdicts"] else None
    found = list(
        conditions(
            compared,
            labels=len(labelled),
            limit=limit,
            promotion=asked,
            verdicts=said["verdicts"],
            failed=failed,
            reliability=reliability,
            is_local=judge.is_local,
        )
    )
    weeks = max((now - min((row["response_at"] for row in labelled), default=now)).total_seconds() / 604_800, 1.0)
    numbers: Row = _agreements(compared) | _power(compared, asked.margin, len(labelled) / weeks)
    evidence = PromotionEvidence(
        computed_at=now,
        since=since,
        axis=judge.axis,
        judge=judge.name,
        judge_version=judge.version,
        incumbent=incumbent.name if incumbent else None,
        incumbent_version=incumbent.version if incumbent else None,
        labels=len(labelled),
        responses=len({row["response_id"] for row in labelled}),
        labels_a_week=len(labelled) / weeks,
        people_kappa=people_kappa,
        people_shared=len({row["response_id"] for row in people}),
        limit=limit,
        margin=asked.margin,
        verdicts=said["verdicts"],
        failed=failed,
        obeyed=None if reliability is None else reliability.obeyed,
        noise=noise_of(reliability, is_local=judge.is_local),
        ready=all(one.holds for one in found),
        missing=[f"{one.name}: {one.found}" for one in found if not one.holds],
        **numbers,
    )
    return evidence, found


def _agreements(compared: Compared | None) -> Row:
    if compared is None:
        return {"kappa_reason": "no label of the audit on an answer that both judged"}
    said: Row = {"same": compared.same, "incumbent_same": compared.active_same}
    kappa, difference = compared.kappa, compared.difference
    if isinstance(kappa, NotEnough):
        said["kappa_reason"] = f"{kappa.reason}: {kappa.have} of {kappa.needed}"
    else:
        said |= {"kappa": kappa.value, "kappa_low": kappa.low}
    if isinstance(difference, NotEnough):
        said["difference_reason"] = f"{difference.reason}: {difference.have} of {difference.needed}"
    elif difference is not None:
        said |= {"difference": difference.value, "difference_low": difference.low}
    return said


def _power(compared: Compared | None, margin: float, labels: float) -> Row:
    if compared is None or not compared.spread or not margin:
        return {}
    return {
        "power": power_to_see(margin, labels=labels, spread=compared.spread),
        "labels_needed": labels_to_see(margin, spread=compared.spread),
    }


def _people_kappa(pairs: list[Row]) -> float | None:
    if not pairs:
        return None
    tables = tables_of(
        [row["one"] for row in pairs],
        [row["other"] for row in pairs],
        clusters=[row["response_id"] for row in pairs],
        weights=[row["weight"] for row in pairs],
    )
    kappa = agreement(tables, quadratic_kappa)
    return kappa.value if isinstance(kappa, Estimate) and kappa.value > 0 else None


def _labelled(found: list[Row], incumbent: Judge | None) -> Labelled:
    def column(name: str) -> Any:
        return np.array([row[name] for row in found], dtype=np.float64)

    return Labelled(
        people=column("score"),
        shadow=column("shadow"),
        active=column("active") if incumbent else None,
        weights=column("weight"),
        users=np.unique([row["user_key"] for row in found], return_inverse=True)[1].astype(np.int64),
    )


def _read(
    lake: Lake, judge: Judge, incumbent: Judge | None, since: datetime
) -> tuple[list[Row], list[Row], dict[str, int]]:
    days = {day for day in lake.days("responses") if day >= since.date()}
    tables: dict[str, set[date]] = {"labels": days, "verdicts": days, "responses": days}
    told = {
        "axis": judge.axis,
        "shadow": judge.version,
        "active": incumbent.version if incumbent else judge.version,
    }
    with engine(lake, tables) as connection:
        connection.execute(_LABELS_SQL, {"axis": judge.axis})
        connection.execute(_SAID_SQL, told)
        return (
            connection.sql(_LABELLED_SQL).to_arrow_table().to_pylist(),
            connection.sql(_PEOPLE_SQL).to_arrow_table().to_pylist(),
            connection.sql(_VERDICTS_SQL).to_arrow_table().to_pylist()[0],
        )


_LABELS_SQL = f"""
create temp table people as
select response_id, reviewer, score, inclusion_probability as chance
from ({first_rows("labels")})
where axis = $axis and stream = 'audit' and inclusion_probability is not null
qualify row_number() over (partition by response_id, reviewer order by occurred_at desc, event_id) = 1
"""
# The same version under two names is one reviewer, as in the comparison of versions.
_SAID_SQL = f"""
create temp table said as
select
    response_id, judge_version = $shadow as is_shadow, judge_version = $active as is_active, score, attempt, error_kind
from ({first_rows("verdicts")})
where axis = $axis and replicate = 0 and judge_version in ($shadow, $active) and error_kind is distinct from 'shed'
"""
_LABELLED_SQL = f"""
with shadow as (
    select response_id, max_by(score, attempt) as shadow from said where is_shadow and score is not null group by all
),
active as (
    select response_id, max_by(score, attempt) as active from said where is_active and score is not null group by all
),
asked as (
    select response_id, occurred_at as response_at, coalesce(user_id, session_id, response_id) as user_key
    from ({first_rows("responses")})
)
select
    response_id, response_at, user_key, score, shadow, active,
    1 / chance / count(*) over (partition by response_id) as weight
from people join shadow using (response_id) join active using (response_id) join asked using (response_id)
order by response_id, reviewer
"""
_PEOPLE_SQL = """
select
    response_id, one.score as one, other.score as other,
    1 / one.chance / count(*) over (partition by response_id) as weight
from people as one join people as other using (response_id)
where one.reviewer <> other.reviewer
order by response_id, one.reviewer, other.reviewer
"""
_VERDICTS_SQL = """
select count(*) as verdicts, count(error_kind) as failed
from (select * from said where is_shadow qualify row_number() over (partition by response_id order by attempt desc) = 1)
"""
