"""What came through the collector, counted as it comes, for Prometheus: rates of seconds, before anything is ingested.

Counted once acknowledged. They are of this process: they begin at 0 when it starts, as Prometheus expects.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

OTHER = "other"
_MOST_VALUES = 100
_RECENT = 50_000
_LATENCY_S = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 30.0, 60.0)
_REQUEST_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)


Counted = tuple[str, str, str | None, str | None, float | None, str | None]
"""What is counted of an event: kind, event id, prompt version, variant, latency, action."""


def counted(events: Iterable[dict[str, Any]]) -> list[Counted]:
    """What will be counted of events once they are safe: their texts need not be held until then."""
    return [
        (
            event["kind"],
            event["event_id"],
            event.get("prompt_version"),
            event.get("variant"),
            event.get("latency_ms"),
            event.get("action"),
        )
        for event in events
    ]


class Live(Collector):
    """The counters. For one event loop: nothing in here is guarded.

    most_values  of one label before further ones are counted as `other`: a user's text must not fill Prometheus
    recent       a duplicate is an event id seen among at least so many events before it
    waiting      bytes on their way to the disk
    """

    def __init__(
        self, *, waiting: Callable[[], int] = int, most_values: int = _MOST_VALUES, recent: int = _RECENT
    ) -> None:
        self._waiting, self._recent = waiting, recent
        self._kinds: dict[str, int] = defaultdict(int)
        self._actions: dict[str, int] = defaultdict(int)
        self._responses: dict[tuple[str, str], int] = defaultdict(int)
        self._refused: dict[str, int] = defaultdict(int)
        self._requests: dict[tuple[str, str], _Histogram] = {}
        self._latency: dict[str, _Histogram] = {}
        self._duplicates = 0
        self._ids: set[str] = set()
        self._older_ids: set[str] = set()
        self._labels = {name: _Label(most_values) for name in ("action", "prompt_version", "variant", "reason")}

    def accept(self, events: Iterable[Counted]) -> None:
        """Count events that are safe in the log."""
        version_of, variant_of = self._labels["prompt_version"], self._labels["variant"]
        ids, older_ids, kinds = self._ids, self._older_ids, self._kinds
        for kind, event_id, prompt_version, variant, latency_ms, action in events:
            kinds[kind] += 1
            if event_id in ids or event_id in older_ids:
                self._duplicates += 1
            else:
                ids.add(event_id)
            if kind == "response":
                version = version_of[prompt_version]
                self._responses[version, variant_of[variant]] += 1
                if latency_ms is not None:
                    histogram = self._latency.get(version)
                    if histogram is None:
                        histogram = self._latency[version] = _Histogram(_LATENCY_S)
                    histogram.add(latency_ms / 1000)
            elif kind == "action":
                self._actions[self._labels["action"][action]] += 1
        if len(self._ids) >= self._recent:
            self._ids, self._older_ids = set(), self._ids

    def refuse(self, reasons: Iterable[str]) -> None:
        """Count refused events, each by what its reason begins with: the field."""
        label = self._labels["reason"]
        for reason in reasons:
            self._refused[label[reason.partition(":")[0]]] += 1

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request and how long it took."""
        place = (route, str(status))
        histogram = self._requests.get(place)
        if histogram is None:
            histogram = self._requests[place] = _Histogram(_REQUEST_S)
        histogram.add(seconds)

    def collect(self) -> Iterator[Metric]:
        """The counters as Prometheus names them."""
        yield _counter("onlineeval_events", "Events accepted, duplicates with them.", ["kind"], self._kinds)
        yield _counter("onlineeval_actions", "User actions accepted.", ["action"], self._actions)
        told = "Responses accepted."
        yield _counter("onlineeval_responses", told, ["prompt_version", "variant"], self._responses)
        told = "Events refused, by the field that was wrong."
        yield _counter("onlineeval_refused_events", told, ["reason"], self._refused)
        told = "Events whose id was seen shortly before; they are ingested once."
        yield CounterMetricFamily("onlineeval_duplicate_events", told, value=self._duplicates)
        told = "Latency of the responses, as the product measured it."
        latency = HistogramMetricFamily("onlineeval_response_latency_seconds", told, labels=["prompt_version"])
        for version, histogram in self._latency.items():
            latency.add_metric([version], histogram.buckets(), histogram.total)
        yield latency
        told = "How long the collector took to answer, by route and status."
        requests = HistogramMetricFamily("onlineeval_collector_request_seconds", told, labels=["route", "status"])
        for place, histogram in self._requests.items():
            requests.add_metric(list(place), histogram.buckets(), histogram.total)
        yield requests
        told = "Bytes on their way to the disk."
        yield GaugeMetricFamily("onlineeval_collector_waiting_bytes", told, value=self._waiting())

    def page(self) -> bytes:
        """All of it in Prometheus's text format."""
        registry = CollectorRegistry()
        registry.register(self)
        return generate_latest(registry)


class _Label(dict[str | None, str]):
    """The values of one label, the first so many of them; a further one is `other`."""

    def __init__(self, most: int) -> None:
        super().__init__({None: "none"})
        self._most = most

    def __missing__(self, value: str) -> str:
        if len(self) > self._most:
            return OTHER
        self[value] = str(value)
        return self[value]


class _Histogram:
    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds, self._counts, self.total = bounds, [0] * (len(bounds) + 1), 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def buckets(self) -> list[Any]:
        running, cumulated = 0, []
        for bound, count in zip([*map(str, self._bounds), "+Inf"], self._counts, strict=True):
            running += count
            cumulated.append((bound, running))
        return cumulated


def _counter(name: str, told: str, labels: list[str], counts: dict[Any, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(name, told, labels=labels)
    for place, count in counts.items():
        family.add_metric([place] if isinstance(place, str) else list(place), count)
    return family
