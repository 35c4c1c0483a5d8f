"""From what a judge said of one response to the verdict that the log keeps."""

import hashlib
from datetime import datetime

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.contracts.events import Verdict
from onlineeval_dagster.judges.work import Failure, Reading, Reply, Shed, WorkItem


def remote_verdict(
    judge: Judge, item: WorkItem, outcome: Reply | Failure | Shed, reading: Reading, *, at: datetime
) -> Verdict:
    """The verdict on one response, with all it cost. In `attributes`: the HTTP calls it took (`tries`), the model that
    answered (`served_model`), and what calls that brought nothing may have cost at most (`unsettled_usd`).
    """
    if isinstance(outcome, Shed):
        return verdict_of(judge, item, reading, at=at)
    more: dict[str, object] = {"tries": outcome.tries}
    if outcome.unsettled_usd:
        more["unsettled_usd"] = outcome.unsettled_usd
    call: dict[str, object] = {"latency_ms": outcome.latency_ms, "request_id": outcome.request_id, "attributes": more}
    if isinstance(outcome, Reply):
        more["served_model"] = outcome.model
        call |= {
            "input_tokens": outcome.input_tokens,
            "output_tokens": outcome.output_tokens,
            "cost_usd": judge.price.of(outcome.input_tokens, outcome.output_tokens) if judge.price else None,
            "fingerprint": outcome.fingerprint,
        }
    return verdict_of(judge, item, reading, at=at, **call)


def verdict_id(judge: Judge, item: WorkItem) -> str:
    """The event id of a verdict, from its key alone: the same verdict twice is a duplicate, not a second row."""
    key = [item.response_id, judge.axis, judge.name, judge.version, str(item.replicate), str(item.attempt)]
    return "verdict-" + hashlib.sha256("\x1f".join(key).encode("utf-8", "replace")).hexdigest()[:32]


def verdict_of(judge: Judge, item: WorkItem, reading: Reading, *, at: datetime, **call: object) -> Verdict:
    """The verdict with this reading; `call` are fields of it that tell of the call."""
    fields: dict[str, object] = {
        "event_id": verdict_id(judge, item),
        "occurred_at": at,
        "received_at": at,
        "environment": item.environment,
        "app": item.app,
        "response_id": item.response_id,
        "response_at": item.response_at,
        "axis": judge.axis,
        "judge": judge.name,
        "judge_version": judge.version,
        "replicate": item.replicate,
        "attempt": item.attempt,
        "score": None if reading.score is None else float(reading.score),
        "score_label": reading.label,
        "expected_score": reading.expected_score,
        "error_kind": reading.error_kind,
        "error": reading.message,
        "rationale": reading.rationale,
        "inclusion_probability": item.inclusion_probability,
        "stratum": item.stratum,
        "model": judge.model,
    }
    return Verdict.model_validate(fields | call)
