"""Why there is no number yet, in people's words, and how long it will take where the traffic so far says so."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from onlineeval_dagster.contracts.estimates import MetricPoint, NotEnough
from onlineeval_dagster.metrics.estimates import NO_SPREAD, TOO_FEW_USERS
from onlineeval_dagster.reports.wording import count

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
FAR_AWAY_DAYS = 60
_HAVE_OF_NEEDED = re.compile(r": (\d+) of (\d+)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """What a day without a number has, and what it needs: `things` is "AI check", "answer" or "user"."""

    have: int
    needed: int
    things: str

    def text(self) -> str:
        return f"{self.have:,} of {count(self.needed, self.things)}"


def shortage(point: MetricPoint) -> Shortage | None:
    """What the reason of a point says is missing; None where waiting for more is not what it says."""
    found = _HAVE_OF_NEEDED.search(point.reason or "")
    if found is None or (point.reason or "").startswith(NO_SPREAD):
        return None
    things = "user" if (point.reason or "").startswith(TOO_FEW_USERS) else checks_of(point)
    return Shortage(have=int(found[1]), needed=int(found[2]), things=things)


def checks_of(point: MetricPoint | None) -> str:
    return "answer" if point is not None and point.judge_version == "none" else "AI check"


def day_shortage(point: MetricPoint | None, hours: Sequence[MetricPoint], *, now: datetime) -> str:
    """What follows "Not enough yet: " for one day: hours where the day will do, else what a day brings.

    hours  the metric's points by hour; the pace counts from the first with any answer
    """
    if point is None:
        return "no AI check on this day"
    if (point.reason or "").startswith(NO_SPREAD):
        return f"{count(point.n, checks_of(point))}, and all came out alike"
    missing = shortage(point)
    end = point.window_start + DAY
    if missing is None or not missing.have:
        return f"{missing.text() if missing else count(point.n, checks_of(point))} on this day"
    begin = min((hour.window_start for hour in hours if hour.population), default=point.window_start)
    pace = missing.have / max((min(now, end) - begin) / HOUR, 1.0)
    hours_to_go = math.ceil((missing.needed - missing.have) / pace)
    if now + hours_to_go * HOUR <= end:
        return f"about {count(hours_to_go, 'more hour')} ({missing.text()} until {now.astimezone(UTC):%H:%M})"
    if pace * 24 >= missing.needed:
        return f"1 more day ({missing.text()} so far)"
    if now < end:
        return f"{missing.text()} until {now.astimezone(UTC):%H:%M}"
    return f"a day brings {missing.have:,} of the {count(missing.needed, missing.things)} it takes"


def days_to_go(so_far: NotEnough, daily: Sequence[MetricPoint], *, now: datetime) -> str:
    """What follows "Not enough yet: " for all days together: how many more days at the pace so far."""
    things = checks_of(daily[-1]) if daily else "AI check"
    have = f"{so_far.have:,} of {count(so_far.needed, things)} so far"
    if not daily or not so_far.have or so_far.have >= so_far.needed:
        return have
    last = min(now, daily[-1].window_start + DAY)
    elapsed = max((last - daily[0].window_start) / DAY, 1 / 24)
    days = math.ceil((so_far.needed - so_far.have) / (so_far.have / elapsed))
    return f"more than {FAR_AWAY_DAYS} days ({have})" if days > FAR_AWAY_DAYS else f"{count(days, 'more day')} ({have})"
