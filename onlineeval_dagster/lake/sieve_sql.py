"""The sieve's questions as DuckDB SQL, made from the contracts: which lines are surely good, and what they say.

DuckDB reads JSON more leniently than the contracts do (trailing commas, NaN, text for numbers, a repeated key), so each
question also asks for the JSON type of every field and for the number of keys. What is not sure is left to
`log.reader.parse_line`: a new field, bound or validator that has no SQL here makes its kind slow, never wrong.
"""

import types
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types as bounds
from pydantic import AwareDatetime
from pydantic.fields import FieldInfo

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import EVENTS
from onlineeval_dagster.contracts.tables import TABLE_OF
from onlineeval_dagster.log.reader import AHEAD

KINDS: tuple[str, ...] = tuple(EVENTS)
"""The kinds by their code: 1 is the first."""

# Whole rows hold for these validators; any other one makes its kind slow.
_VALIDATORS = {
    "_keep_unknown_fields": "true",  # no unknown fields: the keys are counted
    "_not_before_2000": "occurred_at >= timestamptz '2000-01-01 00:00:00Z' "
    "and received_at >= timestamptz '2000-01-01 00:00:00Z'",
    "_score_or_error": "(score is null) <> (error_kind is null)",
    "_a_span_has_its_ids": "(coalesce(record, 'span') = 'log' or (trace_id is not null and span_id is not null))",
}
_INSTANT = (
    "20[0-9]{2}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?"
    "(Z|[+-](0[0-9]|1[0-3]):[0-5][0-9])"
)
# Trailing commas are no JSON, but DuckDB takes them. Blanks are JSON's four.
_TRAILING_COMMA = r",[ \t\r\n]*[}\]]"
# In JSON without blanks: numbers that are none, beyond a double or beyond 64 bits.
_ODD_NUMBER = r"[:,\[]-?([0-9]{19}|[0-9.]+[eE][+-]?[0-9]{3}|[nN][aA][nN]|[iI][nN][fF])"
_MOST_BRACKETS = 100  # nesting beyond some 200 is refused by the reader
_MOST_UNKNOWN = 32
_JSON_TYPES = {
    str: ("VARCHAR",),
    int: ("UBIGINT", "BIGINT"),
    float: ("UBIGINT", "BIGINT", "DOUBLE"),
    bool: ("BOOLEAN",),
    dict: ("OBJECT",),
    list: ("ARRAY",),
    AwareDatetime: ("VARCHAR",),
}
_READ_AS = {str: "VARCHAR", int: "BIGINT", float: "DOUBLE", bool: "BOOLEAN", AwareDatetime: "VARCHAR"}
_READ_AS |= {dict: "JSON", list: "JSON"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """A contract field as the sieve sees it. `rules` are annotated-types bounds, `allowed` a Literal's values."""

    name: str
    place: int
    python: Any
    nullable: bool
    required: bool
    default: Any
    rules: tuple[Any, ...]
    allowed: tuple[str, ...]

    @property
    def json_type(self) -> str:
        return f"_types[{self.place}]"


def coded_lines(source: str, *, checked: bool) -> str:
    """For each row of `source` (line, readable): the code of its kind, 0 where there is none, null where no JSON.

    Unless `checked`, `readable` is trusted to mean JSON too, which saves reading every line once.
    """
    kinds = ", ".join(_quoted(kind) for kind in KINDS)
    is_json = f"readable{' and json_valid(line)' if checked else ''} and not regexp_matches(line, '{_TRAILING_COMMA}')"
    kind = """regexp_extract(line, '"kind" *: *"([a-z_]+)"', 1)"""  # a guess: `sifted_rows` asks the parsed line again
    code = f"coalesce(list_position([{kinds}], {kind}), 0)"
    return f"select (case when {is_json} then {code} end)::tinyint as code from {source}"


def unknown_fields(kind: str, source: str) -> str:
    """The names in the lines of `source` that the contract does not know, the most frequent ones first."""
    known = ", ".join(_quoted(name) for name in EVENTS[kind].model_fields)
    return f"""
select name, count(*) as lines
from (select unnest(list_filter(json_keys(line), lambda name: name not in ({known}))) as name from {source})
where regexp_full_match(name, '[A-Za-z0-9_.-]{{1,64}}')
group by name order by lines desc, name limit {_MOST_UNKNOWN}"""


def sifted_rows(kind: str, source: str, *, unknown: Sequence[str] = (), now: datetime, retention_days: int) -> str:
    """What the lines of one kind say, from `source` (place, line, code): place, the contract's fields, day.

    The day is null where the line is not sure.
    Fields named in `unknown` (see `unknown_fields`) go to `attributes`; a line with any other is not sure.
    """
    fields = _fields(EVENTS[kind])
    more = ", ".join(_quoted(f'$."{name}"') for name in unknown)
    structure = ", ".join(f'"{field.name}": "{_READ_AS[field.python]}"' for field in fields)
    paths = ", ".join(_quoted(f'$."{field.name}"') for field in fields)
    typed = ",\n        ".join(f'{_typed(field, unknown)} as "{field.name}"' for field in fields)
    told = ",\n    ".join(f'{_told(field)} as "{field.name}"' for field in fields)
    sure = "\n        and ".join([*_row_rules(kind, now, retention_days), *(_sure(field) for field in fields)])
    day = ", ".join(TABLE_OF[kind].day_of)
    return f"""
with read as (
    select place as _place, from_json(line, '{{{structure}}}') as _said, json_type(line, [{paths}]) as _types,
        len(json_keys(line)) as _keys, {f"json_extract(line, [{more}])" if more else "[]"} as _more
    from {source} where code = {KINDS.index(kind) + 1}
),
typed as (
    select _place, _types, _keys, _more,
        {typed}
    from read
)
select _place,
    {told},
    case when {sure}
        then (coalesce({day}) at time zone 'UTC')::date end as day
from typed"""


def _fields(contract: type[LogEvent]) -> list[_Field]:
    return [_field(name, place, info) for place, (name, info) in enumerate(contract.model_fields.items(), start=1)]


def _field(name: str, place: int, info: FieldInfo) -> _Field:
    python, nullable, rules, allowed = _unwrapped(info.annotation)
    return _Field(
        name=name,
        place=place,
        python=python,
        nullable=nullable,
        required=info.is_required(),
        default=info.get_default(call_default_factory=True) if not info.is_required() else None,
        rules=(*info.metadata, *rules),
        allowed=allowed,
    )


def _unwrapped(annotation: Any) -> tuple[Any, bool, tuple[Any, ...], tuple[str, ...]]:
    """Python type, whether None is allowed, the bounds, the values of a Literal."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        python, nullable, rules, allowed = _unwrapped(inner[0])
        own = [rule for info in inner[1:] for rule in (info.metadata if isinstance(info, FieldInfo) else [info])]
        return python, nullable, (*own, *rules), allowed
    if origin in (Union, types.UnionType):
        (kept,) = (part for part in inner if part is not type(None))
        python, _, rules, allowed = _unwrapped(kept)
        return python, True, rules, allowed
    if origin is Literal:
        return str, False, (), inner
    return origin or annotation, False, (), ()


def _typed(field: _Field, unknown: Sequence[str]) -> str:
    said = f'_said."{field.name}"'
    if field.name == "attributes" and unknown:
        more = ", ".join(f"""'"{name}":' || _more[{place}]""" for place, name in enumerate(unknown, start=1))
        # A name that `attributes` holds too would be there twice: null, so that the line is not sure.
        names = ", ".join(_quoted(name) for name in unknown)
        inner = f"nullif(substring({said}::varchar, 2, length({said}::varchar) - 2), '')"
        return (
            f"case when not coalesce(list_has_any(json_keys({said}), [{names}]), false) "
            f"then '{{' || concat_ws(',', {more}, {inner}) || '}}' end"
        )
    if field.python is AwareDatetime:
        return f"case when regexp_full_match({said}, {_quoted(_INSTANT)}) then try_cast({said} as timestamptz) end"
    return f"{said}::varchar" if field.python in (dict, list) else said


def _told(field: _Field) -> str:
    """The field's value; its default where the line does not name it."""
    if field.default is None:
        return f'"{field.name}"'
    literal = f"'{field.default}'" if field.python in (dict, list) else _literal(field.default)
    return f'coalesce("{field.name}", {literal})'


def _sure(field: _Field) -> str:
    """SQL that holds only if the field is there as the contract wants it."""
    name = f'"{field.name}"'
    wanted = [*_JSON_TYPES[field.python], *(["NULL"] if field.nullable else [])]
    # A field that may be left out counts as one of the types that it may have: one comparison a field is fastest.
    found = field.json_type if field.required else f"coalesce({field.json_type}, '{wanted[-1]}')"
    rules = [f"{found} in ({', '.join(_quoted(each) for each in wanted)})"]
    if field.python in (dict, list):
        return " and ".join([*rules, f"({field.json_type} is null or {name} is not null)", *_map_rules(_told(field))])
    if field.python in (AwareDatetime, int):
        rules.append(f"({name} is not null or coalesce({field.json_type}, 'NULL') = 'NULL')")  # it could be converted
    of_value = [rule for rule in _value_rules(field, name) if rule != "true"]
    if of_value:
        rules.append(f"coalesce({' and '.join(of_value)}, true)")
    return " and ".join(rules)


def _value_rules(field: _Field, name: str) -> list[str]:
    """Rules of a value that is there."""
    if field.python is AwareDatetime:
        return []  # its validators are what `_typed` asks for
    rules = [f"isfinite({name})"] if field.python is float else []
    if field.allowed:
        rules.append(f"{name} in ({', '.join(_quoted(value) for value in field.allowed)})")
    return rules + [_bound(rule, name) for rule in field.rules]


def _map_rules(json: str) -> list[str]:
    """What must hold of a JSON text without blanks so that nothing in it is lost or refused."""
    brackets = f"strlen({json}) - strlen(replace(replace({json}, '[', ''), '{{', ''))"
    return [
        f"not regexp_matches({json}, {_quoted(_ODD_NUMBER)})",
        f"(strlen({json}) <= {2 * _MOST_BRACKETS} or {brackets} <= {_MOST_BRACKETS})",
    ]


def _bound(rule: Any, name: str) -> str:
    match rule:
        case bounds.Ge(ge=limit):
            return f"{name} >= {_literal(limit)}"
        case bounds.Gt(gt=limit):
            return f"{name} > {_literal(limit)}"
        case bounds.Le(le=limit):
            return f"{name} <= {_literal(limit)}"
        case bounds.Lt(lt=limit):
            return "true" if limit == 2**63 else f"{name} < {_literal(limit)}"
        case bounds.MinLen(min_length=least) if least <= 1:
            return f"strlen({name}) >= {least}"
        case bounds.MaxLen(max_length=most):
            return f"strlen({name}) <= {most}"  # bytes; characters are never more
    return "true" if getattr(rule, "allow_inf_nan", None) is False else "false"


def _row_rules(kind: str, now: datetime, retention_days: int) -> list[str]:
    """Rules of the whole row: no field unknown or repeated, times that can be right, the contract's validators."""
    latest, oldest = _literal(now + AHEAD), _literal(now - timedelta(days=retention_days))
    rules = [f"kind = {_quoted(kind)}", "_keys = list_count(_types) + list_count(_more)", f"received_at <= {latest}"]
    rules.append(f"occurred_at <= received_at + interval {int(AHEAD.total_seconds())} seconds")
    for name in TABLE_OF[kind].day_of:
        rules.append(f"({name} is null or {name} between {oldest} and {latest})")
    validators = EVENTS[kind].__pydantic_decorators__
    rules += [_VALIDATORS.get(name, "false") for name in validators.model_validators]
    if validators.field_validators or validators.root_validators or validators.validators:
        rules.append("false")
    return rules


def _literal(value: Any) -> str:
    if isinstance(value, datetime):
        return f"timestamptz '{value.isoformat(sep=' ')}'"
    if isinstance(value, bool | int | float):
        return str(value).lower()
    return _quoted(str(value))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
