"""Tables of other systems through a cursor column: nothing lost, nothing doubled, whatever the moment of the pull."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from onlineeval_dagster.catalog.source_file import Source
from onlineeval_dagster.contracts.events import Action, Response
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.sources.place import Reached, opened
from onlineeval_dagster.sources.registry import read_items
from onlineeval_dagster.sources.rows import BadRow

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
TABLE = "create table answers (id integer primary key, question text, answer text, created_at text, stars integer)"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    file = tmp_path / "chats.db"
    with sqlite3.connect(file) as connection:
        connection.execute(TABLE)
    return file


def put(database: Path, *rows: tuple) -> None:
    with sqlite3.connect(database) as connection:
        connection.executemany("insert into answers values (?, ?, ?, ?, ?)", rows)
    connection.close()


def row(number: int, at: str = "2026-11-20T10:00:00Z", stars: int | None = None) -> tuple:
    return (number, f"question {number}", f"answer {number}", at, stars)


def pull(database: Path, cursor: dict | None = None, **options) -> tuple[list, dict]:
    """What one pull brings, and the cursor it ends with."""
    fields = {"dialect": "sql", "url": f"sqlite:///{database}", "table": "answers", "cursor_column": "created_at"}
    if "query" in options:
        del fields["table"]
    items = list(read_items(opened(Source(**fields | options), place="sources.shop", now=NOW), cursor or {}))
    found = [item for item in items if not isinstance(item, Reached)]
    reached = [item.cursor for item in items if isinstance(item, Reached)]
    return found, reached[-1] if reached else (cursor or {})


def ids(items: list) -> list[str]:
    return [item.response_id for item in items if isinstance(item, Response)]


class TestOnePull:
    def test_rows_become_responses_and_opinions_as_in_a_file(self, database):
        put(database, row(1, stars=4))
        (answer, opinion), _ = pull(database)
        assert isinstance(answer, Response) and isinstance(opinion, Action)
        assert (answer.response_id, answer.query, answer.response) == ("1", "question 1", "answer 1")
        assert answer.occurred_at == datetime(2026, 11, 20, 10, tzinfo=UTC)
        assert (opinion.action, opinion.value) == ("star_rating", 4.0)

    def test_a_map_a_zone_an_app_and_an_environment_are_those_of_the_source(self, database):
        put(database, (1, "q", "a", "2026-11-20 10:00:00", None))
        options = {"map": {"user_id": "id"}, "zone": "Europe/Berlin", "app": "shop", "environment": "staging"}
        (answer,), _ = pull(database, **options)
        assert (answer.user_id, answer.app, answer.environment) == ("1", "shop", "staging")
        assert answer.occurred_at == datetime(2026, 11, 20, 9, tzinfo=UTC)

    def test_a_row_that_cannot_be_read_is_bad_and_the_others_come(self, database):
        put(database, row(1), (2, None, "a", "2026-11-20T10:00:01Z", None), row(3, "2026-11-20T10:00:02Z"))
        (_, bad, _), _ = pull(database)
        assert isinstance(bad, BadRow) and bad.place == "sources.shop:2" and bad.reason.startswith("query: null")

    def test_an_empty_table_brings_nothing_and_the_next_pull_begins_anew(self, database):
        assert pull(database) == ([], {})
        put(database, row(1))
        assert ids(pull(database)[0]) == ["1"]


class TestPullingAgain:
    def test_brings_only_what_is_new(self, database):
        put(database, row(1), row(2))
        first, cursor = pull(database)
        assert ids(first) == ["1", "2"]
        again, same = pull(database, cursor)
        assert again == [] and same == cursor
        put(database, row(3, "2026-11-20T11:00:00Z"))
        assert ids(pull(database, cursor)[0]) == ["3"]

    @pytest.mark.parametrize("lag", [0, 300])
    def test_a_row_that_shares_the_last_time_and_comes_later_is_not_lost(self, database, lag):
        put(database, row(1))
        _, cursor = pull(database, lag=lag)
        put(database, row(2))
        assert ids(pull(database, cursor, lag=lag)[0]) == ["2"]

    def test_a_row_committed_late_is_found_within_the_lag(self, database):
        put(database, row(1, "2026-11-20T10:05:00Z"))
        _, cursor = pull(database)
        put(database, row(2, "2026-11-20T10:00:30Z"))
        assert ids(pull(database, cursor, lag=300)[0]) == ["2"]
        assert pull(database, cursor, lag=60)[0] == []

    def test_a_cursor_that_forgot_its_rows_gives_the_same_ids_again(self, database):
        put(database, row(1), row(2))
        first, cursor = pull(database)
        again, _ = pull(database, dict(cursor) | {"seen": []})
        assert [event.event_id for event in again] == [event.event_id for event in first]

    def test_rows_of_the_lag_are_forgotten_once_it_has_passed(self, database):
        put(database, row(1), row(2, "2026-11-20T12:00:00Z"))
        _, cursor = pull(database)
        assert len(cursor["seen"]) == 1

    def test_a_long_pull_says_in_between_how_far_it_is(self, database):
        put(database, *(row(i, f"2026-11-20T{i // 3600:02}:{i // 60 % 60:02}:{i % 60:02}Z") for i in range(10_001)))
        ready = opened(
            Source(dialect="sql", url=f"sqlite:///{database}", table="answers", cursor_column="id"),
            place="x",
            now=NOW,
        )
        items = list(read_items(ready, {}))
        assert [place for place, item in enumerate(items) if isinstance(item, Reached)] == [10_000, 10_002]


class TestQueries:
    QUERY = "select id, question, answer, created_at from answers where {} > :cursor order by {}"

    @pytest.mark.parametrize("column", ["id", "created_at"])
    def test_begin_below_everything_whatever_the_columns_type(self, database, column):
        put(database, row(1), row(2))
        options = {"query": self.QUERY.format(column, column), "cursor_column": column}
        first, cursor = pull(database, **options)
        assert ids(first) == ["1", "2"]
        put(database, row(3, "2026-11-20T10:00:01Z"))
        assert ids(pull(database, cursor, **options)[0]) == ["3"]

    def test_begin_where_they_are_told_to(self, database):
        put(database, row(1), row(2), row(3))
        options = {"query": self.QUERY.format("id", "id"), "cursor_column": "id", "start": 2}
        assert ids(pull(database, **options)[0]) == ["2", "3"]

    def test_in_no_order_are_refused(self, database):
        put(database, row(1, "2026-11-20T10:00:01Z"), row(2))
        with pytest.raises(SourceError, match="rows do not come in the order of created_at; end the query: order by"):
            pull(database, query="select * from answers where created_at > :cursor order by id")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cursor_column": "seen_at", "query": "select * from answers where id > :cursor"}, "'seen_at'; select it too"),
        ({"map": {"query": "questoin"}}, "--map query=questoin: no row has 'questoin'; the columns are question"),
        ({"table": "replies"}, "the query failed (no such table: replies); mend"),
        ({"query": "select * from answers"}, "the query has no :cursor; add: where created_at > :cursor"),
        ({"cursor_column": None}, "no cursor column; name the one that grows"),
        ({"table": None}, "needs either query or table"),
        ({"url": "sqlite:////nowhere/x.db"}, "no such database file; check the name"),
        ({"url": "oracle9://u:geheim123@h/x"}, "oracle9://u:***@h/x' cannot be used"),
        ({"url": "no url"}, "url 'no url' cannot be used"),
        ({"url": "postgresql+psycopg://u:geheim123@127.0.0.1:1/x"}, "no connection"),
        ({"zone": "Berlin"}, "zone 'Berlin' is no time zone"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_remedy_and_without_the_password(database, options, said):
    put(database, row(1))
    with pytest.raises(SourceError) as caught:
        pull(database, **options)
    assert str(caught.value).startswith("sources.shop: ") or "--map" in said
    assert said in str(caught.value) and "geheim123" not in str(caught.value)
