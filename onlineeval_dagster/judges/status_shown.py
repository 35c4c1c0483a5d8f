"""How the judges stand, as a table for the terminal, as JSON and as Markdown for Dagster."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.table import Table

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.contracts.trials import JudgeReliability
from onlineeval_dagster.judges.status import Counts, JudgeStatus

_STATES = ("pending", "done", "failed", "shed")


def status_table(found: Sequence[JudgeStatus]) -> Table:
    """Two rows a judge, today and the week; the judge's own cells stand on the first."""
    table = Table(title="Judges, by UTC day", title_justify="left")
    for head in ("judge", "version", "status", "model", "period"):
        table.add_column(head)
    for head in (*_STATES, "calls", "tokens", "$", "budget, $", "median, ms"):
        table.add_column(head, justify="right")
    for one in found:
        judge = one.judge
        named = [judge.name, judge.version, standing(one), judge.model]
        table.add_row(*named, "today", *_cells(one.today), _budget(one), _latency(one))
        table.add_row(*[""] * len(named), "7 days", *_cells(one.week), "", "")
    return table


def notes(found: Sequence[JudgeStatus], *, retired: Sequence[Judge], now: datetime) -> list[str]:
    """A line for each pause, why and when it is probed again; what is known of each; and one for the retired judges."""
    lines = []
    for one in found:
        if pause := one.pause:
            due = pause.next_probe_at
            again = f"probed again from {_time(due)}" if due > now else "probed again by the next run"
            lines.append(f"{one.judge.name} is paused since {_time(pause.since)}, {again}: {pause.reason}")
    lines += [f"{one.judge.name}: {reliability_told(one.reliability)}" for one in found if one.reliability]
    if retired:
        lines.append(f"retired, never asked: {', '.join(judge.name for judge in retired)}")
    return lines


def reliability_told(known: JudgeReliability) -> str:
    """One sentence: orders that it obeyed, and how far its scores move when it is asked again."""
    orders, again = f"orders in answers: {known.obeyed_reason}", f"asked again: {known.repeats_reason}"
    if known.obeyed is not None:
        likely = _likely(known.obeyed_low, known.obeyed_high)
        orders = f"obeys {known.obeyed:.0%} of {known.canaries} orders hidden in answers ({likely})"
    if known.moved is not None:
        again = (
            f"asked again of {known.repeats:,} answers, {known.moved:.0%} of its scores move "
            f"({_likely(known.moved_low, known.moved_high)}), by {known.noise:.2f} (root mean square)"
        )
    if known.self_kappa is not None:
        again += (
            f", agreement with itself {known.self_kappa:.2f} ({known.self_kappa_low:.2f} – {known.self_kappa_high:.2f})"
        )
    return f"{orders}; {again}"


def _likely(low: float | None, high: float | None) -> str:
    return f"likely {low:.0%} – {high:.0%}"


def status_json(found: Sequence[JudgeStatus]) -> list[dict[str, Any]]:
    """Every field, one object a judge; times in ISO 8601, money in US dollars."""
    return [_json(one) for one in found]


def status_markdown(found: Sequence[JudgeStatus]) -> str:
    """One row a judge, for metadata."""
    head = [
        "judge",
        "status",
        "pending",
        "done 7 d",
        "failed 7 d",
        "shed 7 d",
        "calls today",
        "$ today",
        "budget, $",
        "median, ms",
    ]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for one in found:
        week, today = one.week, one.today
        cells = [one.judge.name, standing(one), week.pending, week.done, week.failed, week.shed, today.calls]
        cells += [f"{today.cost_usd:.4f}", _budget(one), _latency(one)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def standing(one: JudgeStatus) -> str:
    """The role in the judge's file, and what keeps it from being asked."""
    if one.is_waiting:
        return f"{one.judge.status}, waits for a budget"
    return f"{one.judge.status}, paused" if one.pause else one.judge.status


def _cells(counts: Counts) -> list[str]:
    states = [f"{getattr(counts, state):,}" for state in _STATES]
    return [*states, f"{counts.calls:,}", f"{counts.input_tokens + counts.output_tokens:,}", f"{counts.cost_usd:.4f}"]


def _budget(one: JudgeStatus) -> str:
    limit = one.judge.daily_budget_usd
    if limit is None:
        return "–" if one.judge.is_local else "no limit"
    return f"{one.booked_usd or 0.0:.4f} of {limit:g}"


def _latency(one: JudgeStatus) -> str:
    return "–" if one.latency_median_ms is None else f"{one.latency_median_ms:,.0f}"


def _time(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _json(one: JudgeStatus) -> dict[str, Any]:
    pause, judge = one.pause, one.judge
    return {
        "judge": judge.name,
        "axis": judge.axis,
        "version": judge.version,
        "status": judge.status,
        "model": judge.model,
        "waits_for_budget": one.is_waiting,
        "today": asdict(one.today),
        "week": asdict(one.week),
        "latency_median_ms": one.latency_median_ms,
        "daily_budget_usd": judge.daily_budget_usd,
        "booked_today_usd": one.booked_usd,
        "last": asdict(one.answered),
        "reliability": None if one.reliability is None else one.reliability.model_dump(mode="json"),
        "paused": None
        if pause is None
        else {
            "reason": pause.reason,
            "since": pause.since.isoformat(),
            "next_probe_at": pause.next_probe_at.isoformat(),
            "failed_probes": pause.probes,
        },
    }
