"""Rows become one frozen daily report. Everything is decided here; the renderers only render."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

from onlineeval_dagster.contracts.corrected import CorrectedPoint
from onlineeval_dagster.contracts.estimates import DeployEffect, Estimate, Grain, MetricPoint, NotEnough
from onlineeval_dagster.contracts.rows import SignalKind
from onlineeval_dagster.errors import ReportError
from onlineeval_dagster.metrics.raters import Raters
from onlineeval_dagster.reports import computed, curves
from onlineeval_dagster.reports.advice import advice
from onlineeval_dagster.reports.changes import SHOWN_FOR, change_lines, rare_changes, split
from onlineeval_dagster.reports.headline import full_sentence, headline_of
from onlineeval_dagster.reports.history import (
    best_known,
    days_of,
    numbers,
    overall,
    week_comparison,
)
from onlineeval_dagster.reports.model import (
    Change,
    Coverage,
    DailyReport,
    MetricWords,
    NumberRow,
    Plot,
    ShownAnswer,
    Status,
    WorstAnswer,
)
from onlineeval_dagster.reports.people import ALONE, people_lines, people_row, people_table
from onlineeval_dagster.reports.raters import rater_lines, rater_table
from onlineeval_dagster.reports.sentence import change_in_short
from onlineeval_dagster.reports.shortage import shortage
from onlineeval_dagster.reports.wording import count, day_long, day_spans, format_for, moment, part, percent, quoted

WORST_SHOWN = 3
QUOTE_LIMIT = 700  # characters
SIGNAL_NAMES: Mapping[SignalKind, str] = {
    "implicit": "a user action that says something of them, such as a copy",
    "explicit": "a user's rating",
    "automated": "an automatic check",
}
STATUS_NAMES: Mapping[Status, str] = {
    "steady": "Steady",
    "worse": "Worse",
    "better": "Better",
    "unclear": "No clear change",
    "measured": "Measured",
    "not_enough": "Not enough yet",
    "nothing_checked": "Nothing checked",
}


def build_daily_report(
    *,
    day: date,
    now: datetime,
    points: Sequence[MetricPoint],
    effects: Sequence[DeployEffect],
    worst: Sequence[WorstAnswer],
    coverage: Coverage,
    headline: str,
    metrics: Mapping[str, MetricWords],
    simulated: bool,
    changes: Sequence[Change] = (),
    so_far: Estimate | NotEnough | None = None,
    effect_level: float = 0.99,
    raters: Raters | None = None,
    corrected: Sequence[CorrectedPoint] = (),
    grains: Collection[Grain] = ("hour", "day", "week"),
    paused: Sequence[str] = (),
    incidents: Sequence[str] = (),
) -> DailyReport:
    """The report of one day (UTC).

    points    daily points of the last 28 days or more, hourly ones of the day and those of the last weeks, any slices
              and judge versions
    effects   of any metric; a deploy is called by the title of the change with its id
    worst     worst first, redacted; three are shown, unlike ones where there are some
    headline  the metric of the first sentence and of the plots, a key of `metrics`
    so_far    the headline over all days so far together, for a product too small to have a number a day: with
              NotEnough the sentence says how many more days it takes at the pace so far
    effect_level  confidence level of the effects' intervals, told under "How was this computed"
    raters    who rated, over the last days; slices' values redacted
    corrected  what people would say, of all answers: day, week and 28 days that end with the day
    paused    AI reviewers that are not asked for now: name, since when and why
    incidents  of the last seven days in words, redacted
    grains    the windows that the catalog asks for: the others are not drawn at all

    Raises ReportError where the day has no data, naming the days that have, or where the headline is no metric.
    """
    _check(day, points, coverage, headline, metrics)
    known = overall((point for point in points if point.metric in metrics), day=day)
    rare, frequent = rare_changes(changes, day=day)
    lines = change_lines(day=day, effects=effects, changes=rare, headline=headline, metrics=metrics)
    seen = headline_of(known, lines, coverage, metrics[headline], name=headline, day=day)
    shown, earlier = split(lines)
    told = _unlike(worst)
    followed = [effect for effect in effects if effect.deploy_id in {line.change_id for line in lines}]
    return DailyReport(
        day=day,
        day_name=day_long(day),
        made_at=now,
        made_at_name=f"{moment(now)} UTC",
        simulated=simulated,
        status=seen.status,
        status_name=STATUS_NAMES[seen.status],
        sentence=full_sentence(seen, metrics[headline], coverage, so_far=so_far, now=now),
        people=people_lines(corrected, metrics[headline], headline=headline),
        changes=shown,
        earlier_changes=earlier,
        no_changes=f"No change was recorded in the last {SHOWN_FOR.days} days.",
        worst=tuple(map(_shown, told)),
        no_worst="No bad answer was found." if coverage.judged else "No answer has been checked yet.",
        advice=advice(
            status=seen.status,
            lines=lines,
            worst=told,
            coverage=coverage,
            judged_by_ai=seen.judged_by_ai,
            missing=shortage(seen.point) if seen.point else None,
            paused=paused,
        ),
        by_day=curves.by_day(metrics[headline], seen.daily, day=day),
        by_week=_by_week(known, metrics[headline], name=headline, day=day, now=now) if "week" in grains else None,
        by_hour=curves.by_hour(metrics[headline], seen.hours, day=day) if "hour" in grains else None,
        numbers=_number_rows(known, corrected, metrics, day=day),
        incidents=tuple(incidents),
        coverage=(
            *_coverage(coverage, judged_by_ai=seen.judged_by_ai),
            *rater_lines(raters),
        ),
        computed_notes=computed.notes(seen.comparison, so_far, effect_level=effect_level, frequent=frequent),
        computed_tables=(
            *computed.tables(days_of(known).get(day, []), followed, metrics),
            *([people_table(corrected, dict(metrics))] if corrected else ()),
            *([rater_table(raters)] if raters else ()),
        ),
    )


def _check(
    day: date,
    points: Sequence[MetricPoint],
    coverage: Coverage,
    headline: str,
    metrics: Mapping[str, MetricWords],
) -> None:
    if headline not in metrics:
        raise ReportError(f"headline {headline!r} is no metric; choose one of {', '.join(metrics) or 'none'}")
    days = {day for day, of_day in days_of(points).items() if any(point.population for point in of_day)}
    if day not in days or not coverage.responses:
        others = day_spans(sorted(days - {day}))
        raise ReportError(f"report: no answers on {day}; ingest that day, or choose one that has some: {others}")


def _by_week(known: list[MetricPoint], words: MetricWords, *, name: str, day: date, now: datetime) -> Plot | None:
    weeks = [point for point in known if point.metric == name and point.grain == "week"]
    return curves.by_week(words, weeks, day=day, now=now)


def _number_rows(
    known: list[MetricPoint], corrected: Sequence[CorrectedPoint], metrics: Mapping[str, MetricWords], *, day: date
) -> tuple[NumberRow, ...]:
    """A row a metric; of one that rests on a judge its own word, marked as such, then what people would say."""
    rows = []
    for name, words in metrics.items():
        daily = [point for point in known if point.grain == "day" and point.metric == name]
        point = best_known(point for point in daily if point.window_start.date() == day)
        if point is None:
            continue
        row = _number_row(words, point, daily)
        is_judged = point.judge_version != "none"
        rows.append(replace(row, title=f"{row.title}: {ALONE}") if is_judged else row)
        if is_judged and (by_people := people_row(corrected, words, metric=name)) is not None:
            rows.append(by_people)
    return tuple(rows)


def _number_row(words: MetricWords, point: MetricPoint, daily: list[MetricPoint]) -> NumberRow:
    if point.value is None:
        return NumberRow(title=words.title, value="not enough yet", likely="–", change="–")
    value, low, high = numbers(point)
    written = format_for(words.unit, low, value, high)
    comparison = week_comparison(point, daily, unit=words.unit)
    return NumberRow(
        title=words.title,
        value=written.value(value),
        likely=written.likely(low, high),
        change=change_in_short(words, point, comparison),
    )


def _unlike(worst: Sequence[WorstAnswer]) -> list[WorstAnswer]:
    """The worst three; of answers with the same words only the first, unless there are no others."""
    first = {" ".join(answer.answer.casefold().split()): answer for answer in reversed(worst)}.values()
    alike = [answer for answer in worst if answer not in first]
    return [*(answer for answer in worst if answer in first), *alike][:WORST_SHOWN]


def _shown(answer: WorstAnswer) -> ShownAnswer:
    parts = [moment(answer.occurred_at), f"score {answer.score:g}", answer.response_id]
    if answer.prompt_version:
        parts.insert(1, f"prompt {answer.prompt_version}")
    return ShownAnswer(
        question=quoted(answer.question, limit=QUOTE_LIMIT) or "(no question)",
        answer=quoted(answer.answer, limit=QUOTE_LIMIT) or "(an empty answer)",
        why=quoted(answer.why, limit=QUOTE_LIMIT) if answer.why else None,
        source=" · ".join(parts),
    )


def _coverage(coverage: Coverage, *, judged_by_ai: bool) -> tuple[str, ...]:
    """ "3,214 answers, 15 % checked by the AI reviewer, 41 checked by people", and what else there is to know."""
    parts = [count(coverage.responses, "answer")]
    if judged_by_ai or coverage.judged:
        parts.append(f"{part(coverage.judged, coverage.responses)} checked by the AI reviewer")
    parts.append(f"{coverage.labelled or 'none'} checked by people")
    if coverage.quarantined_lines:
        parts.append(f"{count(coverage.quarantined_lines, 'line')} could not be read")
    said = [", ".join(parts) + "."]
    if coverage.failed:
        said.append(f"The AI reviewer failed on {count(coverage.failed, 'answer')}.")
    if coverage.duplicates:
        said.append(f"{count(coverage.duplicates, 'line')} came twice and {_was(coverage.duplicates)} counted once.")
    said += [
        f"{percent(coverage.signal_shares[kind])} of the answers have {name}."
        for kind, name in SIGNAL_NAMES.items()
        if kind in coverage.signal_shares
    ]
    return tuple(said)


def _was(number: int) -> str:
    return "was" if number == 1 else "were"
