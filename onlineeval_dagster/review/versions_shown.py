"""Comparisons of judges' versions in a person's words, with the answers on which they disagree most."""

from collections.abc import Callable, Iterator, Sequence

from onlineeval_dagster.contracts.versions import JudgeComparison
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, literals, rows
from onlineeval_dagster.review.versions import Apart, Compared

NOTHING = "No two versions have judged the same answers yet."

_NAMES = (
    *("AI reviewer", "against", "answers", "score moves by", "noise floor", "good answers move by"),
    *("agreement (kappa)", "same score", "cost of 1,000", "seconds"),
)


def markdown(found: Sequence[Compared]) -> str:
    """A table for people, a line a pair of versions, and under it where they disagree most: ids and scores, no text."""
    if not found:
        return NOTHING
    lines = [_line(cells(one.row)) for one in found]
    return "\n".join([_line(_NAMES), _line(["---"] * len(_NAMES)), *lines, *_examples(found)])


def cells(row: JudgeComparison) -> list[str]:
    """One comparison as the cells of a table, in the order of `headings`."""
    other = row.against_version if row.against == row.judge else f"{row.against} {row.against_version}"
    return [
        f"{row.judge} {row.judge_version}",
        other,
        f"{row.responses:,}" + ("" if row.design == "sampled" else " (as they came)"),
        _moved(row.shift, row.shift_low, row.shift_high, row.shift_reason, "+.2f"),
        _two(row.against_noise, row.noise, 1, ""),
        _moved(row.good_shift, row.good_shift_low, row.good_shift_high, row.good_shift_reason, "+.1%"),
        _moved(row.kappa, row.kappa_low, row.kappa_high, row.kappa_reason, ".2f"),
        f"{row.same:.0%}",
        _two(row.against_usd_a_verdict, row.usd_a_verdict, 1000, "$"),
        _two(row.against_latency_ms, row.latency_ms, 1 / 1000, ""),
    ]


def headings() -> tuple[str, ...]:
    """What `cells` are."""
    return _NAMES


def texts_of(lake: Lake, furthest: Sequence[Apart], *, redact: Callable[[str], str]) -> dict[str, tuple[str, str]]:
    """Question and answer of each, redacted; what has no text any more is left out."""
    days = {one.day for one in furthest}
    ids = literals(one.response_id for one in furthest)
    sql = (
        f"select response_id, query, response from ({first_rows('responses')}) as answers "
        f"where response_id in ({ids}) and text_erased_at is null"
    )
    found = rows(lake, sql, {"responses": days}).to_pylist() if furthest else []
    return {row["response_id"]: (redact(row["query"]), redact(row["response"])) for row in found}


def _examples(found: Sequence[Compared]) -> Iterator[str]:
    for one in found:
        if one.furthest:
            row = one.row
            yield f"\n{row.judge} {row.judge_version} against {row.against} {row.against_version} differ most on:\n"
            yield from (f"- {it.response_id}: {it.against_score:g} → {it.score:g}" for it in one.furthest)


def _line(told: Sequence[str]) -> str:
    return f"| {' | '.join(told)} |"


def _moved(value: float | None, low: float | None, high: float | None, reason: str | None, form: str) -> str:
    if value is None:
        return reason or "–"
    return f"{value:{form}} ({low:{form}} … {high:{form}})"


def _two(before: float | None, after: float | None, times: float, sign: str) -> str:
    """Before and after, `–` for what nobody told."""
    return " → ".join("–" if value is None else f"{sign}{value * times:.2f}" for value in (before, after))
