"""Agreement and calibration for people: tables in Markdown, the reliability plot, what is to be warned of."""

import base64
from collections.abc import Iterable

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.promotion_file import Promotion
from onlineeval_dagster.contracts.agreement import JudgeAgreement, JudgeCalibration, ReviewerAgreement
from onlineeval_dagster.review.prediction_powered import NEEDED_LABELS

_SHOWN = ("quadratic_kappa", "raw", "ac1", "alpha", "spearman", "kendall")
_BIASES = {
    "lenience": "judge less people, mean",
    "verbosity": "higher for an answer twice as long, at people's equal score",
    "self_preference": "higher for its own model family, at people's equal score",
    "drift": "people higher in the last 7 days, at its equal score (99 %)",
}
_WIDE, _HIGH, _EDGE = 360, 240, 40


def agreement_markdown(judges: Iterable[JudgeAgreement], reviewers: Iterable[ReviewerAgreement] = ()) -> str:
    """One line a judge version and slice, then a line of people against people; a sentence where there is nothing."""
    lines = []
    groups: dict[tuple[str, ...], dict[str, JudgeAgreement | ReviewerAgreement]] = {}
    for row in judges:
        part = "all" if row.slice == "all" else f"{row.slice} {row.slice_value}"
        groups.setdefault((row.axis, f"{row.judge} {row.judge_version}", part), {})[row.measure] = row
    for person in reviewers:
        groups.setdefault((person.axis, "people with each other", "all"), {})[person.measure] = person
    for names, by in groups.items():
        if "raw" in by:
            lines.append([*names, f"{by['raw'].n:,}", *(_number(by.get(name)) for name in _SHOWN)])
    if not lines:
        return "Nobody has labelled an answer of the audit that a judge has judged yet."
    return _table(["axis", "who", "answers", "n", *(name.replace("_", " ") for name in _SHOWN)], lines)


def bias_markdown(judges: Iterable[JudgeAgreement]) -> str:
    """One line a judge version and test."""
    found = [row for row in judges if row.measure in _BIASES]
    lines = [[f"{row.judge} {row.judge_version}", _BIASES[row.measure], _number(row)] for row in found]
    return _table(["who", "score is", "by (95 %)"], lines) if lines else "No pair of a verdict and a label yet."


def confusion_markdown(judges: Iterable[JudgeAgreement]) -> str:
    """A table a judge version: its scores down, people's across, shares of all pairs."""
    cells: dict[str, dict[tuple[str, str], JudgeAgreement]] = {}
    for row in judges:
        if row.measure.startswith("share_"):
            _, one, other = row.measure.split("_")
            cells.setdefault(f"{row.judge} {row.judge_version}", {})[one, other] = row
    tables = []
    for who, by in cells.items():
        scale = sorted({pair[0] for pair in by}, key=float)
        lines = [[f"judge {one}", *(f"{by[one, other].value:.1%}" for other in scale)] for one in scale]
        tables.append(_table([who, *(f"people {other}" for other in scale)], lines))
    return "\n\n".join(tables) or "No pair of a verdict and a label yet."


def calibration_markdown(found: Iterable[JudgeCalibration]) -> str:
    """The reliability table of each judge version, and its picture."""
    parts = [calibration_tables(rows := list(found))]
    for who in sorted({(row.judge, row.judge_version) for row in rows}):
        picture = reliability_svg([row for row in rows if (row.judge, row.judge_version) == who])
        coded = base64.b64encode(picture.encode()).decode()
        parts.append(f"![{' '.join(who)}](data:image/svg+xml;base64,{coded})")
    return "\n\n".join(parts)


def calibration_tables(found: Iterable[JudgeCalibration]) -> str:
    """The reliability table of each judge version; a sentence where there is none."""
    by: dict[str, list[list[str]]] = {}
    for row in found:
        line = [f"{row.judge_score:g}", f"{row.people:.2f}", _limits(row.people_low, row.people_high)]
        line += [f"{row.labels:,}", f"{row.expected:.2f}"]
        line += ["–" if row.out_of_fold is None else f"{row.out_of_fold:.2f}"]
        by.setdefault(f"{row.judge} {row.judge_version}", []).append(line)
    heads = ["judge gives", "people give", "likely", "labels", "expected", "out of fold"]
    parts = [f"**{who}**\n\n{_table(heads, lines)}" for who, lines in by.items()]
    return "\n\n".join(parts) or "No judged answer of the audit has a label yet."


def reliability_svg(rows: list[JudgeCalibration]) -> str:
    """People's mean with its range over the judge's score, the map as a line, the diagonal dashed."""
    seen = [row.judge_score for row in rows]
    values = [v for r in rows for v in (r.judge_score, r.people, r.people_low, r.people_high) if v is not None]
    low, high = min(values), max(max(values), min(values) + 1)

    def x(score: float) -> str:
        return f"{_EDGE + (score - low) / (high - low) * (_WIDE - 2 * _EDGE):.1f}"

    def y(score: float) -> str:
        return f"{_HIGH - _EDGE - (score - low) / (high - low) * (_HIGH - 2 * _EDGE):.1f}"

    marks = "".join(
        f'<line x1="{x(r.judge_score)}" x2="{x(r.judge_score)}" y1="{y(r.people_low)}" y2="{y(r.people_high)}" '
        'stroke="#357" stroke-width="2"/>'
        for r in rows
        if r.people_low is not None and r.people_high is not None
    ) + "".join(f'<circle cx="{x(r.judge_score)}" cy="{y(r.people)}" r="4" fill="#357"/>' for r in rows)
    path = " ".join(f"{x(r.judge_score)},{y(r.expected)}" for r in rows)
    ticks = "".join(
        f'<text x="{x(s)}" y="{_HIGH - 20}" text-anchor="middle">{s:g}</text>'
        f'<text x="24" y="{y(s)}" text-anchor="end" dominant-baseline="middle">{s:g}</text>'
        for s in seen
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDE}" height="{_HIGH}" font-family="sans-serif" '
        f'font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f'<line x1="{x(low)}" y1="{y(low)}" x2="{x(high)}" y2="{y(high)}" stroke="#bbb" stroke-dasharray="4"/>'
        f'<polyline points="{path}" fill="none" stroke="#c63" stroke-width="2"/>{marks}{ticks}'
        f'<text x="{_WIDE // 2}" y="{_HIGH - 4}" text-anchor="middle">AI reviewer\'s score</text>'
        f'<text x="4" y="14">people\'s mean</text></svg>'
    )


def below_limit(
    judges: Iterable[JudgeAgreement],
    reviewers: Iterable[ReviewerAgreement],
    live: Iterable[Judge],
    *,
    promotion: Promotion,
) -> list[str]:
    """Judges in force whose agreement with people surely lies below the gate's limit: its upper end does."""
    of_people = {row.axis: row.value for row in reviewers if row.measure == "quadratic_kappa" and row.value is not None}
    versions = {judge.version for judge in live}
    wrong = []
    for row in judges:
        if row.judge_version in versions and row.slice == "all" and row.measure == "quadratic_kappa":
            people = of_people.get(row.axis)
            limit = promotion.at_least if people is None else promotion.of_people * people
            if row.high is not None and row.high < limit:
                wrong.append(f"{row.judge}: kappa {row.value:.2f}, likely at most {row.high:.2f}, limit {limit:.2f}")
    return wrong


def without_labels(judges: Iterable[JudgeAgreement], live: Iterable[Judge]) -> list[str]:
    """Judges of answers in force whose answers too few users have an audit label on, for a correction."""
    users = {row.judge_version: row.users for row in judges if row.slice == "all" and row.measure == "raw"}
    return [
        f"{judge.name}: labels on answers of {users.get(judge.version, 0)} users of {NEEDED_LABELS}"
        for judge in live
        if judge.status == "active" and not judge.is_of_sessions and users.get(judge.version, 0) < NEEDED_LABELS
    ]


def drifted(judges: Iterable[JudgeAgreement]) -> list[str]:
    """Judge versions whose scores are surely worth something else in the last week than before."""
    return [
        f"{row.judge} {row.judge_version}: people score {row.value:+.2f} ({row.low:+.2f} … {row.high:+.2f}) "
        "in the last week, at its equal score"
        for row in judges
        if row.measure == "drift" and row.low is not None and row.high is not None and not row.low <= 0 <= row.high
    ]


def _number(row: JudgeAgreement | ReviewerAgreement | None) -> str:
    if row is None or row.value is None:
        return "–" if row is None else f"not enough ({row.reason})"
    return f"{row.value:.2f} ({row.low:.2f} … {row.high:.2f})"


def _limits(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{low:.2f} … {high:.2f}"


def _table(heads: list[str], lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *lines))
