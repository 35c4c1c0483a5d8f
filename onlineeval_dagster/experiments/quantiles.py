"""A quantile as a mean: each answer's number is such that its mean over an arm is the arm's quantile.

    q + (p - [x <= q]) / f      q the arm's quantile of answers, f their density there

(recentred influence function: Firpo, Fortin, Lemieux 2009, Econometrica 77). Its variance, clustered by unit, is that
of the quantile, so that all that is done with means works: covariates, sequences, guardrails, segments. q and f are
those of the newest look; at earlier ones, and within segments, the mean is one step from there towards their own.
"""

from collections.abc import Mapping

import numpy as np
from scipy.special import ndtri

LEAST = 20
"""Answers of an arm below which the density cannot be told, and no number is made of it."""


def bandwidth(level: float, answers: int) -> float:
    """Hall and Sheather's (1988, JRSS B 50) for the density at a quantile: shares on either side of it.

    >>> round(bandwidth(0.5, 1_000), 3), round(bandwidth(0.95, 1_000), 4)
    (0.114, 0.0159)
    """
    x = float(ndtri(level))
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    width = answers ** (-1 / 3) * float(ndtri(0.975)) ** (2 / 3) * (1.5 * density**2 / (2 * x**2 + 1)) ** (1 / 3)
    return float(min(width, 0.9 * level, 0.9 * (1 - level)))


def fewest_sql(facts: str, numbers: Mapping[str, tuple[str, str]]) -> str:
    """Answers of the smallest arm, a column a metric. numbers: (number, condition) of an answer by metric."""
    columns = (f"count(*) filter (where {condition}) as {name}" for name, (_, condition) in numbers.items())
    least = (f"min({name}) as {name}" for name in numbers)
    return f"with {facts}, by_arm as (select arm, {', '.join(columns)} from facts where arm >= 0 group by arm) " + (
        f"select {', '.join(least)} from by_arm"
    )


def marks_sql(
    facts: str,
    numbers: Mapping[str, tuple[str, str]],
    levels: Mapping[str, float],
    fewest: Mapping[str, int],
) -> str:
    """`marks`: by arm and metric the quantile `q_…` and `f_…`, one over the density there; null where too few."""
    told, marks = [], []
    for name, (number, condition) in numbers.items():
        level, half = levels[name], bandwidth(levels[name], max(fewest[name], 1))
        if fewest[name] < LEAST:
            marks.append(f"null::double as q_{name}, null::double as f_{name}")
            continue
        at = f"[{level - half!r}, {level!r}, {level + half!r}]"
        told.append(f", quantile_cont({number}, {at}) filter (where {condition}) as three_{name}")
        marks.append(f"three_{name}[2] as q_{name}, (three_{name}[3] - three_{name}[1]) / {2 * half!r} as f_{name}")
    return f"""
create temp table marks as
with {facts}, by_arm as (select arm {"".join(told)} from facts group by arm)
select arm, {", ".join(marks)} from by_arm
"""


def number_at(name: str, level: float, number: str) -> str:
    """An answer's number, over `facts` that were joined with `marks`."""
    return f"(q_{name} + ({level!r} - ({number} <= q_{name})::int) * f_{name})"
