"""What the looks of a rule say: beyond the limit with noise ruled out, clear of it again, or neither.

Everything works on many series at once: arrays (series, looks), NaN where a window has no number.
"""

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np

from onlineeval_dagster.alerts.budget import Allowance
from onlineeval_dagster.catalog.alert_file import Rule
from onlineeval_dagster.metrics.charts import cusum, cusum_limit, ewma, ewma_limit, first_of
from onlineeval_dagster.metrics.intervals import normal_quantile
from onlineeval_dagster.metrics.limits import MAD_EFFICIENCY

Floats = np.ndarray
Worse = Literal["up", "down", "both"]

SLACKS = (0.5, 1.5)
"""Of CUSUMs, in standard deviations: best for shifts of one and of three. Each has half of what a series may cost."""
WEIGHT = 0.2
"""Of an EWMA."""
HANG_TOGETHER = 2.0
"""Charts are designed for so many times the run length that they may have. A day's baseline is wrong by the same amount
all day, so that residuals hang together: without it CUSUM and EWMA raised 1.8 and 1.6 times what they may
(tests/calibration/alerts.py)."""
CLEAR = 0.5
"""A look is clear of an alert below this part of what raised it: hysteresis, so that it does not flap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Looks:
    """The points of a rule's series in one kind of window.

    value, low, high, n, n_effective  as in metric_points (95 % interval)
    expected, standardised, history_days  as in detrended_metrics
    slots   windows in a day: 24 or 1
    is_share  of counted answers, so that small counts are tested exactly
    """

    value: Floats
    low: Floats
    high: Floats
    n: Floats
    n_effective: Floats
    expected: Floats
    standardised: Floats
    history_days: Floats
    slots: int
    is_share: bool

    def part(self, series: np.ndarray) -> "Looks":
        """The same for some of the series."""
        arrays = {f.name: getattr(self, f.name)[series] for f in fields(self) if f.name not in ("slots", "is_share")}
        return Looks(**arrays, slots=self.slots, is_share=self.is_share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What each look said.

    beyond    the rule's evidence is complete at this look
    clear     nothing of it is left
    known     there was something to look at; a look without a number changes nothing
    strength  the statistic in units of its threshold: 1 is an alarm
    change    relative to what is expected, for the worse positive; of an absolute rule, beyond its limit
    began     look at which a chart says that it began; else the look itself
    """

    beyond: np.ndarray
    clear: np.ndarray
    known: np.ndarray
    strength: Floats
    change: Floats
    began: np.ndarray


def judge(rule: Rule, worse: Worse, looks: Looks, part: Allowance) -> Judged:
    """Look at everything with the evidence that the rule's kind asks for."""
    if rule.kind == "absolute":
        return _absolute(rule, worse, looks, part)
    with np.errstate(invalid="ignore", divide="ignore"):
        change = _for_the_worse((looks.value - looks.expected) / np.abs(looks.expected), worse)
    if rule.kind == "change_point" or rule.chart == "ewma":
        judged = _charted(rule, worse, looks, part, change)
    else:
        judged = _deviating(worse, looks, part, change)
    if rule.limit is None:
        return judged
    with np.errstate(invalid="ignore"):
        far, near = change >= rule.limit, change < CLEAR * rule.limit
    return Judged(
        beyond=judged.beyond & far,
        clear=judged.clear | (near & judged.known),
        known=judged.known,
        strength=judged.strength,
        change=change,
        began=judged.began,
    )


def _deviating(worse: Worse, looks: Looks, part: Allowance, change: Floats) -> Judged:
    """One look is enough: its residual is out of the range that noise explains."""
    distance = _for_the_worse(looks.standardised, worse)
    chance = part.chance / (2 if worse == "both" else 1)
    threshold = _threshold(chance, looks)
    with np.errstate(invalid="ignore", divide="ignore"):
        strength = distance / threshold
        beyond = strength >= 1
        if looks.is_share:
            beyond &= _exact(looks, looks.expected, worse, chance)
        clear = strength < CLEAR
    return _judged(beyond, clear, np.isfinite(looks.standardised), strength, change)


def _threshold(chance: float, looks: Looks) -> Floats:
    """Standard deviations that noise passes with `chance` a look, by Student's law: the spread is a median absolute
    deviation of the days before, as exact as 0.37 as many independent values."""
    from scipy.special import stdtrit  # 1.2 s

    freedom = np.maximum(MAD_EFFICIENCY * (looks.history_days * looks.slots - 1), 1.0)
    return stdtrit(np.nan_to_num(freedom, nan=1.0), 1 - chance)


def _exact(looks: Looks, share: Floats, worse: Worse, chance: float) -> np.ndarray:
    """Whether the count is improbable at `share` as well, by the binomial law with the effective number of answers.

    Of 60 answers at 2 %, five or more are beyond 3 sigma five times as often as it says: a normal law is no evidence.
    """
    from scipy.special import bdtr, bdtrc

    n = np.maximum(np.nan_to_num(np.round(looks.n_effective)), 1.0)
    p = np.clip(np.nan_to_num(share, nan=0.5), 0.0, 1.0)
    count = np.clip(np.nan_to_num(looks.value) * n, 0.0, n)
    # Counts are rounded towards no change: a fraction of an effective answer is no evidence.
    above = np.where(np.floor(count) >= 1, bdtrc(np.maximum(np.floor(count) - 1, 0), n, p), 1.0)
    below = bdtr(np.ceil(count), n, p)
    tail = {"up": above, "down": below, "both": np.minimum(above, below)}[worse]
    return tail <= chance


def _absolute(rule: Rule, worse: Worse, looks: Looks, part: Allowance) -> Judged:
    """That the value itself is beyond the limit, tested as such: exactly for shares, by its own error for means."""
    from scipy.special import ndtri

    limit = float(rule.limit or 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = (looks.high - looks.low) / (2 * normal_quantile(0.95))
        distance = _for_the_worse(looks.value - limit, worse) / np.where(error > 0, error, np.nan)
        strength = distance / -float(ndtri(part.chance))
        change = _for_the_worse(looks.value - limit, worse) / limit
        beyond = (
            _exact(looks, np.full_like(looks.value, limit), worse, part.chance) if looks.is_share else strength >= 1
        )
        known = np.isfinite(looks.value)
        return _judged(beyond & known & (change > 0), change < 0, known, strength, change)


def _charted(rule: Rule, worse: Worse, looks: Looks, part: Allowance, change: Floats) -> Judged:
    """A chart gathers what single looks do not show."""
    both, run_length = worse == "both", HANG_TOGETHER * part.run_length
    if rule.kind == "change_point":  # a CUSUM has two sides, each with a run length of its own
        run_length *= len(SLACKS) * (2 if both else 1)
        runs = first_of(
            [cusum(looks.standardised, slack=slack, limit=cusum_limit(run_length, slack=slack)) for slack in SLACKS]
        )
    else:  # an EWMA's run length is that of both sides together
        limit = ewma_limit(run_length / (1 if both else 2), weight=WEIGHT)
        runs = ewma(looks.standardised, weight=WEIGHT, limit=limit)
    wanted = {"up": runs.alarm > 0, "down": runs.alarm < 0, "both": runs.alarm != 0}[worse]
    strength = _for_the_worse(runs.statistic, worse)
    known = np.isfinite(looks.standardised)
    calm = _for_the_worse(np.nan_to_num(looks.standardised), worse) < 1
    return _judged(wanted, (strength < CLEAR) & calm & ~wanted & known, known, strength, change, runs.began)


def _judged(
    beyond: np.ndarray,
    clear: np.ndarray,
    known: np.ndarray,
    strength: Floats,
    change: Floats,
    began: np.ndarray | None = None,
) -> Judged:
    own = np.broadcast_to(np.arange(beyond.shape[1]), beyond.shape)
    return Judged(
        beyond=beyond & known,
        clear=clear & known,
        known=known,
        strength=strength,
        change=change,
        began=own if began is None else np.minimum(began, own),
    )


def _for_the_worse(values: Floats, worse: Worse) -> Floats:
    """Positive where it is worse."""
    return {"up": values, "down": -values, "both": np.abs(values)}[worse]
