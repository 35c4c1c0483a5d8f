"""One incident under the glass: everything that its answers and points say of its suspects and mechanisms."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from onlineeval_dagster.alerts.cause_points import HOUR, Past, against_untouched, read_past
from onlineeval_dagster.alerts.cause_rows import (
    OF_USERS,
    WAYS,
    Answers,
    Mixed,
    Served,
    answers_of,
    mixed,
    risen,
    served,
    within_hours,
)
from onlineeval_dagster.alerts.causes import Evidence, Found
from onlineeval_dagster.alerts.cells import NEEDED, Hours, cells_of
from onlineeval_dagster.alerts.contrasts import before_and_after, beside, placebo
from onlineeval_dagster.alerts.mechanisms import Explained, explained_by, explained_by_mix, explained_by_traffic
from onlineeval_dagster.alerts.onset import EXPLAINED, OLDER, Cells, weigh
from onlineeval_dagster.alerts.suspects import Suspect, deploy_times
from onlineeval_dagster.catalog.alert_file import worse_of
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.alerts import Alert
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import literals, rows
from onlineeval_dagster.metrics.counterfactual import Effect
from onlineeval_dagster.metrics.detrend import Link
from onlineeval_dagster.metrics.detrended import LINKS
from onlineeval_dagster.warehouse.duckdb import table_shapes

USUAL = timedelta(days=7)
"""Before an incident: who asked, and how fast answers were."""
PLACEBO_HOURS = 6
MINUTE = timedelta(minutes=1)
SAME = {"latency": ("latency",), "failures": ("errors",)}
"""Metrics that are a mechanism themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What is looked at: the series of `alert`, from `begin` (a full hour) to `end`; the incident began in between."""

    file: Path
    lake: Lake
    catalog: Catalog
    alert: Alert
    begin: datetime
    began: datetime
    end: datetime

    def found(self, suspects: Sequence[Suspect]) -> Found:
        """Everything that can be said of it. The caller holds the warehouse."""
        versions = _other_versions(self.lake, self.alert, self.begin, self.end)
        if not self.file.exists() or "response_facts" not in table_shapes(self.file):
            return _unknown(suspects, versions, "the warehouse has no answers yet")
        answers = answers_of(self.file, self.catalog, self.alert)
        own = served(answers, suspects, begin=self.begin, end=self.end)
        if (have := own.effective) < NEEDED:
            return _unknown(suspects, versions, f"{have:.0f} of {NEEDED} effective answers within reach")
        past = read_past(self.lake, self.alert, begin=self.begin, end=self.end, link=self._link)
        cells = self._cells(own, past)
        ways, mix_of, mix = self._ways(answers, past, self._change(cells))
        if mix is not None:
            above = mix.above()
            own = served(answers, suspects, begin=self.begin, end=self.end, offsets=(mix_of or "", above))
            cells = self._cells(own, past)
        besides = [self._of_way(answers, suspects, way) for way in WAYS if way in ways and ways[way].enough]
        minutes = (self.end - self.begin) / MINUTE
        return Found(
            suspects=suspects,
            shares=weigh([cells, *besides], minutes=minutes, nothing=OLDER if mix is None else EXPLAINED),
            evidence=[self._of_suspect(at, suspects, cells, own, past) for at in range(len(suspects))],
            ways=ways,
            mix_of=mix_of,
            versions=versions,
            reason=None,
        )

    @property
    def _link(self) -> Link:
        return LINKS.get(self.catalog.metrics.metrics[self.alert.metric].unit, "identity")

    @property
    def _sign(self) -> int:
        rule = self.catalog.alerts.rules.get(self.alert.rule)
        worse = worse_of(rule, self.catalog.metrics.metrics) if rule is not None else None
        if worse in ("up", "down"):
            return 1 if worse == "up" else -1
        return 1 if (self.alert.value or 0.0) >= (self.alert.expected or 0.0) else -1

    def _cells(self, own: Served, past: Past) -> Cells:
        return cells_of(own.pieces, past.since(self.begin), size=self._size(past), sign=self._sign)

    def _size(self, past: Past) -> float:
        """How large the alerted change is, on the scale of the link; at least an hour's error."""
        errors = past.hours.error[np.isfinite(past.hours.error)]
        least = float(np.median(errors)) if len(errors) else 1e-6
        value, expected = self.alert.value, self.alert.expected
        if value is None or expected is None:
            return 4 * least
        moved = float(np.log(value / expected)) if self._link == "log" else value - expected
        return max(abs(moved), least)

    def _change(self, cells: Cells) -> float:
        """Mean residual since the incident began, less that before it; 0 where one of them is missing."""
        after = cells.minute >= (self.began - self.begin) / MINUTE
        if not after.any() or after.all():
            return 0.0
        means = [float(np.average(cells.residual[part], weights=1 / cells.variance[part])) for part in (after, ~after)]
        return means[0] - means[1]

    def _ways(
        self, answers: Answers, past: Past, change: float
    ) -> tuple[dict[str, Explained], str | None, Mixed | None]:
        """What each mechanism explains; the column by which the mix is told; the mix, where it is named."""
        usual, found = self.began - USUAL, dict[str, Explained]()
        for way in WAYS:
            if self.alert.metric not in SAME[way] and (part := self._way(answers, way, change)) is not None:
                found[way] = part
        during = np.arange(len(past.residual)) >= past.place(self.began)
        if (traffic := explained_by_traffic(past.residual, past.traffic, during, change=change)) is not None:
            found["traffic"] = traffic
        mixes: dict[str, tuple[Explained, Mixed]] = {}
        for column in OF_USERS:
            mix = mixed(answers, column, begin=usual, began=self.began, end=self.end)
            part = explained_by_mix(mix.now, mix.before, mix.value_before, mix.variance_before, change=change)
            if part is not None and len(mix.values) > 1:
                mixes[column] = part, mix
        if not mixes:
            return found, None, None
        column = max(mixes, key=lambda name: mixes[name][0].value)
        found["mix"], mix = mixes[column]
        return found, column, mix if found["mix"].enough else None

    def _way(self, answers: Answers, way: str, change: float) -> Explained | None:
        rise = risen(answers, way, begin=self.began - USUAL, began=self.began, end=self.end)
        if rise is None:
            return None
        sums = within_hours(answers, way, begin=self.begin, end=self.end)
        return explained_by(sums, rise=rise, change=change)

    def _of_way(self, answers: Answers, suspects: Sequence[Suspect], way: str) -> Cells:
        """A mechanism's own series: it began with the incident, and all answers say when."""
        pieces = served(answers, suspects, begin=self.begin, end=self.end, way=way).pieces
        after = pieces.minute >= (self.began - self.begin) / MINUTE
        size = abs(float(pieces.mean[after].mean() - pieces.mean[~after].mean())) if after.any() else 0.0
        nothing = np.full(-(-(self.end - self.begin) // HOUR), np.nan)
        hours = Hours(expected=nothing, error=nothing, scale=nothing)
        return cells_of(pieces, hours, size=max(size, 1e-6), sign=1)

    def _of_suspect(self, at: int, suspects: Sequence[Suspect], cells: Cells, own: Served, past: Past) -> Evidence:
        instants = np.array([(one.occurred_at - self.begin) / MINUTE for one in suspects])
        change = before_and_after(cells, at, instants)
        touched = own.pieces.touched[at]
        after = None
        if touched.any():
            after = float(np.average(own.pieces.mean[touched], weights=own.pieces.weight[touched]))
            after = float(np.exp(after)) if self._link == "log" else after
        first = min(past.place(suspects[at].occurred_at) + 1, len(past.residual) - 1)
        usable = np.zeros(len(past.residual), dtype=bool)
        usable[PLACEBO_HOURS : past.place(self.begin) - PLACEBO_HOURS] = True
        for instant in deploy_times(self.lake, self.catalog.sampling.environments, begin=past.begin, end=self.begin):
            place = past.place(instant)
            usable[max(place - PLACEBO_HOURS, 0) : place + PLACEBO_HOURS + 1] = False
        return Evidence(
            change=change,
            after=after,
            beside=beside(cells, at, own.beside, instants),
            structural=self._structural(suspects[at]),
            placebo=placebo(past.residual, first, hours=PLACEBO_HOURS, sign=self._sign, usable=usable),
        )

    def _structural(self, one: Suspect) -> Effect | None:
        """Against other values of what the suspect touches; None where it names none, or the alert is of a slice."""
        if one.column is None or one.value is None or self.alert.slice != "all":
            return None
        span = {"begin": self.begin, "at": one.occurred_at, "end": self.end}
        return against_untouched(self.lake, self.alert, one.column, one.value, **span)


def _unknown(suspects: Sequence[Suspect], versions: Mapping[str, datetime], reason: str) -> Found:
    return Found(suspects=suspects, shares=None, evidence=[], ways={}, mix_of=None, versions=versions, reason=reason)


def _other_versions(lake: Lake, alert: Alert, begin: datetime, end: datetime) -> dict[str, datetime]:
    """Other versions of the judge of an alert's series whose points begin near the incident."""
    days = {day for day in lake.days("metric_points") if begin.date() - timedelta(days=7) <= day <= end.date()}
    sql = f"""
    select judge_version, min(window_start) as began from metric_points
    where metric = {literals([alert.metric])} and grain = 'hour' and slice = 'all'
        and judge_version <> {literals([alert.judge_version])}
    group by judge_version having min(window_start) >= timestamptz '{begin.isoformat()}' order by began
    """
    return {row["judge_version"]: row["began"] for row in rows(lake, sql, {"metric_points": days}).to_pylist()}
