"""What simulated users do with an answer: more of the good things after good answers, later, sometimes days later."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

STARS_GOOD = np.array([0.02, 0.03, 0.10, 0.30, 0.55])
STARS_BAD = np.array([0.40, 0.25, 0.20, 0.10, 0.05])
DAY_SECONDS = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Habit:
    """How often one action follows a good and a bad answer, and after how many seconds (median)."""

    action: str
    good: float
    bad: float
    median_s: float
    ends_session: bool = False


HABITS = (
    Habit(action="copy", good=0.38, bad=0.06, median_s=20),
    Habit(action="task_completed", good=0.48, bad=0.10, median_s=120),
    Habit(action="thumbs_up", good=0.08, bad=0.006, median_s=25),
    Habit(action="thumbs_down", good=0.005, bad=0.11, median_s=20),
    Habit(action="star_rating", good=0.03, bad=0.05, median_s=300),
    Habit(action="regenerate", good=0.02, bad=0.25, median_s=12),
    Habit(action="follow_up", good=0.12, bad=0.32, median_s=45),
    Habit(action="abandon", good=0.05, bad=0.30, median_s=60, ends_session=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The actions that follow a set of responses, one row an action.

    row      which response           habit    index into HABITS
    after_s  seconds after the answer delay_s  seconds until it reached the front door
    stars    1 to 5, for star ratings
    """

    row: NDArray[np.int64]
    habit: NDArray[np.int64]
    after_s: NDArray[np.float64]
    delay_s: NDArray[np.float64]
    stars: NDArray[np.int64]


def act(good: NDArray[np.bool_], last_turn: NDArray[np.bool_], rng: np.random.Generator) -> Done:
    """Draw what users do with these responses; each habit at most once a response."""
    chance = np.where(good[:, None], [h.good for h in HABITS], [h.bad for h in HABITS])
    chance = chance * np.where([h.ends_session for h in HABITS], last_turn[:, None], True)
    row, habit = np.nonzero(rng.random(chance.shape) < chance)
    count = len(row)
    after = np.array([h.median_s for h in HABITS])[habit] * rng.lognormal(0, 0.8, size=count)
    luck = rng.random(count)
    after += np.where(luck < 0.02, rng.exponential(3 * 3600.0, size=count), 0.0)  # came back later
    after += np.where(luck < 0.002, rng.uniform(1, 4, size=count) * DAY_SECONDS, 0.0)  # days later
    delay = rng.exponential(0.4, size=count)
    delay += np.where(rng.random(count) < 0.002, rng.uniform(0.5, 3, size=count) * DAY_SECONDS, 0.0)  # was offline
    stars = 1 + np.where(good[row], rng.choice(5, count, p=STARS_GOOD), rng.choice(5, count, p=STARS_BAD))
    return Done(row=row, habit=habit, after_s=after, delay_s=delay, stars=stars)
