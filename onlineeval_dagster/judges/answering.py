"""Whether a judge answers at all: what the check `judges_answer` asks. Pure."""

from collections.abc import Iterable

from onlineeval_dagster.judges.status import JudgeStatus

MOST_ERRORS = 0.05
"""Share of a judge's last verdicts that may be errors. Above it something is wrong with more than single answers."""

NEEDED = 20
"""Verdicts below which a share says nothing: of fewer, one error is more than five percent."""


def problems(judges: Iterable[JudgeStatus]) -> list[str]:
    """What is wrong, one sentence a judge, with its name, the reason and what happens next; none where all answer.

    What was shed is no error: the day's money is used up, and coverage says so.
    """
    return [said for one in judges if (said := _problem(one)) is not None]


def _problem(one: JudgeStatus) -> str | None:
    if one.pause is not None:
        again = f"{one.pause.next_probe_at:%Y-%m-%d %H:%M:%S} UTC"
        return (
            f"{one.judge.name} is paused since {one.pause.since:%Y-%m-%d %H:%M} UTC, until {again}: {one.pause.reason}"
        )
    told = one.answered
    if told.verdicts < NEEDED or told.errors <= MOST_ERRORS * told.verdicts:
        return None
    return (
        f"{one.judge.name}: {told.errors} of its last {told.verdicts} verdicts are errors, most of them {told.kind}: "
        f"{told.message or 'no message'}"
    )
