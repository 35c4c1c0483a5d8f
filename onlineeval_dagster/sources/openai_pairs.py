"""Request and response bodies of an OpenAI-style API, as a proxy or a middleware logs them."""

from collections.abc import Iterator
from typing import Any

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.sources.columns import Columns
from onlineeval_dagster.sources.flat import events
from onlineeval_dagster.sources.rows import Defaults, Row, Unusable, at_path, plain
from onlineeval_dagster.sources.values import chat, count, key, moment, number, opinion, text


def is_pair(value: dict[str, Any]) -> bool:
    """Whether the row has a `request` with messages, input or prompt, and a `response` (or the error instead of it)."""
    request = _body(value, "request")
    asked = any(name in request for name in ("messages", "input", "prompt"))
    return asked and (isinstance(value.get("response"), dict) or "error" in value)


def pair_events(row: Row, columns: Columns, defaults: Defaults) -> Iterator[LogEvent]:
    """One response, and an action for each rating beside it. The parts of the bodies we have no field for are kept."""
    request, response = _body(row.value, "request"), _body(row.value, "response")
    query, conversation, system, context = _asked(request)
    answer, finish_reason = _answered(response)
    error = row.value.get("error") or response.get("error")
    if answer is None and error is None:
        raise Unusable("response: has neither choices nor output")
    fields = {
        "query": query,
        "conversation": conversation,
        "context": context,
        "response": answer or "",
        "finish_reason": finish_reason,
        "error": None if error is None else str(at_path({"e": error}, "e.message") or error),
        "model": key(response.get("model") or request.get("model"), "model"),
        "response_id": key(response.get("id"), "response.id"),
        "input_tokens": count(_first(response, "usage.prompt_tokens", "usage.input_tokens"), "usage"),
        "output_tokens": count(_first(response, "usage.completion_tokens", "usage.output_tokens"), "usage"),
    }
    beside = {name: columns.pick(row.value, name)[1] for name in ("latency_ms", "cost_usd")}
    fields |= {name: number(found, name) for name, found in beside.items()}
    reference = columns.pick(row.value, "reference")[1]
    fields["reference"] = reference if isinstance(reference, str) else None
    fields |= _who(row.value, request, columns)
    fields = {name: found for name, found in fields.items() if found is not None}
    attributes = {"request": _rest(request, "messages", "input", "prompt"), "system": system}
    attributes |= {name: found for name, found in row.value.items() if name not in ("request", "response")}
    attributes = {name: found for name, found in attributes.items() if found not in (None, {})}
    time = _time(row.value, request, response, columns, defaults)
    yield from events(row, fields, time, _opinions(row.value, columns), plain(attributes), defaults)


def _body(value: dict[str, Any], name: str) -> dict[str, Any]:
    """The body itself: batch files wrap it as {"status_code": …, "body": {…}}."""
    found = value.get(name)
    wrapped = found.get("body") if isinstance(found, dict) else None
    body = wrapped if isinstance(wrapped, dict) else found
    return body if isinstance(body, dict) else {}


def _asked(request: dict[str, Any]) -> tuple[str, str | None, str | None, str | None]:
    said = next(request[name] for name in ("messages", "input", "prompt") if name in request)
    if isinstance(said, str):
        return said, None, text(request.get("instructions"), "request.instructions"), None
    query, conversation, system, tools = chat(said, "request.messages")
    return query, conversation, system or text(request.get("instructions"), "request.instructions"), tools


def _answered(response: dict[str, Any]) -> tuple[str | None, str | None]:
    """The answer's text and why it ended: chat completions, completions, or the Responses API."""
    choice = at_path(response, "choices.0")
    if isinstance(choice, dict):
        words = at_path(choice, "message.content") if "message" in choice else choice.get("text")
        return text(words, "response.choices") or "", key(choice.get("finish_reason"), "finish_reason")
    output = response.get("output")
    if isinstance(output, list):
        parts = [part for item in output if isinstance(item, dict) for part in item.get("content") or []]
        return text([part for part in parts if "text" in part], "response.output"), key(
            response.get("status"), "status"
        )
    return None, None


def _who(value: dict[str, Any], request: dict[str, Any], columns: Columns) -> dict[str, Any]:
    """Ids and versions: beside the bodies, or in the request's own `user` and `metadata`."""
    metadata = request.get("metadata") if isinstance(request.get("metadata"), dict) else {}
    names = (
        "user_id",
        "session_id",
        "prompt_version",
        "variant",
        "device",
        "location",
        "language",
        "environment",
        "app",
    )
    found = {name: columns.pick(value, name)[1] or columns.pick(metadata or {}, name)[1] for name in names}
    found["user_id"] = found["user_id"] or request.get("user") or request.get("safety_identifier")
    return {name: key(said, name) for name, said in found.items() if isinstance(said, str | int)}


def _time(
    value: dict[str, Any], request: dict[str, Any], response: dict[str, Any], columns: Columns, defaults: Defaults
) -> Any:
    for place in (value, response, request):
        column, found = columns.pick(place, "occurred_at")
        if found is None:
            found = place.get("created_at")
        if time := moment(found, column or "created", defaults.zone):
            return time
    if defaults.occurred_at is None:
        raise Unusable("occurred_at: neither the row nor the response says when; date such rows with --at")
    return defaults.occurred_at


def _opinions(value: dict[str, Any], columns: Columns) -> list[tuple[str, float | None, str | None]]:
    found = ((name, columns.pick(value, name)[1]) for name in ("rating", "thumbs"))
    return [opinion(said, name) for name, said in found if said is not None and said != ""]


def _first(value: dict[str, Any], *paths: str) -> Any:
    return next((found for path in paths if (found := at_path(value, path)) is not None), None)


def _rest(body: dict[str, Any], *without: str) -> dict[str, Any]:
    return {name: found for name, found in body.items() if name not in (*without, "model")}
