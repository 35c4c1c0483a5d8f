"""Erase a person, a session or an answer everywhere below the home, and see to it that none comes back.

    request on disk ──▶ tombstone ──▶ find ──▶ tombstones of all that was found ──▶ log ──▶ lake ──▶ warehouse ──▶ pages
                                                                                                     scrub ◀────────┘
Each step may be done again, so a request that was killed is worked from the beginning. The request's file holds the
ids in clear, and goes last; what stays is a receipt with hashes and counts.
"""

import json
import os
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.errors import KeepingError
from onlineeval_dagster.judges.batch_state import forget_items
from onlineeval_dagster.keeping.person import Found, find, personal_tables
from onlineeval_dagster.keeping.quiet import keeping, quiet
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.rewrite import scrub, take_out
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.lake.tombstones import Doomed, Kind, bury, doomed_sql, read_json
from onlineeval_dagster.log.blanking import Range, blank, lines_where
from onlineeval_dagster.quality.coverage import count_coverage
from onlineeval_dagster.reports.stage import write_daily_report
from onlineeval_dagster.review.forget import forget_answers
from onlineeval_dagster.settings import Settings
from onlineeval_dagster.warehouse.forget import forget, show_lake_again

Step = Callable[[str], None]
"""Told of each step as it is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for, with what was found of it so far. On disk while it is worked on, and no longer.

    before  rows that occurred before this go: somebody who comes back later is new
    places  lines of the log that are being blanked
    days    days of the lake that have, or had, rows of theirs
    """

    name: str
    before: datetime
    ids: tuple[tuple[Kind, str], ...]
    places: tuple[Range, ...] = ()
    days: frozenset[date] = field(default_factory=frozenset)

    @property
    def doomed(self) -> Doomed:
        return Doomed(before=dict.fromkeys(self.ids, self.before))


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """What one request took out: lines of the log, rows by table of the lake, rows of the warehouse, pages."""

    name: str
    lines: int
    rows: Mapping[str, int]
    warehouse_rows: int
    pages: tuple[str, ...]

    @property
    def found_something(self) -> bool:
        return bool(self.lines or self.warehouse_rows or sum(self.rows.values()))


def ask(settings: Settings, kind: Kind, names: Collection[str], *, now: datetime) -> Request:
    """Write a request down, and put up its tombstone: from here on it will be done, if not now then at night.

    `names` are the forms of one id: as it came, and as privacy keeps it.
    """
    if any(not name or len(name) > 256 for name in names):
        raise KeepingError(f"erase: --{kind}: an id has 1 to 256 characters; write it as your product sends it")
    with keeping(settings, "asking for an erasure"):
        request = ask_again(settings, [(kind, name) for name in names], before=now, now=now)
        bury(settings, Lake(settings.lake_folder), request.doomed, now=now)
    return request


def ask_again(settings: Settings, ids: Collection[tuple[Kind, str]], *, before: datetime, now: datetime) -> Request:
    """Write a request down for ids whose tombstones are up already."""
    name = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
    request = Request(name=name, before=before, ids=tuple(sorted(set(ids))))
    _write(settings, request)
    return request


def work(settings: Settings, request: Request, *, now: datetime, step: Step = lambda _: None) -> Erased:
    """Do all that a request asks for. Safe to kill at any point and to repeat.

    Raises KeepingError where somebody else holds the lake for too long; the request stands then.
    """
    lake = Lake(settings.lake_folder)
    with keeping(settings, "erasing"), quiet(settings, "erasing", readers=True):
        count_coverage(lake)  # all that stands is counted, so that what goes is booked as taken out
        step("counted")
        bury(settings, lake, request.doomed, now=now)  # where a kill came before the first one
        step("tombstone")
        found = find(settings, lake, request.doomed)
        request = _known(settings, request, found)
        bury(settings, lake, found.doomed, now=now)
        step("found")
        axes = _axes(lake)
        lines = _out_of_log(settings, request, step)
        counted = _out_of_lake(lake, found.doomed, now=now, step=step)
        from_warehouse = forget(settings.warehouse_file, found.doomed.table())
        step("warehouse")
        ids = [name for kind, name in found.doomed.before if kind == "response"]
        forget_answers(settings, ids, axes)
        forget_items(settings.judge_state_file, ids)
        pages = _pages_again(settings, lake, request.days, now=now)
        step("pages")
        count_coverage(lake)
        for name in TABLES:
            scrub(lake, name)
            step(f"scrubbed {name}")
        show_lake_again(settings.warehouse_file, lake)
        _forget_details(settings, request)
        done = Erased(name=request.name, lines=lines, rows=counted, warehouse_rows=from_warehouse, pages=pages)
        _receipt(settings, done, now=now)
        _file(settings, request.name).unlink(missing_ok=True)
    return done


def unfinished(settings: Settings) -> list[Request]:
    """Requests that were not done to their end, oldest first."""
    return [_read(file) for file in sorted(_folder(settings).glob("*.request.json"))]


def resume(settings: Settings, *, now: datetime) -> list[Erased]:
    """Do what was asked for and not done, oldest first."""
    return [work(settings, request, now=now) for request in unfinished(settings)]


def _known(settings: Settings, request: Request, found: Found) -> Request:
    ids = tuple(sorted(found.doomed.before))
    known = Request(
        name=request.name, before=request.before, ids=ids, places=request.places, days=request.days | found.days
    )
    _write(settings, known)
    return known


def _out_of_log(settings: Settings, request: Request, step: Step) -> int:
    """Blank the lines that speak of them. Where they stand is written down first: half a line cannot be read again."""
    blank(settings.log_folder, request.places)
    doomed = request.doomed

    def must_go(line: bytes) -> bool:
        said = read_json(line)
        if isinstance(said, dict) and "kind" in said:
            return doomed.speaks_of(said)
        return doomed.is_named_in(line.decode("utf-8", errors="replace"))

    places = lines_where(settings.log_folder, must_go)
    every = (*request.places, *places)
    _write(
        settings, Request(name=request.name, before=request.before, ids=request.ids, places=every, days=request.days)
    )
    step("places")
    blank(settings.log_folder, places)
    step("log")
    return len(every)


def _out_of_lake(lake: Lake, doomed: Doomed, *, now: datetime, step: Step) -> dict[str, int]:
    counted: Counter[str] = Counter()
    table = doomed.table()
    for name in personal_tables():
        where = doomed_sql(TABLES[name].schema.names, row=name)
        counted[name] = sum(take_out(lake, name, where, now=now, doomed=table).values())
        step(f"lake {name}")
    counted["quarantine"] = _out_of_quarantine(lake, doomed, now=now)
    step("lake quarantine")
    return {name: count for name, count in counted.items() if count}


def _out_of_quarantine(lake: Lake, doomed: Doomed, *, now: datetime) -> int:
    """Lines that could not be read are searched word by word."""
    kept = rows(lake, "select log_segment, log_offset, text, reason from quarantine", {"quarantine": None})
    named = [row for row in kept.to_pylist() if doomed.is_named_in(f"{row['text']} {row['reason']}")]
    if not named:
        return 0
    places = pa.table({name: [row[name] for row in named] for name in ("log_segment", "log_offset")})
    where = "(log_segment, log_offset) in (select (log_segment, log_offset) from places)"
    return sum(take_out(lake, "quarantine", where, now=now, places=places).values())


def _axes(lake: Lake) -> set[str]:
    """Every axis on which an answer may have been rated."""
    named = ("labels", "review_tasks", "gold_answers")
    sql = " union ".join(f"select axis from {name}" for name in named)
    return set(rows(lake, sql, dict.fromkeys(named)).column("axis").to_pylist())


def _pages_again(settings: Settings, lake: Lake, days: Collection[date], *, now: datetime) -> tuple[str, ...]:
    """Write the pages of the days again, which quote other answers now; one that cannot be written goes."""
    folder = settings.report_folder / "daily"
    written: list[str] = []
    for day in sorted(days):
        pages = [folder / f"{day}.html", folder / f"{day}.md"]
        if not any(page.exists() for page in pages):
            continue
        try:
            write_daily_report(settings, lake, load_catalog(settings.catalog), day=day, now=now)
        except Exception:  # noqa: BLE001 whatever keeps a page from being written, it may quote them: it goes
            for page in pages:
                page.unlink(missing_ok=True)
        written.append(str(day))
    return tuple(written)


def _forget_details(settings: Settings, request: Request) -> None:
    """Remove what runs noted for the operator, where it names one of the ids."""
    for file in (settings.home / "runs").glob("*.log"):
        if request.doomed.is_named_in(file.read_text(encoding="utf-8", errors="replace")):
            file.unlink(missing_ok=True)


def _folder(settings: Settings) -> Path:
    return settings.home / "erasures"


def _file(settings: Settings, name: str) -> Path:
    return _folder(settings) / f"{name}.request.json"


def _write(settings: Settings, request: Request) -> None:
    said = {
        "name": request.name,
        "before": request.before.isoformat(),
        "ids": request.ids,
        "places": [[place.segment, place.start, place.end] for place in request.places],
        "days": sorted(map(str, request.days)),
    }
    _whole(_file(settings, request.name), said)


def _read(file: Path) -> Request:
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        return Request(
            name=said["name"],
            before=datetime.fromisoformat(said["before"]),
            ids=tuple((kind, name) for kind, name in said["ids"]),
            places=tuple(Range(segment=name, start=start, end=end) for name, start, end in said["places"]),
            days=frozenset(map(date.fromisoformat, said["days"])),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise KeepingError(f"erasure {file}: cannot be read ({error}); ask for it again and delete the file") from error


def _receipt(settings: Settings, done: Erased, *, now: datetime) -> None:
    said = {
        "name": done.name,
        "finished_at": now.isoformat(),
        "log_lines": done.lines,
        "rows": dict(done.rows),
        "warehouse_rows": done.warehouse_rows,
        "pages": list(done.pages),
    }
    _whole(_folder(settings) / f"{done.name}.receipt.json", said)


def _whole(file: Path, said: Mapping[str, object]) -> None:
    """Write whole or not at all, readable by this user alone."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(".part")
    draft.touch(mode=0o600)
    with draft.open("w", encoding="utf-8") as opened:
        json.dump(said, opened)
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(file)
