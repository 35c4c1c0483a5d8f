"""The first sentence: how good the answers were, how sure that is, and how it was a week earlier."""

import re

from onlineeval_dagster.contracts.estimates import Estimate, MetricPoint
from onlineeval_dagster.reports.history import Comparison, is_rebased, numbers
from onlineeval_dagster.reports.model import MetricWords
from onlineeval_dagster.reports.wording import Format, apart, count, format_for

_CLAUSE = re.compile(r"^(.+?) (was|were) (.+)$")


def is_clause(words: MetricWords) -> bool:
    """Whether the title says what happened, so that a share of it happens "of the time"."""
    return words.unit == "share" and _CLAUSE.match(words.title) is not None


def now_clause(words: MetricWords) -> str:
    """The title in the present, inside a sentence: "Answers were good" becomes "answers are good"."""
    title = words.title[:1].lower() + words.title[1:]
    return _CLAUSE.sub(lambda found: f"{found[1]} {'is' if found[2] == 'was' else 'are'} {found[3]}", title)


def day_sentence(words: MetricWords, point: MetricPoint, comparison: Comparison) -> str:
    """ "Answers were good 87 % of the time, likely 84–90 %, as a week earlier", for a day that has a number."""
    value, low, high = numbers(point)
    written = format_for(words.unit, low, value, high)
    before = comparison.before
    if before is not None and comparison.alike in ("up", "down"):
        then, then_low, then_high = numbers(before)
        written = apart(written, format_for(words.unit, then_low, then, then_high), (value, then))
    said = _measured(words, written, (value, low, high)) + _tail(point, comparison, written)
    return f"{said} (moved to the scale of today's AI reviewer)" if before is not None and is_rebased(before) else said


def _measured(words: MetricWords, written: Format, measured: tuple[float, float, float]) -> str:
    value, low, high = measured
    start = f"{words.title} {written.value(value)} of the time"
    if not is_clause(words):
        start = f"{words.title}: {written.value(value)}"
    return f"{start}, likely {written.likely(low, high)}"


def _tail(now: MetricPoint, comparison: Comparison, written: Format) -> str:
    if comparison.alike == "same":
        return ", as a week earlier"
    if comparison.alike == "first_week":
        return f"; {count(comparison.days_to_go or 0, 'more day')} until there is a week to compare with"
    if comparison.alike == "recounted":
        changed = (
            "it was counted differently then" if now.judge_version == "none" else "another AI reviewer checked then"
        )
        return f"; not compared with a week earlier, as {changed}"
    if comparison.before is None:
        return "; there is no number for a week earlier"
    before = written.value(numbers(comparison.before)[0])
    if comparison.alike == "unclear":
        return f"; no clear change from {before} a week earlier"
    return f", {comparison.alike} from {before} a week earlier"


def change_in_short(words: MetricWords, now: MetricPoint, comparison: Comparison) -> str:
    """The comparison as a cell of a table: "down from 91 %"."""
    if comparison.before is None:
        return "–"
    if comparison.alike == "same":
        return "as a week earlier"
    (value, low, high), (then, then_low, then_high) = numbers(now), numbers(comparison.before)
    written = format_for(words.unit, low, value, high)
    if comparison.alike == "unclear":
        return f"no clear change from {written.value(then)}"
    written = apart(written, format_for(words.unit, then_low, then, then_high), (value, then))
    return f"{comparison.alike} from {written.value(then)}"


def pooled_sentence(words: MetricWords, so_far: Estimate, *, days: int) -> str:
    """The sentence for a product too small to have a number every day, once its days together have one."""
    written = format_for(words.unit, so_far.low, so_far.value, so_far.high)
    said = _measured(words, written, (so_far.value, so_far.low, so_far.high))
    return f"{said}, over {count(days, 'day')}; not enough yet for a single day"
