"""Scores of other systems: a user's become actions, a reviewer's labels, all others verdicts.

None states with which chance its answer was chosen, so none has an inclusion probability: shown, never in an estimate.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import Action, Label, Verdict
from onlineeval_dagster.sources.flat import valid
from onlineeval_dagster.sources.place import Opened
from onlineeval_dagster.sources.rows import Unusable, plain
from onlineeval_dagster.sources.values import digest, opinion

IMPORTED = "imported"
"""The version of a judge, or the name of a reviewer, that its system does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One score as another system tells it. `value` is a number or truth, `words` a category; either may be absent."""

    identity: str
    name: str
    response_id: str
    response_at: datetime | None
    said_at: datetime
    value: float | bool | None
    words: str | None
    comment: str | None
    said_by: Literal["user", "person", "judge"]
    who: str | None = None
    version: str | None = None
    error: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)


def said_by(opened: Opened, name: str, *, is_person: bool) -> Literal["user", "person", "judge"]:
    """Who gave a score of that name: the names of users' own feedback stand in the source's `feedback`."""
    if name in opened.source.feedback:
        return "user"
    return "person" if is_person else "judge"


def score_events(score: Score, opened: Opened) -> Iterator[LogEvent]:
    """One label or verdict; of a user's score an action, and one more for its comment. Raises Unusable.

    A score that was changed is another event: the id covers what it says.
    """
    shared = {"environment": opened.defaults.environment, "app": opened.defaults.app}
    shared |= {"received_at": opened.defaults.now, "occurred_at": score.said_at, "response_id": score.response_id}
    said = [score.identity, score.said_at, score.value, score.words, score.comment, score.error]
    shared |= {"event_id": digest(shared["app"], shared["environment"], *said), "attributes": plain(dict(score.more))}
    if score.said_by == "user":
        yield from _opinions(score, shared)
        return
    axis = opened.source.axes.get(score.name, score.name)
    number = None if score.value is None else float(score.value)
    shared |= {"axis": axis, "response_at": score.response_at}
    if score.said_by == "person":
        if number is None:
            raise Unusable(f"score {score.name!r}: no number; a label needs one, map the categories to numbers there")
        label = {"score": number, "reviewer": score.who or IMPORTED, "note": score.comment}
        yield valid(Label, shared | label)
        return
    failed = {"error_kind": "endpoint" if score.error else "unreadable", "error": score.error or "no number"}
    verdict = {"judge": score.who or score.name, "judge_version": score.version or IMPORTED, "rationale": score.comment}
    verdict |= {"score_label": score.words} | (failed if number is None or score.error else {"score": number})
    yield valid(Verdict, shared | verdict)


def _opinions(score: Score, shared: dict[str, Any]) -> Iterator[LogEvent]:
    value = score.value if score.value is not None else score.words
    if value is not None:
        is_stars = not isinstance(value, bool | str) and value not in (-1, 0, 1)
        field_name = "rating" if is_stars or "rating" in score.name or "star" in score.name else "thumbs"
        action, number, words = opinion(value, field_name)
        yield valid(Action, shared | {"action": action, "value": number, "text": words})
    if score.comment:
        words = {"action": "comment", "text": score.comment, "event_id": digest(shared["event_id"], "comment")}
        yield valid(Action, shared | words)
