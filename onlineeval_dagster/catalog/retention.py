"""retention.toml: how long each kind of data is kept. Without the file, or an entry, it is kept."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.errors import CatalogError

TEXTS: dict[str, Mapping[str, str]] = {
    "responses": {
        "query": "''",
        "response": "''",
        "context": "null",
        "conversation": "null",
        "reference": "null",
        # The simulation's mark is no text of anybody, and pages ask for it.
        "attributes": "case when json_extract(attributes, '$.simulated') = 'true' "
        "then '{\"simulated\":true}' else '{}' end",
    },
    "actions": {"text": "null", "attributes": "'{}'"},
    "labels": {"note": "null", "attributes": "'{}'"},
    "verdicts": {"rationale": "null", "error": "null", "attributes": "'{}'"},
    "spans": {"attributes": "'{}'", "events": "'[]'", "links": "'[]'", "status_message": "null"},
    "quarantine": {"text": "''"},
}
"""The text columns of each table, and what stands there once the text is gone (SQL)."""

LOG_DAYS = 7
RUN_DAYS = 30
MINUTE_DAYS = 7
_OTHERS = {"log": LOG_DAYS, "runs": RUN_DAYS, "reports": None}
_OTHERS |= dict.fromkeys(("minute_counts", "rolling_points"), MINUTE_DAYS)
"""Kept so long where no entry says otherwise."""
HOURS: dict[str, int] = dict.fromkeys(("metric_points", "detrended_metrics"), 90)
"""Tables with points by hour, and how many days those are kept where no entry says otherwise: days and weeks stay."""
_NEVER = {
    "tombstones": "without its tombstone what was erased can come back",
    "ingested_parts": "it says what of the log was taken in",
}
# A day that dbt builds again is built from these: one that went before the answers would be missing in the count.
_COUNTED_WITH_RESPONSES = ("actions", "labels", "verdicts", "signals", "selections", "deploys")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Days that something is kept, that its texts are and that its points by hour are; None: for ever."""

    days: int | None = None
    text_days: int | None = None
    hour_days: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """retention.toml by entry: tables of the lake, `log`, `reports`, `runs`."""

    kept: Mapping[str, Kept] = field(default_factory=dict)

    def of(self, name: str) -> Kept:
        return self.kept.get(name, Kept(days=_OTHERS.get(name), hour_days=HOURS.get(name)))

    def accepted_days(self, retention_days: int) -> int:
        """How old an event may be that ingest takes: not older than answers are kept, or their day would be new."""
        return min(retention_days, self.of("responses").days or retention_days)


def load_retention(folder: Path) -> Retention:
    """Read retention.toml of a catalog. Raises CatalogError naming file, key and remedy."""
    file = folder / "retention.toml"
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Retention()
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogError(f"retention.toml: cannot be read ({error}); save it as UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise CatalogError(f"retention.toml: not TOML: {error}") from error
    retention = Retention(kept={name: _kept(name, entry) for name, entry in said.items()})
    _check_order(retention)
    return retention


def _kept(name: str, entry: object) -> Kept:
    known = list(dict.fromkeys((*TABLES, *_OTHERS)))
    if name in _NEVER:
        raise CatalogError(f"retention.toml: {name} is always kept: {_NEVER[name]}; delete the entry")
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise CatalogError(f"retention.toml: {name} is no table; {hint}")
    if not isinstance(entry, dict):
        raise CatalogError(f"retention.toml: {name} is {entry!r}; write a table such as [{name}] with days = 90")
    keys = {"days"} | ({"text_days"} if name in TEXTS else set()) | ({"hour_days"} if name in HOURS else set())
    for key, value in entry.items():
        if key not in keys:
            raise CatalogError(
                f"retention.toml: {name}.{key} is not a known key; known keys are {', '.join(sorted(keys))}"
            )
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CatalogError(f"retention.toml: {name}.{key} must be a whole number of days from 1 on, got {value!r}")
    return Kept(
        days=entry.get("days", _OTHERS.get(name)),
        text_days=entry.get("text_days"),
        hour_days=entry.get("hour_days", HOURS.get(name)),
    )


def _check_order(retention: Retention) -> None:
    answers = retention.of("responses").days
    for name in _COUNTED_WITH_RESPONSES:
        days = retention.of(name).days
        if days is not None and (answers is None or days < answers):
            kept = "for ever" if answers is None else f"{answers} days"
            raise CatalogError(
                f"retention.toml: {name}.days is {days}, but responses are kept {kept}: a day built again would be "
                f"counted without them; keep {name} as long, or the responses no longer"
            )
