"""Traffic whose truth is known: the events of a simulated shop in the order in which they arrive."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any

from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import Deploy, Event
from onlineeval_dagster.simulate.days import APP, MODEL, Scene, day_of_events
from onlineeval_dagster.simulate.people import People
from onlineeval_dagster.simulate.texts import load_corpus
from onlineeval_dagster.simulate.truth import Truth, truth_of
from onlineeval_dagster.simulate.world import World, serve


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """A period of traffic: `events` in order of arrival, read once, and the truth about it."""

    world: World
    truth: Truth
    events: Iterator[LogEvent]


def simulate(*, days: int, start: datetime, seed: int = 1, **settings: Any) -> Simulation:
    """Traffic of `days` days from `start` (midnight UTC). `settings` are World's. Labelled `simulated` throughout.

    Events that would arrive after the period are left out: they have not happened yet. Ids depend on the whole world,
    so that two different simulations never meet in one id.
    """
    world = World(days=days, start=start, seed=seed, **settings)
    served = serve(world)
    key = hashlib.sha256(repr(world).encode()).hexdigest()[:8]
    ids = [f"{key}-{row:06d}" for row in range(len(served.seconds))]
    truth = truth_of(world, served, ids, deploy_id=f"{key}-p3")
    scene = Scene(world=world, served=served, ids=ids, corpus=load_corpus(), people=People(world))
    return Simulation(world=world, truth=truth, events=_in_order(scene, [*_deploys(world, key), *_events(world, key)]))


def _in_order(scene: Scene, changes: list[LogEvent]) -> Iterator[LogEvent]:
    """Merge the days: what arrives after midnight waits for the next day."""
    waiting = changes
    for day in range(scene.world.days):
        waiting = waiting + day_of_events(scene, day)
        midnight = scene.world.start + timedelta(days=day + 1)
        arrived = [event for event in waiting if event.received_at < midnight]
        waiting = [event for event in waiting if event.received_at >= midnight]
        yield from sorted(arrived, key=attrgetter("received_at"))


def _deploys(world: World, key: str) -> Iterator[LogEvent]:
    """Three deploys; the last one plants the regression."""
    for name, moment, version, description in (
        ("p2", world.p2_at, "p2", "Prompt p2: shorter greeting"),
        ("release-2.4", world.release_at, "p2", "Release 2.4: new search index"),
        ("p3", world.p3_at, "p3", "Prompt p3: stricter safety wording"),
    ):
        yield Deploy(
            event_id=f"{key}-{name}:deploy",
            occurred_at=moment,
            received_at=moment + timedelta(seconds=2),
            app=APP,
            attributes={"simulated": True},
            deploy_id=f"{key}-{name}",
            prompt_version=version,
            model=MODEL,
            description=description,
        )


def _events(world: World, key: str) -> Iterator[LogEvent]:
    """A campaign, and a slow hour that harms no answer."""
    sale = world.start + timedelta(days=int(world.days * 0.4), hours=8)
    slow = world.start + timedelta(days=int(world.days * 0.6), hours=15)
    for name, moment, hours, description in (
        ("autumn_sale", sale, 48, "Campaign: autumn sale"),
        ("slow_search", slow, 1, "Search was slow for an hour"),
    ):
        yield Event(
            event_id=f"{key}-{name}:event",
            occurred_at=moment,
            received_at=moment,
            app=APP,
            attributes={"simulated": True},
            name=name,
            ended_at=moment + timedelta(hours=hours),
            description=description,
        )
