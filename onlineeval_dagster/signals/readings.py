"""What signals and people said of the same answers: one matrix an axis, answers by signals."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.signals_file import ActionScore, Derived
from onlineeval_dagster.contracts.rows import SignalKind
from onlineeval_dagster.contracts.validity import Design
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import Connection, engine, first_rows, literals
from onlineeval_dagster.signals.detectors.registry import known_detectors
from onlineeval_dagster.signals.ranks import Floats

WINDOW_DAYS = 28
"""One percent of 3,200 answers a day is some 900 labels in four whole weeks."""

# Below so many answers labelled by design the others are shown instead, and called what they are.
NEEDED_BY_DESIGN = 20

Reads = Literal["score", "raw_value"]
Absent = Literal["zero", "rated", "missing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A signal of the catalog, and how it is read.

    reads     its score on [-1, 1], or a detector's raw value
    sign      1, or -1 where less is better
    absent    an answer without it reads 0 (`zero`: everybody could have copied); 0 where its user said something else
              of the same opinion (`rated`: a thumb down is no thumb up); or nothing (`missing`: nobody gave stars)
    follows   it is derived from a conversation: an answer without session and user reads nothing
    directed  it says which of two readings is better
    """

    name: str
    kind: SignalKind
    reads: Reads = "score"
    sign: float = 1.0
    absent: Absent = "missing"
    opinion: str | None = None
    follows: bool = False
    directed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A signal in the window: its newest version, and how many answers have it in that version."""

    version: str
    answers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Readings:
    """The labelled answers of one axis, n of them, and k signals.

    readings  (n, k), larger is better, NaN where a signal says nothing of an answer
    scores    (n, k), what the catalog's score table says; NaN where the signal is not there or has no score
    label     (n,), mean of the reviewers' last scores
    good      (n,), whether that is enough; None where no judge file has a pass mark for the axis
    weight    (n,), 1 / inclusion probability; 1 where the labels have no design
    user      (n,), whose answer it is
    """

    axis: str
    design: Design
    signals: tuple[Known, ...]
    readings: Floats
    scores: Floats
    label: Floats
    good: NDArray[np.bool_] | None
    weight: Floats
    user: NDArray[np.object_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """All axes of the window `since` … `until`."""

    since: datetime
    until: datetime
    responses: int
    seen: Mapping[str, Seen]
    axes: tuple[Readings, ...]


def known_signals(catalog: Catalog) -> tuple[Known, ...]:
    """Every signal that the catalog's actions, conversations and detectors can give, in its order."""
    actions = [_action(name, entry) for name, entry in catalog.signals.actions.items() if not entry.withdraws]
    derived = [_derived(name, entry) for name, entry in catalog.signals.derived.items()]
    detectors = [
        Known(name=name, kind="automated", reads="raw_value", sign=1.0 if detector.better == "high" else -1.0)
        for name, detector in known_detectors(catalog).items()
    ]
    return (*actions, *derived, *detectors)


def read_window(lake: Lake, catalog: Catalog, *, now: datetime) -> Window:
    """Answers of the last 28 days with what signals and people said of them.

    Left out: labels of answers that are not there (erased, or never seen), and targeted ones, which were drawn because
    something looked wrong. Of an axis only labels with a design count, where there are 20 answers with such.
    """
    since = now - timedelta(days=WINDOW_DAYS)
    signals = known_signals(catalog)
    days = {since.date() + timedelta(days=step) for step in range(WINDOW_DAYS + 2)}
    wanted = {name: days & lake.days(name) for name in ("responses", "labels", "signals")}
    with engine(lake, wanted) as connection:
        connection.register("known", _as_table(signals))
        told = {"since": since, "until": now}
        environments = literals(catalog.sampling.environments)
        connection.execute(_ANSWER_SQL.format(environments=environments), told)
        connection.execute(_SEEN_SQL)
        count = connection.execute("select count(*) from answer").fetchall()[0][0]
        found = connection.execute("select signal, version, answers from seen").fetchall()
        return Window(
            since=since,
            until=now,
            responses=count,
            seen={name: Seen(version=version, answers=answers) for name, version, answers in found},
            axes=_axes(connection, catalog, signals),
        )


_ANSWER_SQL = f"""
create temp table answer as
select
    response_id, day,
    coalesce('user:' || user_id, 'session:' || session_id, 'response:' || response_id) as user_key,
    coalesce(session_id, user_id) is not null as has_sequel
from ({first_rows("responses")})
where environment in ({{environments}}) and occurred_at > $since and occurred_at <= $until
"""

_SEEN_SQL = """
create temp table spoken as
select signals.*, opinion
from signals semi join answer using (response_id) join known using (signal)
;
create temp table seen as
with newest as (
    select signal, arg_max(version, (response_at, version)) as version, min(day) as first_day
    from spoken group by signal
)
select
    newest.*,
    count(*) filter (where spoken.version = newest.version and (reads = 'score' or raw_value is not null)) as answers
from newest join known using (signal) join spoken using (signal)
group by all
"""

_LABELLED_SQL = f"""
create temp table labelled as
with last_word as (
    select * from ({first_rows("labels")})
    where stream is null or stream = 'audit'
    qualify row_number() over (partition by response_id, axis, reviewer order by occurred_at desc, event_id) = 1
)
select
    response_id, axis, inclusion_probability is not null as is_designed,
    avg(score) as label, coalesce(1 / max(inclusion_probability), 1) as weight
from last_word semi join answer using (response_id)
group by all
"""

# In the order of (axis, response, signal), so that a column is a matrix.
_READINGS_SQL = """
with rated as (select distinct response_id, opinion from spoken where opinion is not null)
select
    label, weight, user_key,
    case
        when spoken.version <> seen.version then null
        when spoken.signal is not null then if(reads = 'score', spoken.score, sign * spoken.raw_value)
        when seen.signal is null then null
        when follows and not has_sequel then null
        -- Before it was first seen the product may not have sent it.
        when absent = 'zero' and answer.day >= first_day then 0
        when absent = 'rated' and rated.response_id is not null then 0
    end as reading,
    spoken.score
from labelled
join answer using (response_id)
cross join known
left join seen using (signal)
left join spoken on spoken.response_id = labelled.response_id and spoken.signal = known.signal
left join rated on rated.response_id = labelled.response_id and rated.opinion = known.opinion
where axis = $axis and is_designed = $is_designed
order by labelled.response_id, place
"""


def _axes(connection: Connection, catalog: Catalog, signals: tuple[Known, ...]) -> tuple[Readings, ...]:
    """Of every axis that people or live judges speak of."""
    connection.execute(_LABELLED_SQL)
    pass_marks = {judge.axis: judge.good_from for judge in reversed(catalog.live_judges)}
    counts = connection.execute(
        "select axis, count(*) filter (where is_designed), count(*) from labelled group by axis"
    ).fetchall()
    by_design = {axis: designed >= NEEDED_BY_DESIGN or designed == total for axis, designed, total in counts}
    return tuple(
        _readings(connection, signals, axis, by_design=by_design.get(axis, True), pass_mark=pass_marks.get(axis))
        for axis in sorted({*by_design, *pass_marks})
    )


def _readings(
    connection: Connection, signals: tuple[Known, ...], axis: str, *, by_design: bool, pass_mark: float | None
) -> Readings:
    found = connection.sql(_READINGS_SQL, params={"axis": axis, "is_designed": by_design}).to_arrow_table()
    shape = (-1, len(signals)) if len(found) else (0, len(signals))
    readings, scores, label, weight = (
        found.column(name).cast(pa.float64()).fill_null(np.nan).to_numpy().reshape(shape)
        for name in ("reading", "score", "label", "weight")
    )
    return Readings(
        axis=axis,
        design="audit" if by_design else "undesigned",
        signals=signals,
        readings=readings,
        scores=scores,
        label=label[:, 0],
        good=None if pass_mark is None else label[:, 0] >= pass_mark,
        weight=weight[:, 0],
        user=found.column("user_key").to_numpy(zero_copy_only=False).reshape(shape)[:, 0],
    )


def _action(name: str, entry: ActionScore) -> Known:
    absent: Absent = "missing"
    if entry.score is not None:
        absent = "zero" if entry.kind == "implicit" else "rated"
    return Known(name=name, kind=entry.kind, absent=absent, opinion=entry.opinion, directed=not entry.unscored)


def _derived(name: str, entry: Derived) -> Known:
    return Known(
        name=name,
        kind="implicit",
        absent="missing" if entry.scaled else "zero",
        follows=True,
        directed=entry.scaled or entry.score is not None,
    )


def _as_table(signals: tuple[Known, ...]) -> pa.Table:
    columns = {
        "signal": [one.name for one in signals],
        "place": list(range(len(signals))),
        "reads": [one.reads for one in signals],
        "sign": [one.sign for one in signals],
        "absent": [one.absent for one in signals],
        "opinion": pa.array([one.opinion for one in signals], pa.string()),
        "follows": [one.follows for one in signals],
    }
    return pa.table(columns)
