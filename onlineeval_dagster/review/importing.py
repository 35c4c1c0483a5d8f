"""Labels of other tools into the log, each judged by itself; labels and open tasks of the lake for other tools.

What a label rests on is taken from the lake, not from the file: when the answer was given, and whether the audit drew
it with which chance. A file may leave the design out, and its labels are then shown and in no estimate; it may not
claim one that the answer does not have.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.collector.intake import Cleaner, Terms, judge
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, rows
from onlineeval_dagster.review.exchange import FIELDS, TEXTS, Row
from onlineeval_dagster.review.tasks import asked_axes

_TEXTS_SQL = f"""
select response_id, occurred_at as response_at, environment, app, {", ".join(TEXTS)}
from responses
where text_erased_at is null
qualify row_number() over (partition by response_id order by received_at, log_segment, log_offset) = 1
"""
_LABELS_SQL = f"""
select labels.*, {", ".join(TEXTS)}
from ({first_rows("labels")}) as labels
left join ({_TEXTS_SQL}) as answers using (response_id)
where stream is distinct from 'gold'
order by response_id, axis, occurred_at, event_id
"""
_TASKS_SQL = f"""
select tasks.*, {", ".join(TEXTS)}
from review_tasks as tasks join ({_TEXTS_SQL}) as answers using (response_id)
where labels < raters
order by response_id, axis
"""
_KNOWN_SQL = """
select response_id, any_value(occurred_at) as response_at, any_value(environment) as environment,
    any_value(app) as app, any_value(stream) as stream, any_value(inclusion_probability) as inclusion_probability
from responses
left join review_tasks using (response_id)
semi join named using (response_id)
group by response_id
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Lines of the log for the labels that are good, and (place, reason) of those that are not."""

    lines: list[bytes] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


def labels_of(lake: Lake) -> Iterator[Row]:
    """Every label but those on gold, with its answer's texts; of one person's on an answer all, in order of time."""
    tables = {"labels": None, "responses": lake.days("labels")}
    for row in rows(lake, _LABELS_SQL, tables).to_pylist():
        yield {name: row[name] for name in (*FIELDS, *TEXTS)} | {"occurred_at": row["occurred_at"].isoformat()}


def open_tasks(lake: Lake) -> Iterator[Row]:
    """Every task that waits for somebody, with its answer's texts."""
    for row in rows(lake, _TASKS_SQL, {"review_tasks": None, "responses": lake.days("review_tasks")}).to_pylist():
        yield dict.fromkeys(FIELDS) | {name: row[name] for name in row if name in (*FIELDS, *TEXTS)}


def judge_labels(
    lake: Lake, catalog: Catalog, found: Iterable[tuple[str, Row]], *, terms: Terms, cleaner: Cleaner, now: datetime
) -> Judged:
    """What of an imported file may enter the log. The same file again gives the same events, which count once."""
    said = [(place, _plain(row)) for place, row in found]
    known = _known(lake, [row["response_id"] for _, row in said if row["response_id"]])
    scales = {axis: one.scale for axis, one in asked_axes(catalog.live_judges).items()}
    contradicted = _contradicted(row for _, row in said)
    judged = Judged()
    for place, row in said:
        reason = _wrong(row, known, scales, contradicted)
        if reason is None:
            taken = judge([_event(row, known[row["response_id"]])], terms=terms, cleaner=cleaner, now=now)
            judged.lines.extend(taken.lines)
            reason = taken.refused[0][1] if taken.refused else None
        if reason is not None:
            judged.refused.append((place, reason))
    return judged


def _plain(row: Row) -> Row:
    """A row with its numbers as numbers, as far as they are any."""
    return row | {name: _number(row.get(name)) for name in ("score", "inclusion_probability")}


def _number(said: Any) -> Any:
    try:
        return said if said is None or isinstance(said, bool) else float(said)
    except (TypeError, ValueError):
        return said


def _known(lake: Lake, names: list[str]) -> dict[str, Row]:
    import pyarrow as pa

    named = pa.table({"response_id": pa.array([str(name) for name in names], pa.string())})
    tables = {"responses": None, "review_tasks": None}
    return {row["response_id"]: row for row in rows(lake, _KNOWN_SQL, tables, named=named).to_pylist()}


def _key(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in ("response_id", "axis", "reviewer", "occurred_at"))


def _contradicted(found: Iterable[Row]) -> set[tuple[Any, ...]]:
    """What one person is said to have given two scores at one time, so that neither is the last."""
    scores: dict[tuple[Any, ...], set[Any]] = {}
    for row in found:
        scores.setdefault(_key(row), set()).add(row["score"])
    return {key for key, several in scores.items() if len(several) > 1}


def _wrong(row: Row, known: dict[str, Row], scales: dict[str, Any], contradicted: set[tuple[Any, ...]]) -> str | None:
    answer, scale = known.get(row["response_id"] or ""), scales.get(row["axis"] or "")
    if answer is None:
        return f"response_id: no answer {row['response_id']!r} is in the lake; import the answers first"
    if not row["reviewer"]:
        return "reviewer: missing; say who it was"
    if scale is None:
        return f"axis: {row['axis']!r} has no live judge; there are {', '.join(scales)}"
    if row["score"] not in scale:
        return f"score: {row['score']!r} is not on the scale {', '.join(map(str, scale))}; map it first"
    if _key(row) in contradicted:
        return "score: the same person gave another one at the same time; keep the one that counts"
    if row["stream"] is not None and row["stream"] != answer["stream"]:
        drawn = answer["stream"] or "neither"
        return f"stream: it says {row['stream']!r}, the answer is {drawn}; leave the column out for labels of your own"
    return None


def _event(row: Row, answer: Row) -> Row:
    stated = row["stream"] is not None
    return {
        "kind": "label",
        "event_id": row["event_id"] or _event_id(row),
        **{name: row[name] for name in ("response_id", "axis", "score", "reviewer", "note")},
        **({"occurred_at": row["occurred_at"]} if row["occurred_at"] else {}),
        "response_at": answer["response_at"].isoformat(),
        "environment": answer["environment"],
        "app": answer["app"],
        "stream": row["stream"],
        "inclusion_probability": answer["inclusion_probability"] if stated else None,
        "attributes": {"source": "import"},
    }


def _event_id(row: Row) -> str:
    said = "\x1f".join(str(part) for part in (*_key(row), row["score"]))
    return f"label:{hashlib.sha256(said.encode('utf-8', 'replace')).hexdigest()[:32]}"
