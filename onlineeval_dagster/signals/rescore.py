"""Score again the days whose signals are behind the catalog, without Dagster: what a backfill of `signals` does."""

from datetime import date, datetime

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.lock import holding
from onlineeval_dagster.settings import Settings
from onlineeval_dagster.signals.stage import Derived, derive_signals
from onlineeval_dagster.signals.versions import behind


def rescore(settings: Settings, *, since: date | None, until: date | None, now: datetime) -> Derived:
    """Derive the days from `since` to `until` (both included; None: no bound) that hold another version, or lack one.

    Raises LakeError where another run is at the signals and does not end within the time that settings allow.
    """
    lake, catalog = Lake(settings.lake_folder), load_catalog(settings.catalog)
    with holding(
        settings.home / "locks" / "signals.lock",
        what="stage signals",
        purpose="scoring again",
        wait_seconds=settings.warehouse_wait_seconds,
    ):
        asked = {day for day in lake.days("signals") if (since or day) <= day <= (until or day)}
        days = {day for one in behind(lake, catalog, asked) for day in one.days}
        return derive_signals(lake, catalog, now=now, days=days)
