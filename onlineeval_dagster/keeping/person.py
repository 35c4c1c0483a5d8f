"""Of whom a request speaks: all ids under which rows and lines of theirs are known, and the days they touch."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa

from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine, rows
from onlineeval_dagster.lake.tombstones import ID_COLUMNS, Doomed, Kind, Tombstones, doomed_sql, read_json, words_of
from onlineeval_dagster.log.blanking import every_line
from onlineeval_dagster.settings import Settings

# A user leads to sessions, a session to answers, an answer to its trace, the trace to its steps: then nothing is new.
_ROUNDS = 5

# Tables whose rows say that an id belongs to the person, and what of them follows.
_FOLLOWED: tuple[tuple[str, str, Kind], ...] = (
    ("responses", "session_id", "guest"),
    ("actions", "session_id", "guest"),
    ("spans", "session_id", "guest"),
    ("responses", "response_id", "response"),
    ("trace_states", "response_id", "response"),
    ("spans", "trace_id", "trace"),
    ("trace_states", "trace_id", "trace"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a request comes to: the ids, and the days of the lake that have rows of theirs."""

    doomed: Doomed
    days: frozenset[date]


def find(settings: Settings, lake: Lake, asked: Doomed) -> Found:
    """Follow the ids of `asked` through the lake and the log."""
    doomed = asked
    for _ in range(_ROUNDS):
        more = doomed | _of_lake(lake, doomed) | _of_log(settings, doomed)
        if len(more.before) == len(doomed.before):
            break
        doomed = more
    return Found(doomed=doomed, days=_days(lake, doomed))


def named_here(settings: Settings, lake: Lake, stones: Tombstones) -> Doomed:
    """The ids in clear, in lake and log, that have one of these tombstones."""
    words: set[str] = set()
    columns: dict[str, set[str]] = {name: set() for name in ID_COLUMNS}
    for _, line in every_line(settings.log_folder):
        said = read_json(line)
        if isinstance(said, dict) and "kind" in said:
            for name in ID_COLUMNS:
                columns[name] |= {said[name]} if isinstance(said.get(name), str) else set()
        else:
            words |= words_of(line.decode("utf-8", errors="replace"))
    for row in rows(lake, "select text, reason from quarantine", {"quarantine": None}).to_pylist():
        words |= words_of(f"{row['text']} {row['reason']}")
    found = stones.among_words(words)
    with engine(lake, dict.fromkeys(personal_tables())) as connection:
        for table in personal_tables():
            for name in set(TABLES[table].schema.names) & set(ID_COLUMNS):
                found |= stones.among(
                    connection, connection.sql(f"select distinct {name} from {table}").to_arrow_table()
                )
        for name, ids in columns.items():
            found |= stones.among(connection, pa.table({name: pa.array(sorted(ids), pa.string())}))
    return found


def personal_tables() -> list[str]:
    """The lake's tables whose rows speak of somebody."""
    return [name for name, table in TABLES.items() if set(table.schema.names) & set(ID_COLUMNS)]


def _of_lake(lake: Lake, doomed: Doomed) -> Doomed:
    found: dict[tuple[Kind, str], datetime] = {}
    before = max(doomed.before.values())
    for name, column, kind in _FOLLOWED:
        columns = TABLES[name].schema.names if name in TABLES else []
        if not lake.exists(name) or column not in columns:
            continue
        where = doomed_sql(columns, row=name)
        if kind == "guest":  # a session is the person's where a row of it names the person
            where += f" and exists (from doomed where kind = 'user' and id = {name}.user_id)"
        with engine(lake, {name: None}) as connection:
            connection.register("doomed", doomed.table())
            asked = f"select distinct {column} from {name} where {column} is not null and {where}"
            found |= {(kind, row[0]): before for row in connection.execute(asked).fetchall()}
    return Doomed(before=found)


def _of_log(settings: Settings, doomed: Doomed) -> Doomed:
    before = max(doomed.before.values())
    users = doomed.ids("user")
    said = (read_json(line) for _, line in every_line(settings.log_folder))
    found = {
        key for event in said if isinstance(event, dict) and doomed.speaks_of(event) for key in _keys(event, users)
    }
    return Doomed(before=dict.fromkeys(found, before))


def _keys(event: dict[str, object], users: set[str]) -> Iterable[tuple[Kind, str]]:
    response, trace, session = (event.get(name) for name in ("response_id", "trace_id", "session_id"))
    if event.get("kind") == "response" and isinstance(response, str):
        yield "response", response
    if event.get("kind") == "span" and isinstance(trace, str):
        yield "trace", trace
    if event.get("user_id") in users and isinstance(session, str):
        yield "guest", session


def _days(lake: Lake, doomed: Doomed) -> frozenset[date]:
    days: set[date] = set()
    for name in personal_tables():
        if lake.exists(name):
            with engine(lake, {name: None}) as connection:
                connection.register("doomed", doomed.table())
                where = doomed_sql(TABLES[name].schema.names, row=name)
                days |= {
                    row[0] for row in connection.execute(f"select distinct day from {name} where {where}").fetchall()
                }
    return frozenset(days)
