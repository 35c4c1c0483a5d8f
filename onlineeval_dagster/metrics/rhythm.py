"""What a series is expected to be on a day, from the days before it: time of day, day of week, trend. Robust.

A day is never smoothed over: its expectation rests on earlier days only, since a smoother bends to the newest points
(MSTL leaves 1.0 of a step of 4 in the last six hours). Values beyond three robust standard deviations are pulled in to
that distance before means are taken (one Huber step from a median start), so that an outage of a week ago neither
becomes a rhythm nor widens the limits. All functions work on many series at once: axes (series, days, slots of a day).
"""

from dataclasses import dataclass

import numpy as np

from onlineeval_dagster.metrics.robust import NORMAL_MAD, median

Floats = np.ndarray
HUBER = 3.0
LEVEL_HALF_LIFE_DAYS = 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Expectation of one day for each of some series: `value` (series, slots), and the error's scale (series).

    NaN where the history does not reach.
    """

    value: Floats
    scale: Floats


def expect(history: Floats, weekday: np.ndarray, *, of_weekday: int, ahead: int = 1, needed_days: int = 7) -> Expected:
    """What to expect `ahead` days after the end of `history` (series, days, slots), a day that behaves like
    `of_weekday`; `weekday` says the same of the days of the history. Missing values are NaN.
    """
    start = median(history, axis=1)
    level = median(history - start[:, None, :], axis=2)
    rest = history - start[:, None, :] - level[:, :, None]
    spread = NORMAL_MAD * median(median(np.abs(rest), axis=1), axis=1)
    bound = (HUBER * spread)[:, None, None]
    rest = np.clip(rest, -bound, bound)
    more = _mean(rest, axis=1)
    profile = start + np.nan_to_num(more)
    rest = rest - more[:, None, :]
    level = level + _mean(rest, axis=2)
    rest = rest - _mean(rest, axis=2)[:, :, None]
    same = weekday == of_weekday
    days = len(weekday)
    # Degrees of freedom spent on the profile and on the days' levels.
    slots = history.shape[2]
    left = max((1 - 1 / days) * (1 - 1 / slots), 0.1)
    within = np.nan_to_num(_mean_square(rest, axes=(1, 2))) / left
    ahead_level, level_square = _level(level, weekday, of_weekday, ahead)
    value = profile + _of_the_weekday(rest[:, same], within) + ahead_level[:, None]
    value[np.isfinite(level).sum(axis=1) < needed_days] = np.nan
    return Expected(value=value, scale=np.sqrt(within + level_square))


def _of_the_weekday(rest: Floats, within: Floats) -> Floats:
    """How the slots of one weekday differ from those of all days: its mean, shrunk by what noise alone would give.

    With four Mondays a cell's mean is half noise; positive-part James-Stein keeps what stands out of it.
    """
    if not rest.shape[1]:
        return np.zeros((rest.shape[0], rest.shape[2]))
    mean = np.nan_to_num(_mean(rest, axis=1))
    noise = within / np.maximum(np.isfinite(rest).sum(axis=1).mean(axis=1), 1)
    return mean * _kept(noise, (mean**2).mean(axis=1))[:, None]


def _level(level: Floats, weekday: np.ndarray, of_weekday: int, ahead: int) -> tuple[Floats, Floats]:
    """The day's level: a line through the days before, newer ones weighing more, and each weekday's own distance from
    it where it was there twice; and the mean square of levels around both. Slope and distances are shrunk by noise.
    """
    days = level.shape[1]
    age = np.arange(days - 1, -1, -1.0)
    known = np.isfinite(level)
    weight = known * 0.5 ** (age / LEVEL_HALF_LIFE_DAYS)
    filled = np.nan_to_num(level)
    twice = [day for day in range(7) if np.count_nonzero(weekday == day) > 1]
    freedom = max(days - 2 - max(len(twice) - 1, 0), 1)
    apart = np.zeros((len(level), 7))
    centre, slope, middle = _line(filled, weight, known, age)
    square = np.zeros(len(level))
    for turn in range(3):  # back-fitting: weekdays without the line, the line without the weekdays
        line = centre[:, None] - slope[:, None] * (age - middle[:, None])
        rest = np.where(known, filled - line, np.nan)
        left = rest - apart[:, weekday]
        if turn:  # a day's outage pulls at most as far as a value within the bound
            bound = HUBER * NORMAL_MAD * median(np.abs(left), axis=1)[:, None]
            left = np.clip(left, -bound, bound)
            rest = left + apart[:, weekday]
            filled = np.nan_to_num(line + rest)
        square = np.nan_to_num(_mean_square(left, axes=(1,))) * days / freedom
        for day in twice:
            mean = np.nan_to_num(_mean(rest[:, weekday == day], axis=1))
            count = np.maximum(known[:, weekday == day].sum(axis=1), 1)
            apart[:, day] = mean * _kept(square / count, mean**2)
        centre, slope, middle = _line(filled - apart[:, weekday], weight, known, age)
    return centre + slope * (ahead + middle) + apart[:, of_weekday], square


def _line(values: Floats, weight: Floats, known: np.ndarray, age: Floats) -> tuple[Floats, Floats, Floats]:
    """Weighted line of each series over age: value at the mean age, slope a day (shrunk), mean age."""
    total = np.maximum(weight.sum(axis=1), 1e-12)
    middle = (weight * age).sum(axis=1) / total
    centre = (weight * values).sum(axis=1) / total
    apart = middle[:, None] - age
    squares = np.maximum((weight * apart**2).sum(axis=1), 1e-12)
    slope = (weight * apart * values).sum(axis=1) / squares
    rest = np.where(known, values - centre[:, None] - slope[:, None] * apart, 0.0)
    noise = (weight * rest**2).sum(axis=1) / total * (weight**2 * apart**2).sum(axis=1) / squares**2
    return centre, slope * _kept(2 * noise, slope**2), middle


def _kept(noise: Floats, square: Floats) -> Floats:
    """The share of an effect that is kept when noise alone gives `noise` of its `square`."""
    return np.clip(1 - noise / np.where(square > 0, square, np.inf), 0, 1) * (square > 0)


def _mean(values: Floats, axis: int) -> Floats:
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=axis) / np.maximum(count, 1), np.nan)


def _mean_square(values: Floats, axes: tuple[int, ...]) -> Floats:
    known = np.isfinite(values)
    count = known.sum(axis=axes)
    return np.where(count > 0, np.where(known, values**2, 0.0).sum(axis=axes) / np.maximum(count, 1), np.nan)
