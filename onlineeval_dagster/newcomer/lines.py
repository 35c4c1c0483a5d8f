"""Change single values of a TOML text and leave the rest of it, comments too, as it stands."""

import re
import tomllib
from typing import Any

from onlineeval_dagster.errors import CatalogError


def toml(value: Any) -> str:
    """A value as TOML writes it: texts, numbers, booleans, lists and flat tables.

    >>> toml({"query": "a.b", "dates": [1, True]})
    '{ "query" = "a.b", "dates" = [1, true] }'
    """
    match value:
        case bool():
            return str(value).lower()
        case str():
            return _text(value)
        case dict() if not value:
            return "{}"
        case dict():
            return "{ " + ", ".join(f"{_text(name)} = {toml(inner)}" for name, inner in value.items()) + " }"
        case list() | tuple():
            return "[" + ", ".join(toml(inner) for inner in value) + "]"
        case _:
            return str(value)


def with_value(text: str, table: str | None, key: str, value: str, *, place: str) -> str:
    """`text` with `key = value` in `[table]` (None: before the first table); `value` is TOML.

    Raises CatalogError where the file writes the table in a form that single lines cannot change.

    >>> print(with_value("[normal]\\nrate = 0.1  # all", "normal", "rate", "0.5", place="x"))
    [normal]
    rate = 0.5  # all
    """
    lines = text.split("\n")
    heads = [at for at, line in enumerate(lines) if re.match(r"\s*\[", line)]
    if table is None:
        start, end = 0, heads[0] if heads else len(lines)
    else:
        own = [at for at in heads if re.fullmatch(rf"\s*\[\s*{re.escape(table)}\s*\]\s*(#.*)?", lines[at])]
        if not own:
            lines = [*"\n".join(lines).rstrip("\n").split("\n"), "", f"[{table}]", ""]
            own, heads = [len(lines) - 2], [*heads, len(lines) - 2]
        start = own[0] + 1
        end = next((at for at in heads if at > own[0]), len(lines))
    line = re.compile(
        rf"(\s*{re.escape(key)}\s*=\s*)([^#\"']*?|\"[^\"]*\"|'[^']*'|\[[^\]#]*\]|\{{[^}}#]*\}})(\s*(?:#.*)?)"
    )
    for at in range(start, end):
        if found := line.fullmatch(lines[at]):
            lines[at] = f"{found[1]}{value}{found[3]}"
            break
    else:
        while end > start and not lines[end - 1].strip():
            end -= 1
        lines.insert(end, f"{key} = {value}")
    return _checked("\n".join(lines), table, key, value, place)


def _checked(text: str, table: str | None, key: str, value: str, place: str) -> str:
    """The text, once it is known to say so."""
    where = f"[{table}] {key}" if table else key
    try:
        said = tomllib.loads(text)
        for step in table.split(".") if table else ():
            said = said[step]
        right = said[key] == tomllib.loads(f"x = {value}")["x"]
    except (tomllib.TOMLDecodeError, KeyError, TypeError):
        right = False
    if not right:
        raise CatalogError(
            f"{place}: {where} cannot be set in the form the file has; write one key a line under [{table or 'name'}]"
        )
    return text


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _text(text: str) -> str:
    plain = (_ESCAPES.get(sign, sign if sign.isprintable() else f"\\U{ord(sign):08x}") for sign in text)
    return '"' + "".join(plain) + '"'
