"""Where tracked lines go: the small interface that every way into the log has. On the standard library alone."""

from collections.abc import Callable
from typing import NamedTuple, Protocol, runtime_checkable

LOSS_NAME = "onlineeval.sdk_loss"
"""The event that says how many others were lost on this side; `coverage` sums them."""
LOSS_MARK = b'"name":"' + LOSS_NAME.encode() + b'"'
"""What only the line of such an event has in it."""


class Counters(NamedTuple):
    """What became of the calls. The sum of the first four is the number of calls, at any time.

    captured  in the log, or in the spool of a collector: a kill cannot lose them
    deferred  in memory now, on their way to the log
    dropped   lost: the buffer was full, or the process ended before the disk came back
    errors    could not be written as an event, or the collector refused it; the product was not told

    With a collector `captured` falls into two:

    shipped   taken by the collector
    waiting   on the disk of this host, on their way to it
    """

    captured: int = 0
    deferred: int = 0
    dropped: int = 0
    errors: int = 0
    shipped: int = 0
    waiting: int = 0


class Transport(Protocol):
    """Takes lines of the log to where they are kept."""

    def send(self, line: bytes) -> bool:
        """Take one whole line, ending in a newline. True once a kill of this process cannot lose it."""
        ...

    def counters(self) -> Counters: ...

    def close(self) -> None: ...


@runtime_checkable
class TellsLosses(Protocol):
    """A transport that can write down, on its own behalf, how much was lost on this side."""

    def tell_losses(self, loss_line: Callable[[], bytes | None]) -> None: ...
