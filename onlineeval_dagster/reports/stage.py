"""Gather what a day's report needs from lake and warehouse, build it, and write both of its forms."""

import os
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

from onlineeval_dagster.alerts.blame import read_causes
from onlineeval_dagster.alerts.stage import read_incidents
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.arrow import from_table
from onlineeval_dagster.contracts.corrected import CorrectedPoint
from onlineeval_dagster.contracts.estimates import DeployEffect, Estimate, MetricPoint, NotEnough
from onlineeval_dagster.judges.status import remembered
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, literals, rows, scan_files
from onlineeval_dagster.metrics.pooled import pooled_estimate
from onlineeval_dagster.metrics.raters import Raters, SliceRate, raters
from onlineeval_dagster.metrics.stage import EFFECT_LEVEL
from onlineeval_dagster.privacy.redaction import redact
from onlineeval_dagster.reports.build import build_daily_report
from onlineeval_dagster.reports.curves import WEEKS_SHOWN
from onlineeval_dagster.reports.html import render_html
from onlineeval_dagster.reports.incidents import incident_lines
from onlineeval_dagster.reports.markdown import render_markdown
from onlineeval_dagster.reports.model import Change, Coverage, MetricWords, WorstAnswer
from onlineeval_dagster.review.bridge import bridged
from onlineeval_dagster.review.versions import read_comparisons
from onlineeval_dagster.settings import Settings
from onlineeval_dagster.warehouse.duckdb import query

HISTORY_DAYS = 28
RATER_DAYS = 7
RATED = "rated_share"
"""The metric that says which answers were rated; a catalog without it has no word on who rates."""
_QUOTED_WORST = 12  # more than are shown: some are alike


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenReport:
    """A report on disk. `unquoted` is its Markdown without any user's words, for places that no erasure reaches."""

    day: date
    sentence: str
    html: Path
    markdown: Path
    unquoted: str


def write_daily_report(settings: Settings, lake: Lake, catalog: Catalog, *, day: date, now: datetime) -> WrittenReport:
    """Build and write the report of one day (UTC). Raises ReportError where the day has no data."""
    history = [day - timedelta(days=back) for back in range(HISTORY_DAYS + 8)]
    points, _ = bridged(_points(lake, day, history), catalog, read_comparisons(lake))
    report = build_daily_report(
        day=day,
        now=now,
        points=points,
        effects=from_table(
            rows(lake, "select * exclude (day) from deploy_effects", {"deploy_effects": history}), DeployEffect
        ),
        worst=_worst(lake, catalog, day),
        coverage=_coverage(settings, lake, catalog, day),
        headline=catalog.metrics.headline,
        metrics={
            name: MetricWords(title=metric.title, direction=metric.direction, unit=metric.unit)
            for name, metric in catalog.metrics.metrics.items()
        },
        simulated=_is_simulated(lake, day),
        changes=changes_of(lake, history),
        effect_level=EFFECT_LEVEL,
        grains=catalog.metrics.grains,
        paused=_paused(settings, catalog, now),
        incidents=list(
            map(redact, incident_lines(read_incidents(lake), catalog.alerts.rules, read_causes(lake), day=day))
        ),
        so_far=_so_far(settings, catalog, points, history[:HISTORY_DAYS], day),
        raters=_raters(settings, catalog, history[:RATER_DAYS]),
        corrected=_corrected(lake, catalog, day),
    )
    folder = settings.report_folder / "daily"
    text = render_markdown(report)
    html = replace_text(folder / f"{day}.html", render_html(report))
    markdown = replace_text(folder / f"{day}.md", text)
    unquoted = render_markdown(replace(report, worst=(), no_worst="They stand in the page alone."))
    return WrittenReport(day=day, sentence=text.splitlines()[0], html=html, markdown=markdown, unquoted=unquoted)


def latest_day(lake: Lake, *, now: datetime) -> date | None:
    """The last day before today that has points, else the last that has any."""
    days = lake.days("metric_points")
    return max((day for day in days if day < now.date()), default=max(days, default=None))


def _paused(settings: Settings, catalog: Catalog, now: datetime) -> list[str]:
    """Judges that are not asked for now, by name, since when and why."""
    memory = remembered(settings.judge_state_file, catalog.live_judges, today=now.date())
    return [
        f"{pause.judge}, since {pause.since:%Y-%m-%d %H:%M} UTC: {pause.reason}" for pause in memory.pauses.values()
    ]


def _points(lake: Lake, day: date, history: list[date]) -> list[MetricPoint]:
    monday = day - timedelta(days=day.weekday())
    mondays = [monday - timedelta(weeks=back) for back in range(WEEKS_SHOWN)]
    sql = (
        "select * exclude (day) from metric_points where slice = 'all' and (grain = 'week' "
        f"or grain = 'day' and day >= date '{min(history)}' or day = date '{day}') order by window_start"
    )
    return from_table(rows(lake, sql, {"metric_points": {*history, *mondays}}), MetricPoint)


def _corrected(lake: Lake, catalog: Catalog, day: date) -> list[CorrectedPoint]:
    """What people would say of all answers, as of the day, by the judges' versions in force."""
    versions = literals(judge.version for judge in catalog.live_judges)
    sql = (
        f"select * exclude (day) from corrected_points where slice = 'all' and judge_version in ({versions or 'null'})"
    )
    return from_table(rows(lake, sql, {"corrected_points": [day]}), CorrectedPoint)


def _so_far(
    settings: Settings, catalog: Catalog, points: list[MetricPoint], days: list[date], day: date
) -> Estimate | NotEnough | None:
    """The headline over all days so far, where this day alone is too little for a number."""
    headline = catalog.metrics.headline
    today = [point for point in points if point.metric == headline and point.window_start.date() == day]
    if any(point.value is not None and point.grain == "day" for point in today):
        return None
    return pooled_estimate(settings.warehouse_file, catalog, headline, days)


def _raters(settings: Settings, catalog: Catalog, days: list[date]) -> Raters | None:
    if RATED not in catalog.metrics.metrics:
        return None
    found = raters(settings.warehouse_file, catalog, RATED, days)
    if found is None:
        return None

    def shown(rate: SliceRate) -> SliceRate:
        return replace(rate, value=redact(rate.value))

    apart = tuple((shown(least), shown(most)) for least, most in found.apart)
    return replace(found, slices=tuple(map(shown, found.slices)), apart=apart)


def _worst(lake: Lake, catalog: Catalog, day: date) -> list[WorstAnswer]:
    """The answers with the lowest scores of the headline's judge; unhappy users first among equals."""
    judge = next((j for j in catalog.judges if j.name == catalog.metrics.metrics[catalog.metrics.headline].judge), None)
    if judge is None:
        return []
    places = rows(
        lake,
        f"""
        with scores as (
            select response_id, min(score) as score, min_by(rationale, score) as why
            from verdicts
            where judge = '{judge.name}' and judge_version = '{judge.version}' and score < {judge.good_from}
            group by response_id
        ),
        moods as (select response_id, sum(score) as mood from signals where kind <> 'automated' group by response_id)
        select answers.response_id, scores.score, scores.why, file_name, log_segment, log_offset,
            row_number() over (order by scores.score, coalesce(mood, 0), answers.response_id) as place
        from ({first_rows("responses")}) as answers
        join scores using (response_id)
        left join moods using (response_id)
        where environment in ({literals(catalog.sampling.environments)})
        order by place limit {_QUOTED_WORST}
        """,
        {"responses": [day], "verdicts": [day], "signals": [day]},
    )
    if not places.num_rows:
        return []
    files = places.column("file_name").unique().to_pylist()
    texts = rows(
        lake,
        "select response_id, occurred_at, query as question, response as answer, score, why, prompt_version "
        f"from ({scan_files('responses', files)}) as text "
        "join places using (file_name, log_segment, log_offset, response_id) order by place",
        {},
        places=places,
    )
    return [WorstAnswer(**_redacted(row)) for row in texts.to_pylist()]


def _redacted(row: dict[str, Any]) -> dict[str, Any]:
    return row | {name: redact(row[name]) for name in ("question", "answer", "why") if row[name] is not None}


def _coverage(settings: Settings, lake: Lake, catalog: Catalog, day: date) -> Coverage:
    environments = literals(catalog.sampling.environments)
    judge = catalog.metrics.metrics[catalog.metrics.headline].judge or ""
    counted = query(
        settings.warehouse_file,
        f"""
        with answers as (
            select
                coalesce(sum(responses), 0)::bigint as responses,
                coalesce(sum(labelled), 0)::bigint as labelled,
                coalesce(sum(with_implicit), 0)::bigint as implicit,
                coalesce(sum(with_explicit), 0)::bigint as explicit,
                coalesce(sum(with_automated), 0)::bigint as automated
            from marts.daily_coverage where day = ? and environment in ({environments})
        ),
        checks as (
            select
                coalesce(sum(responses) filter (where state = 'done'), 0)::bigint as judged,
                coalesce(sum(responses) filter (where state = 'failed'), 0)::bigint as failed
            from marts.judge_coverage where day = ? and judge = ?
        ),
        doubles as (select coalesce(sum(duplicates), 0)::bigint as duplicates from marts.arrivals where day = ?)
        select * from answers, checks, doubles
        """,
        [day, day, judge, day],
    ).to_pylist()[0]
    quarantined = rows(lake, "select count(*) as lines from quarantine", {"quarantine": [day]}).to_pylist()[0]["lines"]
    total = counted["responses"]
    kinds = ("implicit", "explicit", "automated")
    return Coverage(
        responses=total,
        judged=counted["judged"],
        failed=counted["failed"],
        labelled=counted["labelled"],
        quarantined_lines=quarantined,
        duplicates=counted["duplicates"],
        signal_shares={kind: counted[kind] / total for kind in kinds} if total else {},
    )


def _is_simulated(lake: Lake, day: date) -> bool:
    sql = "select count(*) > 0 as yes from responses where json_extract(attributes, '$.simulated') = 'true'"
    return bool(rows(lake, sql, {"responses": [day]}).to_pylist()[0]["yes"])


def changes_of(lake: Lake, history: Collection[date]) -> list[Change]:
    """Deploys and other events of these days, in order of time."""
    deploys = rows(lake, f"{first_rows('deploys')} order by occurred_at", {"deploys": history}).to_pylist()
    events = rows(lake, first_rows("events"), {"events": history}).to_pylist()
    seen: set[str] = set()
    told = [
        Change(
            change_id=deploy["deploy_id"],
            occurred_at=deploy["occurred_at"],
            title=_deploy_title(deploy, seen),
            prompt_version=deploy["prompt_version"],
            description=deploy["description"],
        )
        for deploy in deploys
    ]
    told += [
        Change(
            change_id=event["event_id"],
            occurred_at=event["occurred_at"],
            title=redact(event["name"].replace("_", " ")),
            description=event["description"],
        )
        for event in events
    ]
    return sorted(told, key=lambda change: change.occurred_at)


def _deploy_title(deploy: dict[str, Any], seen: set[str]) -> str:
    """A deploy that brings a prompt version is called by it; one that leaves it as it was, by its own id."""
    version = deploy["prompt_version"]
    if version is None or version in seen:
        return f"deploy {redact(deploy['deploy_id'])}"
    seen.add(version)
    return f"prompt {redact(version)}"


def replace_text(file: Path, text: str) -> Path:
    """Write whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_suffix(f".{os.getpid()}.part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)
    return file
