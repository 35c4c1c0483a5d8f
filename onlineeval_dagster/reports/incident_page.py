"""An incident as a page: what fell, what is behind it, what happened when; and the draft of its post-mortem."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from onlineeval_dagster.alerts.causes import verdict
from onlineeval_dagster.alerts.incidents import ranked
from onlineeval_dagster.contracts.alerts import Alert, Incident, IncidentCause
from onlineeval_dagster.reports.experiment_parts import Part
from onlineeval_dagster.reports.model import MetricWords
from onlineeval_dagster.reports.wording import format_for, format_for_difference, moment, percent

STATES = {"open": "Open", "acknowledged": "Somebody has it", "resolved": "Over"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HourSeen:
    """One hour of the series: what came, with its likely range, and what was expected, with what is usual around it."""

    starts_at: datetime
    value: float | None
    expected: float | None
    usual_low: float | None
    usual_high: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """Something at an instant. `tried`: somebody did it after the incident began."""

    at: datetime
    what: str
    tried: bool = False
    marked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A metric before and during the incident, without its rhythm; or the reason why it cannot be said."""

    metric: str
    before: float | None = None
    during: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentPage:
    """Everything a page says. `hours` and `marks` are drawn; unit: of the series."""

    title: str
    status: str
    sentences: tuple[str, ...]
    drawn_title: str
    unit: str
    hours: tuple[HourSeen, ...]
    marks: tuple[Happened, ...]
    began_at: datetime
    ended_at: datetime | None
    parts: tuple[Part, ...]
    made: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What an incident's page is made of; texts are redacted."""

    incident: Incident
    alerts: Sequence[Alert]
    causes: Sequence[IncidentCause]
    hours: Sequence[HourSeen]
    happened: Sequence[Happened]
    moved: Sequence[Moved]
    metrics: Mapping[str, MetricWords]
    runbooks: Sequence[str]
    now: datetime


def incident_page(known: Known) -> IncidentPage:
    """The page of an incident as it stands."""
    return _page(known, title=f"Incident {known.incident.incident_id}", parts=(_evidence(known), _causes(known)))


def post_mortem(known: Known) -> IncidentPage:
    """The draft of its post-mortem: the same, with every metric before and after, what was tried, and what is open."""
    parts = (_summary(known), _causes(known), _moved(known), _tried(known))
    return _page(known, title=f"Post-mortem of incident {known.incident.incident_id} (draft)", parts=parts, draft=True)


def _page(known: Known, *, title: str, parts: tuple[Part, ...], draft: bool = False) -> IncidentPage:
    incident, first = known.incident, ranked(known.alerts)[0]
    words = known.metrics.get(first.metric)
    until = "still going on" if incident.resolved_at is None else f"over since {moment(incident.resolved_at)} UTC"
    said = verdict(known.causes) or "Causes were not looked for."
    return IncidentPage(
        title=title,
        status=STATES[incident.state],
        sentences=(
            f"{incident.title}.",
            f"Cause: {said}",
            f"Since {moment(incident.began_at)} UTC, {until}. Owner: {incident.owner}.",
        ),
        drawn_title=words.title if words is not None else first.metric,
        unit=words.unit if words is not None else "count",
        hours=tuple(known.hours),
        marks=tuple(one for one in known.happened if one.marked),
        began_at=incident.began_at,
        ended_at=incident.resolved_at,
        parts=(*parts, _timeline(known), *([_open(known)] if draft else [])),
        made=f"Made {moment(known.now)} UTC. Days and hours are UTC.",
    )


def _evidence(known: Known) -> Part:
    lines = [f"{alert.told} Rule {alert.rule}, {alert.state}." for alert in ranked(known.alerts)]
    lines += [f"Runbook: {book}" for book in known.runbooks]
    return Part(title="What was seen", lines=tuple(lines))


def _causes(known: Known) -> Part:
    rows = tuple(
        (
            str(one.rank),
            _named(one),
            one.verdict,
            "–" if one.probability is None else percent(one.probability),
            one.told,
        )
        for one in known.causes
    )
    if not rows:
        return Part(title="What may be behind it", lines=("Causes are looked for in metrics, by the next run.",))
    return Part(title="What may be behind it", table=(("", "Candidate", "Verdict", "Chance", "Evidence"), *rows))


def _named(one: IncidentCause) -> str:
    kinds = {"deploy": f"Deploy {one.name}", "event": f"Event {one.name}", "unexplained": "None of the changes"}
    others = {"latency": "Slower answers", "failures": "Failed answers", "traffic": "More traffic"}
    return (kinds | others | {"mix": f"Mix of {one.name}", "judge_version": "AI reviewer's version"})[one.kind]


def _timeline(known: Known) -> Part:
    rows = tuple((moment(one.at), one.what) for one in sorted(known.happened, key=lambda one: one.at))
    return Part(title="Timeline", table=(("Time (UTC)", "What happened"), *rows))


def _summary(known: Known) -> Part:
    incident, first = known.incident, ranked(known.alerts)[0]
    fired = min(alert.fired_at or alert.seen_at for alert in known.alerts)
    lines = [f"It was evident {_after(fired - incident.began_at)} after it began: {first.told}"]
    if incident.acknowledged_at is not None:
        lines.append(
            f"{incident.acknowledged_by} had it {_after(incident.acknowledged_at - incident.opened_at)} later."
        )
    if incident.resolved_at is not None:
        lines.append(f"It was over {_after(incident.resolved_at - incident.began_at)} after it began.")
    return Part(title="In short", lines=tuple(lines))


def _moved(known: Known) -> Part:
    numbers = [one for one in known.moved if one.before is not None]
    rows = tuple(_row(one, known.metrics[one.metric]) for one in numbers)
    missing: dict[str, list[str]] = {}
    for one in known.moved:
        if one.reason is not None:
            missing.setdefault(one.reason, []).append(known.metrics[one.metric].title)
    heads = ("Metric", "Before", "During", "Change", "Likely", "Answers")
    note = (
        "Hours of the incident against the 48 hours before it, without the daily and weekly rhythm. The likely range "
        "(95 %) is of each metric alone: of twenty that did not move one is beyond it."
    )
    without = (f"Without a number ({reason}): {', '.join(titles)}." for reason, titles in missing.items())
    lines = (note, *without)
    return Part(title="Every metric before and during", lines=lines, table=(heads, *rows) if rows else ())


def _row(one: Moved, words: MetricWords) -> tuple[str, ...]:
    assert one.before is not None and one.during is not None and one.low is not None and one.high is not None
    change = one.during - one.before
    spread = (one.high - one.low) / 2
    written = format_for(words.unit, one.during - spread, one.during, one.during + spread)
    moved = format_for_difference(words.unit, one.low, one.high)
    sign = "+" if change > 0 else "−" if change < 0 else ""
    likely = f"{moved.number(one.low)} to {moved.number(one.high)}{moved.difference_suffix}"
    cells = (written.value(one.before), written.value(one.during), f"{sign}{moved.difference(change)}", likely)
    return (words.title, *cells, f"{one.n:,}")


def _tried(known: Known) -> Part:
    tried = sorted((one for one in known.happened if one.tried), key=lambda one: one.at)
    lines = tuple(f"{moment(one.at)} UTC: {one.what}" for one in tried)
    return Part(title="What was tried", lines=lines or ("Nothing is on record: no deploy, no acknowledgement since.",))


def _open(known: Known) -> Part:
    return Part(title="Open questions", lines=tuple(_questions(known)))


def _questions(known: Known) -> Iterable[str]:
    named = [one for one in known.causes if one.verdict == "named" and one.kind in ("deploy", "event")]
    if len(named) == 1:
        yield f"What in {_named(named[0])} did it, and which check before the release would have shown it?"
    elif named:
        yield f"Which of {', '.join(map(_named, named))} was it? They were made too close to each other to tell."
    else:
        yield "No deploy explains it: what changed elsewhere (providers, data, users), and can it be sent as an event?"
    fired = min(alert.fired_at or alert.seen_at for alert in known.alerts)
    delay = fired - known.incident.began_at
    yield f"It took {_after(delay)} until it was evident: would more checks or a deploy watch have been faster?"
    if known.incident.acknowledged_at is None:
        yield "Nobody acknowledged it: who was told, and by which channel?"
    if known.incident.watched:
        yield "Its rules were on watch, so that nobody was told: should they be enabled?"
    yield "What else did users notice, and who has to be told?"


def _after(span: timedelta) -> str:
    minutes = round(span / timedelta(minutes=1))
    return f"{minutes} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
