"""A drained segment's name is its place in the queue, so that rows and offsets are stored by the same commit.

`kafka.<identity>-<topic>-<partition>-<from>-<to>.ndjson` holds what stood at offsets [from, to). The ingest writes the
name of each segment into the lake with its rows; no other record of offsets is needed, and none can disagree.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from onlineeval_dagster.log.writer import SEALED

_NAME = re.compile(r"(\w{1,64})\.([0-9a-f]{8})-.*-(\d{1,10})-(\d{1,20})-(\d{1,20})" + re.escape(SEALED), re.DOTALL)
_LONGEST = 100  # a file's name has 255 bytes; the identity tells topics apart, this is for the reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Offsets [start, end) of a partition.

    >>> place = Place(door="kafka", identity="00c0ffee", topic="shop.events-v2", partition=3, start=10, end=20)
    >>> place.segment
    'kafka.00c0ffee-shop.events-v2-3-10-20.ndjson'
    >>> place_of(place.segment) == place
    True
    """

    door: str
    identity: str
    topic: str
    partition: int
    start: int
    end: int

    @property
    def segment(self) -> str:
        """The name of the segment that holds it."""
        topic = re.sub(r"[^A-Za-z0-9._-]", "_", self.topic)[:_LONGEST]
        return f"{prefix(self.door, self.identity)}{topic}-{self.partition}-{self.start}-{self.end}{SEALED}"


def prefix(door: str, identity: str) -> str:
    """What the names of all segments of one topic begin with."""
    return f"{door}.{identity}-"


def place_of(segment: str) -> Place | None:
    """The place that a segment's name tells; None for a name that is none of ours."""
    found = _NAME.fullmatch(segment)
    if found is None:
        return None
    start = found.start(3) - 1
    return Place(
        door=found[1],
        identity=found[2],
        topic=segment[found.end(2) + 1 : start],
        partition=int(found[3]),
        start=int(found[4]),
        end=int(found[5]),
    )


def next_offsets(segments: Iterable[str], *, door: str, identity: str) -> dict[int, int]:
    """By partition, the offset behind everything that these segments hold of one topic."""
    following: dict[int, int] = {}
    for segment in segments:
        place = place_of(segment)
        if place is not None and (place.door, place.identity) == (door, identity):
            following[place.partition] = max(following.get(place.partition, 0), place.end)
    return following
