"""Whether events are surely what their contract wants: a cheap look for the many, so that few need the contract itself.

Events with the same fields are looked at together, field by field and in C: of a batch of 100 an event costs 1 µs.
Made from the contracts. What it does not know how to judge is not sure: a new bound or validator makes its kind slow,
never wrong (tests/collector/test_intake.py holds it against `log.reader.parse_line`).
"""

import re
import types
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from itertools import chain
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
_NULL = type(None)

Types = set[type]
Test = Callable[[Types, list[Any]], bool]
"""Whether values, one or more and none of them null, are what a field wants; their types are known already."""
Getter = Callable[[dict[str, Any]], tuple[Any, ...]]
Rule = Callable[[dict[str, Any]], bool]

_Shape = tuple[tuple[Getter, Test, bool], ...]
"""How events with the same fields are looked at: the values of some fields, their test, whether they may be null."""

# What the validators of whole events ask, by their names. The first two hold for all that passes here.
_RULES: Mapping[str, Rule | None] = {
    "_keep_unknown_fields": None,
    "_not_before_2000": None,
    "_score_or_error": lambda event: (event.get("score") is None) != (event.get("error_kind") is None),
    "_a_span_has_its_ids": lambda event: event.get("trace_id") is not None and event.get("span_id") is not None,
}


class QuickLook:
    """The look at one kind of event, whose day is told by the times `day_of`."""

    def __init__(self, contract: type[LogEvent], day_of: tuple[str, ...]) -> None:
        validators = set(contract.__pydantic_decorators__.model_validators)
        hints = get_type_hints(contract, include_extras=True)
        self._tests = {name: _test(hints[name], info) for name, info in contract.model_fields.items()}
        self._required = frozenset(name for name, info in contract.model_fields.items() if info.is_required())
        self._nullable = frozenset(name for name, hint in hints.items() if _NULL in get_args(hint))
        self._is_possible = validators <= _RULES.keys() and all(self._tests[name] is _are_instants for name in _TIMES)
        self._rules = [rule for name in validators if (rule := _RULES.get(name)) is not None]
        self._placing = tuple(name for name in day_of if name not in _TIMES)
        self._shapes: dict[tuple[str, ...], _Shape] = {}

    def is_sure(
        self, events: Sequence[dict[str, Any]], names: tuple[str, ...], *, earliest: datetime, latest: datetime
    ) -> bool:
        """Whether the log's reader takes each of `events`, just parsed from JSON, with its times between the two.

        `names` are the fields that each of them has, in that order. `received_at` is not looked at. False means: look
        at fewer of them, or ask the contract.
        """
        shape = self._shapes.get(names)
        if shape is None:
            if not self._is_possible or not self._required.issubset(names):
                return False
            shape = self._shape(names)
        for getter, test, may_be_null in shape:
            values = [*chain.from_iterable(map(getter, events))]
            kinds = set(map(type, values))
            if may_be_null and _NULL in kinds:
                kinds.remove(_NULL)
                values = [value for value in values if value is not None]
            if values and not test(kinds, values):
                return False
        for event in events:
            occurred_at = event["occurred_at"]
            # The same text as received_at: it had no time of its own, and got the collector's.
            if occurred_at is not event["received_at"] and not _is_between(occurred_at, earliest, latest):
                return False
        return (not self._placing and not self._rules) or all(
            self._is_placed(event, earliest, latest) and all(rule(event) for rule in self._rules) for event in events
        )

    def _is_placed(self, event: dict[str, Any], earliest: datetime, latest: datetime) -> bool:
        moments = [moment for name in self._placing if (moment := event.get(name)) is not None]
        return all(_is_between(moment, earliest, latest) for moment in moments)

    def _shape(self, names: tuple[str, ...]) -> _Shape:
        """The fields by their test: those that share one are looked at in one go."""
        alike: dict[tuple[Test, bool], list[str]] = {}
        for name in names:
            if name not in _TIMES and name != "kind":
                may_be_null = name in self._nullable or name not in self._tests
                alike.setdefault((self._tests.get(name, _are_any), may_be_null), []).append(name)
        shape = tuple((_getter(some), test, may_be_null) for (test, may_be_null), some in alike.items())
        # Clients choose the names of unknown fields: what is remembered has a bound.
        if len(self._shapes) < _MOST_SHAPES and sum(map(len, names)) < _LONGEST_SHAPE:
            self._shapes[names] = shape
        return shape


def _getter(names: list[str]) -> Getter:
    return itemgetter(*names, names[0])  # of one name alone it gives no tuple


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
        return _are_in_doubt  # a bound that stands beside the annotation
    if get_origin(hint) in (Union, types.UnionType):
        inner = [part for part in get_args(hint) if part is not _NULL]
        return _of_hint(inner[0]) if len(inner) == 1 else _are_in_doubt
    return _of_hint(hint)


def _of_hint(hint: Any) -> Test:
    origin = get_origin(hint)
    if origin is Literal:
        allowed = frozenset(get_args(hint))
        return lambda kinds, values: kinds == {str} and allowed.issuperset(values)
    if origin in _NESTED:
        return lambda kinds, values: kinds == {origin} and all(is_shallow(value, DEEPEST) for value in values)
    return next((test for known, test in _TESTS if known == hint), _are_in_doubt)


def _are_in_doubt(_: Types, __: list[Any]) -> bool:
    return False


def _are_any(kinds: Types, values: list[Any]) -> bool:
    return kinds.isdisjoint(_NESTED) or all(is_shallow(value, DEEPEST) for value in values if type(value) in _NESTED)


def _are_texts(kinds: Types, values: list[Any]) -> bool:
    return kinds == {str} and max(map(len, values)) <= _LONGEST_TEXT


def _are_keys(kinds: Types, values: list[Any]) -> bool:
    return kinds == {str} and all(values) and max(map(len, values)) <= _LONGEST_KEY


def _are_truths(kinds: Types, _: list[Any]) -> bool:
    return kinds == {bool}


def _are_counts(kinds: Types, values: list[Any]) -> bool:
    return kinds == {int} and min(values) >= 0 and max(values) < 2**63


def _are_finite(kinds: Types, values: list[Any]) -> bool:
    return kinds <= {int, float} and all(isfinite(value) for value in values if type(value) is float)


def _are_amounts(kinds: Types, values: list[Any]) -> bool:
    return _are_finite(kinds, values) and min(values) >= 0


def _are_shares(kinds: Types, values: list[Any]) -> bool:
    return _are_finite(kinds, values) and min(values) >= 0 and max(values) <= 1


def _are_probabilities(kinds: Types, values: list[Any]) -> bool:
    return _are_finite(kinds, values) and min(values) > 0 and max(values) <= 1


def _are_instants(kinds: Types, values: list[Any]) -> bool:
    return kinds == {str} and all(map(_is_instant, values))


def _is_instant(text: str) -> bool:
    if not _INSTANT(text):
        return False
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


_TESTS: tuple[tuple[Any, Test], ...] = (
    (Key, _are_keys),
    (str, _are_texts),
    (bool, _are_truths),
    (Count, _are_counts),
    (Amount, _are_amounts),
    (Finite, _are_finite),
    (Share, _are_shares),
    (Probability, _are_probabilities),
    (Instant, _are_instants),
)
