"""Traffic whose truth is known, and labels drawn from it: what people would have said of each answer."""

import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.contracts.events import Action, Label
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.log.segments import open_log
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from onlineeval_dagster.signals.stage import derive_signals
from onlineeval_dagster.simulate.traffic import simulate
from onlineeval_dagster.simulate.truth import Truth
from onlineeval_dagster.simulate.write import write_traffic
from tests.worlds import log_events, settings_at

START = datetime(2026, 11, 9, tzinfo=UTC)
DAYS = 8
NOW = START + timedelta(days=DAYS)


def shop(folder: Path, *, seed: int = 1, users: int = 200) -> tuple[Settings, Truth]:
    """Eight days of a simulated shop in the log, without its own labels, and what is true of them."""
    settings = settings_at(folder)
    world = simulate(
        days=DAYS, start=START, seed=seed, daily_users=users, population=3 * users, responses_per_day=4 * users
    )
    unlabelled = replace(world, events=(event for event in world.events if not isinstance(event, Label)))
    with open_log(settings, door="simulation") as log:
        write_traffic(log.append, unlabelled, bad_lines=0)
    return settings, world.truth


def labels_of(
    truth: Truth, *, rate: float, seed: int = 1, error: float = 0.0, axis: str = "relevance", **more: Any
) -> Iterator[Label]:
    """What a reviewer says of a random `rate` of the answers: 3 of good ones, 1 of others, with a share of errors."""
    rng = random.Random(seed)
    for response_id, quality in truth.qualities.items():
        if rng.random() < rate:
            good = (quality == "good") != (rng.random() < error)
            yield label(response_id, 3.0 if good else 1.0, axis=axis, inclusion_probability=rate, **more)


def label(response_id: str, score: float, *, at: datetime = NOW, reviewer: str = "ann", **more: Any) -> Label:
    more = {"stream": "audit", "response_at": at - timedelta(days=1), "axis": "relevance"} | more
    return Label(
        event_id=f"l-{response_id}-{more['axis']}-{reviewer}-{score}",
        response_id=response_id,
        score=score,
        reviewer=reviewer,
        occurred_at=at - timedelta(hours=1),
        received_at=at - timedelta(hours=1),
        **more,
    )


def noise(truth: Truth, name: str, *, rate: float, seed: int = 2) -> Iterator[Action]:
    """An action that says nothing: on a random share of the answers, good or not."""
    rng = random.Random(seed)
    for response_id in truth.qualities:
        if rng.random() < rate:
            at = NOW - timedelta(hours=2)
            yield Action(
                event_id=f"{name}-{response_id}", response_id=response_id, action=name, occurred_at=at, received_at=at
            )


def lake_with(settings: Settings, *events: Iterable[Any]) -> tuple[Lake, Catalog]:
    """Everything taken in and the signals derived."""
    for some in events:
        log_events(settings, some)
    lake, catalog = Lake(settings.lake_folder), load_catalog(PACKAGED_CATALOG)
    ingest(settings, lake, now=NOW)
    derive_signals(lake, catalog, now=NOW)
    return lake, catalog
