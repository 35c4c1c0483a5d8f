"""What one span says of a conversation with a model, in whatever dialect, and how texts are found in JSON."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from math import isfinite
from typing import Any

import orjson

_ASKED = ("query", "question", "input", "prompt", "text", "content", "message", "user_input")
_ANSWERED = ("answer", "output", "response", "result", "text", "content", "completion", "message")
_DEEPEST = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A span (or the log event of one) as the lake holds it."""

    event_id: str
    record: str
    trace_id: str | None
    span_id: str | None
    parent_span_id: str | None
    name: str
    occurred_at: datetime
    received_at: datetime
    ended_at: datetime | None
    status: str | None
    status_message: str | None
    environment: str
    app: str
    user_id: str | None
    session_id: str | None
    attributes: Mapping[str, Any]
    events: list[Any]


@dataclass(frozen=True, slots=True)
class Turn:
    role: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """Null or empty where the span does not say it.

    kind      llm, agent, chain, retriever, tool, embedding, evaluator, other; None for a span of no such dialect
    turns     the messages that went in, oldest first, instructions apart (`system`)
    asked     the input as one text, where it is no chat
    answered  the text that came out; empty where only tools were called
    """

    kind: str | None = None
    operation: str | None = None
    system: str | None = None
    turns: tuple[Turn, ...] = ()
    asked: str | None = None
    answered: str | None = None
    documents: tuple[str, ...] = ()
    model: str | None = None
    provider: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    finish_reason: str | None = None
    response_id: str | None = None
    prompt_version: str | None = None
    error: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def query(self) -> str | None:
        """The latest thing the user said, or the whole input."""
        return next((turn.text for turn in reversed(self.turns) if turn.role == "user"), None) or self.asked

    @property
    def conversation(self) -> str | None:
        """The turns before the query, one `role: text` a paragraph."""
        last = max((place for place, turn in enumerate(self.turns) if turn.role == "user"), default=0)
        earlier = [f"{t.role}: {t.text}" for t in self.turns[:last] if t.role in ("user", "assistant") and t.text]
        return "\n\n".join(earlier) or None

    def over(self, other: "Said") -> "Said":
        """What this one says, and where it says nothing what the other says."""
        mine = {each.name: getattr(self, each.name) for each in fields(self)}
        kept = {name: value if value not in (None, (), {}) else getattr(other, name) for name, value in mine.items()}
        return Said(**kept)


def chat(messages: Any) -> tuple[str | None, tuple[Turn, ...]]:
    """System text and the other turns of a list of messages; of none where it is no such list."""
    if not isinstance(messages, list):
        return None, ()
    turns = [Turn(str(said.get("role") or "user"), words(said)) for said in messages if isinstance(said, dict)]
    system = [turn.text for turn in turns if turn.role in ("system", "developer") and turn.text]
    return "\n\n".join(system) or None, tuple(turn for turn in turns if turn.role not in ("system", "developer"))


def words(message: Any, depth: int = 0) -> str:
    """The text of a message or of its parts, `content` or `parts`: calls of tools and pictures say nothing."""
    if isinstance(message, str):
        return message
    if depth > _DEEPEST:
        return ""
    if isinstance(message, list):
        return "\n".join(text for part in message if (text := words(part, depth + 1)))
    if not isinstance(message, dict):
        return ""
    if message.get("type") not in (None, "text", "input_text", "output_text", "message"):
        return ""
    for name in ("content", "parts", "text", "refusal", "message"):
        if message.get(name):
            return words(message[name], depth + 1)
    return ""


def parsed(value: Any) -> Any:
    """A value that may be JSON in text as what it holds; itself where it is none."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def asked_in(value: Any) -> Said:
    """What an input says: a text, a chat, or an object that holds either under a usual name."""
    value = parsed(value)
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        value = value["messages"]
    if isinstance(value, list) and value and all(isinstance(each, dict) and "role" in each for each in value):
        system, turns = chat(value)
        return Said(system=system, turns=turns)
    return Said(asked=_one_text(value, _ASKED))


def answer_in(value: Any) -> str | None:
    """What an output says: a text, a completion, messages, or an object that holds one under a usual name."""
    value = parsed(value)
    if isinstance(value, dict):
        for choice in value.get("choices") or ():
            return words(choice)
        if isinstance(value.get("messages"), list):
            value = value["messages"]
    if isinstance(value, list) and value and all(isinstance(each, dict) and "role" in each for each in value):
        return words(value[-1])
    return _one_text(value, _ANSWERED)


def _one_text(value: Any, names: Iterable[str]) -> str | None:
    if value in (None, "", {}, []):
        return None
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        for name in names:
            if isinstance(value.get(name), str) and value[name]:
                return value[name]
        if len(value) == 1 and isinstance(only := next(iter(value.values())), str) and only:
            return only
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()


def a_text(attributes: Mapping[str, Any], *names: str) -> str | None:
    """The first of `names` that says something, as text."""
    for name in names:
        said = attributes.get(name)
        if isinstance(said, str | int) and not isinstance(said, bool) and said != "":
            return str(said)
    return None


def a_count(attributes: Mapping[str, Any], *names: str) -> int | None:
    found = a_number(attributes, *names)
    return int(found) if found is not None and 0 <= found < 2**63 else None


def a_number(attributes: Mapping[str, Any], *names: str) -> float | None:
    """The first of `names` that is a finite number."""
    for name in names:
        said = attributes.get(name)
        if isinstance(said, int | float) and not isinstance(said, bool) and isfinite(said):
            return said
    return None


def indexed(attributes: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    """`prefix.0.role`, `prefix.0.content`, `prefix.1.role` … as [{"role": …, "content": …}, …], by the number."""
    found: dict[int, dict[str, Any]] = {}
    start = prefix + "."
    for name, value in attributes.items():
        if name.startswith(start):
            number, _, rest = name[len(start) :].partition(".")
            if number.isdigit() and len(number) < 7 and rest:
                found.setdefault(int(number), {})[rest] = value
    return [found[number] for number in sorted(found)]
