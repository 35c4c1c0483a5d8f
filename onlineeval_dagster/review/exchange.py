"""Labels and tasks as other tools write them: CSV, Label Studio's JSON, records like Argilla's.

    rows of labels ──written──▶ text of a file ──read──▶ the same rows

A row is a plain mapping with the fields of `FIELDS`; a task is one without reviewer and score. Formats: Label Studio's
"JSON" export (tasks with annotations, results by `from_name`: labelstud.io/guide/export), Argilla's `Record.to_dict`
(fields, metadata, responses by question). Argilla keeps one value a person and question and no time.
"""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

from onlineeval_dagster.errors import ReviewError

Row = dict[str, Any]
Format = Literal["csv", "label-studio", "argilla"]
FIELDS = (
    *("response_id", "axis", "stream", "inclusion_probability", "reviewer", "score", "note", "occurred_at", "event_id"),
)
TEXTS = ("query", "response", "context", "conversation")
NOTE = "note"
"""The name of the field for notes in other tools; every other name is an axis."""

_DESIGN = ("response_id", "stream", "inclusion_probability")


def written(rows: Iterable[Row], form: Format) -> str:
    """The text of a file. Tasks (rows without a score) are what people there are to fill in."""
    return _WRITERS[form](list(rows))


def read(text: str, form: Format) -> Iterator[tuple[str, Row]]:
    """Every label of a file with its place, in the file's order. Raises ReviewError where it is of another kind."""
    try:
        yield from _READERS[form](text)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, csv.Error) as error:
        told = f"import: this is no {form} file of labels ({type(error).__name__}: {error})"
        raise ReviewError(f"{told}; look at `onlineeval review export --format {form}` for one") from error


def _to_csv(rows: list[Row]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, [*FIELDS, *TEXTS], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _from_csv(text: str) -> Iterator[tuple[str, Row]]:
    reader = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    if missing := [
        name for name in ("response_id", "axis", "reviewer", "score") if name not in (reader.fieldnames or ())
    ]:
        raise ReviewError(f"import: the CSV has no column {missing[0]}; its first line names the columns")
    for row in reader:
        if (row["score"] or "").strip():
            yield f"line {reader.line_num}", {name: row.get(name) or None for name in FIELDS}


def _grouped(rows: list[Row]) -> Iterator[tuple[Row, list[Row]]]:
    """Rows by answer and design, in order of appearance."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.get(name) for name in _DESIGN), []).append(row)
    for group in groups.values():
        yield group[0], group


def _to_label_studio(rows: list[Row]) -> str:
    tasks = []
    for first, group in _grouped(rows):
        data = {name: first.get(name) for name in (*_DESIGN, *TEXTS)}
        said = [_annotation(row) for row in group if row.get("score") is not None]
        tasks.append({"data": data, "annotations": said})
    return json.dumps(tasks, ensure_ascii=False, indent=1)


def _annotation(row: Row) -> Row:
    rating = {"id": row["event_id"], "from_name": row["axis"], "to_name": "response", "type": "rating"}
    result = [rating | {"value": {"rating": row["score"]}}]
    if row.get("note"):
        note = {"from_name": NOTE, "to_name": "response", "type": "textarea"}
        result.append(note | {"value": {"text": [row["note"]]}})
    return {"completed_by": {"email": row["reviewer"]}, "created_at": row["occurred_at"], "result": result}


def _from_label_studio(text: str) -> Iterator[tuple[str, Row]]:
    for number, task in enumerate(json.loads(text), start=1):
        design = {name: task["data"].get(name) for name in _DESIGN}
        for annotation in task.get("annotations", ()):
            if annotation.get("was_cancelled"):
                continue
            named = {part["from_name"]: part for part in annotation["result"]}
            note = "\n".join(named.pop(NOTE)["value"]["text"]) if NOTE in named else None
            common = {"reviewer": _person(annotation.get("completed_by")), "occurred_at": annotation.get("created_at")}
            for axis, part in named.items():
                said = {"axis": axis, "score": _value(part["value"]), "note": note, "event_id": _own_id(part.get("id"))}
                yield f"task {number}", design | common | said


def _person(said: Any) -> str | None:
    if isinstance(said, Mapping):
        return said.get("email") or said.get("username") or (f"user {said['id']}" if "id" in said else None)
    return None if said is None else str(said) if isinstance(said, str) else f"user {said}"


def _value(said: Mapping[str, Any]) -> Any:
    if "choices" in said:
        return said["choices"][0]
    return said["rating"] if "rating" in said else said["number"]


def _own_id(said: Any) -> str | None:
    """Label Studio makes ids of its own, unique within a task only: ours begin with `label:`."""
    return said if isinstance(said, str) and said.startswith("label:") else None


def _to_argilla(rows: list[Row]) -> str:
    records = []
    for number, (first, group) in enumerate(_grouped(rows)):
        responses: dict[str, list[Row]] = {}
        for row in _last_of_each(group):
            person = {"user_id": row["reviewer"]}
            responses.setdefault(row["axis"], []).append(person | {"value": row["score"]})
            if row.get("note"):
                responses.setdefault(NOTE, []).append(person | {"value": row["note"]})
        fields = {name: first[name] for name in TEXTS if first.get(name)}
        metadata = {name: first.get(name) for name in _DESIGN if first.get(name) is not None}
        records.append({"id": str(number), "fields": fields, "metadata": metadata, "responses": responses})
    return json.dumps(records, ensure_ascii=False, indent=1)


def _last_of_each(group: list[Row]) -> Iterable[Row]:
    said = sorted((row for row in group if row.get("score") is not None), key=lambda row: row["occurred_at"])
    return {(row["reviewer"], row["axis"]): row for row in said}.values()


def _from_argilla(text: str) -> Iterator[tuple[str, Row]]:
    for number, record in enumerate(json.loads(text), start=1):
        design = {name: record["metadata"].get(name) for name in _DESIGN}
        responses = dict(record.get("responses") or {})
        notes = {str(said["user_id"]): said["value"] for said in responses.pop(NOTE, ())}
        for axis, given in responses.items():
            for said in given:
                person = str(said["user_id"])
                row = {"axis": axis, "score": said["value"], "reviewer": person, "note": notes.get(person)}
                yield f"record {number}", design | row | {"occurred_at": None, "event_id": None}


_WRITERS: dict[Format, Callable[[list[Row]], str]] = {
    "csv": _to_csv,
    "label-studio": _to_label_studio,
    "argilla": _to_argilla,
}
_READERS: dict[Format, Callable[[str], Iterator[tuple[str, Row]]]] = {
    "csv": _from_csv,
    "label-studio": _from_label_studio,
    "argilla": _from_argilla,
}
