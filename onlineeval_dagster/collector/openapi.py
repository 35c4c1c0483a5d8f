"""What the collector takes and answers, as OpenAPI: made from the contracts, so that clients can be generated."""

from typing import Any

from pydantic.json_schema import models_json_schema

from onlineeval_dagster.collector.encoding import KEY_CHARACTERS
from onlineeval_dagster.contracts.events import EVENTS

_REF = "#/components/schemas/{model}"
_SET_HERE = ("event_id", "occurred_at", "received_at")
_MEANING = {
    "401": "no API key, or one that is unknown or revoked",
    "403": "a key of another scope, or a web page from elsewhere",
    "408": "the body did not come",
    "413": "more bytes or events than one request may have",
    "415": "a Content-Encoding other than gzip and zstd",
    "400": "a packed body that is broken or cut off",
    "429": "more events than the key may send; see Retry-After",
    "503": "too much waits for the disk, or it failed; send it again, see Retry-After",
    "507": "the collector's disk is full; nothing of the request was kept",
}


def with_doors(document: dict[str, Any]) -> dict[str, Any]:
    """The document of the other routes with those that take events added."""
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas |= _event_schemas() | {"Taken": _TAKEN, "Refusal": _REFUSAL}
    schemes = document["components"].setdefault("securitySchemes", {})
    schemes |= {"bearer": {"type": "http", "scheme": "bearer"}}
    document["paths"]["/v1/events"] = {"post": _events()}
    document["paths"]["/v1/assign"] = {"post": _assign()}
    document["paths"]["/v1/traces"] = {"post": _otlp("send_traces", "Trace")}
    document["paths"]["/v1/logs"] = {"post": _otlp("send_logs", "Logs")}
    return document


def _event_schemas() -> dict[str, Any]:
    _, top = models_json_schema([(contract, "validation") for contract in EVENTS.values()], ref_template=_REF)
    schemas: dict[str, Any] = top.get("$defs", {})
    for contract in EVENTS.values():
        schema = schemas[contract.__name__]
        schema["additionalProperties"] = True  # kept under `attributes`
        schema["properties"].pop("received_at")
        schema["required"] = ["kind", *(name for name in schema["required"] if name not in _SET_HERE)]
    names = {kind: _REF.format(model=contract.__name__) for kind, contract in EVENTS.items()}
    one_of = [{"$ref": name} for name in names.values()]
    return schemas | {"AnyEvent": {"oneOf": one_of, "discriminator": {"propertyName": "kind", "mapping": names}}}


def _events() -> dict[str, Any]:
    event = {"$ref": _REF.format(model="AnyEvent")}
    taken = {"application/json": {"schema": {"$ref": _REF.format(model="Taken")}}}
    return {
        "operationId": "send_events",
        "summary": "Send events; answered once they are on the disk.",
        "description": "One event, an array, or one event a line; Content-Encoding gzip or zstd. Good events are kept "
        "whatever stands beside them. Repeat a request that got no answer: an event with the same `event_id` counts "
        "once. A response needs none; any other event sent twice without one counts twice. `occurred_at` is now unless "
        "stated. Fields that a kind does not know are kept under `attributes`. The environment of the API key, where "
        "it has one, takes the place of the event's.",
        "security": [{}, {"bearer": []}],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"anyOf": [event, {"type": "array", "items": event}]}},
                "application/x-ndjson": {"schema": {"type": "string"}},
            },
        },
        "responses": {
            "200": {"description": "Kept: all, or all but those listed.", "content": taken},
            "422": {"description": "No event of the body can be kept.", "content": taken},
            **_refusals(),
        },
    }


def _assign() -> dict[str, Any]:
    asked = {
        "type": "object",
        "required": ["unit_id"],
        "additionalProperties": False,
        "properties": {
            "unit_id": {"type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS},
            "unit": {"enum": ["user", "session"]},
            "experiment": _TEXT,
            "expose": {"type": "boolean", "default": True},
            "environment": {"type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS},
            "app": {"type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS},
        },
    }
    one = {
        "type": "object",
        "required": ["experiment", "variant", "propensity", "assignment_version"],
        "properties": {
            "experiment": _TEXT,
            "variant": _TEXT,
            "propensity": {"type": "number"},
            "assignment_version": _TEXT,
        },
    }
    told = {
        "type": "object",
        "required": ["assignments"],
        "properties": {"assignments": {"type": "array", "items": one}},
    }
    refusal = {"application/json": {"schema": {"$ref": _REF.format(model="Refusal")}}}
    return {
        "operationId": "assign",
        "summary": "The variants that a user or session meets; exposures are kept unless `expose` is false.",
        "description": "By hash: the same unit gets the same answer here and in the SDK. An experiment that has not "
        "begun, was stopped, or does not hold the unit is left out.",
        "security": [{}, {"bearer": []}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
        "responses": {
            "200": {"description": "May be empty.", "content": {"application/json": {"schema": told}}},
            "404": {"description": "No experiment by that name.", "content": refusal},
            "422": {"description": "No such request.", "content": refusal},
            **_refusals(),
        },
    }


def _otlp(operation: str, what: str) -> dict[str, Any]:
    """OTLP's own messages are described by OpenTelemetry, not here."""
    content = {
        "application/x-protobuf": {"schema": {"type": "string", "format": "binary"}},
        "application/json": {"schema": {"type": "object"}},
    }
    return {
        "operationId": operation,
        "summary": f"OTLP/HTTP: an Export{what}ServiceRequest as protobuf or JSON.",
        "security": [{}, {"bearer": []}],
        "requestBody": {"required": True, "content": content},
        "responses": {
            "200": {"description": f"Export{what}ServiceResponse, with partial_success.", "content": content},
            **{status: {"description": said, "content": content} for status, said in _MEANING.items()},
        },
    }


def _refusals() -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": _REF.format(model="Refusal")}}}
    return {status: {"description": said, "content": content} for status, said in _MEANING.items()}


_TEXT, _NUMBER = {"type": "string"}, {"type": "integer", "minimum": 0}
_TAKEN = {
    "type": "object",
    "description": "How many events were kept; why each of the others was not, by its place in the body.",
    "required": ["accepted", "refused"],
    "properties": {
        "accepted": _NUMBER,
        "refused": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["index", "reason"],
                "properties": {"index": _NUMBER, "reason": _TEXT},
            },
        },
    },
}
_REFUSAL = {
    "type": "object",
    "description": "Nothing of the request was kept: place, what was found, remedy.",
    "required": ["error"],
    "properties": {"error": _TEXT},
}
