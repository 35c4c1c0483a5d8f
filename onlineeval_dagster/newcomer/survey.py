"""One pass over a log file: what is in it, how much traffic that is, and a few answers to look at."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Literal

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import Action, Deploy, Response
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.newcomer.conversations import Turns
from onlineeval_dagster.sources.rows import BadRow

SHOWN = 3
TEXTS = 2_000
OPINIONS = frozenset({"thumbs_up", "thumbs_down", "star_rating", "csat", "rating"})
"""Actions by which users say what they think of an answer."""

WEEKLY_BELOW = 10_000
_FIELDS = ("user_id", "session_id", "prompt_version", "variant", "context", "latency_ms", "cost_usd")


@dataclass(slots=True)
class Survey:
    """What a file holds. `texts`: answers without an error, spread evenly over the file, at most `TEXTS` of them."""

    answers: int = 0
    failed: int = 0
    deploys: int = 0
    first: datetime | None = None
    last: datetime | None = None
    having: Counter[str] = field(default_factory=Counter)
    environments: Counter[str] = field(default_factory=Counter)
    apps: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    users_by_day: dict[date, set[int]] = field(default_factory=dict)
    bad: int = 0
    bad_shown: list[BadRow] = field(default_factory=list)
    shown: list[Response] = field(default_factory=list)
    texts: list[Response] = field(default_factory=list)
    turns: Turns = field(default_factory=Turns)
    _every: int = 1

    def share(self, name: str) -> float:
        """Of the answers, the share that has this field."""
        return self.having[name] / self.answers if self.answers else 0.0

    @property
    def opinions(self) -> int:
        return sum(count for name, count in self.actions.items() if name in OPINIONS)

    @property
    def span(self) -> timedelta:
        return self.last - self.first if self.first and self.last else timedelta()

    def take(self, item: LogEvent | BadRow) -> None:
        """Count one more row."""
        match item:
            case BadRow():
                self.bad += 1
                if len(self.bad_shown) < SHOWN:
                    self.bad_shown.append(item)
            case Response():
                self._answer(item)
            case Action():
                self.actions[item.action] += 1
            case Deploy():
                self.deploys += 1
            case _:
                pass

    def _answer(self, said: Response) -> None:
        if len(self.shown) < SHOWN:
            self.shown.append(said)
        self.first = said.occurred_at if self.first is None else min(self.first, said.occurred_at)
        self.last = said.occurred_at if self.last is None else max(self.last, said.occurred_at)
        self.turns.take(said)
        self.environments[said.environment] += 1
        self.apps[said.app] += 1
        self.having.update(name for name in _FIELDS if getattr(said, name) is not None)
        users = self.users_by_day.setdefault(said.occurred_at.date(), set())
        if said.user_id is not None:
            users.add(hash(said.user_id))  # 64 bits instead of a text: a million users are 60 MB
        if said.error is not None:
            self.failed += 1
        elif self.answers % self._every == 0:
            self.texts.append(said)
            if len(self.texts) >= TEXTS:
                self.texts, self._every = self.texts[::2], self._every * 2
        self.answers += 1


def survey(items: Iterable[LogEvent | BadRow], *, place: str) -> Survey:
    """Look at every row. Raises SourceError where none is an answer."""
    found = Survey()
    for item in items:
        found.take(item)
    if not found.answers:
        why = f"; the first: {found.bad_shown[0].place}: {found.bad_shown[0].reason}" if found.bad_shown else ""
        rows = f"none of its {found.bad:,} rows could be read" if found.bad else "it holds no answer"
        raise SourceError(
            f"{place}: {rows}{why}; give the log of questions and answers, with --map where columns differ"
        )
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Answers and users a day, each with how that was found.

    users  a bound from above where `users_known` is false: the file does not say who asked
    """

    answers_a_day: float
    answers_how: str
    users_a_day: float
    users_how: str
    users_known: bool

    @property
    def profile(self) -> Literal["standard", "weekly"]:
        return "weekly" if self.users_a_day < WEEKLY_BELOW else "standard"


def traffic(found: Survey, *, answers_a_day: float | None = None, users_a_day: float | None = None) -> Traffic:
    """Traffic as the file's span suggests, or as it was said."""
    days = found.span / timedelta(days=1)
    if answers_a_day is not None:
        answers, how = answers_a_day, "as you said"
    elif days >= 1:
        answers, how = found.answers / days, f"{found.answers:,} answers in {days:.1f} days"
    else:
        hours = found.span / timedelta(hours=1)
        answers = float(found.answers)
        how = f"the file covers {hours:.1f} hours and was taken for a whole day; say better with --answers-per-day"
    if users_a_day is not None:
        return Traffic(
            answers_a_day=answers, answers_how=how, users_a_day=users_a_day, users_how="as you said", users_known=True
        )
    if found.having["user_id"]:
        by_day = [len(users) for users in found.users_by_day.values()]
        users = sum(by_day) / len(by_day)
        # A file that is scaled to another traffic has its users scaled with it.
        users *= 1 if answers_a_day is None else answers_a_day / max(found.answers / max(days, 1), 1e-9)
        said = f"different user ids a day, mean of {len(by_day)} calendar days (UTC)"
        return Traffic(answers_a_day=answers, answers_how=how, users_a_day=users, users_how=said, users_known=True)
    said = "at most: the file has no user ids, so every answer may be somebody else's; say better with --users-per-day"
    return Traffic(answers_a_day=answers, answers_how=how, users_a_day=answers, users_how=said, users_known=False)
