"""How well people label, as a table for people."""

from collections.abc import Sequence

from onlineeval_dagster.contracts.review import ReviewerQuality

HEADINGS = ("person", "axis", "human checks", "same as others", "kappa", "lean", "known answers right", "seconds each")
NOTHING = "Nobody has labelled an answer of the last 90 days."


def quality_cells(row: ReviewerQuality) -> tuple[str, ...]:
    """One line, in the order of `HEADINGS`; – where there is no number."""
    same = _range(row.same, row.same_low, row.same_high, ".0%")
    gold = _range(row.gold_right, row.gold_low, row.gold_high, ".0%")
    return (
        row.reviewer,
        row.axis,
        f"{row.labels:,}",
        f"{same} on {row.shared:,}" if row.same is not None else f"– ({row.same_reason})",
        _range(row.kappa, row.kappa_low, row.kappa_high, ".2f"),
        "–" if row.lean is None else f"{row.lean:+.2f}",
        f"{gold} of {row.gold}" if row.gold_right is not None else f"– ({row.gold_reason})",
        _range(row.seconds, row.seconds_low, row.seconds_high, ".0f"),
    )


def quality_markdown(found: Sequence[ReviewerQuality]) -> str:
    """A table with a line a person and axis; a sentence where there is none."""
    if not found:
        return NOTHING
    lines = [" | ".join(cell.replace("|", "\\|") for cell in quality_cells(row)) for row in found]
    return "\n".join([f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|", *(f"| {line} |" for line in lines)])


def _range(value: float | None, low: float | None, high: float | None, form: str) -> str:
    if value is None or low is None or high is None:
        return "–"
    return f"{value:{form}} ({low:{form}} … {high:{form}})"
