"""Which version each signal of the catalog has now, and the days that still hold another one."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.signals_file import Signals
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.signals.detectors.registry import known_detectors

GRAMMAR = "1"
"""Of the rules in conversation.py that are no data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """Days on which a signal stands in another version than now, or in none at all; `missing` says which."""

    signal: str
    days: tuple[date, ...]
    missing: bool


def derived_versions(signals: Signals) -> dict[str, str]:
    """The versions of derived signals: the rules, the entry, and what else of signals.toml they are read with."""
    return {
        name: f"{GRAMMAR}+{_hash(entry.version, *_read_with(name, signals))}" for name, entry in signals.derived.items()
    }


def detector_versions(catalog: Catalog) -> dict[str, str]:
    """The versions of the detectors in use: the detector's own, and its entry's."""
    return {
        name: f"{detector.version}+{catalog.signals.detectors[name].version}"
        for name, detector in known_detectors(catalog).items()
    }


def versions_now(catalog: Catalog) -> dict[str, str]:
    """The version of every signal that the catalog can give."""
    actions = {name: entry.version for name, entry in catalog.signals.actions.items()}
    return actions | derived_versions(catalog.signals) | detector_versions(catalog)


def behind(lake: Lake, catalog: Catalog, days: Collection[date] | None = None) -> list[Behind]:
    """What a backfill of `days` (None: all) would bring up to date, by signal. Reads no text.

    Nothing is missing on a day whose texts retention emptied: a new detector has nothing to read there.
    """
    now, detectors = versions_now(catalog), detector_versions(catalog)
    wanted = (lake.days("signals") if days is None else frozenset(days)) & lake.days("responses")
    known = pa.table({"signal": pa.array(list(now), pa.string()), "version": pa.array(list(now.values()), pa.string())})
    names = pa.table({"signal": pa.array(list(detectors), pa.string())})
    found = rows(lake, _BEHIND_SQL, {"signals": wanted, "responses": wanted}, known=known, detectors=names)
    return list(_grouped(found.to_pylist()))


_BEHIND_SQL = """
with there as (select distinct day, signal, version from signals),
readable as (select distinct day from responses where text_erased_at is null),
final as (
    select signal, day, false as missing from there anti join known using (signal, version)
    union
    select detectors.signal, readable.day, true
    from readable cross join detectors anti join there on there.day = readable.day and there.signal = detectors.signal
)
select * from final order by signal, missing, day
"""


def _grouped(found: list[dict]) -> Iterator[Behind]:
    for signal, missing in dict.fromkeys((row["signal"], row["missing"]) for row in found):
        days = tuple(row["day"] for row in found if (row["signal"], row["missing"]) == (signal, missing))
        yield Behind(signal=signal, days=days, missing=missing)


def _read_with(name: str, signals: Signals) -> Iterator[str]:
    """What else of signals.toml a derived signal depends on."""
    if name != "kept_share":
        yield signals.sessions.version
    if name == "correction":
        yield from (phrase for phrases in signals.corrections.values() for phrase in phrases)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
