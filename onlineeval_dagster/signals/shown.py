"""The worth of signals as rows of text: for a terminal, for Markdown and as JSON. One list of columns for all."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.markup import escape
from rich.table import Table

from onlineeval_dagster.contracts.estimates import Estimate
from onlineeval_dagster.signals.detectors.interface import Detector
from onlineeval_dagster.signals.evaluate import Worth

COLUMNS = ("data", "signal", "against", "n", "bad", "told of", "flags", "flags of the bad", "measure", "value")
_OF_A_TABLE = frozenset({"data", "against", "n", "bad"})
_RIGHT = frozenset({"n", "bad", "told of", "flags", "flags of the bad"})


def cells(row: Worth) -> tuple[str, ...]:
    """One row's text, an entry for each of COLUMNS: "0.84 (0.79 to 0.88)", or why there is no number."""
    return (
        row.data,
        f"{row.signal} (baseline)" if row.baseline else row.signal,
        row.against,
        f"{row.n:,}",
        f"{row.positives:,}",
        _share(row.coverage),
        _share(row.flagged),
        _share(row.flagged_of_bad),
        row.measure,
        _value(row),
    )


def tables(rows: Iterable[Worth]) -> Iterator[Table]:
    """For a terminal: one table a set and truth, as these are the same in all of its rows."""
    for (data, against, count, bad), found in groupby(rows, key=lambda r: (r.data, r.against, r.n, r.positives)):
        shown = Table(title=escape(f"{data}: {against} ({bad:,} of {count:,})"), title_justify="left")
        places = [at for at, name in enumerate(COLUMNS) if name not in _OF_A_TABLE]
        for at in places:
            shown.add_column(COLUMNS[at], justify="right" if COLUMNS[at] in _RIGHT else "left", no_wrap=True)
        for row in found:
            texts = cells(row)
            shown.add_row(*(escape(texts[at]) for at in places), style="dim" if row.baseline else None)
        yield shown


def detectors_table(detectors: Iterable[Detector], *, used: Collection[str]) -> Table:
    """The detectors there are, for a terminal; `used` by the catalog."""
    shown = Table(title="Detectors", title_justify="left")
    for name in ("detector", "version", "in use", "looks at", "µs an answer", "cannot see"):
        shown.add_column(name)
    for found in detectors:
        in_use = "yes" if found.name in used else "no" if found.install is None else f"no; {found.install}"
        looks_at = escape(", ".join(found.needs))
        shown.add_row(
            found.name, found.version, escape(in_use), looks_at, f"{found.cost_us:g}", escape(found.cannot_see)
        )
    return shown


def markdown(rows: Iterable[Worth]) -> str:
    """For the documentation."""
    marks = ("---:" if name in _RIGHT else "---" for name in COLUMNS)
    return "\n".join([_line(COLUMNS), _line(tuple(marks)), *(_line(cells(row)) for row in rows)]) + "\n"


def detectors_markdown(detectors: Iterable[Detector]) -> str:
    """The detectors there are, with what each costs and cannot see."""
    head = ("detector", "version", "looks at", "µs an answer", "cannot see")
    rows = ((_named(d), d.version, ", ".join(d.needs), f"{d.cost_us:g}", d.cannot_see) for d in detectors)
    return "\n".join(map(_line, (head, ("---", "---", "---", "---:", "---"), *rows))) + "\n"


def _named(detector: Detector) -> str:
    return detector.name if detector.install is None else f"{detector.name} (optional: `{detector.install}`)"


def as_json(rows: Iterable[Worth]) -> list[dict[str, Any]]:
    """Every field of every row; `value` with its limits, or `reason` where there is none."""
    return [_fields(row) for row in rows]


def _fields(row: Worth) -> dict[str, Any]:
    found = row.value
    told: dict[str, Any] = {
        "data": row.data,
        "signal": row.signal,
        "baseline": row.baseline,
        "against": row.against,
        "n": row.n,
        "positives": row.positives,
        "coverage": row.coverage,
        "flagged": row.flagged,
        "flagged_of_bad": row.flagged_of_bad,
        "measure": row.measure,
    }
    if isinstance(found, Estimate):
        return told | {"value": found.value, "low": found.low, "high": found.high, "method": found.method}
    return told | {"value": None, "reason": found.reason, "have": found.have, "needed": found.needed}


def _value(row: Worth) -> str:
    found = row.value
    if isinstance(found, Estimate):
        return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"
    return f"none: {found.reason}"


def _share(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _line(parts: Sequence[str]) -> str:
    return f"| {' | '.join(part.replace('|', chr(92) + '|') for part in parts)} |"
