"""What is taken out of an event before it reaches a disk: personal data in its texts, the user's id.

event ──▶ its texts in one string ──▶ hints silent (nearly always, 2 µs) ──▶ the same event
                                 └──▶ a hint ──▶ rules, text by text ──▶ a new event
"""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from onlineeval_dagster.catalog.load import Catalog, load_privacy_file
from onlineeval_dagster.catalog.privacy_file import PrivacyFile
from onlineeval_dagster.contracts.events import EVENTS
from onlineeval_dagster.privacy.redaction import Hint, Rule, is_sound, kind_rules, pattern_rule, redacted
from onlineeval_dagster.privacy.salt import user_salt
from onlineeval_dagster.settings import Settings

DEEPEST = 64  # as the collector takes; what lies deeper is cut, for it cannot be looked at without end
CUT = "[cut: nested too deep]"
_KEY = re.compile(r"u_[a-z2-7]{26}", re.ASCII).fullmatch
_MOST_SHAPES = 256
_TOGETHER = 20  # events whose texts the hints see in one call; one e-mail in 100 events sets off a fifth of the calls
_ONLY_TEXT = {str}
_BETWEEN = "\x00"  # no rule matches it, so nothing is found across two texts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """One kind of event: the fields looked at, and those that the contract knows."""

    texts: tuple[str, ...]
    known: frozenset[str]
    seen: dict[tuple[str, ...], tuple[str, ...]] = field(default_factory=dict)

    def looked_at(self, event: dict[str, Any]) -> tuple[str, ...]:
        """The fields of an event that are looked at, also those that no contract knows."""
        fields = tuple(event)
        names = self.seen.get(fields)
        if names is None:
            names = tuple(name for name in fields if name in self.texts or name not in self.known)
            # Clients choose the names of unknown fields: what is remembered has a bound.
            if len(self.seen) < _MOST_SHAPES and self.known.issuperset(fields):
                self.seen[fields] = names
        return names


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """Made by `load_privacy`. Safe to share between threads."""

    rules: tuple[Rule, ...]
    hints: tuple[Hint, ...]
    own_rules: tuple[Rule, ...]
    plans: Mapping[str, _Plan]
    hashes_users: bool
    user_fields: frozenset[str]
    make_key: Callable[[str], str]

    def clean(self, event: dict[str, Any]) -> dict[str, Any]:
        """The event as it may be written down; the same object where nothing was to be done. Never changes its input.

        Any kind of event, as decoded from JSON; odd types pass or are looked through, and never raise.
        """
        texts: list[str] = []
        names = self._plan(event).looked_at(event)
        is_concerned = self._look(event, names, texts) or self._concerns(texts)
        changed = (self._changes(event, names) if is_concerned else {}) | self._keys(event)
        return event | changed if changed else event

    def clean_alike(self, events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """`clean` of each, in place where that will do. They are of one kind and have the same fields.

        The hints look at some 20 events at once, and at one only where they are not silent.
        """
        cleaned: list[dict[str, Any]] = []
        names = self._plan(events[0]).looked_at(events[0]) if events else ()
        for start in range(0, len(events), _TOGETHER):
            some = events[start : start + _TOGETHER]
            texts, has_user = self._texts(some, names)
            if has_user or self._concerns(texts):
                cleaned += map(self.clean, some)
                continue
            for event in some:
                if keys := self._keys(event):
                    event.update(keys)
            cleaned += some
        return cleaned

    def _texts(self, events: Sequence[dict[str, Any]], names: tuple[str, ...]) -> tuple[list[str], bool]:
        """All texts of events with the same fields, and what `_look` says of any of them."""
        values = [event[name] for event in events for name in names]
        if _ONLY_TEXT.issuperset(map(type, values)):
            return values, not self.user_fields.isdisjoint(names)
        texts: list[str] = []
        looks = [self._look(event, names, texts) for event in events]
        return texts, any(looks)

    def _plan(self, event: dict[str, Any]) -> _Plan:
        kind = event.get("kind")
        return (self.plans.get(kind) if type(kind) is str else None) or self.plans[""]

    def _look(self, event: dict[str, Any], names: tuple[str, ...], texts: list[str]) -> bool:
        """Put the texts of an event into `texts`; whether there is a user's id besides `user_id`, or something deep."""
        has_user = False
        for name in names:
            value = event[name]
            if type(value) is str:
                texts.append(value)
                has_user |= name in self.user_fields
            elif value:
                has_user |= self._gather(value, texts, name) or name in self.user_fields
        return has_user

    def _keys(self, event: dict[str, Any]) -> dict[str, Any]:
        """The fields of an event that name its user, with the key in place of the id; none where they do already."""
        keys: dict[str, Any] = {}
        if self.hashes_users:
            user = event.get("user_id")
            if user is not None and (key := self._key_of(user)) != user:
                keys["user_id"] = key
            if event.get("kind") == "exposure" and event.get("unit", "user") == "user":
                unit = event.get("unit_id")
                if unit is not None and (key := self._key_of(unit)) != unit:
                    keys["unit_id"] = key
        return keys

    def clean_text(self, text: str) -> str:
        """One text as it may be written down, or leave: redacted by all rules."""
        return self._text(text, 0)

    def user_key(self, user_id: str) -> str:
        """The key that stands for a user in everything written down; `user_id` itself where hashing is off."""
        return self.make_key(user_id) if self.hashes_users else user_id

    def _changes(self, event: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
        changed: dict[str, Any] = {}
        for name in names:
            value = event[name]
            if value is not None and (new := self._cleaned(value, "" if name == "attributes" else name)) is not value:
                changed[name] = new
        return changed

    def _key_of(self, user: Any) -> Any:
        if type(user) is str:
            return self.make_key(user) if user else user
        return self.make_key(str(user)) if type(user) in (int, float) else user

    def _concerns(self, texts: list[str]) -> bool:
        """Whether a rule may find something in one of them. False is certain, true is a guess."""
        plain, other = [], []  # apart: hints are ten times slower on a text that is not all ASCII
        for text in texts:
            (plain if text.isascii() else other).append(text)
        for some in (plain, other):
            if not some:
                continue
            together = _BETWEEN.join(some)
            if some is other and not is_sound(together):
                return True
            for hint in self.hints:
                if hint(together):
                    return True
        return bool(self.own_rules) and any(rule.hint(text) for rule in self.own_rules for text in texts)

    def _gather(self, value: Any, texts: list[str], path: str, depth: int = 0) -> bool:
        """Put every text within `value` into `texts`; whether a user's id or something too deep is there."""
        if type(value) is str:
            texts.append(value)
            # Escapes hide what they stand for, and make a word of what follows a line's end.
            return "\\u" in value and value[:1] in ("{", "[")
        if depth >= DEEPEST:
            return isinstance(value, dict | list | tuple)
        found = False
        if isinstance(value, dict):
            inside = "" if path == "attributes" else path
            for name, inner in value.items():
                at = f"{inside}.{name}" if inside else str(name)
                found |= self._is_user(name, at) | self._gather(inner, texts, at, depth + 1)
        elif isinstance(value, list | tuple):
            for inner in value:
                found |= self._gather(inner, texts, path, depth + 1)
        return found

    def _cleaned(self, value: Any, path: str, depth: int = 0) -> Any:
        """`value` with every text in it redacted and every user's id hashed; itself where nothing changes."""
        if type(value) is str:
            return self._text(value, depth)
        if not isinstance(value, dict | list | tuple):
            return value
        if depth >= DEEPEST:
            return CUT
        if isinstance(value, dict):
            new = {name: self._entry(name, inner, path, depth) for name, inner in value.items()}
            return new if any(new[name] is not inner for name, inner in value.items()) else value
        items = [self._cleaned(inner, path, depth + 1) for inner in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value

    def _entry(self, name: Any, value: Any, path: str, depth: int) -> Any:
        at = f"{path}.{name}" if path else str(name)
        if self._is_user(name, at) and type(value) in (str, int, float):
            key = self._key_of(value)
            return value if key == value else key
        return self._cleaned(value, at, depth + 1)

    def _is_user(self, name: Any, path: str) -> bool:
        return self.hashes_users and (name in self.user_fields or path in self.user_fields)

    def _text(self, text: str, depth: int) -> str:
        if "\\" in text and text[:1] in ("{", "["):
            try:  # JSON as text, as OpenTelemetry carries messages: its leaves are looked at, so that it stays JSON
                said = orjson.loads(text)
            except orjson.JSONDecodeError:
                pass
            else:
                new = self._cleaned(said, "", depth + 1)
                return text if new is said else orjson.dumps(new).decode()
        new = redacted(text, (*self.rules, *self.own_rules))
        return text if new == text else new


def load_privacy(settings: Settings, catalog: Catalog | None = None) -> Privacy:
    """What the catalog's privacy.toml says, with the salt of this home; the salt is made on first use.

    Raises CatalogError, or SettingsError for the salt.
    """
    folder = settings.catalog if catalog is None else catalog.folder
    said = load_privacy_file(folder)
    return make_privacy(said, salt=user_salt(settings) if said.user_ids.hash else b"")


def make_privacy(said: PrivacyFile, *, salt: bytes) -> Privacy:
    """The policy for what privacy.toml says and a salt."""
    looked_at = {kind: said.redact.fields_of(kind) for kind in EVENTS}
    plans = {
        kind: _Plan(texts=looked_at[kind], known=frozenset(contract.model_fields)) for kind, contract in EVENTS.items()
    }
    any_field = dict.fromkeys(name for names in looked_at.values() for name in names)
    known = frozenset(name for contract in EVENTS.values() for name in contract.model_fields)
    secret = hashlib.blake2b(salt, digest_size=32).digest()
    rules = kind_rules(said.redact.kinds)
    return Privacy(
        rules=rules,
        hints=tuple(dict.fromkeys(rule.hint for rule in rules)),
        own_rules=tuple(pattern_rule(own.name, re.compile(own.pattern)) for own in said.redact.patterns),
        plans=plans | {"": _Plan(texts=tuple(any_field), known=known)},
        hashes_users=said.user_ids.hash,
        user_fields=frozenset(said.user_ids.keys),
        make_key=lru_cache(maxsize=2**16)(lambda user_id: _hashed(user_id, secret)),
    )


def _hashed(user_id: str, secret: bytes) -> str:
    """u_ and 128 bits of a keyed BLAKE2b (RFC 7693) in base 32. A key stays as it is: cleaning twice is once."""
    if _KEY(user_id):
        return user_id
    digest = hashlib.blake2b(user_id.encode("utf-8", "surrogatepass"), key=secret, digest_size=16).digest()
    return "u_" + base64.b32encode(digest).decode().rstrip("=").lower()
