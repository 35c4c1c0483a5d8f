"""What the tests of the collector and its clients share."""

import threading
from collections.abc import Iterator

import pytest

from tests.collector.scripted_collector import Scripted


@pytest.fixture
def collector() -> Iterator[Scripted]:
    server = Scripted()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.is_over.set()
    server.shutdown()
    server.server_close()
