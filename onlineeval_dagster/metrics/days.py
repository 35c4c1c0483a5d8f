"""Instants as days and slots of a day on the product's clock: what a rhythm is fitted on."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd

DAY = timedelta(days=1)
Floats = np.ndarray
Ints = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Where each of n instants stands.

    day      whole days since `first`; by the local clock, so that a day has 23 or 25 hours when the clock is changed
    slot     step of the day, 0 … per_day - 1
    weekday  of each day from `first` on: 0 for Monday … 6; a holiday has the weekday that it behaves like
    """

    first: date
    day: Ints
    slot: Ints
    weekday: Ints
    per_day: int

    def grid(self, values: Floats) -> Floats:
        """Values of some series at the instants (series, n) as (series, days, slots), NaN where there is none.

        The hour that an autumn night has twice counts once, with its second value.
        """
        grid = np.full((len(values), len(self.weekday), self.per_day), np.nan)
        grid[:, self.day, self.slot] = values
        return grid

    def at_instants(self, grid: Floats) -> Floats:
        """The way back: (series, days, slots) at the instants."""
        return grid[:, self.day, self.slot]


def days_of(
    instants: np.ndarray, *, step: timedelta, zone: str = "UTC", holidays: Mapping[date, int] | None = None
) -> Days:
    """Days and slots of UTC `instants` (datetime64) on the clock of `zone`.

    `step` must divide a day. `holidays` are data: each says which weekday (0 … 6) it behaves like.
    """
    if DAY % step:
        raise ValueError(f"step must divide a day, got {step}; use 5 minutes, an hour or a day")
    local = pd.DatetimeIndex(instants).tz_localize("UTC").tz_convert(zone).tz_localize(None).to_numpy("M8[us]")
    midnights = local.astype("M8[D]")
    first = midnights.min().item()
    day = (midnights - midnights.min()).astype(np.int64)
    slot = (local - midnights) // np.timedelta64(step)
    behaves = holidays or {}
    dates = [first + DAY * number for number in range(int(day.max()) + 1)]
    weekday = np.array([behaves.get(at, at.weekday()) for at in dates], dtype=np.int64)
    return Days(first=first, day=day, slot=slot.astype(np.int64), weekday=weekday, per_day=DAY // step)
