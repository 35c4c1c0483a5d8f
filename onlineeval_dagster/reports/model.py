"""The values a daily report is made from, and the report itself: everything decided, nothing left to a renderer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

from onlineeval_dagster.contracts.estimates import Grain
from onlineeval_dagster.contracts.rows import SignalKind

Unit = Literal["share", "score", "ms", "usd", "count"]
Found = Literal["worse", "better", "no_clear_change"]
Status = Literal["steady", "worse", "better", "unclear", "measured", "not_enough", "nothing_checked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricWords:
    """How a metric is called before people.

    title      a clause, "Answers were good", which the page then says as a sentence; or a noun, "Time to answer"
    direction  which way is better; `none` where neither is
    unit       `share` in [0, 1], `score` on its own scale, `ms` milliseconds, `usd` US dollars
    """

    title: str
    direction: Literal["up", "down", "none"] = "up"
    unit: Unit = "share"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something that changed in production: a deploy (its `change_id` is the `deploy_id`) or another event.

    title           "prompt p3", "campaign: winter sale"
    prompt_version  ties bad answers to a deploy; None for other changes
    """

    change_id: str
    occurred_at: datetime
    title: str
    prompt_version: str | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorstAnswer:
    """A bad answer as it may be shown; the caller has redacted every text and orders worst first."""

    response_id: str
    occurred_at: datetime
    question: str
    answer: str
    score: float
    why: str | None = None
    prompt_version: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """What became of the day's answers. Counts are of answers, but for `quarantined_lines` and `duplicates` (lines).

    judged, failed  answers with an AI check; answers whose AI check failed and has no score
    signal_shares   share of the answers with at least one signal of the kind, in [0, 1]
    """

    responses: int
    judged: int
    failed: int
    labelled: int
    quarantined_lines: int = 0
    duplicates: int = 0
    signal_shares: Mapping[SignalKind, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeLine:
    """One change as the page tells it. `number` is its mark in the plots; `lines` say what followed, worst first.

    found       of the headline; also_worse: titles of other metrics that became worse
    """

    number: int
    change_id: str
    prompt_version: str | None
    occurred_at: datetime
    title: str
    when: str
    lines: tuple[str, ...]
    found: Found | None
    also_worse: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownAnswer:
    """A bad answer as the page quotes it: cut to length, with where it came from in one line."""

    question: str
    answer: str
    why: str | None
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotPoint:
    """One window of a plot. A window without a number has value, low and high None: a gap, never a zero.

    starts_at  beginning of the window; name: "Mon 16 Nov" or "10:00"; value_text, likely_text: as the page says them
    series     what the numbers rest on; a line never crosses from one series to another
    rebased    checked by an earlier AI reviewer and moved to the scale of today's
    """

    starts_at: datetime
    name: str
    value: float | None
    low: float | None
    high: float | None
    value_text: str
    likely_text: str
    series: str
    rebased: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """A metric through time, with a summary for those who cannot see it and a caption that explains its gaps."""

    title: str
    grain: Grain
    unit: Unit
    points: tuple[PlotPoint, ...]
    summary: str
    caption: str

    @property
    def has_numbers(self) -> bool:
        return any(point.value is not None for point in self.points)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRow:
    """One metric in the table of numbers."""

    title: str
    value: str
    likely: str
    change: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputedTable:
    """A table under "How was this computed"; every row has as many cells as there are columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DailyReport:
    """One day's report. Statistical words stand in `computed_notes` and `computed_tables` only.

    changes          newest first: the last few, and those that made it worse and still stand
    earlier_changes  the others of the last 28 days
    incidents        of the last seven days; empty where there were none
    by_week, by_hour None where the catalog does not ask for these windows, or no week is known yet
    """

    @property
    def plots(self) -> tuple[Plot, ...]:
        """The plots there are, in the order in which they are read."""
        return tuple(plot for plot in (self.by_day, self.by_week, self.by_hour) if plot is not None)

    day: date
    day_name: str
    made_at: datetime
    made_at_name: str
    simulated: bool
    status: Status
    status_name: str
    sentence: str
    people: tuple[str, ...]
    changes: tuple[ChangeLine, ...]
    earlier_changes: tuple[ChangeLine, ...]
    no_changes: str
    worst: tuple[ShownAnswer, ...]
    no_worst: str
    advice: tuple[str, ...]
    by_day: Plot
    by_week: Plot | None
    by_hour: Plot | None
    numbers: tuple[NumberRow, ...]
    incidents: tuple[str, ...]
    coverage: tuple[str, ...]
    computed_notes: tuple[str, ...]
    computed_tables: tuple[ComputedTable, ...]
