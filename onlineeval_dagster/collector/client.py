"""Tell the log what production does: `Client.track_…`. On the standard library (orjson if present): products import it.

    client = Client(home="evaluation", app="shop")
    client.track_response(response_id="r-1", query="Where is my order?", response="On its way.", model="small-1")
    client.track_user_action("r-1", "thumbs_up")
    with client.timed(query="And when?", user_id="u-7", prompt_version="v3") as call:
        call.response = "Tomorrow."
    client.track_user_action(call.response_id, "star_rating", value=5)
    print(client.counters)

`Client(…, experiments="catalog/experiments.toml").assign("short_answers", "u-7")` names the variant that a user meets.

`Client(url="http://collector:8321", api_key="oe_…")` sends the same to `onlineeval serve` on another machine.

Nothing in here raises for what it is told, or for what the disk does: it is counted, see `Client.counters`.
"""

import atexit
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar, Unpack

from onlineeval_dagster.catalog.assignment import Assigned, AssignmentFile
from onlineeval_dagster.collector.encoding import OPTIONS, careful_line, dumps, in_order, response_event_id
from onlineeval_dagster.collector.fields import (
    ActionFields,
    DeployFields,
    EventFields,
    ExposureFields,
    ResponseFields,
    known_fields,
    plain_fields,
)
from onlineeval_dagster.collector.local_log import LocalLog
from onlineeval_dagster.collector.request import REQUEST
from onlineeval_dagster.collector.timing import Call, tracked
from onlineeval_dagster.collector.transport import LOSS_NAME, Counters, TellsLosses, Transport
from onlineeval_dagster.log.writer import after_fork

_PLAIN_RESPONSE = plain_fields(ResponseFields)
_KNOWN = {
    "response": known_fields(ResponseFields),
    "action": known_fields(ActionFields),
    "deploy": known_fields(DeployFields),
    "event": known_fields(EventFields),
    "exposure": known_fields(ExposureFields),
}
P = ParamSpec("P")
R = TypeVar("R")

_OF_A_SESSION = ("response", "action")
_SHORT = 200
_MET = 50_000  # exposures remembered, so that a unit's next requests do not tell them again


class Client:
    """The way from a product into the log. Safe under threads, asyncio and fork; make one and keep it.

    Each `track_…` takes the contract's fields by name and returns True once a kill of the process cannot lose the
    event. False: it is on its way in memory, or was dropped, or was no event; `counters` tells them apart. A name that
    the contract does not know is kept under `attributes`. The event's time is now unless `occurred_at` (aware) says
    otherwise; keep it, and `event_id`, when you send an event again. Ids are text of 1 to 256 characters.
    """

    def __init__(
        self,
        home: str | os.PathLike[str] | None = None,
        *,
        url: str | None = None,
        api_key: str | None = None,
        spool: str | os.PathLike[str] | None = None,
        environment: str = "production",
        app: str = "default",
        transport: Transport | None = None,
        experiments: str | os.PathLike[str] | None = None,
    ) -> None:
        """Write to the log of `home`, to the collector at `url`, or to `transport`: one of the three.

        With `url` an event is first written to the folder `spool` (default: below ~/.local/state/onlineeval), and
        shipped from there in the background, with `api_key` where the collector asks for one.
        `experiments`: the experiments.toml that `assign` goes by, a file on this machine.
        """
        if (home is not None) + (url is not None) + (transport is not None) != 1:
            told = "Client: give the folder `home` (ONLINEEVAL_HOME of the pipeline), the `url` of a collector"
            raise TypeError(f"{told}, or a transport: one of them")
        if url is None and (api_key is not None or spool is not None):
            raise TypeError("Client: `api_key` and `spool` are for a collector; give its `url` with them")
        if url is not None:
            transport = _to_collector(url, api_key, spool, environment)
        self._transport = transport or LocalLog(Path(home or "").absolute() / "log")
        self._send = self._transport.send
        self._environment, self._app = environment, app
        self._errors = self._told_lost = 0
        self._experiments = None if experiments is None else AssignmentFile(Path(experiments).absolute())
        self._met: dict[tuple[str, str, str], None] = {}
        if isinstance(self._transport, TellsLosses):
            self._transport.tell_losses(self._loss_line)
        after_fork(self)
        atexit.register(self.close)

    def track_response(self, *, response_id: str, query: str, response: str, **fields: Unpack[ResponseFields]) -> bool:
        """One answer that was served. Its event id comes from `response_id`: told twice it counts once."""
        try:
            if not _PLAIN_RESPONSE.issuperset(fields) or len(response_id) > _SHORT:
                raise ValueError  # rare, and slower
            given = fields.get  # of these a database gives out numbers; the contract's ids are text
            if (
                type(given("user_id")) is int
                or type(given("session_id")) is int
                or type(given("prompt_version")) is int
                or type(given("variant")) is int
            ):
                raise ValueError
            now = datetime.now(UTC)
            said: dict[str, Any] = {
                "kind": "response",
                "event_id": response_id + ":response",
                "occurred_at": now,
                "received_at": now,
                "environment": self._environment,
                "app": self._app,
                "response_id": response_id,
                "query": query,
                "response": response,
                **fields,
            }
            request = REQUEST.get()
            if request is not None:
                request.response_id = response_id
                if request.session_id is not None:
                    said.setdefault("session_id", request.session_id)
            line = dumps(said, None, OPTIONS)
        except Exception:  # noqa: BLE001 - what the quick way cannot say the careful one may
            said = {"response_id": response_id, "query": query, "response": response}
            return self._track("response", said, dict(fields))
        try:
            return self._send(line)
        except Exception:  # noqa: BLE001 - the product's door: it must not feel what goes wrong in here
            return self.count_error()

    def track_user_action(self, response_id: str, action: str, **fields: Unpack[ActionFields]) -> bool:
        """What a user did with a response: `copy`, `thumbs_up`, `star_rating` with its `value`, …"""
        return self._track("action", {"response_id": response_id, "action": action}, dict(fields))

    def track_deploy(self, deploy_id: str, **fields: Unpack[DeployFields]) -> bool:
        """A change put into production, with the share of the traffic that meets it (1 unless told)."""
        return self._track("deploy", {"deploy_id": deploy_id}, dict(fields))

    def track_event(self, name: str, **fields: Unpack[EventFields]) -> bool:
        """Any other thing worth knowing when numbers move: a campaign, an outage, a page load time."""
        return self._track("event", {"name": name}, dict(fields))

    def track_exposure(
        self, *, experiment: str, variant: str, unit_id: str, propensity: float, **fields: Unpack[ExposureFields]
    ) -> bool:
        """A unit met a variant of an experiment, with the propensity that the assignment gave it."""
        said = {"experiment": experiment, "variant": variant, "unit_id": unit_id, "propensity": propensity}
        return self._track("exposure", said, dict(fields))

    def assign(self, experiment: str, unit_id: str, *, expose: bool = True) -> str | None:
        """The variant that a user or session meets: the same in every process, and no network is asked.

        None: the unit is not in the experiment, or there is none by that name; serve what you served before. The
        exposure is told once a unit and process, unless `expose` is False: then tell it when the unit sees the variant.
        """
        try:
            if self._experiments is None:
                self.count_error()  # no file was given: a mistake of the product's, which must not stop it
                return None
            known = self._experiments.current().get(experiment)
            met = None if known is None else known.assign(str(unit_id), now=datetime.now(UTC))
            if met is not None and expose:
                self._expose(met, str(unit_id))
            return None if met is None else met.variant
        except Exception:  # noqa: BLE001 - the product's door: it must not feel what goes wrong in here
            self.count_error()
            return None

    def _expose(self, met: Assigned, unit_id: str) -> None:
        told = (met.experiment, met.version, unit_id)
        if told in self._met:
            return
        fields: ExposureFields = {"unit": met.unit, "assignment_version": met.version}  # type: ignore[typeddict-item]
        if self.track_exposure(
            experiment=met.experiment, variant=met.variant, unit_id=unit_id, propensity=met.propensity, **fields
        ):
            if len(self._met) >= _MET:
                self._met.clear()
            self._met[told] = None

    def timed(self, *, query: str, response_id: str | None = None, **fields: Unpack[ResponseFields]) -> Call:
        """`with client.timed(query=…) as call: call.response = …`: tells the response with its latency, or its error.

        Without `response_id` one is made: `call.response_id`.
        """
        return Call(self.track_response, query, response_id, fields)

    def tracked(
        self,
        *,
        query: Callable[..., str] | None = None,
        response: Callable[[Any], str] = str,
        **fields: Unpack[ResponseFields],
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Decorate a function, plain or async, that answers a question: each call is told as a response.

        query     from the function's arguments to the question; the first argument by default
        response  from what it returns to the answer's text
        """
        return tracked(self.timed, query=query, response=response, failed=self.count_error, fields=fields)

    @property
    def counters(self) -> Counters:
        """What became of all that this process told."""
        counted = self._transport.counters()
        return counted._replace(errors=counted.errors + self._errors)

    def close(self) -> None:
        """Write what is in memory, seal the segment, ship what waits. Happens when the process ends in good order."""
        atexit.unregister(self.close)
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def leave_parent(self) -> None:
        """In a forked child: what the parent counted is the parent's."""
        self._errors = self._told_lost = 0

    def _track(self, kind: str, said: dict[str, Any], fields: dict[str, Any]) -> bool:
        try:
            now = datetime.now(UTC)
            head = {
                "kind": kind,
                "event_id": response_event_id(str(said["response_id"])) if kind == "response" else os.urandom(16).hex(),
                "occurred_at": now,
                "received_at": now,
                "environment": self._environment,
                "app": self._app,
            }
            request = REQUEST.get()
            if request is not None and kind in _OF_A_SESSION:
                head["session_id"] = request.session_id
            if request is not None and kind == "response":
                request.response_id = str(said["response_id"])
            whole = in_order(head, said, fields, known=_KNOWN[kind])
            try:
                line = dumps(whole, None, OPTIONS)
            except (TypeError, ValueError):
                line = careful_line(whole)
            return self._send(line)
        except Exception:  # noqa: BLE001 - the product's door: it must not feel what goes wrong in here
            return self.count_error()

    def _loss_line(self) -> bytes | None:
        """The event that says how much was lost since the last one said so; None where nothing was."""
        counted = self.counters
        lost = counted.dropped + counted.errors - self._told_lost
        if lost <= 0:
            return None
        self._told_lost += lost
        now = datetime.now(UTC)
        said = {
            "kind": "event",
            "event_id": os.urandom(16).hex(),
            "occurred_at": now,
            "received_at": now,
            "environment": self._environment,
            "app": self._app,
            "name": LOSS_NAME,
            "value": float(lost),
            "description": f"so far {counted.dropped} dropped and {counted.errors} errors in this process",
        }
        return dumps(said, None, OPTIONS)

    def count_error(self) -> bool:
        """Count something that could not be told. Returns False."""
        self._errors += 1
        return False


def _to_collector(url: str, api_key: str | None, spool: str | os.PathLike[str] | None, environment: str) -> Transport:
    # Not at the top: http.client takes as long to import as all else here, and a product with a `home` needs none.
    from onlineeval_dagster.collector.http_transport import HttpTransport, default_spool

    return HttpTransport(url, api_key, Path(spool).absolute() if spool else default_spool(url, environment))
