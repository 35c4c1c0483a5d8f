"""Take personal data and secrets out of text before people see it: e-mail, phone, card, IBAN, keys."""

import re
from collections.abc import Callable

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
_ANNOUNCED = re.compile(
    r"(?i)(\b(?:api[ _-]?key|access[ _-]?token|secret|password|passwd|bearer|authorization)\b['\"]?"
    r"(?:\s+is)?\s*[:=]?\s*['\"]?)(?=[^\s'\"]*\d)([A-Za-z0-9+/_.=-]{12,})"
)
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")
_CARD = re.compile(r"(?<![\w.,])\d(?:[ -]?\d){12,18}(?![\w])")
_PHONE = re.compile(
    r"(?<![\w.,/+-])(?:"
    r"\+\d{1,3}(?:[ ./-]{0,2}\(?\d{1,5}\)?){2,6}"  # +49 30 1234567
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}[ .-]\d{3}[ .-]\d{4}"  # (202) 555-0143
    r"|0\d{2,5}[ /-]\d{3,5}(?:[ -]?\d{2,5}){0,3}"  # 030 1234567
    r"|00\d{9,15}|0\d{9,14}"  # with no space at all
    r")(?!\w)(?![.,]\d)"
)


def redact(text: str) -> str:
    """The text with `[e-mail]`, `[secret]`, `[IBAN]`, `[card]` and `[phone]` in place of what looks like one.

    Prices, dates, times, versions and order numbers of up to 8 digits stay. Redacting twice changes nothing more.
    It misses names, postal addresses and what is spelled out in words.

    >>> redact("Write to anna@example.com or call +1 202-555-0143 about order 12345678, 49.90 EUR")
    'Write to [e-mail] or call [phone] about order 12345678, 49.90 EUR'
    """
    redacted = text
    for pattern, replacement in _RULES:
        redacted = pattern.sub(replacement, redacted)
    # Two numbers without a gap: the second is seen once the first is gone. Each round takes digits away, so it ends.
    return redacted if redacted == text else redact(redacted)


def _card(match: re.Match[str]) -> str:
    return "[card]" if _luhn([int(c) for c in match[0] if c.isdigit()]) else match[0]


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


def _luhn(digits: list[int]) -> bool:
    doubled = [2 * digit - 9 if 2 * digit > 9 else 2 * digit for digit in digits[-2::-2]]
    return any(digits) and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


_RULES: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (_SECRET, "[secret]"),
    (_ANNOUNCED, r"\1[secret]"),
    (_EMAIL, "[e-mail]"),
    (_IBAN, _iban),
    (_CARD, _card),
    (_PHONE, _phone),
)
