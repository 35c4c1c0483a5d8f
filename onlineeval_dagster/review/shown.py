"""What a reviewer is shown: one task, and how far they are."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task in somebody's hands.

    lease     names this turn at it
    taken_at  when the person first saw it
    before    what the same person said of it last; None the first time
    scale     score → anchor
    """

    lease: str
    taken_at: datetime
    before: int | None
    task: str
    response_id: str
    axis: str
    stream: str
    probability: float | None
    response_at: datetime
    environment: str
    app: str
    query: str
    response: str
    context: str | None
    conversation: str | None
    scale: Mapping[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Answers given today (UTC) by one person, and what a day's work comes to: 40, or what there is."""

    done: int
    of: int
