"""`POST /v1/assign`: which variants a unit meets, by the same hash as the SDK's, the exposures kept in the log.

{"unit_id": "u-7"}                                     every experiment on users
{"unit_id": "s-1", "unit": "session", "experiment": "tone", "expose": false}
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

import orjson

from onlineeval_dagster.catalog.assignment import FILE, Assigned, AssignmentFile
from onlineeval_dagster.collector.encoding import KEY_CHARACTERS
from onlineeval_dagster.collector.events_route import Answer, Route
from onlineeval_dagster.collector.gate import Gate, Headers
from onlineeval_dagster.collector.intake import Cleaner, Terms, judge
from onlineeval_dagster.collector.live import Live
from onlineeval_dagster.collector.sink import Sink
from onlineeval_dagster.errors import CatalogError, RequestRefused

_JSON = (b"content-type", b"application/json")
_KNOWN = {"unit_id", "unit", "experiment", "expose", "environment", "app"}


class AssignRoute(Route):
    """Answers once the exposures are on the disk. A unit that is in no experiment gets an empty list."""

    path = "/v1/assign"

    def __init__(
        self,
        gate: Gate,
        sink: Sink,
        cleaner: Cleaner,
        live: Live,
        terms: Terms,
        clock: Callable[[], datetime],
        *,
        experiments: AssignmentFile,
    ) -> None:
        super().__init__(gate, sink, cleaner, live, terms, clock)
        self._experiments = experiments

    async def answer(self, headers: Headers, receive: Any) -> Answer:
        key = self._gate.enter(headers, "write")
        said = _asked(await self._gate.read(headers, receive))
        now = self._clock()
        met = self._met(said, now)
        if met and said.get("expose", True):
            terms = self._terms if key is None else replace(self._terms, environment=key.environment)
            taken = judge([_exposure(one, said) for one in met], terms=terms, cleaner=self._cleaner, now=now)
            if taken.refused:
                raise RequestRefused(taken.refused[0][1], status=422)
            if key is not None:
                self._gate.rate.pay(key.name, len(taken.lines))
            await self.keep(taken)
        told = [
            {
                "experiment": one.experiment,
                "variant": one.variant,
                "propensity": one.propensity,
                "assignment_version": one.version,
            }
            for one in met
        ]
        return 200, orjson.dumps({"assignments": told}), _JSON

    def _met(self, said: dict[str, Any], now: datetime) -> list[Assigned]:
        try:
            known = self._experiments.current()
        except CatalogError as error:
            raise RequestRefused(str(error), status=503, retry_seconds=60) from error
        name, unit = said.get("experiment"), said.get("unit")
        if name is not None and name not in known:
            there = ", ".join(known) or "none"
            raise RequestRefused(f"experiment: no {str(name)[:100]!r} in {FILE}; there are {there}", status=404)
        asked = [known[name]] if name is not None else [one for one in known.values() if one.unit == (unit or "user")]
        if name is not None and unit is not None and unit != asked[0].unit:
            raise RequestRefused(f"unit: {name} is on {asked[0].unit}s; send the id of one", status=422)
        return [met for one in asked if (met := one.assign(said["unit_id"], now=now)) is not None]


def _asked(body: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestRefused(f'body: not JSON ({error}); send {{"unit_id": "u-7"}}', status=422) from error
    if type(said) is not dict or set(said) - _KNOWN:
        raise RequestRefused(f"body: an object with {', '.join(sorted(_KNOWN))} and nothing else", status=422)
    unit_id = said.get("unit_id")
    if type(unit_id) is not str or not 0 < len(unit_id) <= KEY_CHARACTERS:
        raise RequestRefused(f"unit_id: text of 1 to {KEY_CHARACTERS} characters; send the id of the user", status=422)
    if said.get("unit") not in (None, "user", "session"):
        raise RequestRefused("unit: `user` or `session`; leave it out for users", status=422)
    if type(said.get("expose", True)) is not bool:
        raise RequestRefused("expose: true or false; false where you tell the exposure yourself", status=422)
    if not isinstance(said.get("experiment"), str | None):
        raise RequestRefused("experiment: the name of one, as text; leave it out for all", status=422)
    return said


def _exposure(one: Assigned, said: dict[str, Any]) -> dict[str, Any]:
    event = {
        "kind": "exposure",
        "experiment": one.experiment,
        "variant": one.variant,
        "unit": one.unit,
        "unit_id": said["unit_id"],
        "propensity": one.propensity,
        "assignment_version": one.version,
    }
    return event | {name: said[name] for name in ("environment", "app") if said.get(name) is not None}
