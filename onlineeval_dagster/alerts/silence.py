"""No answers at all, at an hour that is not usually quiet: what is usual is learnt hour by hour."""

import numpy as np
import pandas as pd

from onlineeval_dagster.alerts.budget import Allowance
from onlineeval_dagster.alerts.evidence import Judged

HISTORY_DAYS, NEEDED_DAYS = 28, 7


def silent(answers: pd.Series, part: Allowance, *, zone: str = "UTC", behaves_like: dict | None = None) -> Judged:
    """Look at each hour of `answers` (by UTC hour, none left out): strength 1 where silence has just `part.chance`.

    What is expected is the mean of the same hour on working days or weekends of the 28 days before; the chance of none
    follows a negative binomial law with the dispersion of those days, since one user asks several times.
    """
    expected, dispersion = _expected(answers, zone, behaves_like or {})
    nothing = (answers.to_numpy() == 0)[None]
    with np.errstate(invalid="ignore", divide="ignore"):
        # (1/d)^(m/(d-1)) is the chance of none; exp(-m) where d is 1.
        rate = np.where(dispersion > 1.001, np.log(dispersion) / (dispersion - 1), 1.0)
        strength = (expected * rate / -np.log(part.chance))[None]
    known = np.isfinite(strength)
    return Judged(
        beyond=nothing & (np.nan_to_num(strength) >= 1),
        clear=~nothing,
        known=known,
        strength=strength,
        change=np.where(nothing, 1.0, 0.0),
        began=np.arange(len(answers))[None],
    )


def expected_answers(answers: pd.Series, *, zone: str = "UTC", behaves_like: dict | None = None) -> np.ndarray:
    """What was expected at each hour; NaN before a week of history."""
    return _expected(answers, zone, behaves_like or {})[0]


def _expected(answers: pd.Series, zone: str, behaves_like: dict) -> tuple[np.ndarray, np.ndarray]:
    local = pd.DatetimeIndex(answers.index).tz_convert(zone)
    weekend = np.array([behaves_like.get(at.date(), at.weekday()) >= 5 for at in local])
    slots = local.hour.to_numpy() + 24 * weekend
    values = answers.to_numpy(np.float64)
    expected, spread = (np.full(len(values), np.nan) for _ in range(2))
    for slot in np.unique(slots):
        own = np.flatnonzero(slots == slot)
        looked_back = HISTORY_DAYS * (2 if slot >= 24 else 5) // 7
        past = pd.Series(values[own]).shift(1).rolling(looked_back, min_periods=1)
        expected[own] = past.mean()
        spread[own] = past.var(ddof=1)
    hours_before = np.arange(len(values))
    expected[hours_before < NEEDED_DAYS * 24] = np.nan
    # Pooled over a day's slots: of four Saturdays alone no dispersion can be told.
    usable = np.isfinite(spread) & (expected > 0)
    ratio, whole = (_over_history(np.where(usable, part, 0.0)) for part in (spread, expected))
    dispersion = np.where(whole > 0, np.maximum(ratio / np.maximum(whole, 1e-12), 1.0), 1.0)
    return expected, dispersion


def _over_history(values: np.ndarray) -> np.ndarray:
    return np.asarray(pd.Series(values).rolling(HISTORY_DAYS * 24, min_periods=1).sum())
