"""Any SQL database: a table or a query with a cursor column, streamed, from where the last pull ended.

No row is lost beside the last one read. Each pull begins a step and a `lag` below the last cursor, so it meets again
the rows that share its value or were committed late, and leaves out those it has sent: it remembers a digest of each
row since then. Where it forgets (a kill, more than 20,000 such rows), ids made of the rows' content keep a row single.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.sources.columns import check_names
from onlineeval_dagster.sources.files import as_text
from onlineeval_dagster.sources.jsonl import row_events
from onlineeval_dagster.sources.place import Cursor, Item, Opened, Reached
from onlineeval_dagster.sources.rows import Row, Unusable, bad
from onlineeval_dagster.sources.step import FIRST, behind, kept, restored
from onlineeval_dagster.sources.values import digest

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import CursorResult

BATCH_ROWS = 1_000
REMEMBERED_ROWS = 20_000
_REACHED_EVERY = 10_000


def read_sql(opened: Opened, cursor: Cursor) -> Iterator[Item]:
    """Events of the rows beyond the cursor, and how far they reach. Raises SourceError with the password masked."""
    _check(opened)
    engine = _engine(opened)
    try:
        last = restored(cursor["last"]) if "last" in cursor else None
        for begin in _begins(opened, last):
            with _rows(opened, engine, begin) as rows:
                if rows is not None:
                    yield from _items(opened, rows, last, deque(cursor.get("seen", ()), maxlen=REMEMBERED_ROWS))
                    return
    finally:
        engine.dispose()


def _items(opened: Opened, rows: "CursorResult[Any]", last: Any, seen: deque[list[Any]]) -> Iterator[Item]:
    column = str(opened.source.cursor_column)
    names = list(rows.keys())
    if column not in names:
        remedy = f"select it too, or name another with --cursor-column: {', '.join(names)}"
        raise opened.failure(f"the rows have no cursor column {column!r}", remedy)
    check_names(opened.place, names, opened.columns, dated=opened.defaults.occurred_at is not None)
    known = {mark for mark, _ in seen}
    before = None
    for number, found in enumerate(_fetched(opened, rows), start=1):
        here = found[column]
        if here is not None:
            _in_order(opened, before, here)
            before = here
        mark = digest(found)[:16]
        if mark not in known:
            known.add(mark)
            seen.append([mark, _kept(opened, here) if here is not None else None])
            yield from _row_items(opened, number, found)
        last = before if last is None or (before is not None and before > last) else last
        if number % _REACHED_EVERY == 0 and last is not None:
            yield _reached(opened, last, seen)
    if last is not None:
        yield _reached(opened, last, seen)


def _in_order(opened: Opened, before: Any, here: Any) -> None:
    column = opened.source.cursor_column
    try:
        is_ordered = before is None or before <= here
    except TypeError as error:
        remedy = "cast it to one type in a query"
        raise opened.failure(f"column {column} holds values of several types ({error})", remedy) from error
    if not is_ordered:
        raise opened.failure(f"rows do not come in the order of {column}", f"end the query: order by {column}")


def _row_items(opened: Opened, number: int, found: Mapping[str, Any]) -> Iterator[Item]:
    value = {name: _plain(one) for name, one in found.items()}
    row = Row(file=opened.place, number=number, value=value, text=as_text(value))
    try:
        yield from list(row_events(row, opened.columns, opened.defaults))
    except Unusable as error:
        yield bad(row, str(error))


def _reached(opened: Opened, last: Any, seen: deque[list[Any]]) -> Reached:
    """The cursor, with the rows that the next pull will meet again."""
    begin = behind(last, opened.source.lag)
    again = [[mark, value] for mark, value in seen if value is None or restored(value) > begin]
    return Reached(cursor={"last": _kept(opened, last), "seen": again})


def _kept(opened: Opened, value: Any) -> dict[str, Any]:
    try:
        return kept(value)
    except TypeError as error:
        remedy = "name a column of times, whole numbers or texts that grow"
        raise opened.failure(f"--cursor-column {opened.source.cursor_column}: {error} have no order", remedy) from error


def _check(opened: Opened) -> None:
    source = opened.source
    if source.url is None:
        raise SourceError(f"{opened.place}: sql reads a url, not a path; give one such as sqlite:///chats.db")
    if (source.query is None) == (source.table is None):
        raise SourceError(f"{opened.place}: needs either query or table; give --table NAME, or --query 'select …'")
    if source.cursor_column is None:
        raise SourceError(f"{opened.place}: no cursor column; name the one that grows: --cursor-column created_at")
    if source.query is not None and ":cursor" not in source.query:
        remedy = f"add: where {source.cursor_column} > :cursor order by {source.cursor_column}"
        raise SourceError(f"{opened.place}: the query has no :cursor; {remedy}")


def _begins(opened: Opened, last: Any) -> tuple[Any, ...]:
    """What `:cursor` may be, to be tried in this order."""
    if last is not None:
        return (behind(last, opened.source.lag),)
    start = opened.source.start
    return FIRST if start is None else (behind(start, 0),)


def _engine(opened: Opened) -> "Engine":
    import sqlalchemy as sa
    from sqlalchemy.exc import SQLAlchemyError

    url = str(opened.source.url)
    try:
        engine = sa.create_engine(url, poolclass=sa.NullPool, hide_parameters=True)
    except (SQLAlchemyError, ModuleNotFoundError, ValueError) as error:
        remedy = "write it as postgresql+psycopg://user:password@host/database and install that driver"
        raise opened.failure(f"url {url!r} cannot be used ({error})", remedy) from error
    if engine.dialect.name == "sqlite" and engine.url.database and not engine.url.query:
        from pathlib import Path

        # sqlite3 would make an empty database of a misspelt name.
        if engine.url.database != ":memory:" and not Path(engine.url.database).exists():
            raise opened.failure(f"url {url!r}: no such database file", f"check the name, seen from {Path.cwd()}")
    return engine


@contextmanager
def _rows(opened: Opened, engine: "Engine", begin: Any) -> Iterator["CursorResult[Any] | None"]:
    """The rows beyond `begin`, streamed; None where the column is of another type, and other begins are left."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        connection = engine.connect()
    except SQLAlchemyError as error:
        remedy = "check address, user, password and that the database runs"
        raise opened.failure(f"no connection ({_first_line(error)})", remedy) from error
    with connection:
        options: dict[str, Any] = {"stream_results": True, "yield_per": BATCH_ROWS}
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(postgresql_readonly=True)
        try:
            rows = connection.execute(_statement(opened, engine, begin), {"cursor": begin}, execution_options=options)
        except SQLAlchemyError as error:
            if opened.source.start is None and any(begin is first for first in FIRST[:-1]):
                rows = None
            else:
                remedy = "mend the query, or where it begins: --start"
                raise opened.failure(f"the query failed ({_first_line(error)})", remedy) from error
        yield rows


def _statement(opened: Opened, engine: "Engine", begin: Any) -> Any:
    import sqlalchemy as sa

    source = opened.source
    if source.query is not None:
        return sa.text(source.query)
    quoted = engine.dialect.identifier_preparer.quote
    table = ".".join(quoted(part) for part in str(source.table).split("."))
    column = quoted(str(source.cursor_column))
    everything = source.start is None and any(begin is first for first in FIRST)
    where = "" if everything else f"where {column} > :cursor "
    return sa.text(f"select * from {table} {where}order by {column}")


def _fetched(opened: Opened, rows: "CursorResult[Any]") -> Iterator[dict[str, Any]]:
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield from (dict(row) for row in rows.mappings())
    except SQLAlchemyError as error:
        raise opened.failure(f"broke off ({_first_line(error)})", "pull again: it goes on from there") from error


def _first_line(error: Exception) -> str:
    said = getattr(error, "orig", None) or error
    return str(said).strip().splitlines()[0] if str(said).strip() else type(said).__name__


def _plain(value: Any) -> Any:
    """A driver's value as our readers take it."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return str(value) if isinstance(value, UUID) else value
