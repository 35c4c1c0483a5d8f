"""A judge's version beside another, on the answers that both judged: what changes for whoever follows its numbers.

    verdicts ──▶ pairs (score of each, weight, user) ──▶ shift, kappa, cost, latency ──▶ a row a pair of versions

A pair's weight is one over the smaller of its two chances: versions of a judge, and judges that share a salt, see
nested samples, so that both see an answer with the chance of the rarer one. A version is the hash of what can change a
score, so the same version under two names is one reviewer: a shadow that was promoted brings its past along.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.special import stdtrit

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.arrow import from_table, to_table
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.contracts.tables import DAY
from onlineeval_dagster.contracts.versions import JudgeComparison
from onlineeval_dagster.judges.trials import latest_reliability
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import literals, rows
from onlineeval_dagster.review.agreement import NEEDED_CLUSTERS, agreement, quadratic_kappa, tables_of

WINDOW_DAYS = 90
MOST_DIFFERENT = 10

Floats = NDArray[np.float64]
Numbers = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Apart:
    """An answer on which two versions differ. Its id alone: texts are shown to who may see them, and kept nowhere."""

    response_id: str
    day: date
    score: float
    against_score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A comparison, and the answers on which the two are furthest apart, ten at most, the furthest first."""

    row: JudgeComparison
    furthest: tuple[Apart, ...]


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


def compare_versions(lake: Lake, catalog: Catalog, *, now: datetime, judge: str | None = None) -> list[Compared]:
    """Each live judge's version, or that of `judge`, against every other that judged the same answers of 90 days.

    Writes nothing.
    """
    window = _Window(since=now - timedelta(days=WINDOW_DAYS), until=now)
    days = {day for day in lake.days("verdicts") if window.since.date() <= day <= now.date()}
    if not days:
        return []
    noise = _noise_floors(lake, catalog)
    found = []
    for one in catalog.live_judges:
        if judge in (None, one.name):
            pairs = rows(lake, _pairs_sql(one), {"verdicts": days, "responses": days})
            found += [
                _comparison(one, against, of_both, window, noise)
                for against, of_both in _by_version(pairs)
                if _is_the_newer(catalog, one, against)
            ]
    return found


def write_comparisons(lake: Lake, catalog: Catalog, *, now: datetime) -> list[Compared]:
    """The same into the lake, in place of what was compared earlier on the same day."""
    found = compare_versions(lake, catalog, now=now)
    table = to_table([one.row for one in found], JudgeComparison)
    day = pa.array([now.date()] * len(table), DAY.type)
    lake.replace_days("judge_comparisons", [now.date()], table.append_column(DAY, day))
    return found


def read_comparisons(lake: Lake) -> list[JudgeComparison]:
    """The latest comparison of each pair of versions, whenever that was: both may have stopped judging since."""
    sql = (
        "select * exclude (day) from judge_comparisons qualify row_number() over "
        "(partition by axis, judge_version, against_version order by computed_at desc, responses desc, judge) = 1"
    )
    return from_table(rows(lake, sql, {"judge_comparisons": None}), JudgeComparison)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Window:
    since: datetime
    until: datetime


def _is_the_newer(catalog: Catalog, judge: Judge, against: tuple[str, str]) -> bool:
    """Of an active judge and its shadow the shadow is the one that is looked at."""
    other = next((one for one in catalog.live_judges if (one.name, one.version) == against), None)
    return not (judge.status == "active" and other is not None and other.status == "shadow")


def _by_version(pairs: pa.Table) -> Iterator[tuple[tuple[str, str], pa.Table]]:
    keys = (
        pairs.group_by(["judge", "version"]).aggregate([]).sort_by([("judge", "ascending"), ("version", "ascending")])
    )
    for name, version in zip(keys.column("judge").to_pylist(), keys.column("version").to_pylist(), strict=True):
        yield (name, version), pairs.filter((pc.field("judge") == name) & (pc.field("version") == version))


def _noise_floors(lake: Lake, catalog: Catalog) -> dict[str, float]:
    """By version, whatever its name: what was measured last; 0 for an embedded judge, which always says the same."""
    known = latest_reliability(lake).items()
    measured = {version: one.noise for (_, version), one in known if one.noise is not None}
    return measured | {judge.version: 0.0 for judge in catalog.judges if judge.is_local}


def _comparison(
    judge: Judge, against: tuple[str, str], pairs: pa.Table, window: _Window, noise: Mapping[str, float]
) -> Compared:
    drawn = pairs.filter(pc.field("chance").is_valid())
    is_sampled = len(drawn) > 0
    used = drawn if is_sampled else pairs
    weights = _column(used, "weight") if is_sampled else np.ones(len(used))
    new, old = _column(used, "new_score"), _column(used, "old_score")
    users = np.unique(used.column("user_key").to_numpy(), return_inverse=True)[1].astype(np.int64)
    row = JudgeComparison(
        computed_at=window.until,
        since=window.since,
        axis=judge.axis,
        judge=judge.name,
        judge_version=judge.version,
        against=against[0],
        against_version=against[1],
        design="sampled" if is_sampled else "undesigned",
        responses=len(used),
        users=int(users.max()) + 1,
        mean=float(np.average(new, weights=weights)),
        against_mean=float(np.average(old, weights=weights)),
        same=min(float(np.average(new == old, weights=weights)), 1.0),
        usd_a_verdict=_known(used, "new_usd", np.mean),
        against_usd_a_verdict=_known(used, "old_usd", np.mean),
        latency_ms=_known(used, "new_ms", np.median),
        against_latency_ms=_known(used, "old_ms", np.median),
        noise=noise.get(judge.version),
        against_noise=noise.get(against[1]),
        **_moved(judge, new, old, weights=weights, users=users),
    )
    return Compared(row=row, furthest=_furthest(used, new, old))


def _moved(judge: Judge, new: Floats, old: Floats, *, weights: Floats, users: NDArray[np.int64]) -> Numbers:
    """What the version changes, as numbers; a reason for each where the other one's scores are off this scale."""
    if not np.isin(old, list(judge.scale)).all():
        other: Estimate | NotEnough = NotEnough(have=0, needed=len(old), reason="the other scored on another scale")
        return {**_range(other, "shift"), **_range(other, "kappa"), **_range(other, "good_shift")}
    good = (new >= judge.good_from).astype(np.float64) - (old >= judge.good_from)
    span = float(max(judge.scale) - min(judge.scale))
    return {
        **_range(shift_of_mean(new - old, weights=weights, clusters=users, span=span), "shift"),
        **_range(agreement(tables_of(new, old, clusters=users, weights=weights), quadratic_kappa), "kappa"),
        **_range(shift_of_mean(good, weights=weights, clusters=users, span=1.0), "good_shift"),
    }


def _furthest(used: pa.Table, new: Floats, old: Floats) -> tuple[Apart, ...]:
    ids = used.column("response_id").to_numpy()
    places = [at for at in np.lexsort((ids, -np.abs(new - old)))[:MOST_DIFFERENT] if new[at] != old[at]]
    days = used.column("day")
    return tuple(
        Apart(response_id=str(ids[at]), day=days[int(at)].as_py(), score=float(new[at]), against_score=float(old[at]))
        for at in places
    )


def _column(pairs: pa.Table, name: str) -> Floats:
    return pairs.column(name).cast(pa.float64()).to_numpy()


def _known(pairs: pa.Table, name: str, summary: Callable[[Floats], Any]) -> float | None:
    known = pairs.column(name).drop_null().to_numpy()
    return float(summary(known)) if len(known) else None


def _range(found: Estimate | NotEnough, name: str) -> Numbers:
    if isinstance(found, NotEnough):
        return {f"{name}_reason": f"{found.reason}: {found.have} of {found.needed}"}
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _pairs_sql(judge: Judge) -> str:
    version, axis = (literals([word]) for word in (judge.version, judge.axis))
    return f"""
    with said as (
        -- The last attempt with a score; the same verdict twice is one.
        select
            response_id,
            judge,
            judge_version,
            min(day) as day,
            max_by(score, attempt) as score,
            max_by(inclusion_probability, attempt) as chance,
            max_by(cost_usd, attempt) as usd,
            max_by(latency_ms, attempt) as ms,
            judge_version = {version} as is_new
        from verdicts
        where replicate = 0 and score is not null and axis = {axis}
        group by all
    ),
    new as (
        -- Under two names it is still one reviewer.
        select * from said where is_new
        qualify row_number() over (partition by response_id order by judge = {literals([judge.name])} desc, judge) = 1
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
            new.day,
            coalesce(asked.user_key, response_id) as user_key,
            new.score as new_score,
            old.score as old_score,
            case when new.chance is not null and old.chance is not null then least(new.chance, old.chance) end
                as chance,
            new.usd as new_usd,
            old.usd as old_usd,
            new.ms as new_ms,
            old.ms as old_ms
        from new
        join said as old using (response_id)
        left join asked using (response_id)
        where not old.is_new
    )
    select *, 1 / chance as weight from final order by judge, version, response_id
    """
