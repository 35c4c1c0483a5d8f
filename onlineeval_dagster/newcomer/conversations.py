"""How many conversations a log file holds and how long they are, for judges that read them whole."""

from array import array
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Self

import numpy as np
from numpy.typing import NDArray

from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.judges.rubric import turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversations:
    """Conversations of some answers.

    an_answer      conversations with an answer that did not fail, for each such answer; 1 where every one stands alone
    earlier_chars  characters of all turns before the last one, of each conversation
    """

    an_answer: float
    earlier_chars: NDArray[np.float64]

    @classmethod
    def alone(cls) -> Self:
        """Every answer is a conversation of its own."""
        return cls(an_answer=1.0, earlier_chars=np.zeros(1))

    def mean_earlier_chars(self, *, at_most: float) -> float:
        """The mean of what a judge reads before the last turn, where it reads no more than this of a conversation."""
        return float(np.minimum(self.earlier_chars, at_most).mean())


@dataclass(slots=True)
class Turns:
    """Who asked, when, and how much text that was: 25 bytes an answer."""

    who: "array[int]" = field(default_factory=lambda: array("q"))
    at: "array[float]" = field(default_factory=lambda: array("d"))
    chars: "array[int]" = field(default_factory=lambda: array("q"))
    failed: "array[int]" = field(default_factory=lambda: array("b"))

    def take(self, said: Response) -> None:
        unit = said.session_id or said.user_id or said.response_id
        kind = "session" if said.session_id else "user" if said.user_id else "answer"
        self.who.append(hash((said.environment, said.app, kind, unit)))
        self.at.append(said.occurred_at.timestamp())
        self.chars.append(len(turn(said.query, said.response)) + 1)
        self.failed.append(said.error is not None)

    def conversations(self, idle: timedelta) -> Conversations:
        """A conversation ends with a silence of more than `idle`, as in sampling/sessions.py."""
        who, at = np.frombuffer(self.who, np.int64), np.frombuffer(self.at)
        order = np.lexsort((at, who))
        who, at = who[order], at[order]
        begins = np.r_[True, (np.diff(who) != 0) | (np.diff(at) > idle.total_seconds())]
        starts = np.flatnonzero(begins)
        chars, failed = (np.frombuffer(one, kind)[order] for one, kind in ((self.chars, np.int64), (self.failed, "b")))
        ends = np.r_[starts[1:], len(who)] - 1
        answered = np.add.reduceat(1 - failed, starts)
        if not answered.any():
            return Conversations.alone()
        earlier = np.add.reduceat(chars, starts) - chars[ends]
        has_answer = answered > 0
        return Conversations(
            an_answer=float(has_answer.sum() / answered.sum()), earlier_chars=earlier[has_answer].astype(np.float64)
        )
