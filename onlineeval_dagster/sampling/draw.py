"""The threshold of each stratum in each window: an answer is selected iff its hash lies below it.

    rate         T = rate (Poisson): known before the first answer comes, so each is decided as soon as it is seen
    size k       T = the (k+1)-th smallest hash of the window, 1 where there are not so many (bottom-k)
    rate, floor  T = the greater of both

T is the inclusion probability in each case. For bottom-k the estimator that weighs by 1 / T is unbiased, though T is
random: put an item's hash to 0 and T stays where it is, so given the others the item is selected with chance T
(Duffield, Lund and Thorup 2007, Priority sampling; Ting 2018, Adaptive threshold sampling, calls it substitutable; the
greater of a rate and such a threshold is one as well). The design-based k / N is unbiased too, but only for those that
were there at the close; T also holds for one that comes later and is measured against the frozen T. Nothing depends on
the order of arrival: a minimum has none.

A window is decided once: the threshold that stands on its rows is frozen, whatever the catalog says meanwhile.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.sampling_file import Sampling, Stratum

LATE = "late"
SETTLE = timedelta(minutes=10)
"""How long after its end a window closes: two ticks, so that what was under way is in the lake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """Answers of one stratum and window that wait for a decision, and what was decided before.

    seen      undecided answers that have a chance
    smallest  the hash of rank `at_least` + 1 among them; None where there are not so many, or none is asked for
    frozen    the threshold that stands on rows decided earlier; None where there are none
    shed      whether those rows were shed
    """

    stratum: str
    window_start: datetime
    seen: int
    smallest: float | None = None
    frozen: float | None = None
    shed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """What holds for the undecided answers of a cell. `stratum` is the one they were placed in, `recorded_as` the one
    that their rows name.
    """

    stratum: str
    window_start: datetime
    recorded_as: str
    threshold: float
    shed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """What a day's budget leaves of the rates in one window: a factor in (0, 1] for the flagged and for the others."""

    flagged: float = 1.0
    others: float = 1.0
    shed: bool = False

    def of(self, stratum: str) -> float:
        return self.flagged if stratum == "flagged" else self.others


UNPACED = Pacing()


def rules_of(sampling: Sampling, judge: Judge | None) -> dict[str, Stratum]:
    """The strata for a judge, whose own rate replaces that of normal traffic and is the least that watched answers get;
    for None those of people's review."""
    if judge is None:
        rate = sampling.review.rate if sampling.review else None
        return {name: Stratum(rate=rate) for name in sampling.strata}
    if judge.rate is None:
        return sampling.strata
    own: dict[str, Stratum] = {"normal": Stratum(rate=judge.rate)}
    watched = sampling.watched
    if watched is not None and watched.rate is not None and watched.rate < judge.rate:
        own["watched"] = Stratum(rate=judge.rate)
    return sampling.strata | own


def is_closed(window_start: datetime, minutes: int, now: datetime) -> bool:
    return window_start + timedelta(minutes=minutes) + SETTLE <= now


def draw(
    cells: Iterable[Cell],
    rules: Mapping[str, Stratum],
    *,
    window_minutes: int,
    late_rate: float,
    now: datetime,
    paced: Mapping[datetime, Pacing],
) -> list[Drawn]:
    """The thresholds of the cells that can be decided now; one that must wait for its window's close is left out."""
    cells = list(cells)
    late = {cell.window_start: cell for cell in cells if cell.stratum == LATE}
    drawn = []
    for cell in cells:
        if cell.stratum == LATE:
            continue
        rule, pacing = rules.get(cell.stratum, rules["normal"]), paced.get(cell.window_start, UNPACED)
        took_all = cell.frozen == 1.0 and rule.at_least > 0 and (rule.rate or 0) < 1
        recorded, threshold, shed = cell.stratum, cell.frozen, cell.shed
        if took_all:
            # There were too few for a threshold: one says nothing of how many may still come.
            before = late.get(cell.window_start)
            recorded, shed = LATE, before.shed if before else pacing.shed
            threshold = before.frozen if before and before.frozen else late_rate * pacing.others
        elif threshold is None:
            if rule.at_least and not is_closed(cell.window_start, window_minutes, now):
                continue
            rate, shed = (rule.rate or 0.0) * pacing.of(cell.stratum), pacing.shed
            threshold = max(rate, 1.0 if cell.smallest is None else cell.smallest) if rule.at_least else rate
        drawn.append(
            Drawn(
                stratum=cell.stratum,
                window_start=cell.window_start,
                recorded_as=recorded,
                threshold=threshold,
                shed=shed,
            )
        )
    return drawn


def nested(
    judges: Iterable[Iterable[Drawn]], own: Iterable[Drawn], *, waiting: Collection[tuple[str, datetime]]
) -> list[Drawn]:
    """People's thresholds, none above a judge's: whatever a person sees, every judge of the cohort sees too.

    Cells in `waiting`, which a judge has not drawn yet, wait as well.
    """
    lowest: dict[tuple[str, datetime], float] = {}
    for drawn in judges:
        for cell in drawn:
            key = cell.stratum, cell.window_start
            lowest[key] = min(lowest.get(key, 1.0), cell.threshold)
    keyed = {(cell.stratum, cell.window_start): cell for cell in own}
    return [
        replace(cell, threshold=min(cell.threshold, lowest.get(key, 1.0)))
        for key, cell in keyed.items()
        if key not in waiting
    ]
