"""Flat rows: one response a row in columns of any name, with the user's rating where there is one."""

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import Action, Response
from onlineeval_dagster.sources.columns import OPINIONS, Columns
from onlineeval_dagster.sources.rows import Defaults, Row, Unusable, plain
from onlineeval_dagster.sources.values import chat, count, digest, key, moment, number, opinion, text

KEYS = ("response_id", "session_id", "user_id", "prompt_version", "variant", "model", "provider", "device", "location")
KEYS += ("language", "environment", "app")
READERS = {"latency_ms": number, "cost_usd": number, "input_tokens": count, "output_tokens": count}
TEXTS = ("context", "conversation", "reference", "finish_reason", "error")


def flat_events(row: Row, columns: Columns, defaults: Defaults) -> Iterator[LogEvent]:
    """One response, and an action for each rating, thumb and comment in the row. Raises Unusable."""
    fields, taken = _fields(row.value, columns)
    if "query" not in fields:
        raise Unusable("query: null or absent; a response needs the question it answers")
    if "response" not in fields and fields.get("error") is None:
        raise Unusable("response: null or absent, and no error says why")
    time, column = _time(row.value, columns, defaults)
    opinions, used = _opinions(row.value, columns)
    attributes = plain(columns.leftovers(row.value, taken | used | {column}))
    if isinstance(nested := attributes.get("attributes"), dict):
        attributes = {name: kept for name, kept in attributes.items() if name != "attributes"} | nested
    yield from events(row, fields, time, opinions, attributes, defaults, _feedback_time(row.value, columns, defaults))


def events(
    row: Row,
    fields: dict[str, Any],
    occurred_at: Any,
    opinions: list[tuple[str, float | None, str | None]],
    attributes: dict[str, Any],
    defaults: Defaults,
    feedback_at: Any = None,
) -> Iterator[LogEvent]:
    """The response and its actions, with ids that depend on their content only: importing twice adds nothing.

    A row without an id is known by the hash of all it holds. The event's id covers the time, so that it implies a day.
    """
    shared = {"environment": defaults.environment, "app": defaults.app, "received_at": defaults.now}
    shared |= {name: fields.pop(name) for name in ("environment", "app") if fields.get(name)}
    response_id = fields.pop("response_id", None) or f"row-{digest(row.value)}"
    event_id = digest(shared["app"], shared["environment"], response_id, occurred_at)
    whole = {"response": "", **fields, **shared, "response_id": response_id, "occurred_at": occurred_at}
    yield valid(Response, whole | {"event_id": event_id, "attributes": attributes})
    for action, value, words in opinions:
        said = {"action": action, "value": value, "text": words, "response_id": response_id}
        who = {name: fields.get(name) for name in ("user_id", "session_id")}
        when = {"occurred_at": feedback_at or occurred_at, "event_id": digest(event_id, action, feedback_at)}
        yield valid(Action, shared | said | who | when)


def valid(contract: type[LogEvent], fields: dict[str, Any]) -> LogEvent:
    """The event with these fields. Raises Unusable naming the first field that does not fit."""
    try:
        return contract.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        raise Unusable(f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}") from error


def _fields(value: dict[str, Any], columns: Columns) -> tuple[dict[str, Any], set[str]]:
    """Our fields from one row, without times and opinions, and the columns they came from."""
    fields: dict[str, Any] = {}
    taken: set[str] = set()

    def take(field: str, read: Any) -> None:
        column, found = columns.pick(value, field)
        if column is None or found is None or (field not in columns.mapped and not _fits(field, found)):
            return
        read_value = read(found, field)
        # An empty answer is an answer: a failure to be found, not a row to be refused.
        if read_value is not None and (read_value != "" or field in ("query", "response")):
            fields[field] = read_value
            taken.add(column)

    take("query", _question)
    if isinstance(fields.get("query"), tuple):
        fields["query"], fields["conversation"], _, fields["context"] = fields["query"]
    take("response", text)
    for field in KEYS:
        take(field, key)
    for field in TEXTS:
        take(field, text)
    for field, read in READERS.items():
        take(field, read)
    take("new_user", lambda found, _: found)
    return fields, taken


def _fits(field: str, found: Any) -> bool:
    """Whether a column taken by its name alone holds what its name promises; if not, it stays an attribute."""
    if field == "new_user" or isinstance(found, bool):
        return field == "new_user" and isinstance(found, bool)
    if field in KEYS:
        whole = isinstance(found, int) or (isinstance(found, float) and found.is_integer())
        return whole or (isinstance(found, str) and len(found) <= 256)
    if field in READERS:
        return isinstance(found, int | float)
    return field in ("query", "response") or isinstance(found, str | list)


def _question(found: Any, field: str) -> Any:
    is_chat = isinstance(found, list) and found and isinstance(found[0], dict) and "role" in found[0]
    return chat(found, field) if is_chat else text(found, field)


def _time(value: dict[str, Any], columns: Columns, defaults: Defaults) -> tuple[Any, str]:
    column, found = columns.pick(value, "occurred_at")
    time = moment(found, column or "occurred_at", defaults.zone) or defaults.occurred_at
    if time is None:
        raise Unusable("occurred_at: empty; a response needs the time it was served")
    return time, column or ""


def _feedback_time(value: dict[str, Any], columns: Columns, defaults: Defaults) -> Any:
    column, found = columns.pick(value, "feedback_at")
    return moment(found, column or "feedback_at", defaults.zone)


def _opinions(value: dict[str, Any], columns: Columns) -> tuple[list[tuple[str, float | None, str | None]], set[str]]:
    """What the user said of the answer. A column taken by its name alone that holds no opinion stays an attribute."""
    opinions, used = [], set()
    for field in OPINIONS:
        column, found = columns.pick(value, field)
        if column is None or found is None or found == "":
            continue
        try:
            opinions.append(("comment", None, text(found, field)) if field == "comment" else opinion(found, field))
            used.add(column)
        except Unusable:
            if field in columns.mapped:
                raise
    return opinions, used
