"""Whether an event is surely what its contract wants: a cheap look for the many, so that few need the contract itself.

Made from the contracts, field by field. What it does not know how to judge is not sure: a new bound or validator makes
its kind slow, never wrong (tests/collector/test_intake.py holds it against `log.reader.parse_line`).
"""

import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from operator import itemgetter
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from pydantic.fields import FieldInfo

from onlineeval_dagster.contracts.base import Amount, Count, Finite, Instant, Key, LogEvent, Probability, Share

DEEPEST = 64
"""How many lists and objects may stand within each other; the log's reader takes some 200."""

_LONGEST_KEY = 256
_LONGEST_TEXT = 2**18  # of a longer one the size of the whole line is looked at first
_MOST_SHAPES, _LONGEST_SHAPE = 256, 4096
_INSTANT = re.compile(
    r"20\d\d-\d\d-\d\d[T ]([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-](0\d|1[0-3]):[0-5]\d)", re.ASCII
).fullmatch
_TIMES = {"occurred_at", "received_at"}
_NESTED = {dict, list}

Test = Callable[[Any], bool]
Rule = Callable[[dict[str, Any]], bool]

# What the validators of whole events ask, by their names. The first two hold for all that passes here.
_RULES: Mapping[str, Rule | None] = {
    "_keep_unknown_fields": None,
    "_not_before_2000": None,
    "_score_or_error": lambda event: (event.get("score") is None) != (event.get("error_kind") is None),
    "_a_span_has_its_ids": lambda event: event.get("trace_id") is not None and event.get("span_id") is not None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shape:
    """What is looked at in events with the same fields. Nearly all are texts: no call for each of them.

    keys, texts  give the values of the ids and names, and of the longer texts
    never_null   those among them that must be there
    others       every other field with its test, and whether it may be null
    """

    keys: Callable[[dict[str, Any]], tuple[Any, ...]]
    texts: Callable[[dict[str, Any]], tuple[Any, ...]]
    never_null: tuple[str, ...]
    others: tuple[tuple[str, Test, bool], ...]


class QuickLook:
    """The look at one kind of event, whose day is told by the times `day_of`."""

    def __init__(self, contract: type[LogEvent], day_of: tuple[str, ...]) -> None:
        validators = set(contract.__pydantic_decorators__.model_validators)
        hints = get_type_hints(contract, include_extras=True)
        self._tests = {name: _test(hints[name], info) for name, info in contract.model_fields.items()}
        self._required = frozenset(name for name, info in contract.model_fields.items() if info.is_required())
        self._nullable = frozenset(name for name, hint in hints.items() if type(None) in get_args(hint))
        self._is_possible = validators <= _RULES.keys() and all(self._tests[name] is _is_instant for name in _TIMES)
        self._rules = [rule for name in validators if (rule := _RULES.get(name)) is not None]
        self._placing = tuple(name for name in day_of if name not in _TIMES)
        self._shapes: dict[tuple[str, ...], _Shape] = {}

    def is_sure(self, event: dict[str, Any], *, earliest: datetime, latest: datetime) -> bool:
        """Whether the log's reader takes `event`, just parsed from JSON, with its times between the two.

        `received_at` is not looked at. False means: ask the contract.
        """
        names = tuple(event)
        shape = self._shapes.get(names)
        if shape is None:
            if not self._is_possible or not self._required.issubset(names):
                return False
            shape = self._shape(names)
        has_null = False
        for value in shape.keys(event):
            if type(value) is str:
                if not 0 < len(value) <= _LONGEST_KEY:
                    return False
            elif value is None:
                has_null = True
            else:
                return False
        for value in shape.texts(event):
            if type(value) is str:
                if len(value) > _LONGEST_TEXT:
                    return False
            elif value is None:
                has_null = True
            else:
                return False
        for name, test, may_be_null in shape.others:
            value = event[name]
            if not (test(value) or (may_be_null and value is None)):
                return False
        if has_null and not all(event[name] is not None for name in shape.never_null):
            return False
        occurred_at = event["occurred_at"]
        # The same text as received_at: it had no time of its own, and got the collector's.
        if occurred_at is not event["received_at"] and not _is_between(occurred_at, earliest, latest):
            return False
        for name in self._placing:
            if event.get(name) is not None and not _is_between(event[name], earliest, latest):
                return False
        return not self._rules or all(rule(event) for rule in self._rules)

    def _shape(self, names: tuple[str, ...]) -> _Shape:
        looked_at = {name: self._tests.get(name, _is_any) for name in names if name not in _TIMES and name != "kind"}
        keys = [name for name, test in looked_at.items() if test is _is_key]
        texts = [name for name, test in looked_at.items() if test is _is_text]
        shape = _Shape(
            keys=_getter(keys),
            texts=_getter(texts),
            never_null=tuple(name for name in (*keys, *texts) if name not in self._nullable),
            others=tuple(
                (name, test, name in self._nullable)
                for name, test in looked_at.items()
                if test is not _is_key and test is not _is_text
            ),
        )
        # Clients choose the names of unknown fields: what is remembered has a bound.
        if len(self._shapes) < _MOST_SHAPES and sum(map(len, names)) < _LONGEST_SHAPE:
            self._shapes[names] = shape
        return shape


def _getter(names: list[str]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    return itemgetter(*names, names[0]) if names else lambda _: ()  # of one name alone it gives no tuple


def is_shallow(value: Any, deepest: int) -> bool:
    """Whether no more than `deepest` lists and objects stand within each other."""
    level = [value]
    for _ in range(deepest + 1):
        level = [
            inner
            for each in level
            for inner in (each.values() if type(each) is dict else each)
            if type(inner) in _NESTED
        ]
        if not level:
            return True
    return False


def _is_between(moment: Any, earliest: datetime, latest: datetime) -> bool:
    if type(moment) is not str or not _INSTANT(moment):
        return False
    try:
        return earliest <= datetime.fromisoformat(moment) <= latest
    except ValueError:  # the 30th of February
        return False


def _test(hint: Any, info: FieldInfo) -> Test:
    if info.metadata != FieldInfo.from_annotation(hint).metadata:
        return _is_in_doubt  # a bound that stands beside the annotation
    if get_origin(hint) in (Union, types.UnionType):
        inner = [part for part in get_args(hint) if part is not type(None)]
        return _of_hint(inner[0]) if len(inner) == 1 else _is_in_doubt
    return _of_hint(hint)


def _of_hint(hint: Any) -> Test:
    origin = get_origin(hint)
    if origin is Literal:
        allowed = frozenset(get_args(hint))
        return lambda value: type(value) is str and value in allowed
    if origin in _NESTED:
        return lambda value: type(value) is origin and is_shallow(value, DEEPEST)
    return next((test for known, test in _TESTS if known == hint), _is_in_doubt)


def _is_in_doubt(_: Any) -> bool:
    return False


def _is_any(value: Any) -> bool:
    return type(value) not in _NESTED or is_shallow(value, DEEPEST)


def _is_text(value: Any) -> bool:
    return type(value) is str and len(value) <= _LONGEST_TEXT


def _is_key(value: Any) -> bool:
    return type(value) is str and 0 < len(value) <= _LONGEST_KEY


def _is_truth(value: Any) -> bool:
    return type(value) is bool


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_finite(value: Any) -> bool:
    return type(value) is int or (type(value) is float and isfinite(value))


def _is_amount(value: Any) -> bool:
    return _is_finite(value) and value >= 0


def _is_share(value: Any) -> bool:
    return _is_finite(value) and 0 <= value <= 1


def _is_probability(value: Any) -> bool:
    return _is_finite(value) and 0 < value <= 1


def _is_instant(value: Any) -> bool:
    if type(value) is not str or not _INSTANT(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


_TESTS: tuple[tuple[Any, Test], ...] = (
    (Key, _is_key),
    (str, _is_text),
    (bool, _is_truth),
    (Count, _is_count),
    (Amount, _is_amount),
    (Finite, _is_finite),
    (Share, _is_share),
    (Probability, _is_probability),
    (Instant, _is_instant),
)
