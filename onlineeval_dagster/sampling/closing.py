"""Which windows closed since the last call: strata with a size or a floor are drawn when theirs does."""

from datetime import UTC, date, datetime, timedelta

from onlineeval_dagster.catalog.sampling_file import Sampling
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.sampling.draw import SETTLE

_PLACE = "windows closed, in minutes since 1970"


def days_to_close(lake: Lake, sampling: Sampling, *, now: datetime) -> frozenset[date]:
    """Days with answers in windows that closed since the last call; none where every stratum has a plain rate."""
    last = lake.read_through("selections", _PLACE)
    if last is None or not is_drawn_by_window(sampling) or last >= _closed_through(sampling, now):
        return frozenset()
    first = datetime.fromtimestamp(last * 60, UTC).date()
    return frozenset(day for day in lake.days("responses") if first <= day <= now.date())


def place_of_closing(lake: Lake, sampling: Sampling, *, now: datetime) -> dict[str, int]:
    """What a commit remembers of it; nothing where no window with answers closed."""
    if not is_drawn_by_window(sampling) or not lake.exists("responses"):
        return {}
    if lake.read_through("selections", _PLACE) is not None and not days_to_close(lake, sampling, now=now):
        return {}
    return {_PLACE: _closed_through(sampling, now)}


def is_drawn_by_window(sampling: Sampling) -> bool:
    """Whether some stratum waits for its window's close."""
    return any(stratum.at_least for stratum in sampling.strata.values())


def _closed_through(sampling: Sampling, now: datetime) -> int:
    """The end of the last window that has closed, in minutes since 1970."""
    minutes = int((now - SETTLE - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(minutes=1))
    return minutes - minutes % sampling.window_minutes
