"""What a trace's input and output say, in whatever shape other systems keep them."""

from typing import Any

import orjson

from onlineeval_dagster.sources.rows import Unusable
from onlineeval_dagster.sources.values import chat, text

_ASKED = ("query", "question", "input", "prompt", "user_input", "message", "content", "text")
_ANSWERED = ("answer", "response", "output", "completion", "result", "message", "content", "text")


def decoded(value: Any) -> Any:
    """A value that is JSON in text as what it holds; itself where it is none."""
    if isinstance(value, str) and value[:1] in ("{", "[", '"'):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value


def asked(value: Any) -> dict[str, str]:
    """`query`, and `conversation` and `context` where the input is a chat; empty where it says nothing."""
    value = decoded(value)
    if isinstance(value, dict) and isinstance(value.get("messages"), list):
        value = value["messages"]
    if isinstance(value, list) and value and all(isinstance(one, dict) and "role" in one for one in value):
        try:
            query, conversation, _, tools = chat(value, "input")
        except Unusable:
            return {"query": _json(value)}
        found = {"query": query, "conversation": conversation, "context": tools}
        return {name: said for name, said in found.items() if said is not None}
    said = _one_text(value, _ASKED)
    return {} if said is None else {"query": said}


def answered(value: Any) -> str | None:
    """The answer's text: a text, a message, the last of several, a completion's choice, or an object holding one."""
    value = decoded(value)
    if isinstance(value, dict):
        if isinstance(choices := value.get("choices"), list) and choices and isinstance(choices[0], dict):
            value = choices[0].get("message", choices[0])
        elif isinstance(value.get("messages"), list):
            value = value["messages"]
    if isinstance(value, list) and value and isinstance(value[-1], dict) and "role" in value[-1]:
        value = value[-1]
    if isinstance(value, dict) and isinstance(value.get("content"), list):
        try:
            return text(value["content"], "output")
        except Unusable:
            return _json(value)
    return _one_text(value, _ANSWERED)


def _one_text(value: Any, names: tuple[str, ...]) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, dict):
        for name in names:
            if isinstance(value.get(name), str):
                return value[name]
    return None if value in ({}, []) else _json(value)


def _json(value: Any) -> str:
    return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
