"""A span in the words of OpenInference: openinference.span.kind, input.value, llm.*, retrieval.documents.* …"""

from collections.abc import Mapping
from typing import Any

from onlineeval_dagster.traces.said import (
    Said,
    Step,
    Turn,
    a_count,
    a_number,
    a_text,
    answer_in,
    asked_in,
    chat,
    indexed,
    parsed,
)

_KINDS = {
    kind.upper(): kind
    for kind in ("llm", "agent", "chain", "retriever", "tool", "embedding", "evaluator", "guardrail", "reranker")
}


def read(step: Step) -> Said:
    """What the span says in OpenInference's names; an empty `Said` where it says nothing there."""
    attributes = step.attributes
    kind = a_text(attributes, "openinference.span.kind")
    if kind is None and "input.value" not in attributes and "output.value" not in attributes:
        return Said()
    system, turns = _messages(attributes, "llm.input_messages")
    asked = Said(system=system, turns=turns) if turns else _value(attributes, "input", asked_in, _asked_plainly)
    return Said(
        kind=None if kind is None else _KINDS.get(kind.upper(), "other"),
        system=asked.system,
        turns=asked.turns,
        asked=asked.asked,
        answered=_answered(attributes),
        documents=_documents(attributes),
        model=a_text(attributes, "llm.response.model_name", "llm.model_name", "llm.request.model_name"),
        provider=a_text(attributes, "llm.provider", "llm.system"),
        input_tokens=a_count(attributes, "llm.token_count.prompt"),
        output_tokens=a_count(attributes, "llm.token_count.completion"),
        cost_usd=a_number(attributes, "llm.cost.total"),
        finish_reason=a_text(attributes, "llm.finish_reason"),
        prompt_version=a_text(attributes, "llm.prompt_template.version"),
        error=a_text(attributes, "exception.type"),
        more=_more(attributes),
    )


def _messages(attributes: Mapping[str, Any], prefix: str) -> tuple[str | None, tuple[Turn, ...]]:
    return chat([_message(said) for said in indexed(attributes, prefix)])


def _message(said: dict[str, Any]) -> dict[str, Any]:
    parts = [
        {"type": part.get("message_content.type"), "text": part.get("message_content.text")}
        for part in indexed(said, "message.contents")
    ]
    return {"role": said.get("message.role"), "content": said.get("message.content") or parts}


def _answered(attributes: Mapping[str, Any]) -> str | None:
    _, turns = _messages(attributes, "llm.output_messages")
    if turns:
        return turns[0].text
    return _value(attributes, "output", answer_in, lambda text: text or None)


def _value(attributes: Mapping[str, Any], name: str, in_json: Any, in_text: Any) -> Any:
    """`input.value` or `output.value`, read as its mime type says; plain text where it says none."""
    said = attributes.get(f"{name}.value")
    is_json = not isinstance(said, str) or attributes.get(f"{name}.mime_type") == "application/json"
    return in_json(said) if is_json else in_text(said)


def _asked_plainly(text: str) -> Said:
    return Said(asked=text or None)


def _documents(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    held = indexed(attributes, "retrieval.documents") or indexed(attributes, "reranker.output_documents")
    return tuple(text for each in held if isinstance(text := each.get("document.content"), str) and text)


def _more(attributes: Mapping[str, Any]) -> dict[str, Any]:
    held = {"metadata": parsed(attributes.get("metadata")), "tags": attributes.get("tag.tags")}
    return {name: value for name, value in held.items() if value not in (None, "", [], {})}
