"""What the rules find in the lake's series up to now: episodes with their evidence, one a rule and slice at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Literal

import numpy as np
import pandas as pd

from onlineeval_dagster.alerts.budget import Allowance, allowance, grains_of
from onlineeval_dagster.alerts.episodes import Episode, episodes
from onlineeval_dagster.alerts.evidence import Judged, judge
from onlineeval_dagster.alerts.series import (
    STEP,
    Watched,
    answers_by_hour,
    checks_as_looks,
    late_as_looks,
    points_as_looks,
    read_points,
)
from onlineeval_dagster.alerts.silence import expected_answers, silent
from onlineeval_dagster.alerts.spikes import read_spikes
from onlineeval_dagster.alerts.wording import evidence_sentence
from onlineeval_dagster.catalog.alert_file import MEASURED, Look, Rule, worse_of
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.lake.delta import Lake

REPLAYED_DAYS = 28
"""Looks are replayed from a fixed date, the beginning of the block of 28 days before this one: a chart that began
elsewhere would cross its limit elsewhere, and a tick must find what the one before it found."""
FIRST_MONDAY = date(1970, 1, 5)
CHECKS_DAYS = 3
"""Checks that fail are counted from the lake's rows, and no further back."""
SPEECHLESS: Mapping[Look, timedelta] = {
    "five_minutes": timedelta(hours=2),
    "hour": timedelta(days=2),
    "day": timedelta(days=3),
}
"""A series that has had no number for so long is over: another version of its judge took its place."""


CLEAR = "its looks are clear of the limit again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """An episode of one rule in one slice, with the evidence of the look that made it evident. See contract `Alert`.

    ending  why it is over, once it is
    """

    rule: str
    slice: str
    slice_value: str
    metric: str
    grain: Look | Literal["deploy"]
    judge_version: str
    metric_version: str
    began_at: datetime
    fired_at: datetime | None
    ended_at: datetime | None
    last_window: datetime
    value: float | None
    expected: float | None
    low: float | None
    high: float | None
    n: int | None
    change: float | None
    strength: float | None
    chance: float
    told: str
    ending: str = CLEAR


def replay_begin(now: datetime) -> datetime:
    """The fixed instant from which looks are replayed at `now`."""
    block = (now.date() - timedelta(days=REPLAYED_DAYS) - FIRST_MONDAY).days // REPLAYED_DAYS
    return datetime.combine(FIRST_MONDAY + timedelta(days=REPLAYED_DAYS * block), datetime.min.time(), now.tzinfo)


def find(
    lake: Lake,
    catalog: Catalog,
    *,
    now: datetime,
    begin: datetime | None = None,
    checks_begin: datetime | None = None,
) -> list[Finding]:
    """Everything that the rules of every window find in those that were mature by `now`, oldest first.

    begin, checks_begin  how far to look back over points, and over the rows of checks
    """
    alerts, begin = catalog.alerts, begin or replay_begin(now)
    checked_from = checks_begin or now - timedelta(days=CHECKS_DAYS)
    points = read_points(lake, alerts, begin=begin, end=now)
    if any("five_minutes" in rule.windows for rule in alerts.live.values()):
        points = pd.concat([points, read_spikes(lake, alerts, begin=begin, end=now)])
    found: list[Finding] = []
    for name, rule in alerts.timed.items():
        grains = ("hour",) if rule.metric in MEASURED else grains_of(rule, catalog.metrics)
        own: list[Finding] = []
        for grain in grains:
            if rule.metric == "answers":
                own += _silences(lake, catalog, name, rule, (begin, now))
                continue
            watched = _watched(lake, catalog, rule, grain, points, (checked_from, now))
            if watched is not None:
                own += _of_series(catalog, name, rule, grain, watched, len(grains))
        found += one_at_a_time(own)
    return sorted(found, key=lambda one: (one.fired_at or one.began_at, one.rule, one.slice, one.slice_value))


def _watched(
    lake: Lake, catalog: Catalog, rule: Rule, grain: Look, points: pd.DataFrame, checks: tuple[datetime, datetime]
) -> Watched | None:
    """The mature looks of a rule. `checks`: the span over which checks are counted; its end is now."""
    begin, now = checks
    mature = now - timedelta(minutes=rule.wait_minutes)
    if rule.metric in MEASURED:
        whole = (
            late_as_looks(lake, begin=begin, end=now)
            if rule.metric == "late_events"
            else checks_as_looks(lake, catalog, rule.metric, begin=begin, end=now)
        )
    else:
        is_share = catalog.metrics.metrics[rule.metric].kind == "rate"
        whole = points_as_looks(points, rule.metric, grain, is_share=is_share)
    if whole is None:
        return None
    mine = whole.of_slices(rule).until(mature, STEP[grain])
    return mine if mine.names and mine.windows else None


def _of_series(
    catalog: Catalog, name: str, rule: Rule, grain: Look, watched: Watched, windows: int
) -> Iterator[Finding]:
    slices = len({name[:2] for name in watched.names})  # a series that goes on under another judge version is one
    part = allowance(catalog.alerts, rule, grain, windows=windows, series=slices)
    worse = worse_of(rule, catalog.metrics.metrics)
    assert worse is not None  # checked when the catalog was loaded
    judged = judge(rule, worse, watched.looks, part)
    for episode in episodes(judged, confirm=rule.confirm, recover=rule.recover):
        yield _finding(catalog, name, rule, grain, watched, judged, episode, part)


def _finding(
    catalog: Catalog,
    name: str,
    rule: Rule,
    grain: Look,
    watched: Watched,
    judged: Judged,
    episode: Episode,
    part: Allowance,
) -> Finding:
    at = episode.worst if episode.fired is None else episode.fired
    series, step, looks = episode.series, STEP[grain], watched.looks
    own = watched.names[series]
    wait = timedelta(minutes=rule.wait_minutes)
    beyond = np.flatnonzero(judged.beyond[series, episode.began : episode.ended])
    ended = None if episode.ended is None else watched.windows[episode.ended] + step + wait
    last_known = watched.windows[int(np.flatnonzero(judged.known[series])[-1])]
    if ended is None and watched.windows[-1] - last_known >= SPEECHLESS[grain]:
        ended = last_known + SPEECHLESS[grain] + step + wait
    finding = Finding(
        rule=name,
        slice=own[0],
        slice_value=own[1],
        metric=rule.metric,
        grain=grain,
        judge_version=own[2],
        metric_version=own[3],
        began_at=watched.windows[episode.began],
        fired_at=None if episode.fired is None else watched.windows[episode.fired] + step + wait,
        ended_at=ended,
        last_window=watched.windows[episode.began + int(beyond[-1])] if len(beyond) else watched.windows[at],
        value=_number(looks.value[series, at]),
        expected=_number(looks.expected[series, at]),
        low=_number(looks.low[series, at]),
        high=_number(looks.high[series, at]),
        n=int(looks.n[series, at]) if np.isfinite(looks.n[series, at]) else None,
        change=_number(judged.change[series, at]),
        strength=_number(judged.strength[series, at]),
        chance=part.chance,
        told="",
    )
    return replace(finding, told=evidence_sentence(finding, rule, catalog, watched.windows[at]))


def _silences(
    lake: Lake, catalog: Catalog, name: str, rule: Rule, span: tuple[datetime, datetime]
) -> Iterator[Finding]:
    begin, now = span
    wait, hour = timedelta(minutes=rule.wait_minutes), STEP["hour"]
    end = (now - wait).replace(minute=0, second=0, microsecond=0)
    answers = answers_by_hour(lake, begin=begin - timedelta(days=REPLAYED_DAYS), end=end)
    if answers.empty:
        return
    part = allowance(catalog.alerts, rule, "hour", windows=1, series=1)
    clock = catalog.metrics.clock
    judged = silent(answers, part, zone=clock.zone, behaves_like=clock.behaves_like)
    usual = expected_answers(answers, zone=clock.zone, behaves_like=clock.behaves_like)
    starts = list(pd.DatetimeIndex(answers.index).to_pydatetime())
    for episode in episodes(judged, confirm=rule.confirm, recover=rule.recover):
        if starts[episode.began] < begin:
            continue
        fired = episode.fired if episode.fired is not None else episode.worst
        beyond = np.flatnonzero(judged.beyond[0, episode.began : episode.ended])
        finding = Finding(
            rule=name,
            slice="all",
            slice_value="all",
            metric=rule.metric,
            grain="hour",
            judge_version="none",
            metric_version="none",
            began_at=starts[episode.began],
            fired_at=None if episode.fired is None else starts[episode.fired] + hour + wait,
            ended_at=None if episode.ended is None else starts[episode.ended] + hour + wait,
            last_window=starts[episode.began + int(beyond[-1])],
            value=0.0,
            expected=_number(usual[fired]),
            low=None,
            high=None,
            n=0,
            change=1.0,
            strength=_number(judged.strength[0, fired]),
            chance=part.chance,
            told="",
        )
        yield replace(finding, told=evidence_sentence(finding, rule, catalog, starts[fired]))


def one_at_a_time(found: list[Finding]) -> list[Finding]:
    """Of one rule and slice, findings that overlap in time become one: the first that fired tells the evidence."""
    merged: list[Finding] = []
    for one in sorted(found, key=lambda one: (one.slice, one.slice_value, one.began_at, one.grain)):
        last = merged[-1] if merged else None
        same = last is not None and (last.slice, last.slice_value) == (one.slice, one.slice_value)
        if last is None or not same or (last.ended_at is not None and last.ended_at < one.began_at):
            merged.append(one)
            continue
        merged[-1] = _joined(last, one)
    return merged


def _joined(first: Finding, second: Finding) -> Finding:
    fired = [one for one in (first, second) if one.fired_at is not None]
    teller = min(fired, key=lambda one: one.fired_at or one.began_at) if fired else first
    ends = [one.ended_at for one in (first, second)]
    return replace(
        teller,
        began_at=min(first.began_at, second.began_at),
        ended_at=None if None in ends else max(end for end in ends if end is not None),
        last_window=max(first.last_window, second.last_window),
    )


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
