"""Looking back: a judge's version judges what another version judged, in batches, within what money allows."""

from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date, datetime

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.events import Verdict
from onlineeval_dagster.judges.backfill import Plan, expected_usd, judged_before, plan_backfill, usd_allowed
from onlineeval_dagster.judges.client import EndpointOf, endpoint_of
from onlineeval_dagster.judges.runner import judge_all
from onlineeval_dagster.judges.sessions import idle_for
from onlineeval_dagster.judges.stage import items_of
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.judges.work import WorkItem
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.lock import holding
from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.privacy.policy import load_privacy
from onlineeval_dagster.settings import Settings

OUT_OF_MONEY = "what looking back may cost today is used up; the rest waits for another day"

BATCH = 200
"""Answers after which the stage is free for a tick: about a minute at eight calls in flight of two seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedBack:
    """What one call did. `stopped` says why it ended before the plan was done; None where it was."""

    judge: str
    judge_version: str
    done: int = 0
    failed: int = 0
    cost_usd: float = 0.0
    stopped: str | None = None

    @property
    def asked(self) -> int:
        return self.done + self.failed


def plan_now(
    settings: Settings,
    catalog: Catalog,
    judge: Judge,
    *,
    days: int,
    limit: int,
    now: datetime,
    on: date | None = None,
    skip: Collection[str] = (),
    price: float = 1.0,
) -> Plan:
    """The plan over what is in the lake now, with its expected cost at `price` times the judge's own. Asks nobody."""
    usd_left = _allowed(settings, catalog, judge, now=now)
    return _plan(
        settings, catalog, judge, days=days, limit=limit, now=now, usd_left=usd_left, skip=skip, on=on, price=price
    )


def look_back(
    settings: Settings,
    catalog: Catalog,
    judge: Judge,
    *,
    days: int,
    limit: int,
    now: Callable[[], datetime],
    endpoint: EndpointOf | None = None,
    on: date | None = None,
) -> LookedBack:
    """Judge up to `limit` stored answers of the last `days`, or of the day `on`, that another version judged.

    The newest come first.

    Safe to kill and to repeat: each verdict is in the log before the next call, and what the log holds is taken in
    before anything is planned; at most the calls in flight are paid for twice. What money does not allow is left for
    another call, without a verdict. Raises JudgeError without a key, LakeError where a tick judges for too long.
    """
    ask = endpoint or endpoint_of(settings, now=now)
    lake, done, tried = (
        Lake(settings.lake_folder),
        LookedBack(judge=judge.name, judge_version=judge.version),
        set[str](),
    )
    allowed = _allowed(settings, catalog, judge, now=now())
    while done.stopped is None and (left := limit - done.asked) > 0:
        with stage_of(settings):
            ingest(settings, lake, now=now())
            usd_left = None if allowed is None else max(allowed - done.cost_usd, 0.0)
            batch = min(left, BATCH)
            plan = _plan(
                settings, catalog, judge, days=days, limit=batch, now=now(), usd_left=usd_left, skip=tried, on=on
            )
            if not len(plan.work):
                return replace(done, stopped=OUT_OF_MONEY if plan.is_short else None)
            tried |= set(plan.work.column("response_id").to_pylist())
            done = _judge(settings, catalog, plan, done, endpoint=ask, now=now)
            ingest(settings, lake, now=now())
    return done


def _plan(
    settings: Settings,
    catalog: Catalog,
    judge: Judge,
    *,
    days: int,
    limit: int,
    now: datetime,
    usd_left: float | None,
    skip: Collection[str],
    on: date | None,
    price: float = 1.0,
) -> Plan:
    lake, budget = Lake(settings.lake_folder), catalog.sampling.budget
    before = judged_before(lake, judge, days=days, now=now, on=on)
    wished = plan_backfill(judge, before, budget=budget, limit=limit, skip=skip)
    usd_each = price * expected_usd(lake, wished, idle=idle_for(catalog, judge))
    return plan_backfill(judge, before, budget=budget, limit=limit, usd_each=usd_each, usd_left=usd_left, skip=skip)


def _allowed(settings: Settings, catalog: Catalog, judge: Judge, *, now: datetime) -> float | None:
    with JudgeState(settings.judge_state_file) as state:
        spent = state.spent(judge.name, now.date())
    return usd_allowed(judge, catalog.sampling.budget, spent_today=spent)


def _judge(
    settings: Settings,
    catalog: Catalog,
    plan: Plan,
    before: LookedBack,
    *,
    endpoint: EndpointOf,
    now: Callable[[], datetime],
) -> LookedBack:
    """Put the plan to its judge. An answer that the day's money does not reach gets no verdict: it waits."""
    is_out = False

    def until_out(work: Iterator[WorkItem]) -> Iterator[WorkItem]:
        for item in work:
            if is_out:
                return
            yield item

    with open_log(settings, door="judges") as log, JudgeState(settings.judge_state_file) as state:

        def record(said: list[Verdict]) -> None:
            nonlocal is_out
            kept = [verdict for verdict in said if verdict.error_kind != "shed"]
            is_out = is_out or len(kept) < len(said)
            if kept:
                log.append(b"".join(encode(verdict) for verdict in kept))

        work = until_out(items_of(Lake(settings.lake_folder), plan.work, idle=idle_for(catalog, plan.judge)))
        redact = load_privacy(settings, catalog).clean_text
        tasks = [(plan.judge, work)]
        (summary,) = judge_all(tasks, endpoint=endpoint, record=record, now=now, state=state, redact=redact)
    return replace(
        before,
        done=before.done + summary.done,
        failed=before.failed + summary.failed,
        cost_usd=before.cost_usd + summary.cost_usd,
        stopped=OUT_OF_MONEY if is_out else summary.paused_reason,
    )


def stage_of(settings: Settings) -> AbstractContextManager[None]:
    """The lock of the tick's judging: two at once would pay for the same answers."""
    return holding(
        settings.home / "locks" / "judges.lock",
        what="stage judges",
        purpose="looking back",
        wait_seconds=settings.warehouse_wait_seconds,
    )
