"""Foreign files through the front door: read as events and appended to the log; rows that are none go there too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path

from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.settings import Settings
from onlineeval_dagster.sources.registry import read_source
from onlineeval_dagster.sources.rows import BadRow

_LINES_A_WRITE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """How many events an import wrote, and how many rows could not be read; ingest quarantines those."""

    events: int
    bad: int


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
    events = bad = 0
    lines: list[bytes] = []
    with open_log(settings, door="import") as log:
        for row in found:
            if isinstance(row, BadRow):
                bad += 1
                lines.append(row.as_log_line())
            else:
                events += 1
                lines.append(encode(row))
            if len(lines) >= _LINES_A_WRITE:
                log.append(b"".join(lines))
                lines = []
        if lines:
            log.append(b"".join(lines))
    return Imported(events=events, bad=bad)
