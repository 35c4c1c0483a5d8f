"""A judge's version beside another, on the answers that both judged: what changes for whoever follows its numbers.

    verdicts ──▶ pairs (score of each, weight, user) ──▶ shift, kappa, cost, latency ──▶ a row a pair of versions

A pair's weight is one over the smaller of its two chances: versions of a judge, and judges that share a salt, see
nested samples, so that both see an answer with the chance of the rarer one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import stdtrit

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.arrow import from_table, to_table
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.contracts.tables import DAY
from onlineeval_dagster.contracts.versions import JudgeComparison
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import literals, rows
from onlineeval_dagster.review.agreement import NEEDED_CLUSTERS, agreement, quadratic_kappa, tables_of

WINDOW_DAYS = 90
MOST_DIFFERENT = 10

Floats = NDArray[np.float64]
Row = dict[str, Any]


def shift_of_mean(
    difference: Floats, *, weights: Floats, clusters: NDArray[np.int64], span: float, level: float = 0.95
) -> Estimate | NotEnough:
    """The weighted mean of paired differences (N,), with a linearised interval clustered by user, on t.

    clusters  numbers from 0, none left out
    span      of the scale: where no two differences differ, three clusters in all may still (rule of three)

    NotEnough below ten clusters. Coverage by simulation: tests/review/test_versions.py.
    """
    count = int(clusters.max(initial=-1)) + 1
    if count < NEEDED_CLUSTERS:
        return NotEnough(have=count, needed=NEEDED_CLUSTERS, reason="too few users with answers that both judged")
    value = float((weights * difference).sum() / weights.sum())
    influence = np.bincount(clusters, weights * (difference - value) / weights.sum(), count)
    error = float(np.sqrt((influence**2).sum() * count / (count - 1)))
    half, method = float(stdtrit(count - 1, 0.5 + level / 2)) * error, "linearised-t"
    if error < 1e-12 * max(span, 1):
        half, method = min(3 / count, 1.0) * span, "rule-of-three"
    return Estimate(
        value=value, low=value - half, high=value + half, n=len(difference), n_effective=count, method=method
    )


def compare_versions(lake: Lake, catalog: Catalog, *, now: datetime) -> list[JudgeComparison]:
    """Each live judge's version against every other that judged the same answers of 90 days; writes nothing."""
    window = _Window(since=now - timedelta(days=WINDOW_DAYS), until=now)
    days = {day for day in lake.days("verdicts") if window.since.date() <= day <= now.date()}
    if not days:
        return []
    found = []
    for judge in catalog.live_judges:
        table = rows(lake, _pairs_sql(judge), {"verdicts": days, "responses": days})
        for against, pairs in _by_version(table):
            if not _is_the_newer(catalog, judge, against[0]):
                continue
            found.append(_comparison(judge, against, pairs, window))
    return found


def write_comparisons(lake: Lake, catalog: Catalog, *, now: datetime) -> list[JudgeComparison]:
    """The same into the lake, in place of what was compared earlier on the same day."""
    found = compare_versions(lake, catalog, now=now)
    table = to_table(list(found), JudgeComparison)
    day = pa.array([now.date()] * len(table), DAY.type)
    lake.replace_days("judge_comparisons", [now.date()], table.append_column(DAY, day))
    return found


def read_comparisons(lake: Lake) -> list[JudgeComparison]:
    """What was compared on the latest day; nothing where nothing was."""
    latest = sorted(lake.days("judge_comparisons"))[-1:]
    return from_table(rows(lake, "select * from judge_comparisons", {"judge_comparisons": latest}), JudgeComparison)


def markdown(found: list[JudgeComparison]) -> str:
    """A table for people, a line a pair of versions; a sentence where there is none."""
    if not found:
        return "No two versions have judged the same answers yet."
    names = ["AI reviewer", "against", "answers", "score moves by", "agreement (kappa)", "same score", "cost of 1,000"]
    head = " | ".join([*names, "seconds"])
    return "\n".join([f"| {head} |", "|---" * (len(names) + 1) + "|", *(_line(row) for row in found)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    since: datetime
    until: datetime


def _is_the_newer(catalog: Catalog, judge: Judge, other: str) -> bool:
    """Of an active judge and its shadow the shadow is the one that is looked at."""
    against = next((one for one in catalog.live_judges if one.name == other), None)
    return not (judge.status == "active" and against is not None and against.status == "shadow")


def _by_version(table: pa.Table) -> Iterator[tuple[tuple[str, str], list[Row]]]:
    found = table.to_pylist()
    yield from ((key, list(of_key)) for key, of_key in groupby(found, key=lambda row: (row["judge"], row["version"])))


def _comparison(judge: Judge, against: tuple[str, str], pairs: list[Row], window: _Window) -> JudgeComparison:
    drawn = [row for row in pairs if row["chance"] is not None]
    used = drawn or pairs
    weights = _column(used, "weight") if drawn else np.ones(len(used))
    new, old = _column(used, "new_score"), _column(used, "old_score")
    users = np.unique([row["user_key"] for row in used], return_inverse=True)[1].astype(np.int64)
    span = float(max(judge.scale) - min(judge.scale))
    shift = shift_of_mean(new - old, weights=weights, clusters=users, span=span)
    kappa = agreement(tables_of(new, old, clusters=users, weights=weights), quadratic_kappa)
    furthest = sorted(used, key=lambda row: (-abs(row["new_score"] - row["old_score"]), row["response_id"]))
    numbers: Row = {**_range(shift, "shift"), **_range(kappa, "kappa")}
    return JudgeComparison(
        computed_at=window.until,
        since=window.since,
        axis=judge.axis,
        judge=judge.name,
        judge_version=judge.version,
        against=against[0],
        against_version=against[1],
        design="sampled" if drawn else "undesigned",
        responses=len(used),
        users=int(users.max()) + 1,
        mean=float(np.average(new, weights=weights)),
        against_mean=float(np.average(old, weights=weights)),
        same=min(float(np.average(new == old, weights=weights)), 1.0),
        usd_a_verdict=_known(used, "new_usd", np.mean),
        against_usd_a_verdict=_known(used, "old_usd", np.mean),
        latency_ms=_known(used, "new_ms", np.median),
        against_latency_ms=_known(used, "old_ms", np.median),
        most_different=[r["response_id"] for r in furthest if r["new_score"] != r["old_score"]][:MOST_DIFFERENT],
        **numbers,
    )


def _column(pairs: list[Row], name: str) -> Floats:
    return np.array([row[name] for row in pairs], dtype=np.float64)


def _known(pairs: list[Row], name: str, summary: Any) -> float | None:
    known = [row[name] for row in pairs if row[name] is not None]
    return float(summary(known)) if known else None


def _range(found: Estimate | NotEnough, name: str) -> Row:
    if isinstance(found, NotEnough):
        return {f"{name}_reason": f"{found.reason}: {found.have} of {found.needed}"}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _line(row: JudgeComparison) -> str:
    against = row.against_version if row.against == row.judge else f"{row.against} {row.against_version}"
    moved, agreed = row.shift_reason, row.kappa_reason
    if row.shift is not None:
        moved = f"{row.shift:+.2f} ({row.shift_low:+.2f} … {row.shift_high:+.2f})"
    if row.kappa is not None:
        agreed = f"{row.kappa:.2f} ({row.kappa_low:.2f} … {row.kappa_high:.2f})"
    cost = _two(row.against_usd_a_verdict, row.usd_a_verdict, 1000, "$")
    took = _two(row.against_latency_ms, row.latency_ms, 1 / 1000, "")
    told = (
        f"{row.judge} {row.judge_version}",
        against,
        f"{row.responses:,}",
        moved,
        agreed,
        f"{row.same:.0%}",
        cost,
        took,
    )
    return f"| {' | '.join(str(word) for word in told)} |"


def _two(before: float | None, after: float | None, times: float, sign: str) -> str:
    """Before and after, `–` for what nobody told."""
    return " → ".join("–" if value is None else f"{sign}{value * times:.2f}" for value in (before, after))


def _pairs_sql(judge: Judge) -> str:
    name, version, axis = (literals([word]) for word in (judge.name, judge.version, judge.axis))
    return f"""
    with said as (
        -- The last attempt with a score; the same verdict twice is one.
        select
            response_id,
            judge,
            judge_version,
            max_by(score, attempt) as score,
            max_by(inclusion_probability, attempt) as chance,
            max_by(cost_usd, attempt) as usd,
            max_by(latency_ms, attempt) as ms,
            judge = {name} and judge_version = {version} as is_new
        from verdicts
        where replicate = 0 and score is not null and axis = {axis}
        group by all
    ),
    asked as (
        select response_id, min_by(coalesce(user_id, session_id, response_id), received_at) as user_key
        from responses
        group by response_id
    ),
    final as (
        select
            old.judge,
            old.judge_version as version,
            response_id,
            coalesce(asked.user_key, response_id) as user_key,
            new.score as new_score,
            old.score as old_score,
            case when new.chance is not null and old.chance is not null then least(new.chance, old.chance) end
                as chance,
            1 / chance as weight,
            new.usd as new_usd,
            old.usd as old_usd,
            new.ms as new_ms,
            old.ms as old_ms
        from said as new
        join said as old using (response_id)
        left join asked using (response_id)
        where new.is_new and not old.is_new
    )
    select * from final order by judge, version, response_id
    """
