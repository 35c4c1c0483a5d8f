"""From looks to episodes: when a series went wrong, when that was evident, and when it was over."""

from dataclasses import dataclass

import numpy as np

from onlineeval_dagster.alerts.evidence import Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One stretch of trouble of one series; numbers are positions of looks.

    began   the first look of it
    fired   the look that made it evident; None: seen, and not confirmed yet
    ended   the look that made it evident that it is over; None: it goes on
    worst   the look with the largest statistic
    """

    series: int
    began: int
    fired: int | None
    ended: int | None
    worst: int


def episodes(judged: Judged, *, confirm: int, recover: int) -> list[Episode]:
    """The episodes of every series: `confirm` looks in a row make one, `recover` clear ones in a row end it."""
    found: list[Episode] = []
    for series in np.flatnonzero(judged.beyond.any(axis=1)):
        found += _of_series(judged, int(series), confirm, recover)
    return found


@dataclass(slots=True)
class _Open:
    began: int
    fired: int | None = None
    in_a_row: int = 0
    calm: int = 0


def _of_series(judged: Judged, series: int, confirm: int, recover: int) -> list[Episode]:
    found: list[Episode] = []
    current: _Open | None = None
    for look in np.flatnonzero(judged.known[series]).tolist():
        beyond, clear = bool(judged.beyond[series, look]), bool(judged.clear[series, look])
        if current is None:
            if not beyond:
                continue
            current = _Open(began=int(judged.began[series, look]))
        if beyond:
            current.in_a_row += 1
            current.calm = 0
            if current.fired is None and current.in_a_row >= confirm:
                current.fired = look
        elif current.fired is None:  # pending, and not confirmed
            current = None
            continue
        else:
            current.in_a_row = 0
            current.calm = current.calm + 1 if clear else 0
        if current.calm >= recover:
            found.append(_episode(judged, series, current, look))
            current = None
    if current is not None:
        found.append(_episode(judged, series, current, None))
    return found


def _episode(judged: Judged, series: int, current: _Open, ended: int | None) -> Episode:
    last = judged.beyond.shape[1] - 1 if ended is None else ended
    strength = np.nan_to_num(judged.strength[series, current.began : last + 1], nan=-np.inf)
    return Episode(
        series=series,
        began=current.began,
        fired=current.fired,
        ended=ended,
        worst=current.began + int(strength.argmax()),
    )
