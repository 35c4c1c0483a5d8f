"""Rows written while they are made: all of them or none, and the error that was raised."""

import threading

import pyarrow as pa
import pytest

from onlineeval_dagster.lake.streamed import write_streamed

SCHEMA = pa.schema([("n", pa.int64())])


def numbers(*, until, made=None):
    for n in range(until):
        if made is not None:
            made.append(n)
        yield pa.table({"n": [n]}, schema=SCHEMA)


def test_everything_made_is_read_in_order():
    read = []
    write_streamed(numbers(until=50), SCHEMA, lambda reader: read.extend(reader.read_all().column("n").to_pylist()))
    assert read == list(range(50))


def test_nothing_made_is_an_empty_table():
    read = []
    write_streamed([], SCHEMA, lambda reader: read.append(reader.read_all()))
    assert [(table.num_rows, table.schema) for table in read] == [(0, SCHEMA)]


@pytest.mark.parametrize("error", [ZeroDivisionError("here"), KeyboardInterrupt()])
def test_where_making_fails_the_reader_fails_too_and_the_error_is_the_makers(error):
    committed = []

    def broken():
        yield from numbers(until=3)
        raise error

    def write(reader):
        reader.read_all()
        committed.append(True)

    with pytest.raises(type(error)):
        write_streamed(broken(), SCHEMA, write)
    assert committed == []


def test_where_writing_fails_no_more_is_made_and_the_error_is_the_writers():
    made = []

    def write(reader):
        reader.read_next_batch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_streamed(numbers(until=1_000, made=made), SCHEMA, write)
    assert len(made) < 10


def test_no_more_than_a_few_wait_to_be_written():
    made, looked = [], threading.Event()

    def write(reader):
        looked.wait(1)
        assert len(made) < 10
        reader.read_all()

    write_streamed(numbers(until=100, made=made), SCHEMA, write)
    assert len(made) == 100
