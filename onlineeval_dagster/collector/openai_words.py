"""What a chat completion, its chunks and its messages say, read by attribute: objects of the openai client, or like."""

from collections.abc import Iterable
from typing import Any


class Said:
    """What was heard of one completion so far. Of several choices the first counts."""

    def __init__(self) -> None:
        self.text: list[str] = []
        self.completion_id: str | None = None
        self.model: str | None = None
        self.finish_reason: str | None = None
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None
        self._called_tools = False

    def hear(self, part: Any) -> None:
        """Take in a whole completion (its choices hold a `message`) or a chunk (a `delta`)."""
        self.completion_id = getattr(part, "id", None) or self.completion_id
        self.model = getattr(part, "model", None) or self.model
        usage = getattr(part, "usage", None)
        if usage is not None:
            self.input_tokens = getattr(usage, "prompt_tokens", None)
            self.output_tokens = getattr(usage, "completion_tokens", None)
        for choice in getattr(part, "choices", None) or ():
            if getattr(choice, "index", 0) == 0:
                self._hear_choice(choice)

    def only_calls_tools(self) -> bool:
        return self._called_tools and not any(self.text)

    def _hear_choice(self, choice: Any) -> None:
        self.finish_reason = getattr(choice, "finish_reason", None) or self.finish_reason
        message = getattr(choice, "message", None) or getattr(choice, "delta", None)
        if message is None:
            return
        words = getattr(message, "content", None) or getattr(message, "refusal", None)
        if words:
            self.text.append(text_of(words))
        self._called_tools |= bool(getattr(message, "tool_calls", None))


def question(messages: Iterable[Any]) -> str:
    """The latest thing the user said; empty when there is none."""
    return next((text for role, text in reversed(_turns(messages)) if role == "user"), "")


def conversation(messages: Iterable[Any]) -> str | None:
    """The turns before the question, oldest first, one `role: text` a paragraph. Instructions are no turns."""
    turns = _turns(messages)
    last = max((i for i, (role, _) in enumerate(turns) if role == "user"), default=0)
    earlier = [f"{role}: {text}" for role, text in turns[:last] if role in ("user", "assistant") and text]
    return "\n\n".join(earlier) or None


def text_of(content: Any) -> str:
    """A message's content as text: itself, or its text parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list | tuple) else [content]
    return "\n".join(text for part in parts if isinstance(text := _field(part, "text"), str))


def _turns(messages: Iterable[Any]) -> list[tuple[str, str]]:
    return [(str(_field(message, "role")), text_of(_field(message, "content"))) for message in messages]


def _field(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)
