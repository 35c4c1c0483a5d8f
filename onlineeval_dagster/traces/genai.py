"""A span in the words of OpenTelemetry's conventions for generative AI: today's names and those of v1.36 and before.

Content comes in four shapes: attributes with messages (JSON in text or structured), attributes indexed one by one,
events of the span or of the log one message each, and the event gen_ai.client.inference.operation.details.
"""

from collections.abc import Mapping
from typing import Any

from onlineeval_dagster.traces.said import Said, Step, Turn, a_count, a_number, a_text, chat, indexed, parsed, words

_DETAILS = "gen_ai.client.inference.operation.details"
_KINDS = {
    **dict.fromkeys(("chat", "generate_content", "text_completion", "completion"), "llm"),
    **dict.fromkeys(("invoke_agent", "create_agent", "invoke_workflow"), "agent"),
    **dict.fromkeys(("execute_tool",), "tool"),
    **dict.fromkeys(("embeddings",), "embedding"),
    **dict.fromkeys(("retrieval",), "retriever"),
}
_MESSAGE = {f"gen_ai.{role}.message": role for role in ("system", "user", "assistant", "tool")}


def read(step: Step) -> Said:
    """What the span says in gen_ai.*; an empty `Said` where it says nothing there."""
    attributes = dict(step.attributes)
    for name, more in _events(step):
        if name == _DETAILS:
            attributes = more | attributes
    if not any(name.startswith("gen_ai.") for name in attributes) and not any(
        name.startswith("gen_ai.") and not name.startswith("gen_ai.evaluation") for name, _ in _events(step)
    ):
        return Said()
    system, turns = _asked(attributes, step)
    answered, finish_reason = _answered(attributes, step)
    operation = a_text(attributes, "gen_ai.operation.name")
    return Said(
        kind=_KINDS.get(operation or "", "other" if operation else "llm"),
        operation=operation,
        system=system,
        turns=turns,
        asked=a_text(attributes, "gen_ai.retrieval.query.text"),
        answered=answered,
        documents=_documents(attributes),
        model=a_text(attributes, "gen_ai.response.model", "gen_ai.request.model"),
        provider=a_text(attributes, "gen_ai.provider.name", "gen_ai.system"),
        input_tokens=a_count(attributes, "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
        output_tokens=a_count(attributes, "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
        cost_usd=a_number(attributes, "gen_ai.usage.cost", "gen_ai.usage.total_cost"),
        finish_reason=finish_reason,
        response_id=a_text(attributes, "gen_ai.response.id"),
        prompt_version=a_text(attributes, "gen_ai.prompt.version"),
        error=a_text(attributes, "error.type"),
    )


def _events(step: Step) -> list[tuple[str, dict[str, Any]]]:
    """The span's events as (name, attributes); a body, where the event came as a log record, among the attributes."""
    found: list[tuple[str, dict[str, Any]]] = []
    for event in step.events:
        if isinstance(event, dict) and isinstance(event.get("name"), str):
            said = event.get("attributes")
            said = dict(said) if isinstance(said, dict) else {}
            body = said.get("body")
            found.append((event["name"], {**body, **said} if isinstance(body, dict) else said))
    return found


def _asked(attributes: Mapping[str, Any], step: Step) -> tuple[str | None, tuple[Turn, ...]]:
    instructions = words(parsed(attributes.get("gen_ai.system_instructions"))) or None
    messages = parsed(attributes.get("gen_ai.input.messages"))
    if not isinstance(messages, list):
        messages = [_flat(said) for said in indexed(attributes, "gen_ai.prompt")]
    if not messages:
        messages = _from_events(step, "gen_ai.content.prompt", "gen_ai.prompt")
    if not messages:
        messages = [
            {"role": said.get("role") or _MESSAGE[name], "content": _content(said)}
            for name, said in _events(step)
            if name in _MESSAGE
        ]
    system, turns = chat(messages)
    return instructions or system, turns


def _answered(attributes: Mapping[str, Any], step: Step) -> tuple[str | None, str | None]:
    """The first choice's text and why it ended."""
    reasons = parsed(attributes.get("gen_ai.response.finish_reasons"))
    reason = str(reasons[0]) if isinstance(reasons, list) and reasons else None
    messages = parsed(attributes.get("gen_ai.output.messages"))
    if not isinstance(messages, list) or not messages:
        messages = [_flat(said) for said in indexed(attributes, "gen_ai.completion")]
    if not messages:
        messages = _from_events(step, "gen_ai.content.completion", "gen_ai.completion")
    if not messages:
        choices = [said for name, said in _events(step) if name == "gen_ai.choice"]
        choices.sort(key=lambda said: a_count(said, "index") or 0)
        messages = [
            {"content": _content(parsed(said.get("message"))) or _content(said), **_only(said, "finish_reason")}
            for said in choices
        ]
    if not messages or not isinstance(messages[0], dict):
        return None, reason
    return words({**messages[0], "type": None}), reason or a_text(messages[0], "finish_reason")


def _flat(said: dict[str, Any]) -> dict[str, Any]:
    return {**said, "content": parsed(said.get("content"))}


def _from_events(step: Step, name: str, attribute: str) -> list[Any]:
    """Messages of an event that carries them all in one attribute: a JSON list, or the text itself."""
    for event, said in _events(step):
        if event == name and attribute in said:
            held = parsed(said[attribute])
            return held if isinstance(held, list) else [{"role": "user", "content": held}]
    return []


def _content(said: Any) -> Any:
    if not isinstance(said, dict):
        return said if isinstance(said, str) else None
    return parsed(said.get("content"))


def _only(said: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {name: said[name]} if said.get(name) else {}


def _documents(attributes: Mapping[str, Any]) -> tuple[str, ...]:
    held = parsed(attributes.get("gen_ai.retrieval.documents"))
    if not isinstance(held, list):
        return ()
    texts = (words(each) if not isinstance(each, dict) else words({**each, "type": None}) for each in held)
    return tuple(text for text in texts if text)
