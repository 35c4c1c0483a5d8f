"""Take personal data and secrets out of text: e-mail, phone, card, keys, IBAN, IP address, and what a team adds.

Most texts have nothing in them, and the collector sees 60,000 a second. Each rule therefore has a `hint`: a pattern
without look-arounds that matches wherever the rule could, run by the Rust regex engine inside pydantic-core (0.2 µs
for 1.3 KB; Python's own needs 40 to 160 µs for a rule). Where the hint is silent the rule is not tried.
tests/privacy holds every hint against its rule on texts rich in near hits.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_address

from pydantic_core import SchemaValidator, core_schema

# Digits of European, Arabic, Persian and Hindi texts and full-width ones. Not \d: what that holds depends on the
# Unicode tables of whoever reads it, and the hint is read by another engine.
_D = "0-9\u0660-\u0669\u06f0-\u06f9\u0966-\u096f\uff10-\uff19"
_SPACE = " \u00a0\u2009\u202f"  # with the no-break and narrow ones that typography puts into numbers
_DASH = "\\-\u2010-\u2013"

_EMAIL = re.compile(r"[\w.+%-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24}")

# Prefixes under which providers hand out keys, and long tokens after a word that announces one.
_SECRET = re.compile(
    r"\b(?:sk|pk|rk)[-_](?:[A-Za-z0-9]+[-_])*[A-Za-z0-9]{16,}\b"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}\b|\bgithub_pat_[A-Za-z0-9_]{20,}\b"
    r"|\bxox[abprs]-[A-Za-z0-9-]{10,}"
    r"|\bAKIA[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}"
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----(?:.*?-----END [A-Z ]*PRIVATE KEY-----)?",
    re.DOTALL,
)
_SECRET_HINT = (
    r"[spr]k[-_][A-Za-z0-9_-]{16}|gh[pousr]_[A-Za-z0-9]{20}|github_pat_|xox[abprs]-|AKIA[0-9A-Z]{16}"
    r"|AIza[0-9A-Za-z_-]{35}|eyJ[A-Za-z0-9_-]{8}|-----BEGIN "
)
_ANNOUNCED = re.compile(
    r"(\b(?:api[ _-]?key|access[ _-]?token|secret|password|passwd|bearer|authorization)\b['\"]?"
    r"(?:\s+is)?\s*[:=]?\s*['\"]?)(?=[^\s'\"]*[0-9])([A-Za-z0-9+/_.=-]{12,})",
    re.ASCII | re.IGNORECASE,  # ASCII: else "ſ" is an s here and an "ı" an i, in this engine only
)
_ANNOUNCED_HINT = (
    r"(?:(?i-u:api[ _-]?key|access[ _-]?token|secret|password|passwd|bearer|authorization))['\x22]?"
    r"(?:\s+(?i-u:is))?\s*[:=]?\s*['\x22]?[A-Za-z0-9+/_.=-]{12}"
)
_IBAN = re.compile(r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b")
_CARD = re.compile(rf"(?<![\w.,])[{_D}](?:[{_SPACE}{_DASH}]?[{_D}]){{12,18}}(?![\w])")
_PHONE = re.compile(
    r"(?<![\w.,/+-])(?:"
    r"\+D{1,3}(?:[S./H]{0,2}\(?D{1,5}\)?){2,6}"  # +49 30 1234567
    r"|\(D{3}\)[S]?D{3}[S.H]D{4}|D{3}[S.H]D{3}[S.H]D{4}"  # (202) 555-0143
    r"|0D{2,5}[S/H]D{3,5}(?:[SH]?D{2,5}){0,3}"  # 030 1234567
    r"|00D{9,15}|0D{9,14}"  # with no space at all
    r")(?!\w)(?![.,]D)".replace("D", f"[{_D}]")
    .replace("S", _SPACE)
    .replace("H", _DASH)
)
_IPV4 = r"[0-9]{1,3}(?:\.[0-9]{1,3}){3}"
_IPV6 = r"[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}"
_IP = re.compile(rf"(?<![\w.:])(?:{_IPV6}|{_IPV4})(?![\w:]|\.[0-9])")

Replace = Callable[[str], str]
_Replacement = str | Callable[[re.Match[str]], str]
Hint = Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing to be taken out. `hint(text)` false means that `replace(text)` is `text`."""

    hint: Hint
    replace: Replace


def redact(text: str) -> str:
    """The text with `[e-mail]`, `[secret]`, `[IBAN]`, `[card]` and `[phone]` in place of what looks like one.

    Prices, dates, times, versions and order numbers of up to 8 digits stay. Redacting twice changes nothing more.
    It misses names, postal addresses and what is spelled out in words.

    >>> redact("Write to anna@example.com or call +1 202-555-0143 about order 12345678, 49.90 EUR")
    'Write to [e-mail] or call [phone] about order 12345678, 49.90 EUR'
    """
    return redacted(text, _READER_RULES)


def redacted(text: str, rules: Iterable[Rule]) -> str:
    """The text after every rule, until nothing changes: of two numbers without a gap the second is seen last."""
    forced = not text.isascii() and not is_sound(text)
    for _ in range(_ROUNDS):
        before = text
        for rule in rules:
            if forced or rule.hint(text):
                text = rule.replace(text)
        if text == before:
            return text
    return text


def findings(text: str) -> list[tuple[str, str]]:
    """What `redact` takes out, as (kind, value), in the order in which it does; a value that is there twice twice.

    >>> findings("Write to anna@example.com, password: hunter2hunter2")
    [('secret', 'hunter2hunter2'), ('e-mail', 'anna@example.com')]
    """
    found: list[tuple[str, str]] = []
    for _ in range(_ROUNDS):
        before = text
        for kind, shapes in _SHAPES.items():
            for rule, (pattern, replacement) in zip(KINDS[kind], shapes, strict=True):
                if rule.hint(text):
                    found += [(kind, value) for value in _values(text, kind, pattern, replacement)]
                    text = rule.replace(text)
        if text == before:
            break
    return found


def _values(text: str, kind: str, pattern: re.Pattern[str], replacement: _Replacement) -> Iterable[str]:
    # As `_in_words`: only the words with the sign.
    parts = [word for word in text.split(" ") if "@" in word] if kind == "e-mail" else [text]
    for match in (match for part in parts for match in pattern.finditer(part)):
        new = replacement(match) if callable(replacement) else match.expand(replacement)
        head, mark, tail = new.partition(f"[{kind}]")
        if mark:
            yield match[0][len(head) : len(match[0]) - len(tail)]


def kind_rules(kinds: Iterable[str]) -> tuple[Rule, ...]:
    """The rules of these kinds (keys of `KINDS`), in the order in which they have to be tried."""
    return tuple(rule for name, rules in KINDS.items() if name in set(kinds) for rule in rules)


def pattern_rule(name: str, pattern: re.Pattern[str]) -> Rule:
    """A team's own pattern: `[name]` takes the place of what it matches."""
    return Rule(hint=lambda text: pattern.search(text) is not None, replace=lambda text: pattern.sub(f"[{name}]", text))


@cache
def _rust(pattern: str) -> Hint:
    """Whether a text matches, by the Rust engine; linear in the text."""
    return SchemaValidator(core_schema.str_schema(pattern=pattern, regex_engine="rust-regex")).isinstance_python


is_sound: Hint = _rust("")
"""False for a text with half a surrogate pair: the other engine cannot read it, so hints say nothing about it."""


def _number_hint() -> Hint:
    """A text may hold a telephone or card number: nine digits or more in a row, and then the shape of one of the two.

    The shapes are what tells "2026-11-23 49.90" from a telephone number: such dates and prices are in every other
    text, and the rules themselves take 80 µs. A text of ASCII alone needs the narrow patterns only, which are faster.
    """
    narrow = _number_shapes(digits="0-9", spaces=" ", dashes="\\-")
    wide = _number_shapes(digits=_D, spaces=_SPACE, dashes=_DASH)

    def hint(text: str) -> bool:
        nine_digits, plus, groups, zero, thirteen_digits, card = narrow if text.isascii() else wide
        return nine_digits(text) and (
            plus(text) or zero(text) or groups(text) or (thirteen_digits(text) and card(text))
        )

    return hint


def _number_shapes(*, digits: str, spaces: str, dashes: str) -> tuple[Hint, Hint, Hint, Hint, Hint, Hint]:
    """Nine digits and what numbers are written with between them; _PHONE's shapes, roughly; _CARD's, roughly and well.

    One after the other, not as alternatives of one pattern: those are slower than the sum, for the engine then has
    no first character to skip to.
    """
    digit, between = f"[{digits}]", f"[{spaces}{dashes}]?"
    other = digits.removeprefix("0-9")
    # No issuer's number begins with 20 or 19, as dates do; the sign before keeps out the middle of two dates.
    first = f"(?:[3-6{other}]{between}{digit}|2{between}[2-7{other}])"
    return (
        _rust(rf"{digit}(?:[{spaces}./()+{dashes}]*{digit}){{8}}"),
        _rust(rf"\+{digit}(?:[{spaces}./(){dashes}]*{digit}){{8}}"),
        _rust(rf"{digit}[{spaces}.){dashes}]{{1,2}}{digit}{{3}}[{spaces}.{dashes}]{digit}{{4}}"),
        _rust(rf"(?-u:\b)0{digit}{{2,5}}[{spaces}/{dashes}]{digit}{{3}}|(?-u:\b)0{digit}{{9}}"),
        _rust(rf"[2-6{other}](?:{between}{digit}){{12}}"),
        _rust(rf"(?:^|[^0-9A-Za-z_.,]){first}(?:{between}{digit}){{11}}"),
    )


def _in_words(pattern: re.Pattern[str], replacement: str, sign: str) -> Replace:
    """For a pattern that matches no space and needs `sign`: only the words with one are looked at."""

    def replace(text: str) -> str:
        words = text.split(" ")
        return " ".join([pattern.sub(replacement, word) if sign in word else word for word in words])

    return replace


def _sub(pattern: re.Pattern[str], replacement: _Replacement) -> Replace:
    return lambda text: pattern.sub(replacement, text)


def _card(match: re.Match[str]) -> str:
    """Only with a prefix and length that issuers use (ISO 7812 ranges) and its check digit right."""
    digits = [int(c) for c in match[0] if c.isdigit()]
    two = digits[0] * 10 + digits[1]
    lengths = range(14, 20) if two in (30, 36, 38, 39) else (15, 16, 17, 18, 19) if digits[0] == 3 else range(13, 20)
    known = digits[0] in (3, 4, 5, 6) or 22 <= two <= 27
    return "[card]" if known and len(digits) in lengths and _luhn(digits) else match[0]


def _phone(match: re.Match[str]) -> str:
    """Order numbers have up to 8 digits, telephone numbers with their prefix 9 or more."""
    return "[phone]" if sum(c.isdigit() for c in match[0]) >= 9 else match[0]


def _iban(match: re.Match[str]) -> str:
    """Only with its check digits right: ISO 13616, the number modulo 97 is 1."""
    # The pattern may swallow a capitalised word that follows; try shorter ends at the spaces.
    for end in [len(match[0]), *(place for place in range(len(match[0]) - 1, 0, -1) if match[0][place] == " ")]:
        code = match[0][:end].replace(" ", "")
        if 15 <= len(code) <= 34 and int("".join(str(int(c, 36)) for c in code[4:] + code[:4])) % 97 == 1:
            return "[IBAN]" + match[0][end:]
    return match[0]


def _ip(match: re.Match[str]) -> str:
    """A version such as 1.2.3.4 looks like one and is taken for one; a time such as 08:00:15 is none."""
    try:
        ip_address(match[0])
    except ValueError:
        return match[0]
    return match[0] if match[0] == "::" else "[IP]"


def _luhn(digits: list[int]) -> bool:
    doubled = [2 * digit - 9 if 2 * digit > 9 else 2 * digit for digit in digits[-2::-2]]
    return any(digits) and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


_NUMBER = _number_hint()
_ROUNDS = 64  # each round takes something away; the bound is for a team's own patterns

KINDS: Mapping[str, tuple[Rule, ...]] = {
    "secret": (
        Rule(hint=_rust(_SECRET_HINT), replace=_sub(_SECRET, "[secret]")),
        Rule(hint=_rust(_ANNOUNCED_HINT), replace=_sub(_ANNOUNCED, r"\1[secret]")),
    ),
    "e-mail": (Rule(hint=lambda text: "@" in text, replace=_in_words(_EMAIL, "[e-mail]", "@")),),
    "IBAN": (Rule(hint=_rust(r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11}"), replace=_sub(_IBAN, _iban)),),
    "card": (Rule(hint=_NUMBER, replace=_sub(_CARD, _card)),),
    "phone": (Rule(hint=_NUMBER, replace=_sub(_PHONE, _phone)),),
    "IP": (Rule(hint=_rust(rf"{_IPV4}|[0-9A-Fa-f]{{0,4}}(?::[0-9A-Fa-f]{{0,4}}){{2}}"), replace=_sub(_IP, _ip)),),
}
"""What can be taken out, by name, in the order in which it is tried: a card is no telephone number."""

_SHAPES: Mapping[str, tuple[tuple[re.Pattern[str], _Replacement], ...]] = {
    "secret": ((_SECRET, "[secret]"), (_ANNOUNCED, r"\1[secret]")),
    "e-mail": ((_EMAIL, "[e-mail]"),),
    "IBAN": ((_IBAN, _iban),),
    "card": ((_CARD, _card),),
    "phone": ((_PHONE, _phone),),
}
"""The pattern and replacement of each of the reader's rules, for those who want to know what was found."""

_READER_KINDS = tuple(_SHAPES)
_READER_RULES = kind_rules(_READER_KINDS)
