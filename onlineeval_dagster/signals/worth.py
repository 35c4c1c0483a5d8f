"""What signals are worth, for people to read: the best first, in the terminal and in Dagster."""

from collections.abc import Iterator
from itertools import groupby

from rich.table import Table

from onlineeval_dagster.contracts.validity import QualityWeight, SignalValidity
from onlineeval_dagster.signals.validity import Measured

HEADS = ("signal", "kind", "AUC and likely range", "rank correlation", "coverage", "human checks")
READING = (
    "AUC: how often a good answer has the better reading than a poor one; 0.5 is chance. "
    "Coverage: the share of all answers that have the signal."
)
_DESIGNS = {
    "audit": "human checks drawn with a known chance, weighted by it",
    "undesigned": "human checks of no stated design: of the checked answers only, not of the product",
}


def backwards(measured: Measured) -> list[SignalValidity]:
    """Signals that point the wrong way for certain: their likely range lies below one half."""
    return [row for row in measured.validity if row.auc_high is not None and row.auc_high < 0.5]


def tables(measured: Measured) -> Iterator[Table]:
    """One table for the terminal an axis."""
    for title, rows, note in _sections(measured):
        table = Table(title=title, title_justify="left", caption=note, caption_justify="left")
        for place, head in enumerate(HEADS):
            table.add_column(head, justify="right" if place > 3 else "left")
        for row in rows:
            table.add_row(*row)
        yield table


def markdown(measured: Measured) -> str:
    """The same as Markdown."""
    parts = []
    for title, rows, note in _sections(measured):
        lines = [list(HEADS), ["---"] * len(HEADS), *rows]
        parts += [f"**{title}**", "\n".join("| " + " | ".join(line) + " |" for line in lines), note]
    return "\n\n".join([*parts, READING]) if parts else "no axis has a judge or a human check"


def _sections(measured: Measured) -> Iterator[tuple[str, list[list[str]], str]]:
    """Title, rows and a note on the index of each axis."""
    indices = {row.axis: row for row in measured.weights if row.signal == "intercept"}
    for axis, rows in groupby(measured.validity, key=lambda row: row.axis):
        found = list(rows)
        ordered = sorted(found, key=lambda row: (row.auc is None, -(row.auc or 0), row.signal))
        yield f"{axis}: {_DESIGNS[found[0].design]}", [_cells(row) for row in ordered], _index(indices[axis])


def _cells(row: SignalValidity) -> list[str]:
    agreement = _with_range(row.auc, row.auc_low, row.auc_high) or str(row.auc_reason)
    correlation = _with_range(row.rank_correlation, row.rank_low, row.rank_high) or "–"
    coverage = "–" if row.coverage is None else f"{100 * row.coverage:.1f} %"
    return [row.signal.replace("_", " "), row.kind, agreement, correlation, coverage, f"{row.labelled:,}"]


def _index(row: QualityWeight) -> str:
    catalogs = _with_range(row.catalog_auc, row.catalog_low, row.catalog_high)
    fitted = _with_range(row.fitted_auc, row.fitted_low, row.fitted_high)
    said = [f"AUC of {name} {found}" for name, found in (("fitted", fitted), ("the catalog's", catalogs)) if found]
    used = "fitted weights" if row.reason is None else f"the catalog's weights ({row.reason})"
    return f"All signals in one index: {used}. " + "; ".join(said)


def _with_range(value: float | None, low: float | None, high: float | None) -> str:
    return "" if value is None else f"{value:.3f} ({low:.3f} to {high:.3f})"
