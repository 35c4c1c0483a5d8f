"""Looking back through the Batch API: half the price, within a day. Sent once, taken in once, whatever is killed.

    plan ──▶ intent, with its money ──▶ file and batch, with the intent's key ──▶ id ─▶ … ─▶ verdicts in the log ─▶ over

A kill after the intent leaves a batch whose id nobody knows: it is found again by its key, a hash of what it asks for.
A kill while verdicts are written writes them again: the same event ids, so that each counts once.
"""

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.events import Verdict
from onlineeval_dagster.judges.backfill import Plan
from onlineeval_dagster.judges.batch_client import BatchEndpoint, Seen, request_line
from onlineeval_dagster.judges.batch_state import BatchState, Intent
from onlineeval_dagster.judges.client import completion_reply, extra_of
from onlineeval_dagster.judges.looking_back import plan_now, stage_of
from onlineeval_dagster.judges.purse import most_usd
from onlineeval_dagster.judges.rubric import messages, read_reply
from onlineeval_dagster.judges.sessions import idle_for
from onlineeval_dagster.judges.stage import items_of
from onlineeval_dagster.judges.verdicts import remote_verdict, verdict_id
from onlineeval_dagster.judges.work import Failure, Reading, WorkItem
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.privacy.policy import load_privacy
from onlineeval_dagster.settings import Settings

HALF = 0.5
"""Of the price of a call (OpenAI, Batch API)."""

MOST_LINES, MOST_BYTES = 10_000, 90 * 2**20
"""Of one batch; OpenAI takes 50,000 requests and 200 MB."""

UNSEEN = timedelta(minutes=10)
"""After which a batch that no listing shows was never made."""

Door = Callable[[Judge], BatchEndpoint]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What one call sent. `batch_id` is None where nothing was; `reason` says why."""

    batch_id: str | None = None
    answers: int = 0
    most_usd: float = 0.0
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """How one open batch stands after a look; with `done` and `failed` verdicts taken in where it was over.

    missing  answers that the batch did not come to: they wait again, and cost nothing
    """

    judge: str
    judge_version: str
    batch_id: str | None
    status: str
    done: int = 0
    failed: int = 0
    missing: int = 0
    cost_usd: float = 0.0
    reason: str | None = None


def batch_door(settings: Settings) -> Door:
    """To each judge its endpoint's Batch API."""
    return lambda judge: BatchEndpoint.of(settings, judge)


def send_batch(
    settings: Settings,
    catalog: Catalog,
    judge: Judge,
    *,
    days: int,
    limit: int,
    now: datetime,
    door: Door | None = None,
    on: date | None = None,
) -> Sent:
    """Send up to `limit` stored answers that another version judged as one batch, newest first, within the budget.

    What open batches ask for is left out. The most that it can cost is set aside of today before anything is sent.
    Raises JudgeError where the endpoint refuses; the intent stays, and the next `collect_batches` finds out what came
    of it.
    """
    ask, lake = door or batch_door(settings), Lake(settings.lake_folder)
    with stage_of(settings), BatchState(settings.judge_state_file) as state, ask(judge) as endpoint:
        ingest(settings, lake, now=now)
        waiting = state.waiting_for(judge)
        plan = plan_now(
            settings, catalog, judge, days=days, limit=min(limit, MOST_LINES), now=now, on=on, skip=waiting, price=HALF
        )
        redact = load_privacy(settings, catalog).clean_text
        items = items_of(lake, plan.work, idle=idle_for(catalog, judge))
        asked, lines, most = _requests(plan, items, redact)
        if not asked:
            return Sent(reason="no answer waits for this version, or none that the money reaches")
        intent = Intent(key=_key(asked), judge=judge, usd=most, made_at=now)
        if known := state.of(intent.key):
            return Sent(reason=f"these answers were sent before: {known.state}, {known.reason or known.batch_id}")
        if not state.intend(intent, asked.items(), at_most=judge.daily_budget_usd):
            return Sent(reason=f"at the most it costs ${most:.4f}, more than the day has left; ask for fewer")
        batch_id = endpoint.submit(intent.key, lines)
        state.submitted(intent.key, batch_id)
    return Sent(batch_id=batch_id, answers=len(asked), most_usd=most)


def open_batches(settings: Settings) -> list[Intent]:
    """What was sent and is not taken in. No state is made to find that out."""
    if not settings.judge_state_file.exists():
        return []
    with BatchState(settings.judge_state_file) as state:
        return state.open()


def poll_batches(settings: Settings, *, door: Door | None = None) -> list[tuple[Intent, Seen | None]]:
    """Every open batch with how it stands; None for one whose id is not known. Changes nothing."""
    ask, found = door or batch_door(settings), list[tuple[Intent, Seen | None]]()
    for intent in open_batches(settings):
        if intent.batch_id is None:
            found.append((intent, None))
            continue
        with ask(intent.judge) as endpoint:
            found.append((intent, endpoint.look(intent.batch_id)))
    return found


def collect_batches(settings: Settings, *, now: datetime, door: Door | None = None) -> list[Collected]:
    """Take in what is over, find again what was sent before a kill, and leave the rest. Safe to kill and to repeat."""
    ask, lake = door or batch_door(settings), Lake(settings.lake_folder)
    if not open_batches(settings):
        return []
    with stage_of(settings), BatchState(settings.judge_state_file) as state:
        found = []
        for intent in state.open():
            with ask(intent.judge) as endpoint:
                found.append(_collect(settings, state, endpoint, intent, now=now))
        ingest(settings, lake, now=now)
    return found


def _collect(
    settings: Settings, state: BatchState, endpoint: BatchEndpoint, intent: Intent, *, now: datetime
) -> Collected:
    named: dict[str, Any] = {"judge": intent.judge.name, "judge_version": intent.judge.version}
    batch_id = intent.batch_id or endpoint.find(intent.key, since=intent.made_at)
    if batch_id is None:
        if now - intent.made_at < UNSEEN:
            return Collected(**named, batch_id=None, status="not seen yet")
        state.drop(intent)
        return Collected(**named, batch_id=None, status="never sent", missing=0, reason="it can be sent again")
    if intent.batch_id is None:
        state.submitted(intent.key, batch_id)
    seen = endpoint.look(batch_id)
    if not seen.is_over:
        return Collected(**named, batch_id=batch_id, status=seen.status)
    items = state.items(intent.key)
    verdicts = _verdicts(intent, items, endpoint, seen, now=now)
    with open_log(settings, door="judges") as log:
        if verdicts:
            log.append(b"".join(encode(verdict) for verdict in verdicts))
    cost = sum(verdict.cost_usd or 0.0 for verdict in verdicts)
    is_refused = seen.status == "failed" and not verdicts
    state.settle(intent, usd=cost, state="refused" if is_refused else "collected", reason=seen.reason)
    done = sum(verdict.score is not None for verdict in verdicts)
    return Collected(
        **named,
        batch_id=batch_id,
        status=seen.status,
        done=done,
        failed=len(verdicts) - done,
        missing=len(items) - len(verdicts),
        cost_usd=cost,
        reason=seen.reason,
    )


def _requests(
    plan: Plan, items: Iterable[WorkItem], redact: Callable[[str], str]
) -> tuple[dict[str, WorkItem], bytes, float]:
    """Items by custom id, the file's lines, and the most that they can cost; as many as the money surely pays."""
    judge, asked, lines, size, most = plan.judge, dict[str, WorkItem](), list[bytes](), 0, 0.0
    for item in items:
        prompt = messages(judge, item, boundary=secrets.token_hex(8), redact=redact)
        body = {"model": judge.model, "messages": prompt, **extra_of(judge)}
        custom_id = verdict_id(judge, item)
        line = json.dumps(request_line(custom_id, body), ensure_ascii=False).encode() + b"\n"
        size, costs = size + len(line), HALF * most_usd(judge, prompt)
        if size > MOST_BYTES or (plan.usd_left is not None and most + costs > plan.usd_left):
            break
        asked[custom_id], most = item, most + costs
        lines.append(line)
    return asked, b"".join(lines), most


def _key(asked: Mapping[str, WorkItem]) -> str:
    return hashlib.sha256("|".join(sorted(asked)).encode()).hexdigest()[:32]


def _verdicts(
    intent: Intent, items: Mapping[str, WorkItem], endpoint: BatchEndpoint, seen: Seen, *, now: datetime
) -> list[Verdict]:
    found: dict[str, Verdict] = {}
    for file in seen.files:
        for line in endpoint.lines(file):
            custom_id, said = _line(line)
            if custom_id in items and custom_id not in found and said is not None:
                found[custom_id] = _verdict(intent, items[custom_id], said, seen.batch_id, now=now)
    return list(found.values())


def _line(line: str) -> tuple[str, Mapping[str, Any] | None]:
    """A result line's id and its HTTP response; None where the batch did not come to it, or the line is none."""
    try:
        said = json.loads(line)
        custom_id, response = said["custom_id"], said.get("response")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return "", None
    is_one = isinstance(response, dict) and isinstance(response.get("status_code"), int)
    return (custom_id if isinstance(custom_id, str) else ""), response if is_one else None


def _verdict(intent: Intent, item: WorkItem, said: Mapping[str, Any], batch_id: str, *, now: datetime) -> Verdict:
    judge = intent.judge
    price = replace(judge.price, **_halved(judge)) if judge.price else None
    body = json.dumps(said.get("body")).encode()
    reply = completion_reply(body, latency_ms=0.0, request_id=said.get("request_id"))
    if said["status_code"] != 200 or reply is None:
        told = f"HTTP {said['status_code']} in batch {batch_id}"
        outcome: Any = Failure(kind="endpoint", message=told, latency_ms=0.0)
        reading = Reading(error_kind="endpoint", message=told)
    else:
        outcome, reading = reply, read_reply(judge, reply.text, reply.finish_reason, reply.tokens)
    verdict = remote_verdict(replace(judge, price=price), item, outcome, reading, at=now)
    # A batch tells no time of a single call.
    return verdict.model_copy(update={"latency_ms": None, "attributes": verdict.attributes | {"batch": batch_id}})


def _halved(judge: Judge) -> dict[str, float]:
    assert judge.price is not None
    return {
        "input_usd_per_million": judge.price.input_usd_per_million * HALF,
        "output_usd_per_million": judge.price.output_usd_per_million * HALF,
    }
