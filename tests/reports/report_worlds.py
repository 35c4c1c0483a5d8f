"""Small worlds whose report is known: a good week, a bad prompt, a first week, too little, nothing checked."""

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import numpy as np

from onlineeval_dagster.contracts.corrected import CorrectedPoint
from onlineeval_dagster.contracts.estimates import DeployEffect, Estimate, Grain, MetricPoint, NotEnough
from onlineeval_dagster.reports.build import build_daily_report
from onlineeval_dagster.reports.model import Change, Coverage, DailyReport, MetricWords, WorstAnswer

DAY = date(2026, 11, 22)
MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)
NOW = datetime(2026, 11, 23, 6, 5, tzinfo=UTC)
JUDGE = "4f2a91c07b3e"
METRICS = {
    "good_answers": MetricWords(title="Answers were good"),
    "copied": MetricWords(title="Answers copied"),
    "thumbs_down_share": MetricWords(title="Thumbs down, of rated answers", direction="down"),
    "latency": MetricWords(title="Time to answer", direction="down", unit="ms"),
    "cost": MetricWords(title="Cost of an answer", direction="down", unit="usd"),
}
COVERAGE = Coverage(
    responses=3214,
    judged=482,
    failed=3,
    labelled=41,
    quarantined_lines=2,
    duplicates=7,
    signal_shares={"implicit": 0.62, "explicit": 0.08, "automated": 1.0},
)
WORST = [
    WorstAnswer(
        response_id="r-20931",
        occurred_at=MIDNIGHT + timedelta(hours=9, minutes=12),
        question="How do I cancel my subscription before the trial ends?",
        answer="Our subscriptions come in three sizes: Basic, Plus and Pro. Plus is our most popular choice!",
        score=1,
        why="Advertises plans; the question how to cancel stays open.",
        prompt_version="p3",
    ),
    WorstAnswer(
        response_id="r-21377",
        occurred_at=MIDNIGHT + timedelta(hours=14, minutes=40),
        question="Why was I charged twice in October? My email is [email]",
        answer="I'm sorry, but I can't help with that.",
        score=1,
        why="Declines a question it could answer.",
        prompt_version="p3",
    ),
    WorstAnswer(
        response_id="r-20044",
        occurred_at=MIDNIGHT + timedelta(hours=3, minutes=2),
        question="¿Puedo exportar mis datos a CSV?",
        answer="Yes, the CSV import accepts files of up to 20 MB. Open Settings, choose Import, drop the file.\n\n"
        "The first row must hold the column names.",
        score=1,
        why="Answers about import, the user asked for export, in Spanish.",
        prompt_version="p2",
    ),
]


def point(metric: str, start: datetime, value: float | None, half: float = 0.0, **more: Any) -> MetricPoint:
    """A daily point, unless `grain` says otherwise; without a value it has a reason."""
    number = {"reason": "too few judged responses: 4 of 29"}
    if value is not None:
        number = {"value": value, "low": value - half, "high": value + half, "n_effective": 401.5, "method": "mover"}
    given = {
        "metric": metric,
        "judge_version": JUDGE if metric == "good_answers" else "none",
        "grain": "day",
        "window_start": start,
        "slice": "all",
        "slice_value": "all",
        "metric_version": "7c11d0aa93e2",
        "population": 3214,
        "n": 482,
    }
    return MetricPoint(**(given | number | more))


@dataclass(frozen=True, kw_only=True)
class World:
    """Arguments of a report; `report(**changes)` builds it."""

    points: list[MetricPoint]
    effects: list[DeployEffect] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    worst: list[WorstAnswer] = field(default_factory=lambda: WORST)
    coverage: Coverage = COVERAGE
    so_far: Estimate | NotEnough | None = None
    simulated: bool = True
    day: date = DAY
    now: datetime = NOW
    metrics: dict[str, MetricWords] = field(default_factory=lambda: METRICS)
    headline: str = "good_answers"
    grains: tuple[Grain, ...] = ("hour", "day", "week")
    paused: list[str] = field(default_factory=list)
    incidents: list[str] = field(default_factory=list)
    corrected: list[CorrectedPoint] = field(default_factory=list)

    def report(self, **given: Any) -> DailyReport:
        return build_daily_report(**{name: getattr(replace(self, **given), name) for name in self.__dataclass_fields__})


def history(level: dict[int, float], *, days: int = 28, missing: tuple[int, ...] = ()) -> list[MetricPoint]:
    """Daily and hourly points; `level` maps days ago to the headline from then on; `missing` days ago have no point."""
    rng = np.random.default_rng(7)
    points = []
    for ago in range(days - 1, -1, -1):
        start = MIDNIGHT - timedelta(days=ago)
        base = level[min(key for key in level if key >= ago)]
        if ago in missing:
            continue
        points.append(point("good_answers", start, base + float(rng.normal(0, 0.006)), 0.03))
        points.append(point("copied", start, 0.21 + float(rng.normal(0, 0.006)), 0.014))
        points.append(point("thumbs_down_share", start, 0.18, 0.05, population=260, n=260))
        points.append(point("latency", start, 1480 + float(rng.normal(0, 20)), 45))
        points.append(point("cost", start, 0.00312 + float(rng.normal(0, 1e-5)), 0.00006))
    for hour in range(24):
        start = MIDNIGHT + timedelta(hours=hour)
        value = None if hour in (3, 4, 5) else min(0.97, level[min(level)] + float(rng.normal(0, 0.02)))
        half = min(0.09, 1 - (value or 0))
        points.append(point("good_answers", start, value, half, grain="hour", n=20, population=134))
    return points


def weeks(values: dict[int, float | None], **more: Any) -> list[MetricPoint]:
    """Calendar weeks of the headline by weeks ago; the report's day is the Sunday of week 0."""
    monday = MIDNIGHT - timedelta(days=6)
    given = {"grain": "week", "days_covered": 7} | more
    return [
        point("good_answers", monday - timedelta(weeks=ago), value, 0.012, **given) for ago, value in values.items()
    ]


def deploy(change_id: str, ago: float, title: str, version: str | None = None) -> Change:
    return Change(
        change_id=change_id, occurred_at=MIDNIGHT - timedelta(days=ago - 10 / 24), title=title, prompt_version=version
    )


def effect(change: Change, metric: str, difference: float, half: float, found: str | None, **more: Any) -> DeployEffect:
    given = {
        "deploy_id": change.change_id,
        "metric": metric,
        "judge_version": JUDGE if metric == "good_answers" else "none",
        "deployed_at": change.occurred_at,
        "before": 0.9,
        "after": 0.9 + difference,
        "difference": difference,
        "low": difference - half,
        "high": difference + half,
        "n_before": 1400,
        "n_after": 900,
        "found": found,
    }
    if found is None:
        missing = dict.fromkeys(("before", "after", "difference", "low", "high"))
        given |= missing | {"reason": "too few judged responses"}
    return DeployEffect(**(given | more))


P2, P3 = deploy("d-16", 19, "prompt p2", "p2"), deploy("d-17", 6, "prompt p3", "p3")
SALE = Change(change_id="e-1", occurred_at=MIDNIGHT - timedelta(days=2), title="campaign: winter sale")


def good_week() -> World:
    return World(
        points=[*history({27: 0.872}, missing=(12,)), *weeks({3: 0.868, 2: 0.875, 1: None, 0: 0.872})],
        changes=[P2, SALE],
        effects=[
            effect(P2, "good_answers", 0.004, 0.031, "no_clear_change"),
            effect(P2, "copied", 0.02, 0.012, "better"),
        ],
    )


def bad_prompt() -> World:
    return World(
        points=history({27: 0.905, 6: 0.815}),
        changes=[P2, P3, SALE],
        effects=[
            effect(P2, "good_answers", 0.004, 0.031, "no_clear_change"),
            effect(P3, "good_answers", -0.09, 0.03, "worse"),
            effect(P3, "latency", 240, 55, "worse"),
            effect(P3, "copied", -0.01, 0.03, "no_clear_change"),
        ],
    )


def first_week() -> World:
    return World(points=history({27: 0.872}, days=4))


def too_little() -> World:
    thin = {"n": 4, "population": 31}
    points = [point("good_answers", MIDNIGHT - timedelta(days=ago), None, **thin) for ago in (2, 1, 0)]
    points += [point("copied", MIDNIGHT - timedelta(days=ago), 0.2, 0.09, n=31, population=31) for ago in (2, 1, 0)]
    return World(
        points=points,
        worst=WORST[:1],
        coverage=Coverage(responses=31, judged=4, failed=0, labelled=0),
        so_far=NotEnough(have=12, needed=24, reason="too few judged responses"),
    )


def nothing_checked() -> World:
    points = [entry for entry in history({27: 0.87}, days=9) if entry.metric != "good_answers"]
    points += [point("good_answers", MIDNIGHT - timedelta(days=ago), None, n=0) for ago in range(9)]
    return World(points=points, worst=[], coverage=Coverage(responses=3214, judged=0, failed=0, labelled=0))


WORLDS = {
    "good_week": good_week,
    "bad_prompt": bad_prompt,
    "first_week": first_week,
    "too_little": too_little,
    "nothing_checked": nothing_checked,
}
