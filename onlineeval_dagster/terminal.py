"""The terminal that a person reads, or the file that it is sent to."""

import sys

from rich.console import Console

PIPED_WIDTH = 160
"""Columns where nobody's terminal says how many there are: a table in a file must not break its words."""


def printed_on(*, errors: bool = False) -> Console:
    """A console on the standard output, or on the errors' stream, as it is bound now."""
    stream = sys.stderr if errors else sys.stdout
    return Console(file=stream, highlight=False, soft_wrap=True, width=None if stream.isatty() else PIPED_WIDTH)
