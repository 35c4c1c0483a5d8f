"""What stands in the lake, in a person's words: coverage, the latest numbers, open problems."""

from datetime import datetime, timedelta

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.contracts.arrow import from_table
from onlineeval_dagster.contracts.estimates import MetricPoint
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import literals, rows
from onlineeval_dagster.lake.waiting import untaken_by_door
from onlineeval_dagster.metrics.minutes import last_hour
from onlineeval_dagster.newcomer.waiting import waiting_for_budget
from onlineeval_dagster.progress import waiting
from onlineeval_dagster.quality.closing import close
from onlineeval_dagster.quality.shown import sources_shown
from onlineeval_dagster.review.bridge import bridged
from onlineeval_dagster.review.versions import read_comparisons
from onlineeval_dagster.settings import Settings
from onlineeval_dagster.warehouse.duckdb import query, warehouse_held

SHOWN_DAYS = 7


def show_status(settings: Settings, *, now: datetime, out: Console) -> None:
    """Print coverage of the last days, the latest numbers and what needs attention."""
    lake, catalog = Lake(settings.lake_folder), load_catalog(settings.catalog)
    if not lake.days("responses"):
        out.print(f"No response is in the lake at {settings.home}. Try: onlineeval import FILE…, then onlineeval run")
    elif not lake.days("metric_points"):
        out.print("Responses are in the lake, but no numbers yet. Run: onlineeval run")
    else:
        out.print(_coverage(settings, catalog))
        out.print(_numbers(lake, catalog))
        if (hour := last_hour(lake, catalog, now=now)) is not None:
            out.print(f"{hour}.")
    lines = sources_shown(lake, since=now - timedelta(days=1), waiting=untaken_by_door(settings))
    if lines is not None:
        out.print(lines)
    for line in _handovers(lake, catalog, now=now):
        out.print(f"· {escape(line)}")
    for problem in _problems(settings, lake, catalog, now=now):
        out.print(f"[yellow]![/] {escape(problem)}")


def _coverage(settings: Settings, catalog: Catalog) -> Table:
    environments = literals(catalog.sampling.environments)
    judge = catalog.metrics.metrics[catalog.metrics.headline].judge or ""
    with warehouse_held(
        settings.warehouse_file, wait_seconds=settings.warehouse_wait_seconds, purpose="showing the status"
    ):
        found = query(
            settings.warehouse_file,
            f"""
            with checks as (
                select day, sum(responses) filter (where state = 'done') as judged
                from marts.judge_coverage where judge = ? group by day
            )
            select day, sum(responses) as responses, sum(with_implicit) as implicit, sum(with_explicit) as explicit,
                sum(with_automated) as automated, sum(labelled) as labelled, any_value(judged) as judged
            from marts.daily_coverage left join checks using (day)
            where environment in ({environments})
            group by day order by day desc limit {SHOWN_DAYS}
            """,
            [judge],
        ).to_pylist()
    table = Table(title="Coverage: answers, and the share of them with …", title_justify="left")
    names = ("day", "answers", "implicit signals", "explicit signals", "automated signals", "AI check", "human check")
    for name in names:
        table.add_column(name, justify="left" if name == "day" else "right", no_wrap=name == "day")
    for row in found:
        shares = [row[name] or 0 for name in ("implicit", "explicit", "automated", "judged", "labelled")]
        total = row["responses"]
        table.add_row(
            str(row["day"]), f"{total:,}", *(f"{100 * float(share) / float(total):.1f} %" for share in shares)
        )
    return table


def _numbers(lake: Lake, catalog: Catalog) -> Table:
    last = max(lake.days("metric_points"))
    found = rows(
        lake,
        "select * from metric_points where grain = 'day' and slice = 'all' "
        "qualify row_number() over (partition by metric order by window_start desc, n desc) = 1",
        {"metric_points": [last - timedelta(days=1), last]},
    ).to_pylist()
    points = {point["metric"]: point for point in found}
    table = Table(title="Latest numbers", title_justify="left")
    for name in ("", "value", "likely", "answers", "day"):
        table.add_column(name, justify="left" if not name else "right", min_width=24 if not name else None)
    for name, metric in catalog.metrics.metrics.items():
        point = points.get(name)
        if point is None:
            table.add_row(metric.title, "no data", "", "", "")
        elif point["value"] is None:
            table.add_row(metric.title, "not enough yet", point["reason"], f"{point['n']:,}", str(point["day"]))
        else:
            low, high = _written(point["low"], metric.unit), _written(point["high"], metric.unit)
            value = _written(point["value"], metric.unit)
            table.add_row(metric.title, value, f"{low} – {high}", f"{point['n']:,}", str(point["day"]))
    return table


def _written(value: float, unit: str) -> str:
    match unit:
        case "share":
            return f"{100 * value:.1f} %"
        case "ms":
            return f"{value:,.0f} ms"
        case "usd":
            return f"${value:.6f}"
        case "count":
            return f"{value:,.0f}"
        case _:
            return f"{value:.2f}"


def _pauses(settings: Settings) -> list[str]:
    """Judges that are not asked for now. A home without judges' state has none, and none is made to find that out."""
    if not settings.judge_state_file.exists():
        return []
    with JudgeState(settings.judge_state_file) as state:
        return [
            f"judge {pause.judge} is paused since {pause.since:%Y-%m-%d %H:%M} UTC: {pause.reason}; "
            f"asked again from {pause.next_probe_at:%Y-%m-%d %H:%M:%S} UTC on"
            for pause in state.pauses()
        ]


def _handovers(lake: Lake, catalog: Catalog, *, now: datetime) -> list[str]:
    """Metrics whose numbers of the last 28 days come from more than one version of their judge."""
    days = {day for day in lake.days("metric_points") if day >= now.date() - timedelta(days=28)}
    sql = "select * exclude (day) from metric_points where grain = 'day' and slice = 'all' and judge_version <> 'none'"
    points = from_table(rows(lake, sql, {"metric_points": days}), MetricPoint)
    _, found = bridged(points, catalog, read_comparisons(lake))
    lines = []
    for one in found:
        told = f"older numbers (version {one.before}) are not comparable: {one.reason}"
        if one.shift is not None:
            moved = f"{one.shift:+.3f} ({one.low:+.3f} … {one.high:+.3f})"
            told = f"reports move older numbers (version {one.before}) by {moved}"
        metric = catalog.metrics.metrics[one.metric]
        lines.append(f"“{metric.title}”: judge {metric.judge} {one.after} since {one.since:%Y-%m-%d}; {told}")
    return lines


def _problems(settings: Settings, lake: Lake, catalog: Catalog, *, now: datetime) -> list[str]:
    problems = [f"waiting for a run: {line}" for line in waiting(settings, catalog, now=now)]
    if waits := waiting_for_budget(catalog):
        problems.append(waits)
    problems += [f"lines are lost: {line}" for line in close(settings, lake).failures]
    bad = rows(
        lake,
        "select reason, count(*) as lines from quarantine group by reason order by lines desc limit 3",
        {"quarantine": None},
    ).to_pylist()
    problems += [f"{row['lines']:,} lines in quarantine: {row['reason']}" for row in bad]
    failed = rows(
        lake,
        "select judge, error_kind, count(*) as verdicts from verdicts where error_kind is not null group by all",
        {"verdicts": {day for day in lake.days("verdicts") if day >= now.date() - timedelta(days=SHOWN_DAYS)}},
    ).to_pylist()
    problems += [f"judge {row['judge']}: {row['verdicts']:,} verdicts failed ({row['error_kind']})" for row in failed]
    problems += [f"left out until it is mended, and no number is built: {error}" for error in catalog.broken.values()]
    problems += _pauses(settings)
    worse = rows(
        lake,
        "select * from deploy_effects where found = 'worse' order by deployed_at desc limit 3",
        {"deploy_effects": {day for day in lake.days("deploy_effects") if day >= now.date() - timedelta(days=14)}},
    ).to_pylist()
    problems += [
        f"worse since deploy {row['deploy_id']}: “{catalog.metrics.metrics[row['metric']].title}”, "
        f"{row['before']:.3g} → {row['after']:.3g}"
        for row in worse
        if row["metric"] in catalog.metrics.metrics
    ]
    return problems
