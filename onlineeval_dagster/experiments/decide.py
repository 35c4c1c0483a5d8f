"""One decision a treatment and look, by the first rule that fires; what it rests on is handed over with it.

the numbers cannot be trusted            → no decision supported, and what to mend
harm is certain (always-valid)           → stop for harm
this is no planned look                  → keep running
a guardrail is breached, or the primary lost   → do not ship
the primary won, all testable guardrails hold  → ship
the planned end is not reached           → keep running
otherwise                                → no decision supported: what sizes are ruled out, never "no effect"
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from onlineeval_dagster.experiments.rules import Rule

Outcome = Literal["ship", "do_not_ship", "keep_running", "stop_for_harm", "no_decision"]
State = Literal["improved", "pass", "harm_within_margin", "at_risk", "breach"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A guardrail of one treatment: its state (None without a number), whether harm beyond its margin is certain."""

    metric: str
    state: State | None
    testable: bool
    certain_harm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Primary:
    """The primary metric of one treatment, its interval turned so that more is better; None without a number."""

    metric: str
    worst: float | None
    best: float | None
    certain_harm: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """outcome, the rule that fired, and the metrics it fired on."""

    outcome: Outcome
    rule: str
    metrics: tuple[str, ...] = ()


def decide(rule: Rule, primary: Primary, guardrails: Sequence[Guarded], *, broken: Sequence[str] = ()) -> Decision:
    """The first rule that fires."""
    if broken:
        return Decision(outcome="no_decision", rule="the trust gate failed", metrics=tuple(broken))
    harmed = [primary.metric] if primary.certain_harm else []
    harmed += [one.metric for one in guardrails if one.certain_harm]
    if harmed:
        return Decision(outcome="stop_for_harm", rule="harm is certain, whenever one looks", metrics=tuple(harmed))
    if not rule.decides:
        return Decision(outcome="keep_running", rule="no planned look")
    breached = tuple(one.metric for one in guardrails if one.state == "breach")
    if breached:
        return Decision(outcome="do_not_ship", rule="a guardrail is breached", metrics=breached)
    if primary.best is not None and primary.best < 0:
        return Decision(outcome="do_not_ship", rule="the primary metric lost", metrics=(primary.metric,))
    return _won(rule, primary, guardrails) if primary.worst is not None and primary.worst > 0 else _open(rule, primary)


def _won(rule: Rule, primary: Primary, guardrails: Sequence[Guarded]) -> Decision:
    unproven = tuple(one.metric for one in guardrails if one.testable and not _holds(one))
    if not unproven:
        return Decision(
            outcome="ship", rule="the primary metric won and every guardrail holds", metrics=(primary.metric,)
        )
    if not rule.is_last:
        return Decision(outcome="keep_running", rule="a guardrail is not yet shown to hold", metrics=unproven)
    return Decision(
        outcome="no_decision", rule="the primary metric won, a guardrail is not shown to hold", metrics=unproven
    )


def _open(rule: Rule, primary: Primary) -> Decision:
    if not rule.is_last:
        return Decision(outcome="keep_running", rule="the planned end is not reached")
    why = "the primary metric has no number" if primary.worst is None else "the primary metric neither won nor lost"
    return Decision(outcome="no_decision", rule=why, metrics=(primary.metric,))


def _holds(one: Guarded) -> bool:
    """Worse by less than the margin for sure is what the margin allows."""
    return one.state in ("improved", "pass", "harm_within_margin")
