"""Foreign rows through the front door: read as events and appended to the log; rows that are none go there too."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import Any

import orjson

from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.privacy.policy import Privacy, load_privacy
from onlineeval_dagster.settings import Settings
from onlineeval_dagster.sources.place import Cursor, Item, Reached
from onlineeval_dagster.sources.registry import read_source
from onlineeval_dagster.sources.rows import BadRow

_LINES_A_WRITE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """How many events an import wrote, and how many rows could not be read; ingest quarantines those.

    first_bad  where the first of these stands and why it could not be read, redacted
    """

    events: int
    bad: int
    first_bad: str | None = None


def import_files(
    settings: Settings,
    dialect: str,
    paths: Sequence[Path],
    *,
    now: datetime,
    column_map: Mapping[str, str] | None = None,
    environment: str = "production",
    app: str = "default",
    occurred_at: datetime | None = None,
    zone: tzinfo | None = None,
) -> Imported:
    """Append what the files hold to the log. Ids come from the rows: importing twice adds nothing once days are built.

    Raises SourceError where a file or a column is wrong, before anything is written; LogError where the disk is full.
    """
    found = read_source(
        dialect,
        paths,
        now=now,
        column_map=column_map,
        environment=environment,
        app=app,
        occurred_at=occurred_at,
        zone=zone,
    )
    return import_items(settings, found, door="import")


def import_items(
    settings: Settings, items: Iterable[Item], *, door: str, reached: Callable[[Cursor], Any] = lambda _: None
) -> Imported:
    """Append the items to the log through `door`; `reached` hears of each cursor once what it covers is on the disk."""
    events = bad = 0
    first_bad: str | None = None
    lines: list[bytes] = []
    privacy = load_privacy(settings)
    with open_log(settings, door=door) as log:
        for item in items:
            if isinstance(item, Reached):
                if lines:
                    log.append(b"".join(lines))
                    lines = []
                log.sync()
                reached(item.cursor)
            elif isinstance(item, BadRow):
                bad += 1
                first_bad = first_bad or f"{item.place}: {privacy.clean_text(item.reason)}"
                lines.append(_cleaned(item.as_log_line(), privacy))
            else:
                events += 1
                lines.append(_cleaned(encode(item), privacy))
            if len(lines) >= _LINES_A_WRITE:
                log.append(b"".join(lines))
                lines = []
        if lines:
            log.append(b"".join(lines))
    return Imported(events=events, bad=bad, first_bad=first_bad)


def _cleaned(line: bytes, privacy: Privacy) -> bytes:
    """The line as it may be written down: what the collector takes out of an event, an import does not bring back."""
    said = orjson.loads(line)
    clean = privacy.clean(said)
    return line if clean is said else orjson.dumps(clean, option=orjson.OPT_APPEND_NEWLINE)
