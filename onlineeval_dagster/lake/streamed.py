"""Rows that are made while they are written: memory holds a few thousand of them, however many there are."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue

import pyarrow as pa

_WAITING = 2  # tables made and not yet written
_LOOKS_EVERY_S = 0.2


def write_streamed(
    tables: Iterable[pa.Table], schema: pa.Schema, write: Callable[[pa.RecordBatchReader], None]
) -> None:
    """Let `write` read, in a thread of its own, what `tables` makes in this one.

    The Delta library pulls rows from inside its own event loop, where no other Delta table can be opened: so they are
    made outside it. What making them raises is raised as it is, after the reader of `write` broke off with an error.
    """
    waiting: Queue[pa.Table | _End] = Queue(_WAITING)
    with ThreadPoolExecutor(1, thread_name_prefix="lake") as threads:
        writing = threads.submit(write, pa.RecordBatchReader.from_batches(schema, _batches(waiting)))
        try:
            for table in tables:
                if not _handed_over(table, waiting, writing):
                    break
        except BaseException:  # an interrupt too: a commit of half the rows would look whole
            _handed_over(_End(whole=False), waiting, writing)
            writing.exception()  # waited for; it says no more than that the rows broke off
            raise
        _handed_over(_End(whole=True), waiting, writing)
        writing.result()


class _End:
    def __init__(self, *, whole: bool) -> None:
        self.whole = whole


def _handed_over(item: "pa.Table | _End", waiting: "Queue[pa.Table | _End]", writing: Future[None]) -> bool:
    """False where nobody reads any more."""
    while not writing.done():
        try:
            waiting.put(item, timeout=_LOOKS_EVERY_S)
            return True
        except Full:
            continue
    return False


def _batches(waiting: "Queue[pa.Table | _End]") -> Iterator[pa.RecordBatch]:
    while not isinstance(item := waiting.get(), _End):
        yield from item.to_batches()
    if not item.whole:
        raise RuntimeError("the rows broke off")
