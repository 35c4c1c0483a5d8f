"""A day's calls spread over its windows: rates go down before the budget is gone, and never after the fact."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from onlineeval_dagster.sampling.draw import Pacing

LEAST = 0.05
"""Rates are lowered to a twentieth at most; one that is lower still says nothing, and answers are shed instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Calls that a window's undecided answers ask for at full rates. `fixed` are those of sizes, which stay."""

    flagged: float = 0.0
    others: float = 0.0
    fixed: float = 0.0

    @property
    def total(self) -> float:
        return self.flagged + self.others + self.fixed

    def scaled(self, factor: float) -> "Wanted":
        return Wanted(flagged=self.flagged * factor, others=self.others * factor, fixed=self.fixed * factor)


def pace_day(
    opening: Mapping[datetime, Wanted],
    *,
    forecast: Mapping[datetime, Wanted],
    spent: float,
    calls: int,
    window_minutes: int,
    now: datetime,
) -> dict[datetime, Pacing]:
    """The pacing of each window in `opening`, which are all of one day and have no rows yet.

    forecast  what earlier days let expect of each window of this day; empty where there are none: then each later
              window is taken to be as busy as this one
    spent     calls that the day's other windows have already

    Each window gets the same share of what it wants as all windows from it on could have together; answers that look
    wrong keep their rate as long as the others can make room.

    >>> from datetime import UTC
    >>> noon = datetime(2026, 11, 10, 12, tzinfo=UTC)
    >>> day = dict(opening={noon: Wanted(others=100)}, window_minutes=720, now=noon + timedelta(days=1))
    >>> pace_day(forecast={noon: Wanted(others=100)}, spent=50, calls=100, **day)[noon].others
    0.5
    """
    paced: dict[datetime, Pacing] = {}
    left = float(calls) - spent
    for start in sorted(opening):
        wanted = _whole(opening[start], forecast.get(start), start, window_minutes, now)
        ahead = wanted.total + _later(start, wanted, opening, forecast, window_minutes, now)
        allowed = wanted.total * min(1.0, left / ahead) if ahead > 0 else wanted.total
        pacing = Pacing(shed=True) if left < 1 else _within(wanted, allowed)
        if not pacing.shed:
            left -= wanted.fixed + wanted.flagged * pacing.flagged + wanted.others * pacing.others
        paced[start] = pacing
    return paced


def _within(wanted: Wanted, allowed: float) -> Pacing:
    """Factors that keep to `allowed` calls: the others make room first."""
    room = allowed - wanted.fixed - wanted.flagged
    if room >= LEAST * wanted.others:
        return Pacing(others=min(1.0, max(LEAST, room / wanted.others)) if wanted.others > 0 else 1.0)
    room = allowed - wanted.fixed - LEAST * wanted.others
    flagged = min(1.0, room / wanted.flagged) if wanted.flagged > 0 else 1.0
    return Pacing(flagged=max(flagged, LEAST), others=LEAST if wanted.others > 0 else 1.0)


def _whole(seen: Wanted, expected: Wanted | None, start: datetime, minutes: int, now: datetime) -> Wanted:
    """What the whole window will want: what is there, or what earlier days say where that is more."""
    elapsed = min(1.0, max((now - start) / timedelta(minutes=minutes), 0.05))
    if expected is None:
        return seen.scaled(1 / elapsed)
    return seen if seen.total >= expected.total or elapsed >= 1 else expected


def _later(
    start: datetime,
    wanted: Wanted,
    opening: Mapping[datetime, Wanted],
    forecast: Mapping[datetime, Wanted],
    minutes: int,
    now: datetime,
) -> float:
    """Calls that the windows after `start` will want."""
    later: Sequence[datetime] = [
        at for n in range(1, 1440 // minutes) if (at := start + timedelta(minutes=n * minutes)).date() == start.date()
    ]
    total = 0.0
    for at in later:
        if at <= now:
            # What came before the judge, or came already: only what still waits for a decision wants calls.
            total += opening[at].total if at in opening else 0.0
        elif forecast:
            total += forecast.get(at, Wanted()).total
        else:
            total += wanted.total
    return total
