"""What to do next: plain rules over what the report found, the most pressing first."""

import math
from collections.abc import Sequence

from onlineeval_dagster.reports.changes import is_in_force
from onlineeval_dagster.reports.model import ChangeLine, Coverage, Status, WorstAnswer
from onlineeval_dagster.reports.shortage import Shortage
from onlineeval_dagster.reports.wording import count, listed, part

FAILED_SHARE = 0.05  # of the answers the AI reviewer was given
UNREADABLE_SHARE = 0.001  # of the lines
HUMAN_CHECKS_WANTED = 30


def advice(
    *,
    status: Status,
    lines: Sequence[ChangeLine],
    worst: Sequence[WorstAnswer],
    coverage: Coverage,
    judged_by_ai: bool,
    missing: Shortage | None,
    paused: Sequence[str] = (),
) -> tuple[str, ...]:
    """One to five things to do, each a sentence or two; "Nothing to do" where the rules find nothing.

    paused  AI reviewers that are not asked for now: name, since when and why
    """
    said = [
        *_about_quality(status, lines, worst),
        *(f"An AI reviewer is not asked for now, {told}." for told in paused[:2]),
        *(_about_reviewer(coverage) if judged_by_ai else []),
        *_about_shortage(status, coverage, missing),
        *_about_lines(coverage),
        *_about_people(status, coverage, judged_by_ai),
    ]
    return tuple(said) or ("Nothing to do: no fall, no gap in what was checked.",)


def _about_quality(status: Status, lines: Sequence[ChangeLine], worst: Sequence[WorstAnswer]) -> list[str]:
    culprits = [line for line in lines if line.found == "worse" and is_in_force(line, lines)]
    if culprits:
        culprit = culprits[-1]
        version = culprit.prompt_version
        theirs = sum(1 for answer in worst if version is not None and answer.prompt_version == version)
        proof = f": {theirs} of the {len(worst)} come from it" if theirs else ""
        look = f", or first read the answers below{proof}" if worst else ""
        return [f"Roll back {culprit.title}{look}."]
    if status != "worse":
        return _about_side_effects(lines)
    unexplained = "No change explains the fall" if lines else "No change was recorded that could explain the fall"
    read = "; read the answers below and look for what they share" if worst else ""
    return [f"{unexplained}{read}. If something was changed, record it as a deploy."]


def _about_side_effects(lines: Sequence[ChangeLine]) -> list[str]:
    """Of the newest change only: an older one was looked at when it was new."""
    if not lines or not lines[-1].also_worse:
        return []
    return [f"Decide whether {lines[-1].title} is worth it: {listed(lines[-1].also_worse)} became worse."]


def _about_reviewer(coverage: Coverage) -> list[str]:
    tried = coverage.judged + coverage.failed
    if coverage.failed and not coverage.judged:
        return [f'The AI reviewer failed on all {count(tried, "answer")} it was given: run "onlineeval doctor".']
    if not coverage.judged:
        return ['Start the AI reviewer: it checked nothing on this day. "onlineeval doctor" says what it lacks.']
    if coverage.failed > FAILED_SHARE * tried:
        failed = f"{coverage.failed:,} of {count(tried, 'answer')} ({part(coverage.failed, tried)})"
        return [f'Run "onlineeval doctor": the AI reviewer failed on {failed}, which the numbers leave out.']
    return []


def _about_shortage(status: Status, coverage: Coverage, missing: Shortage | None) -> list[str]:
    """More checks help where there are answers left to check; where users are too few, only time does."""
    if status != "not_enough":
        return []
    if missing is None or missing.things != "AI check" or not missing.have:
        return ["Wait for more traffic: nothing else is missing."]
    factor = math.ceil(missing.needed / missing.have)
    if factor * coverage.judged > coverage.responses:
        return [f"Wait, or let the AI reviewer check every answer: {coverage.judged:,} of {coverage.responses:,} were."]
    return [f"Let the AI reviewer check about {factor} times as many answers: raise the rates in sampling.toml."]


def _about_lines(coverage: Coverage) -> list[str]:
    bad = coverage.quarantined_lines
    if bad <= UNREADABLE_SHARE * (coverage.responses + bad):
        return []
    return [f"Look at the {count(bad, 'line')} that could not be read: the table quarantine says why of each."]


def _about_people(status: Status, coverage: Coverage, judged_by_ai: bool) -> list[str]:
    if not judged_by_ai or coverage.labelled or status == "nothing_checked":
        return []
    return [f"Have people check some {HUMAN_CHECKS_WANTED} answers: so far nobody knows if the AI reviewer is right."]
