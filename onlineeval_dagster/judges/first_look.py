"""A judge's first look at ten of the user's own answers: nothing of it is kept, for the answers were not drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from onlineeval_dagster.catalog.judge_file import LOCAL, Judge, Price
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.events import Verdict
from onlineeval_dagster.judges.client import EndpointOf
from onlineeval_dagster.judges.rubric import Redact
from onlineeval_dagster.judges.runner import RunSummary, judge_all
from onlineeval_dagster.judges.sessions import idle_for, newest_sessions
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.judges.work import WorkItem
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import literals, rows

ANSWERS = 10
TURNS = 10
"""Answers looked at for each conversation."""
LOOKED_BACK_DAYS = 7
"""Days with answers that the newest are taken from."""

_FRONT = """---
axis = "{axis}"
model = "{model}"
status = "retired"        # "shadow" to try it beside the others, "active" to count on it
good_from = 3
"""

_BODY = """
[scale]
1 = "clearly not: {question}"
2 = "in part, or not clearly"
3 = "clearly yes: {question}"
---
Judge one thing only: {question}

It is not about anything else that an answer can be: leave what other judges look at aside. Work in this order:

1. Say to yourself what the user wants, and what a perfect answer would have to be on this one axis.
2. Look for what speaks against it in the answer. If that decides: the lowest score.
3. If it is so in part only: the middle score.
4. Otherwise: the highest score. Do not reward length.

Earlier turns:
{{conversation}}

The user's question:
{{query}}

What the product looked up for it:
{{context}}

The answer to judge:
{{response}}
"""


def judge_text(
    *,
    axis: str,
    question: str,
    model: str,
    price: Price | None,
    base_url: str | None = None,
    api_key_env: str | None = None,
) -> str:
    """A judge file that works as it stands, asleep until its status is changed, with a dollar a day at the most."""
    front = _FRONT.format(axis=axis, model=model)
    front += f'base_url = "{base_url}"\n' if base_url else ""
    front += f'api_key_env = "{api_key_env}"\n' if api_key_env else ""
    if not model.startswith(LOCAL):
        front += "daily_budget_usd = 1.0\n\n[parameters]\ntemperature = 0\nmax_tokens = 200\n"
    if price is not None:
        front += (
            f"\n[price]\ninput_usd_per_million = {price.input_usd_per_million:g}\n"
            f"output_usd_per_million = {price.output_usd_per_million:g}\n"
        )
    return front + _BODY.format(question=question)


def own_answers(lake: Lake, catalog: Catalog, judge: Judge, *, count: int = ANSWERS) -> list[WorkItem]:
    """The newest answers that this judge may be shown: for a remote one those that somebody agreed to pay for. Of a
    judge of sessions: the newest conversations, each by its last answer.
    """
    budget = catalog.sampling.budget
    earliest = "true"
    if not judge.is_local and budget is not None and not budget.judge_history:
        earliest = f"occurred_at >= '{budget.confirmed_at.isoformat()}'::timestamptz"
    days = sorted(lake.days("responses"))[-LOOKED_BACK_DAYS:]
    found = rows(
        lake,
        f"""
        select response_id, occurred_at as response_at, query, response, context, conversation, reference,
            environment, app
        from responses
        where text_erased_at is null and error is null and {earliest}
        and environment in ({literals(catalog.sampling.environments)})
        qualify row_number() over (partition by response_id order by received_at, log_segment, log_offset) = 1
        order by occurred_at desc, response_id
        limit {count if not judge.is_of_sessions else count * TURNS}
        """,
        {"responses": days},
    )
    items = [WorkItem(**row) for row in found.to_pylist()]
    idle = idle_for(catalog, judge)
    return items if idle is None else newest_sessions(lake, items, idle)[:count]


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What a judge said at its first look: (answer, verdict) pairs, and what the run was."""

    pairs: list[tuple[WorkItem, Verdict]]
    summary: RunSummary


def first_look(
    judge: Judge,
    items: list[WorkItem],
    *,
    endpoint: EndpointOf,
    state: JudgeState,
    redact: Redact,
    now: Callable[[], datetime],
) -> Looked:
    """Ask now, within the judge's budget of the day. Raises JudgeError without a key."""
    said: list[Verdict] = []
    (summary,) = judge_all([(judge, items)], endpoint=endpoint, record=said.extend, now=now, state=state, redact=redact)
    by_id = {verdict.response_id: verdict for verdict in said}
    return Looked(
        pairs=[(item, by_id[item.response_id]) for item in items if item.response_id in by_id], summary=summary
    )
