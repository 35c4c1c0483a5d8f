"""A judge tried on items whose right or wrong answer is known: which are due, and how they are asked.

A set is put to a version item by item, the least tried first, so many a day. Nothing of it enters an estimate. Rows
are kept in batches: a kill loses, and pays twice for, one batch at the most.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.contracts.arrow import from_table, to_table
from onlineeval_dagster.contracts.events import Verdict
from onlineeval_dagster.contracts.tables import DAY
from onlineeval_dagster.contracts.trials import JudgeReliability, JudgeTrial
from onlineeval_dagster.judges.client import EndpointOf
from onlineeval_dagster.judges.runner import RunSummary, judge_all
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.judges.work import WorkItem
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import literals, rows
from onlineeval_dagster.sampling.chance import unit_interval

BATCH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialItem:
    """One item of a set: the texts that the judge is shown, and what is known of it (see contracts/trials.py)."""

    item: str
    group: str
    query: str
    response: str
    context: str | None = None
    conversation: str | None = None
    reference: str | None = None
    expected: float | None = None
    ordered: float | None = None
    response_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialSet:
    """Items that belong together. `version` changes with any of their texts; `a_day` go to a judge's version a day."""

    name: str
    version: str
    items: tuple[TrialItem, ...]
    a_day: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """An item to be asked now, tried `replicate` times before."""

    item: TrialItem
    replicate: int


def due_trials(lake: Lake, judge: Judge, trials: TrialSet, *, now: datetime) -> list[Due]:
    """What of a set is to be asked now: the least tried items first, in an order of the version's own.

    An embedded judge says the same each time: it is asked for every item once, at once. Errors count as tries.
    """
    tried = _tried(lake, judge, trials, now=now)
    times = {item.item: tried.get(item.item, (0, 0))[0] for item in trials.items}
    if judge.is_local:
        return [Due(item=item, replicate=0) for item in trials.items if not times[item.item]]
    left = trials.a_day - sum(today for _, today in tried.values())
    # Those without an order come first: nothing can be said of the others without them.
    ordered = sorted(
        trials.items,
        key=lambda one: (times[one.item], one.ordered is not None, unit_interval(one.item, judge.version)),
    )
    return [Due(item=item, replicate=times[item.item]) for item in ordered[: max(left, 0)]]


def try_judges(
    lake: Lake,
    asked: Iterable[tuple[Judge, TrialSet]],
    *,
    endpoint: EndpointOf,
    now: Callable[[], datetime],
    state: JudgeState | None = None,
) -> list[RunSummary]:
    """Put what is due to each judge, within its budget and its pauses, and keep what it said in `judge_trials`.

    Raises JudgeError where the endpoint cannot be used (no key); local judges are done by then.
    """
    tasks, about = [], {}
    for judge, trials in asked:
        due = {one.item.item: one for one in due_trials(lake, judge, trials, now=now())}
        if due:
            tasks.append((judge, [_work(one, now=now()) for one in due.values()]))
            about[judge.name] = (trials, due)
    kept = _Kept(lake=lake, about=about)
    try:
        return judge_all(tasks, endpoint=endpoint, record=kept.take, now=now, state=state)
    finally:
        kept.write()


def read_trials(lake: Lake, *, trial_set: str, since: datetime) -> pa.Table:
    """Every trial on a set since then, as the lake has them."""
    days = {day for day in lake.days("judge_trials") if day >= since.date()}
    sql = f"select * from judge_trials where trial_set = {literals([trial_set])}"
    return rows(lake, sql, {"judge_trials": days})


def latest_reliability(lake: Lake) -> dict[tuple[str, str], JudgeReliability]:
    """What was measured last of each judge and version (review/reliability.py), by name and version."""
    sql = """
        select * from judge_reliability
        qualify row_number() over (partition by judge, judge_version order by computed_at desc) = 1
    """
    found = from_table(rows(lake, sql, {"judge_reliability": None}), JudgeReliability)
    return {(one.judge, one.judge_version): one for one in found}


@dataclass(slots=True, kw_only=True)
class _Kept:
    """Verdicts on items become trials, written `BATCH` at a time. What was shed was not asked: it leaves no row."""

    lake: Lake
    about: Mapping[str, tuple[TrialSet, Mapping[str, Due]]]
    waiting: list[JudgeTrial] | None = None

    def take(self, said: list[Verdict]) -> None:
        waiting = [] if self.waiting is None else self.waiting
        waiting += [self._trial(verdict) for verdict in said if verdict.error_kind != "shed"]
        self.waiting = waiting
        if len(waiting) >= BATCH:
            self.write()

    def write(self) -> None:
        if self.waiting:
            day = pa.array([trial.tried_at.date() for trial in self.waiting], DAY.type)
            self.lake.append("judge_trials", to_table(list(self.waiting), JudgeTrial).append_column(DAY, day))
        self.waiting = None

    def _trial(self, verdict: Verdict) -> JudgeTrial:
        trials, due = self.about[verdict.judge]
        item = due[verdict.response_id].item
        same: dict[str, Any] = {name: getattr(verdict, name) for name in _AS_IN_THE_VERDICT}
        return JudgeTrial(
            trial_set=trials.name,
            set_version=trials.version,
            item=item.item,
            group=item.group,
            tried_at=verdict.occurred_at,
            expected=item.expected,
            ordered=item.ordered,
            response_id=item.response_id,
            **same,
        )


_AS_IN_THE_VERDICT = (
    *("axis", "judge", "judge_version", "replicate", "score", "expected_score", "error_kind", "error", "model"),
    *("latency_ms", "input_tokens", "output_tokens", "cost_usd", "fingerprint"),
)


def _work(due: Due, *, now: datetime) -> WorkItem:
    item = due.item
    return WorkItem(
        response_id=item.item,
        response_at=now,
        query=item.query,
        response=item.response,
        context=item.context,
        conversation=item.conversation,
        reference=item.reference,
        replicate=due.replicate,
    )


def _tried(lake: Lake, judge: Judge, trials: TrialSet, *, now: datetime) -> dict[str, tuple[int, int]]:
    """By item: how often this version was tried on it, and how often today (UTC)."""
    name, version = literals([judge.name]), literals([judge.version])
    found = rows(
        lake,
        f"""
        select item, count(*) as times, count(*) filter (day = '{now.date()}') as today
        from judge_trials
        where judge = {name} and judge_version = {version}
        and trial_set = {literals([trials.name])} and set_version = {literals([trials.version])}
        group by item
        """,
        {"judge_trials": None},
    )
    return {row["item"]: (row["times"], row["today"]) for row in found.to_pylist()}
