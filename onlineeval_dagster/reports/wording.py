"""Numbers and times as people read them: "87 %", "84–90 %", "9 points", "Mon 16 Nov 10:00"."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime

from onlineeval_dagster.reports.model import Unit

SECONDS_FROM_MS = 2000  # above this, seconds read easier than milliseconds
# Overrides of the writing direction and control characters would let a quoted answer rearrange the page around it.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


_MOST_DECIMALS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One way to write the numbers that stand together: prefix, value * factor with `decimals`, suffix."""

    factor: float
    decimals: int
    prefix: str = ""
    suffix: str = ""
    difference_suffix: str = ""

    def number(self, value: float) -> str:
        text = f"{value * self.factor:,.{self.decimals}f}"
        return "0" if float(text.replace(",", "")) == 0 else text.replace("-", "−")

    def value(self, value: float) -> str:
        """
        >>> format_for("share", 0.84, 0.87, 0.90).value(0.87)
        '87 %'
        """
        return self.prefix + self.number(value) + self.suffix

    def likely(self, low: float, high: float) -> str:
        """
        >>> format_for("share", 0.84, 0.87, 0.90).likely(0.84, 0.90)
        '84–90 %'
        """
        first, last = self.number(low), self.number(high)
        return self.prefix + (first if first == last else f"{first}–{last}") + self.suffix

    def difference(self, size: float) -> str:
        """The size of a difference, without its sign.

        >>> format_for("share", 0.06, 0.09, 0.12).difference(-0.09)
        '9 points'
        """
        number = self.number(abs(size))
        one_point = self.difference_suffix == " points" and number == "1"
        return self.prefix + number + (" point" if one_point else self.difference_suffix)

    def finer(self) -> "Format":
        return replace(self, decimals=self.decimals + 1)


def format_for(unit: Unit, low: float, value: float, high: float) -> Format:
    """How to write a value and its likely range.

    A share that is not all is never written as 100 %, nor one that is not none as 0 %.
    """
    chosen = format_for_difference(unit, low, high)
    while unit == "share" and chosen.decimals < _MOST_DECIMALS:
        shown = round(value * chosen.factor, chosen.decimals)
        if not ((value < 1 and shown == 100) or (value > 0 and shown == 0)):
            break
        chosen = chosen.finer()
    return chosen


def format_for_difference(unit: Unit, low: float, high: float) -> Format:
    """As many decimals as the range deserves: it spans about two steps of the last digit or more."""
    scale = _scale(unit, max(abs(low), abs(high)))
    width = (high - low) * scale.factor
    # Below 1e-300 2 / width is infinite (found by hypothesis).
    decimals = min(_MOST_DECIMALS, max(0, math.ceil(math.log10(2 / max(width, 1e-300)))))
    return replace(scale, decimals=decimals if width > 0 else 1)


def _scale(unit: Unit, largest: float) -> Format:
    if unit == "share":
        return Format(factor=100, decimals=0, suffix=" %", difference_suffix=" points")
    if unit == "usd":
        return Format(factor=1, decimals=2, prefix="$")
    if unit == "ms":
        in_seconds = largest >= SECONDS_FROM_MS
        suffix = " s" if in_seconds else " ms"
        return Format(factor=0.001 if in_seconds else 1, decimals=0, suffix=suffix, difference_suffix=suffix)
    return Format(factor=1, decimals=1)


def apart(first: Format, second: Format, values: tuple[float, float]) -> Format:
    """The finer of two formats, and finer still while it writes two different values alike."""
    chosen = first if first.decimals >= second.decimals else second
    if first.factor != second.factor or values[0] == values[1]:
        return first
    for _ in range(3):
        if chosen.number(values[0]) != chosen.number(values[1]):
            break
        chosen = chosen.finer()
    return chosen


def count(number: int, one: str, many: str | None = None) -> str:
    """
    >>> count(3214, "answer"), count(1, "day"), count(2, "is", "are")
    ('3,214 answers', '1 day', '2 are')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def part(number: int, whole: int) -> str:
    """A share of a whole for people; "less than 1 %" rather than a rounded nothing.

    >>> part(482, 3214), part(1, 3214), part(0, 3214), part(3213, 3214)
    ('15 %', 'less than 1 %', '0 %', 'more than 99 %')
    """
    return percent(number / whole if whole else 0.0)


def percent(share: float) -> str:
    """A share in whole percent, never rounded to none or all."""
    if 0 < share < 0.01:
        return "less than 1 %"
    if 0.99 < share < 1:
        return "more than 99 %"
    return f"{100 * share:.0f} %"


def day_long(day: date) -> str:
    """
    >>> day_long(date(2026, 11, 16))
    'Monday 16 November 2026'
    """
    return f"{day:%A} {day.day} {day:%B %Y}"


def day_short(day: date) -> str:
    """
    >>> day_short(date(2026, 11, 16))
    'Mon 16 Nov'
    """
    return f"{day:%a} {day.day} {day:%b}"


def moment(instant: datetime) -> str:
    """
    >>> moment(datetime(2026, 11, 16, 10, 0, tzinfo=UTC))
    'Mon 16 Nov 10:00'
    """
    instant = instant.astimezone(UTC)
    return f"{day_short(instant.date())} {instant:%H:%M}"


def listed(words: Sequence[str]) -> str:
    """
    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def day_spans(days: Sequence[date]) -> str:
    """Days as spans: "2026-11-09 to 2026-11-12, 2026-11-14"; "none" where there are none."""
    spans: list[list[date]] = []
    for day in sorted(set(days)):
        if spans and (day - spans[-1][1]).days == 1:
            spans[-1][1] = day
        else:
            spans.append([day, day])
    return ", ".join(f"{first}" if first == last else f"{first} to {last}" for first, last in spans) or "none"


def quoted(text: str, *, limit: int) -> str:
    """Text from production, without unseen characters, cut between words at `limit` characters and marked so."""
    text = _UNSEEN.sub("", text).strip()
    if len(text) <= limit:
        return text
    cut = text[:limit]
    return (cut.rsplit(None, 1)[0] if " " in cut[limit // 2 :] else cut).rstrip() + " …"


def lower_first(text: str) -> str:
    """As it stands inside a sentence; an abbreviation keeps its capitals."""
    return text[:1].lower() + text[1:] if not text[:2].isupper() else text
