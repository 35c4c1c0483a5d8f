"""Answers with selections, verdicts, complaints and labels, in a real lake."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.events import Label, Verdict
from onlineeval_dagster.contracts.review import ReviewTask
from onlineeval_dagster.contracts.rows import Selection, Signal
from onlineeval_dagster.contracts.tables import DAY, TABLES
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.worlds import NOON

CATALOG: Catalog = load_catalog(PACKAGED_CATALOG)
JUDGE = CATALOG.live_judges[0]
AXIS = JUDGE.axis
AUDIT = 0.05


def selected(number: int | str, judge: str = "review", *, at: datetime = NOON, **more: Any) -> Selection:
    axis, version = (AXIS, JUDGE.version) if judge != "review" else ("review", "review")
    said = {"stratum": "normal", "inclusion_probability": AUDIT, "state": "selected"} | more
    return Selection(
        response_id=f"r{number}",
        response_at=at,
        judge=judge,
        axis=axis,
        judge_version=version,
        policy_version="p",
        selected_at=at,
        **said,
    )


def complaint(number: int | str, *, at: datetime = NOON, score: float = -1.0) -> Signal:
    return Signal(
        response_id=f"r{number}",
        response_at=at,
        signal="thumbs_down",
        kind="explicit",
        score=score,
        version="1",
        occurred_at=at,
        arrived_at=at,
    )


def verdict(number: int | str, score: float, *, at: datetime = NOON, **more: Any) -> Verdict:
    said = {"judge": JUDGE.name, "judge_version": JUDGE.version} | more
    return Verdict(
        event_id=f"v{number}-{said['judge']}-{score}",
        response_id=f"r{number}",
        response_at=at,
        axis=AXIS,
        score=score,
        occurred_at=at,
        received_at=at,
        **said,
    )


def label(number: int | str, score: float = 3, *, reviewer: str = "ann", at: datetime = NOON, **more: Any) -> Label:
    said = {"stream": "audit", "inclusion_probability": AUDIT, "response_at": at} | more
    return Label(
        event_id=said.pop("event_id", f"l{number}-{reviewer}-{said['stream']}"),
        response_id=f"r{number}",
        axis=AXIS,
        score=score,
        reviewer=reviewer,
        occurred_at=at + timedelta(hours=1),
        received_at=at + timedelta(hours=1),
        **said,
    )


def put(lake: Lake, name: str, found: list[Selection] | list[Signal] | list[ReviewTask]) -> None:
    """Add rows that the pipeline itself derives."""
    days = pa.array([row.response_at.date() for row in found], pa.date32())
    lake.append(name, to_table(list(found), TABLES[name].contract).append_column(DAY, days))


def day_of(at: datetime) -> date:
    return at.astimezone(UTC).date()
