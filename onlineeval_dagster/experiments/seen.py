"""What past traffic says to a plan: units by week, each metric's value and spread, what covariates would take out.

The last weeks are counted as the experiment itself will be, with a coin for an assignment: nothing is guessed.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.estimates import NotEnough
from onlineeval_dagster.experiments.compare import compare
from onlineeval_dagster.experiments.corrected import label_variance
from onlineeval_dagster.experiments.counted import Counted
from onlineeval_dagster.experiments.health import Splits
from onlineeval_dagster.experiments.moments import D, Floats, UnitMoments, Y
from onlineeval_dagster.experiments.power import Traffic
from onlineeval_dagster.experiments.strata import post_stratified
from onlineeval_dagster.experiments.totals import NO_LABELS, count_units
from onlineeval_dagster.experiments.trust import resplits
from onlineeval_dagster.lake.scan import literals
from onlineeval_dagster.review.prediction_powered import NEEDED_LABELS, corrected_means
from onlineeval_dagster.warehouse.duckdb import query

MOST_WEEKS = 4
NEEDED_UNITS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenMetric:
    """value in the metric's own unit; spread of a unit's influence as a share of it; variance that the past and strata
    take out.
    """

    value: float
    spread: float
    removed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPeople:
    """Of a judged primary metric: what a label is worth.

    labels       audit labels in the weeks looked back on; judged: answers that the judge scored
    spread       standard deviation of a label's influence, as a share of the value, clustering in it
    correlation  of a judge's score with people's, as far as the correction can use it
    """

    labels: int
    judged: float
    spread: float
    correlation: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """weeks: how far back was looked. A metric without enough answers has its reason.

    splits  of each metric: all units split by a coin, again and again (A/A)
    people  of a judged primary; None of one that is counted
    """

    weeks: int
    traffic: Traffic
    metrics: dict[str, SeenMetric | NotEnough]
    splits: dict[str, Splits]
    people: SeenPeople | NotEnough | None


def look_back(
    file: Path, catalog: Catalog, experiment: Experiment, *, now: datetime, labels: pa.Table = NO_LABELS
) -> Seen | NotEnough:
    """The last whole weeks that have answers, four at most, and what their units had done before.

    labels: of the audits of these weeks, as `stage.labels_of` reads them.
    """
    monday = now.date() - timedelta(days=now.date().weekday())
    until = datetime.combine(monday, time(), tzinfo=UTC)
    weeks = _weeks_with_answers(file, catalog, until) if file.exists() else 0
    if weeks == 0:
        return NotEnough(have=0, needed=1, reason="no whole week of answers (from Monday, UTC) is in the warehouse")
    start = until - timedelta(weeks=weeks)
    past = experiment.model_copy(
        update={
            "starts_on": start.date(),
            "weeks": weeks,
            "looks": (),
            "variants": {"first": 0.5, "second": 0.5},
            "control": None,
            "segments": () if experiment.stratify_by is None else (experiment.stratify_by,),
        }
    )
    asked = _EXPOSED.format(key=_KEY[experiment.unit], environments=literals(catalog.sampling.environments))
    exposures = query(file, asked, {"start": start, "until": until})
    counted = count_units(file, catalog, "past", past, exposures, looks=[until], labels=labels)[0]
    metrics = {name: _metric(counted, place) for place, name in enumerate(experiment.metrics)}
    traffic = _traffic(exposures.column("occurred_at").to_numpy(), start, weeks)
    splits = {name: one[0] for name, one in zip(experiment.metrics, resplits(past, counted), strict=True)}
    is_judged = catalog.metrics.metrics[experiment.primary].judge is not None
    people = _people(counted) if is_judged else None
    return Seen(weeks=weeks, traffic=traffic, metrics=metrics, splits=splits, people=people)


def _people(counted: Counted) -> SeenPeople | NotEnough:
    """Of the first judged metric, which the primary is; both arms of the coin together."""
    arms = len(counted.units)
    both = counted.people.take(np.array([0])) + counted.people.take(np.array([1]))
    found = corrected_means(both)
    if not found.answered[0]:
        return NotEnough(have=int(both.labels[0]), needed=NEEDED_LABELS, reason=str(found.reason[0]))
    alone = float(label_variance(both)[0])
    failed, given = (float(counted.judging.products[0, 0, :arms, 0, at].sum()) for at in (1, 2))
    few = float(both.labels[0]) / max(given - failed, 1.0)
    used = (1 - float(found.error[0]) ** 2 / alone) / max(1 - few, 1e-9)
    return SeenPeople(
        labels=int(both.labels[0]),
        judged=given - failed,
        spread=float(np.sqrt(alone * both.labels[0]) / abs(found.value[0])),
        correlation=float(np.sqrt(np.clip(used, 0, 1))),
    )


def _metric(counted: Counted, place: int) -> SeenMetric | NotEnough:
    """Over all units, by strata where there are any: the segments of `past` are these alone."""
    products = counted.moments.products[place]
    both = products[0]
    found = compare(UnitMoments(products=both), needed=NEEDED_UNITS)
    if len(products) > 1:
        found = compare(post_stratified(UnitMoments(products=products[1:])), needed=NEEDED_UNITS)
    if not found.answered[0]:
        return NotEnough(have=int(found.units[0]), needed=NEEDED_UNITS, reason=str(found.reason[0]))
    whole = UnitMoments(products=both.sum(axis=0, keepdims=True))
    mean, spread = whole.means[0], whole.covariances[0]
    value = float(mean[Y] / mean[D])
    influence = np.zeros(len(mean))
    influence[Y], influence[D] = 1 / mean[D], -value / mean[D]
    error = float(np.sqrt(_square(influence, spread)))
    return SeenMetric(value=value, spread=error / abs(value), removed=float(np.clip(found.removed[0], 0, 1)))


def _square(influence: Floats, spread: Floats) -> float:
    return float(influence @ spread @ influence)


def _traffic(met_at: np.ndarray, start: datetime, weeks: int) -> Traffic:
    edges = [np.datetime64((start + timedelta(weeks=week)).replace(tzinfo=None), "us") for week in range(1, weeks + 1)]
    times = met_at.astype("datetime64[us]")
    return Traffic(by_week=tuple(float((times < edge).sum()) for edge in edges))


_KEY = {"user": "user_id", "session": "session_id"}
_EXPOSED = """
select 'past' as experiment, '{{}}' as attributes, unit_id, unit, environment, first_at as occurred_at,
    case when ('0x' || substr(md5('past:' || unit_id), 1, 1))::int < 8 then 'first' else 'second' end as variant,
    null::varchar as assignment_version
from (
    select {key} as unit_id, '{key}'.replace('_id', '') as unit, min(environment) as environment,
        min(occurred_at) as first_at
    from marts.response_facts
    where occurred_at >= $start and occurred_at < $until and environment in ({environments}) and {key} is not null
    group by {key}
)
"""


def _weeks_with_answers(file: Path, catalog: Catalog, until: datetime) -> int:
    """Whole weeks back to the first day with answers, four at most."""
    first = query(
        file,
        f"select min(day) as first from marts.response_facts "
        f"where environment in ({literals(catalog.sampling.environments)})",
    ).to_pylist()[0]["first"]
    return 0 if first is None else max(0, min(MOST_WEEKS, (until.date() - first).days // 7))
