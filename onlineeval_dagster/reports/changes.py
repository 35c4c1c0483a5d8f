"""What changed and when: every deploy with what followed it, and the other things worth knowing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta

from onlineeval_dagster.contracts.estimates import DeployEffect
from onlineeval_dagster.reports.model import Change, ChangeLine, Found, MetricWords
from onlineeval_dagster.reports.sentence import is_clause, now_clause
from onlineeval_dagster.reports.wording import Format, count, format_for_difference, listed, lower_first, moment

SHOWN_FOR = timedelta(days=28)
SHOWN_AT_ONCE = 4
MOST_OF_A_KIND = 10
SHOWN_IN_FULL = 2  # numbers beside the first one


def rare_changes(changes: Sequence[Change], *, day: date) -> tuple[list[Change], dict[str, int]]:
    """The changes of the 28 days up to the day, and apart, by title, how many of those that come all the time.

    A page load time is an event too; only what is rare can be a change.
    """
    end = _end(day)
    within = [change for change in changes if end - SHOWN_FOR <= change.occurred_at < end]
    times = Counter(change.title for change in within if change.prompt_version is None)
    frequent = {title: number for title, number in times.items() if number > MOST_OF_A_KIND}
    return [change for change in within if change.title not in frequent], frequent


def _end(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)


def change_lines(
    *,
    day: date,
    effects: Sequence[DeployEffect],
    changes: Sequence[Change],
    headline: str,
    metrics: Mapping[str, MetricWords],
) -> tuple[ChangeLine, ...]:
    """The changes of the last 28 days up to the day, numbered in order of time, with what followed each."""
    end = _end(day)
    known = {change.change_id: change for change in changes}
    for effect in effects:
        unnamed = Change(change_id=effect.deploy_id, occurred_at=effect.deployed_at, title=f"change {effect.deploy_id}")
        known.setdefault(effect.deploy_id, unnamed)
    shown = sorted(
        (change for change in known.values() if end - SHOWN_FOR <= change.occurred_at < end),
        key=lambda change: (change.occurred_at, change.change_id),
    )
    return tuple(
        _line(number, change, [effect for effect in effects if effect.deploy_id == change.change_id], headline, metrics)
        for number, change in enumerate(shown, start=1)
    )


def _line(
    number: int, change: Change, effects: list[DeployEffect], headline: str, metrics: Mapping[str, MetricWords]
) -> ChangeLine:
    known = [effect for effect in effects if effect.metric in metrics]
    first = [effect for effect in known if effect.metric == headline]
    # One reviewer version may have replaced another at the deploy: what has a number speaks, the newest first.
    main = next((effect for effect in first if effect.found is not None), first[0] if first else None)
    lines = [effect_text(main, metrics[headline])] if main else []
    others = [effect for effect in known if effect.metric != headline]
    worse = [effect for effect in others if effect.found == "worse"]
    # What needs a decision in full; the rest by name: the numbers stand in the table below.
    lines += [effect_text(effect, metrics[effect.metric]) for effect in worse[:SHOWN_IN_FULL]]
    better = [effect for effect in others if effect.found == "better"]
    for also, effects_named in (("Also worse", worse[SHOWN_IN_FULL:]), ("Better", better)):
        if effects_named:
            lines.append(f"{also}: {listed([lower_first(metrics[effect.metric].title) for effect in effects_named])}.")
    if others and not worse and not better and any(effect.found for effect in others):
        lines.append("No clear change in the other numbers.")
    if change.description:
        lines.append(change.description)
    return ChangeLine(
        number=number,
        change_id=change.change_id,
        prompt_version=change.prompt_version,
        occurred_at=change.occurred_at,
        title=change.title,
        when=moment(change.occurred_at),
        lines=tuple(lines),
        found=main.found if main else None,
        also_worse=tuple(lower_first(metrics[effect.metric].title) for effect in worse),
    )


def effect_text(effect: DeployEffect, words: MetricWords) -> str:
    """ "Answers are good 9 points less often since, likely 6–12." """
    difference, low, high = effect.difference, effect.low, effect.high
    if effect.found is None or difference is None or low is None or high is None:
        seen = "AI check" if effect.judge_version != "none" else "answer"
        return f"Not enough yet to tell: {count(effect.n_after, seen)} since."
    written = format_for_difference(words.unit, low, high)
    if effect.found == "no_clear_change":
        clause = is_clause(words)
        between = f"between {_away(written, low, clause)} and {_away(written, high, clause)}"
        said = f"{lower_first(now_clause(words))} somewhere" if clause else f"{lower_first(words.title)} is"
        return f"No clear change since: {said} {between}."
    smallest, largest = sorted((abs(low), abs(high)))
    size = f"likely {written.likely(smallest, largest).removesuffix(written.suffix)}"
    size += "" if words.unit == "share" else written.suffix
    subject = _upper(now_clause(words)) if is_clause(words) else f"{words.title}:"
    return f"{subject} {_away(written, difference, is_clause(words))} since, {size}."


def split(lines: Sequence[ChangeLine]) -> tuple[tuple[ChangeLine, ...], tuple[ChangeLine, ...]]:
    """The changes to show at once, and the earlier ones; both newest first."""
    newest = tuple(reversed(lines))
    first = [
        line
        for place, line in enumerate(newest)
        if place < SHOWN_AT_ONCE or (line.found == "worse" and is_in_force(line, lines))
    ]
    return tuple(first), tuple(line for line in newest if line not in first)


def is_in_force(line: ChangeLine, lines: Sequence[ChangeLine]) -> bool:
    """Whether what followed a change still stands: no later change was found to turn it round."""
    opposite: dict[Found, Found] = {"worse": "better", "better": "worse"}
    if line.found not in opposite:
        return False
    return not any(later.number > line.number and later.found == opposite[line.found] for later in lines)


def _away(written: Format, difference: float, clause: bool) -> str:
    more, less = ("more often", "less often") if clause else ("higher", "lower")
    return f"{written.difference(difference)} {more if difference > 0 else less}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
