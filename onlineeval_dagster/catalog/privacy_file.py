"""What privacy.toml may say: kinds and fields of redaction, a team's own patterns, how user ids are kept."""

import re
import time
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from onlineeval_dagster.contracts.events import EVENTS

Kind = Literal["secret", "e-mail", "phone", "card", "IBAN", "IP"]

_FIELDS: dict[str, tuple[str, ...]] = {
    "response": ("query", "response", "context", "conversation", "reference", "error", "attributes"),
    "action": ("text", "attributes"),
    "deploy": ("description", "attributes"),
    "event": ("description", "attributes"),
    "exposure": ("attributes",),
    "label": ("note", "attributes"),
    "verdict": ("rationale", "error", "attributes"),
    "span": ("name", "status_message", "attributes", "events", "links"),
}
_MARKS = ("[secret]", "[e-mail]", "[phone]", "[card]", "[IBAN]", "[IP]")
_SLOW_SECONDS = 0.02
_PIECES = ("a", "A", "1", " ", "-", ".", "_", "/", "@", "é", "a1", "a ", "1-", "a.")


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class OwnPattern(_Table):
    """A team's own pattern: `[name]` takes the place of what it matches.

    A pattern that backtracks without end would stop the collector. So every repetition needs a bound, and nothing
    that repeats may be repeated: the time is then in proportion to the text. What is still slow is found by trying.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    pattern: str

    @field_validator("pattern")
    @classmethod
    def _sound(cls, pattern: str) -> str:
        try:
            compiled = re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"no regular expression ({error}); try it in Python's re") from error
        _check_repetition(pattern)
        if compiled.search("") is not None:
            raise ValueError("it matches the empty text, so everywhere; let it need a character")
        if slow := _slow_text(compiled):
            raise ValueError(f"too slow: {slow}; make its bounds smaller or its start more distinct")
        return pattern

    @model_validator(mode="after")
    def _not_its_own_mark(self) -> Self:
        for mark in (f"[{self.name}]", *_MARKS):
            if re.search(self.pattern, mark):
                raise ValueError(f"the pattern matches {mark}, which is put in its place; make it narrower")
        return self


class Redact(_Table):
    kinds: tuple[Kind, ...] = ("secret", "e-mail", "phone", "card")
    fields: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    patterns: tuple[OwnPattern, ...] = ()

    @field_validator("fields")
    @classmethod
    def _known(cls, fields: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for kind, names in fields.items():
            if kind not in EVENTS:
                raise ValueError(f"{kind!r} is no kind of event; there are {', '.join(EVENTS)}")
            there = _text_fields(kind)
            if unknown := next((name for name in names if name not in there), None):
                raise ValueError(f"{kind} has no text field {unknown!r}; there are {', '.join(there)}")
        return fields

    @field_validator("patterns")
    @classmethod
    def _once(cls, patterns: tuple[OwnPattern, ...]) -> tuple[OwnPattern, ...]:
        names = [pattern.name for pattern in patterns]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two patterns are named {twice!r}; rename one")
        return patterns

    def fields_of(self, kind: str) -> tuple[str, ...]:
        """The fields of a kind of event that are looked at."""
        return self.fields.get(kind, _FIELDS.get(kind, ("attributes",)))


class UserIds(_Table):
    hash: bool = True
    keys: tuple[str, ...] = ("user_id", "userId", "user.id", "enduser.id", "langfuse.user.id")


class Judges(_Table):
    """private: texts of an answer that no model outside may be shown; a judge that asks for one does not load."""

    private: tuple[Literal["query", "response", "context", "conversation", "reference"], ...] = ()


class PrivacyFile(_Table):
    """privacy.toml. A catalog without the file has what this says by itself."""

    judges: Judges = Judges()
    redact: Redact = Redact()
    user_ids: UserIds = UserIds()


def _text_fields(kind: str) -> list[str]:
    """The fields that hold texts: not the ids, names and versions that tables are joined and counted by."""
    fields = EVENTS[kind].model_fields.items()
    texts = [name for name, field in fields if field.annotation in (str, str | None) and not field.metadata]
    return [*texts, *(name for name in ("attributes", "events", "links") if name in EVENTS[kind].model_fields)]


def _check_repetition(pattern: str) -> None:
    """Raise ValueError on a repetition without a bound, one of what repeats already, and a reference back."""
    bare = re.sub(r"\[\^?\](?:\\.|[^\]\\])*\]|\[\^?(?:\\.|[^\]\\])*\]", "x", re.sub(r"\\[^1-9k]", "x", pattern))
    if re.search(r"\\[1-9k]|\(\?P=", bare):
        raise ValueError("a reference back to a group may take forever; write the text out")
    bare = re.sub(r"\(\?(?:P<\w+>|<?[=!]|[aiLmsux-]*:|[aiLmsux]+\))", "(", bare)
    if found := re.search(r"[*+]|\{\d*,\}", bare):
        raise ValueError(f"{found[0]!r} repeats without a bound, which may take forever; write {{1,64}} or so")
    repeats: list[bool] = [False]  # by depth of group: whether something in it repeats
    for token in re.finditer(r"\(|(\))?(\{\d+(?:,\d+)?\}|\?)|\)", bare):
        if token[0] == "(":
            repeats.append(False)
            continue
        closes = token[0].startswith(")")
        inner = repeats.pop() if closes and len(repeats) > 1 else False
        counted = (token[2] or "").startswith("{")
        if closes and counted and inner:
            raise ValueError(f"{token[0]!r} repeats what repeats already, which may take forever; write it out")
        repeats[-1] = repeats[-1] or counted or inner


def _slow_text(pattern: re.Pattern[str]) -> str | None:
    """What the pattern is slow on, or None. Texts grow step by step, so that a bad one is found before it hurts."""
    own = re.findall(r"[^\W_]|[ /.:#-]", pattern.pattern)
    for piece in (*_PIECES, *dict.fromkeys(own)):
        for size in (*range(4, 40, 2), 64, 128, 256, 512, 1024, 2048):
            text = piece * (size // len(piece)) + "\n!"
            started = time.perf_counter()
            pattern.search(text)
            if time.perf_counter() - started > _SLOW_SECONDS and _again(pattern, text) > _SLOW_SECONDS:
                return f"more than {_SLOW_SECONDS * 1000:.0f} ms for {len(text)} characters of {piece!r}"
    return None


def _again(pattern: re.Pattern[str], text: str) -> float:
    """A second look: the first may have waited for the machine."""
    started = time.perf_counter()
    pattern.search(text)
    return time.perf_counter() - started
