"""A real PostgreSQL as a source: types, late commits, streaming, and what it says when something is wrong."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import quote

import psycopg
import pytest

from onlineeval_dagster.catalog.source_file import Source
from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.sources.place import Reached, opened
from onlineeval_dagster.sources.registry import read_items
from tests.sources.postgres import ABSENT, PASSWORD, postgres

pytestmark = pytest.mark.skipif(bool(ABSENT), reason=ABSENT)
NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
TABLE = """create table chat."Answers" (
    id bigserial primary key, question text, answer text, created_at timestamptz not null default now(),
    cost_usd numeric(10, 5), request uuid default gen_random_uuid(), extra jsonb)"""


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, int]]:
    with postgres() as at:
        yield at


@pytest.fixture
def url(server: tuple[str, int]) -> str:
    host, port = server
    address = f"postgresql+psycopg://postgres:{quote(PASSWORD, safe='')}@{host}:{port}/postgres"
    with connect(server) as connection:
        connection.execute("drop schema if exists chat cascade")
        connection.execute("create schema chat")
        connection.execute(TABLE)
    return address


def connect(server: tuple[str, int]) -> psycopg.Connection:
    return psycopg.connect(host=server[0], port=server[1], user="postgres", password=PASSWORD, dbname="postgres")


def put(connection: psycopg.Connection, question: str, at: str = "2026-11-20T10:00:00Z") -> None:
    insert = """insert into chat."Answers" (question, answer, created_at, cost_usd, extra)
        values (%s, 'a', %s, 0.00125, '{"plan": "pro"}')"""
    connection.execute(insert, (question, at))


def pull(url: str, cursor: dict | None = None, **options) -> tuple[list[Response], dict]:
    fields = {"dialect": "sql", "url": url, "table": "chat.Answers", "cursor_column": "created_at"}
    if "query" in options:
        del fields["table"]
    items = list(read_items(opened(Source(**fields | options), place="sources.shop", now=NOW), cursor or {}))
    reached = [item.cursor for item in items if isinstance(item, Reached)]
    return [item for item in items if isinstance(item, Response)], reached[-1] if reached else {}


def test_its_types_become_ours(server, url):
    with connect(server) as connection:
        put(connection, "Where is my kettle?")
    (answer,), cursor = pull(url)
    assert answer.occurred_at == datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert (answer.response_id, answer.cost_usd) == ("1", 0.00125)
    assert answer.attributes["extra"] == {"plan": "pro"} and len(answer.attributes["request"]) == 36
    assert cursor["last"] == {"type": "datetime", "value": "2026-11-20T19:00:00+09:00"}
    assert pull(url, cursor)[0] == []


def test_a_row_that_is_committed_after_a_later_one_was_read_is_not_lost(server, url):
    with connect(server) as slow:
        put(slow, "begun first", "2026-11-20T10:00:00Z")
        with connect(server) as quick:
            put(quick, "committed first", "2026-11-20T10:02:00Z")
        seen, cursor = pull(url)
        assert [answer.query for answer in seen] == ["committed first"]
    late, _ = pull(url, cursor)
    assert [answer.query for answer in late] == ["begun first"]


def test_rows_of_one_instant_that_arrive_while_it_is_pulled_come_exactly_once(server, url):
    def write() -> None:
        with connect(server) as connection:
            for number in range(200):
                put(connection, f"q{number}", "2026-11-20T10:00:00Z")
                connection.commit()

    writer = threading.Thread(target=write)
    writer.start()
    cursor, found = {}, []
    for _ in range(100):
        alive = writer.is_alive()
        new, cursor = pull(url, cursor, lag=0)
        found += [answer.query for answer in new]
        if not alive:
            break
    writer.join()
    assert sorted(found) == sorted(f"q{number}" for number in range(200))


@pytest.mark.parametrize("column", ["created_at", "id", "request::text"])
def test_a_query_begins_below_times_numbers_and_texts(server, url, column):
    with connect(server) as connection:
        put(connection, "q1")
    query = f"""select *, {column} as here from chat."Answers" where {column} > :cursor order by {column}"""
    assert len(pull(url, query=query, cursor_column="here")[0]) == 1


def test_a_query_may_only_read(server, url):
    with connect(server) as connection:
        put(connection, "q1")
    query = """select *, nextval('chat."Answers_id_seq"') from chat."Answers" where id > :cursor order by id"""
    with pytest.raises(SourceError, match=r"sources\.shop: the query failed \(.*read-only"):
        pull(url, query=query, cursor_column="id", start=0)


def test_a_great_table_is_streamed_not_loaded(server, url):
    with connect(server) as connection:
        connection.execute(
            """insert into chat."Answers" (question, answer, created_at)
            select 'q', 'a', timestamptz '2026-11-01' + n * interval '1 second' from generate_series(1, 12000) as n"""
        )
    source = Source(dialect="sql", url=url, table="chat.Answers", cursor_column="id")
    items = read_items(opened(source, place="x", now=NOW), {})
    assert isinstance(next(items), Response)
    with connect(server) as connection:
        (cursors,) = connection.execute("select count(*) from pg_cursors").fetchone()
        (waiting,) = connection.execute(
            "select count(*) from pg_stat_activity where state = 'idle in transaction' and query ilike '%fetch%'"
        ).fetchone()
    assert (cursors, waiting) == (0, 1)  # another session's named cursor stands open, with most rows in the server
    assert sum(isinstance(item, Response) for item in items) == 11_999


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (":geh", ":falsch-", "password authentication failed"),
        ("/postgres", "/shop", 'database "shop" does not exist'),
    ],
)
def test_a_wrong_address_is_told_without_the_password(url, old, new, said):
    wrong = new.join(url.rsplit(old, 1))
    with pytest.raises(SourceError) as caught:
        pull(wrong)
    assert str(caught.value).startswith("sources.shop: no connection (") and said in str(caught.value)
    assert "eim%2F" not in str(caught.value) and "check address, user, password" in str(caught.value)
