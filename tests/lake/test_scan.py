"""Questions to the lake share a database in memory and nothing else."""

from datetime import timedelta

import duckdb
import pyarrow as pa
import pytest

from onlineeval_dagster.lake.scan import engine, rows, scratch
from tests.worlds import NOON, answer, lake_of, settings_at


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    said = [answer(number, at=NOON + timedelta(days=number)) for number in range(3)]
    return lake_of(settings_at(tmp_path_factory.mktemp("lake")), said, now=NOON + timedelta(days=4))


def counted(connection) -> int:
    return connection.execute("select count(*) from responses").fetchall()[0][0]


def test_questions_asked_at_once_have_views_tables_and_arrow_tables_of_their_own(lake):
    (first, *others) = sorted(lake.days("responses"))
    with engine(lake, {"responses": {first}}) as one, engine(lake, {"responses": others}) as other:
        one.execute("create temp table told as select 1 as a")
        one.register("given", pa.table({"a": [1, 2]}))
        assert (counted(one), counted(other)) == (1, 2)
        for name in ("told", "given"):
            with pytest.raises(duckdb.CatalogException):
                other.execute(f"select * from {name}")


def test_nothing_is_left_of_a_question_even_where_it_failed(lake):
    wrong = "create temp table told as select 1 as a; select nothing from responses"
    with pytest.raises(duckdb.BinderException), engine(lake, {"responses": None}) as connection:
        connection.execute(wrong)
    with scratch() as connection:
        for name in ("responses", "told"):
            with pytest.raises(duckdb.CatalogException):
                connection.execute(f"select * from {name}")


def test_a_time_is_utc_whatever_another_question_set(lake):
    with scratch() as other:
        other.execute("set timezone = 'Asia/Tokyo'")
        (row,) = rows(lake, "select hour(occurred_at) as hour from responses limit 1", {"responses": None}).to_pylist()
    assert row["hour"] == NOON.hour


def test_what_is_set_for_a_whole_database_by_one_alone_reaches_no_other(lake):
    asked = "select current_setting('preserve_insertion_order')"
    with engine(lake, {}, alone=True) as one, engine(lake, {}) as other:
        one.execute("set preserve_insertion_order = false")
        assert one.execute(asked).fetchall() == [(False,)]
        assert other.execute(asked).fetchall() == [(True,)]


@pytest.mark.parametrize("broken", [duckdb.InternalException, duckdb.FatalException])
def test_after_an_error_that_makes_a_database_unusable_there_is_a_new_one(lake, broken):
    with scratch() as connection:
        connection.execute("create table kept as select 1")
    with scratch() as connection:
        connection.execute("select * from kept")
    with pytest.raises(broken), scratch():
        raise broken("the database has been invalidated")
    with pytest.raises(duckdb.CatalogException), scratch() as connection:
        connection.execute("select * from kept")
    assert rows(lake, "select * from responses", {"responses": None}).num_rows == 3
