"""Small worlds for tests: events through the real front door into a real lake."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import Action, Deploy, Response
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.log.segments import encode, open_log
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings, load_settings
from onlineeval_dagster.traces.stage import assemble_settled

NOON = datetime(2026, 11, 10, 12, tzinfo=UTC)
NOW = datetime(2026, 11, 20, tzinfo=UTC)


def settings_at(folder: Path, **more: Any) -> Settings:
    return load_settings(home=folder, **more)


def answer(number: int | str, *, at: datetime = NOON, **more: Any) -> Response:
    fields = {"query": "Where is my parcel?", "response": "Your parcel is on its way.", "user_id": f"u{number}"} | more
    return Response(
        event_id=f"r{number}", response_id=f"r{number}", occurred_at=at, received_at=at + timedelta(seconds=1), **fields
    )


def action(number: int | str, name: str, *, at: datetime = NOON, key: str = "", **more: Any) -> Action:
    return Action(
        event_id=f"a{number}-{name}{key}",
        response_id=f"r{number}",
        action=name,
        occurred_at=at,
        received_at=at + timedelta(seconds=1),
        **more,
    )


def deploy(name: str, *, at: datetime = NOON, **more: Any) -> Deploy:
    return Deploy(event_id=f"d{name}", deploy_id=name, occurred_at=at, received_at=at, **more)


def log_events(settings: Settings, events: Iterable[LogEvent]) -> None:
    lines = b"".join(encode(event) for event in events)
    if lines:
        with open_log(settings, door="test") as log:
            log.append(lines)


def lake_of(settings: Settings, events: Iterable[LogEvent], *, now: datetime = NOW) -> Lake:
    """Log the events and take them in."""
    log_events(settings, events)
    lake = Lake(settings.lake_folder)
    ingest(settings, lake, now=now)
    return lake


def take_in_traces(settings: Settings, *, now: datetime) -> None:
    """Log → lake, settled traces → log, log → lake: what the step `ingest` does, without Dagster."""
    lake = Lake(settings.lake_folder)
    ingest(settings, lake, now=now)
    with open_log(settings, door="traces") as log:
        assemble_settled(
            lake, load_catalog(PACKAGED_CATALOG), now=now, record=lambda said: log.append(b"".join(map(encode, said)))
        )
    ingest(settings, lake, now=now)
