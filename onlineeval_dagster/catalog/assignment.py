"""Which variant a unit meets: by hash alone, the same in every process, without a network. On the standard library.

    position of the unit in its layer ∈ slots?  ──no──▶ not in the experiment
                     │ yes
    position of the unit in the experiment  ──shares──▶ variant

Two salts, two independent numbers: experiments of one layer with slots apart never meet the same unit, experiments of
different layers cross each other evenly. Wider slots only add units; changed shares move units, and are a new version.
"""

import hashlib
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from itertools import accumulate, pairwise
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple

from onlineeval_dagster.errors import CatalogError

FILE = "experiments.toml"
_HEX_DIGITS = 13  # 52 bits, which a double holds exactly; as in sampling/chance.py, a test keeps the two equal
_SCALE = 16**_HEX_DIGITS
_LOOK_SECONDS = 5.0


class Assigned(NamedTuple):
    """What a unit meets. `propensity` is the chance of this variant among units that are in the experiment."""

    experiment: str
    variant: str
    propensity: float
    unit: str
    version: str


class Assignment(NamedTuple):
    """What of an experiment decides who meets what.

    variants  shares by name in the order of the file, which sum to 1
    slots     part of its layer: the units whose position there lies in [from, to)
    """

    name: str
    unit: str
    variants: Mapping[str, float]
    salt: str
    layer: str
    slots: tuple[float, float]
    starts_on: date
    is_stopped: bool

    @property
    def version(self) -> str:
        """Twelve hex digits that change when units may move: not with the slots, which only let units in or out."""
        said = json.dumps([self.unit, list(self.variants.items()), self.salt, self.layer])
        return hashlib.sha256(said.encode()).hexdigest()[:12]

    def assign(self, unit_id: str, *, now: datetime) -> Assigned | None:
        """The unit's variant; None before the start, after a stop, and for units that are not in it.

        >>> shares = {"control": 0.5, "short": 0.5}
        >>> tone = Assignment("tone", "user", shares, "tone", "tone", (0.0, 1.0), date(2026, 11, 23), False)
        >>> tone.assign("u-1", now=datetime(2026, 11, 24)).variant
        'short'
        """
        if self.is_stopped or now.date() < self.starts_on:
            return None
        if self.slots != (0.0, 1.0):
            low, high = self.slots
            if not low <= position(unit_id, f"layer:{self.layer}") < high:
                return None
        here, edges = position(unit_id, self.salt), accumulate(self.variants.values())
        # The last one also takes what rounding leaves.
        variant = next(
            (name for name, edge in zip(self.variants, edges, strict=True) if here < edge), [*self.variants][-1]
        )
        return Assigned(self.name, variant, self.variants[variant], self.unit, self.version)


def position(identity: str, salt: str) -> float:
    """A number in [0, 1), uniform over ids: the first 52 bits of md5(salt:id)."""
    digest = hashlib.md5(f"{salt}:{identity}".encode(), usedforsecurity=False).hexdigest()
    return int(digest[:_HEX_DIGITS], 16) / _SCALE


def assignments_of(tables: Mapping[str, Any]) -> dict[str, Assignment]:
    """The assignments of a parsed experiments.toml. Raises CatalogError; `catalog check` looks at all the rest."""
    found = {name: _assignment(name, table) for name, table in dict(tables.get("experiments", {})).items()}
    for name, other, layer in _overlaps(found):
        raise CatalogError(
            f"{FILE}: experiments.{name}.slots overlap those of {other} in layer {layer!r}, which would let units meet "
            "both; give each a part of its own, or another layer"
        )
    return found


def _assignment(name: str, table: Any) -> Assignment:
    place = f"{FILE}: experiments.{name}"
    if not isinstance(table, Mapping):
        raise CatalogError(f"{place} is {table!r}; write a table [experiments.{name}]")
    return Assignment(
        name=name,
        unit=table.get("unit", "user"),
        variants=_shares(place, table.get("variants")),
        salt=str(table.get("salt", name)),
        layer=str(table.get("layer", name)),
        slots=_slots(place, table.get("slots", (0.0, 1.0))),
        starts_on=_start(place, table.get("starts_on")),
        is_stopped=table.get("status", "running") == "stopped",
    )


def _shares(place: str, said: Any) -> dict[str, float]:
    told = f"{place}.variants: "
    if not isinstance(said, Mapping) or len(said) < 2:
        raise CatalogError(f"{told}an experiment has two variants or more; write control = 0.5 and another = 0.5")
    for name, share in said.items():
        if type(share) not in (int, float) or not 0 < share < 1:
            raise CatalogError(
                f"{told}{name} is {share!r}; a share lies between 0 and 1, take out an arm without units"
            )
    total = sum(said.values())
    if abs(total - 1) > 1e-9:
        raise CatalogError(
            f"{told}the shares add up to {total:g}; let them add up to 1, or narrow `slots` to leave out"
        )
    return {name: float(share) for name, share in said.items()}


def _slots(place: str, said: Any) -> tuple[float, float]:
    try:
        low, high = (float(edge) for edge in said)
    except (TypeError, ValueError) as error:
        raise CatalogError(f"{place}.slots is {said!r}; write two numbers, [0.0, 0.5] for the first half") from error
    if not 0 <= low < high <= 1:
        raise CatalogError(f"{place}.slots is [{low:g}, {high:g}]; it must rise and lie within 0 and 1")
    return low, high


def _start(place: str, said: Any) -> date:
    if isinstance(said, datetime) or not isinstance(said, date):
        raise CatalogError(f"{place}.starts_on is {said!r}; write a day without quotes, 2026-11-30")
    return said


def _overlaps(found: Mapping[str, Assignment]) -> Iterator[tuple[str, str, str]]:
    by_layer: dict[str, list[Assignment]] = {}
    for one in found.values():
        if not one.is_stopped:
            by_layer.setdefault(one.layer, []).append(one)
    for layer, several in by_layer.items():
        several.sort(key=lambda one: one.slots)
        for first, second in pairwise(several):
            if second.slots[0] < first.slots[1]:
                yield second.name, first.name, layer


class AssignmentFile:
    """The assignments of one file, read again when it changes; it is looked at every five seconds at most."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = monotonic) -> None:
        self._path, self._clock = path, clock
        self._looked_at: float | None = None
        self._stamp: tuple[int, int] | None = None
        self._known: dict[str, Assignment] = {}

    def current(self) -> Mapping[str, Assignment]:
        """Assignments by name; none where there is no file. Raises CatalogError for one that cannot be read."""
        now = self._clock()
        if self._looked_at is None or now - self._looked_at >= _LOOK_SECONDS:
            self._look()
            self._looked_at = now
        return self._known

    def _look(self) -> None:
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            if stamp != self._stamp:
                self._known = assignments_of(tomllib.loads(self._path.read_text(encoding="utf-8")))
                self._stamp = stamp
        except FileNotFoundError:
            self._known, self._stamp = {}, None
        except (OSError, ValueError) as error:
            raise CatalogError(f"{self._path}: cannot be read ({error}); save it as TOML, UTF-8") from error
