"""Labels travel to other tools and back, and nothing comes back that they were not."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path

import pytest

from onlineeval_dagster.collector.intake import Terms
from onlineeval_dagster.errors import ReviewError
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.log.segments import open_log
from onlineeval_dagster.privacy.policy import load_privacy
from onlineeval_dagster.review.exchange import FIELDS, Format, read, written
from onlineeval_dagster.review.importing import Judged, judge_labels, labels_of, open_tasks
from onlineeval_dagster.review.progress import PersonProgress, StreamProgress, labels_by_person, tasks_by_stream
from onlineeval_dagster.review.tasks import plan_tasks
from onlineeval_dagster.settings import Settings
from tests.review.task_worlds import AUDIT, AXIS, CATALOG, complaint, label, put, selected
from tests.worlds import NOON, answer, lake_of, settings_at

NOW = NOON + timedelta(days=1)
FORMATS: list[Format] = ["csv", "label-studio", "argilla"]
TRICKY = 'He said "no", twice;\nthen: <b>ü</b>, = 1'


def world(folder: Path, *events: object) -> tuple[Settings, Lake]:
    """Three answers; the audit drew r0 and r1, the user of r2 complained."""
    settings = settings_at(folder)
    lake = lake_of(settings, [*(answer(n, context=TRICKY) for n in range(3)), *events], now=NOW)  # type: ignore[list-item]
    put(lake, "selections", [selected(n, state="selected" if n < 2 else "not_selected") for n in range(3)])
    put(lake, "selections", [selected(n, "relevance", state="not_selected") for n in range(3)])
    put(lake, "signals", [complaint(2)])
    plan_tasks(lake, CATALOG, now=NOW)
    return settings, lake


def take_in(settings: Settings, lake: Lake, text: str, form: Format) -> Judged:
    terms = Terms(event_bytes=2**20, batch_events=1, retention_days=400)
    judged = judge_labels(lake, CATALOG, read(text, form), terms=terms, cleaner=load_privacy(settings), now=NOW)
    with open_log(settings, door="import") as log:
        log.append(b"".join(judged.lines) or b"\n")
    ingest(settings, lake, now=NOW)
    return judged


def said(lake: Lake, *names: str) -> list[tuple]:
    wanted = names or (*FIELDS, "response_at", "environment", "app")
    sql = f"select distinct {', '.join(wanted)} from labels order by all"
    return [tuple(row.values()) for row in rows(lake, sql, {"labels": None}).to_pylist()]


LABELS = [
    label(0, 1, event_id="label:a", note=TRICKY),
    label(0, 3, event_id="label:b", at=NOON + timedelta(minutes=5), response_at=NOON),
    label(0, 2, reviewer="bo", event_id="label:c"),
    label(2, 2, stream="targeted", inclusion_probability=None, event_id="label:d"),
    label(1, 3, stream=None, inclusion_probability=None, event_id="label:e"),
]


@pytest.mark.parametrize("form", ["csv", "label-studio"])
def test_every_label_comes_back_as_it_went(tmp_path: Path, form: Format) -> None:
    _, lake = world(tmp_path / "here", *LABELS)
    text = written(labels_of(lake), form)
    settings, there = world(tmp_path / "there")
    assert take_in(settings, there, text, form).refused == []
    assert said(there) == said(lake) and len(said(there)) == 5
    again = take_in(settings, there, text, form)
    assert len(again.lines) == 5 and said(there) == said(lake)


def test_argilla_keeps_the_last_of_each_person(tmp_path: Path) -> None:
    _, lake = world(tmp_path / "here", *LABELS)
    settings, there = world(tmp_path / "there")
    text = written(labels_of(lake), "argilla")
    assert take_in(settings, there, text, "argilla").refused == []
    names = ("response_id", "reviewer", "score", "stream", "inclusion_probability")
    assert said(there, *names) == [row for row in said(lake, *names) if row[:3] != ("r0", "ann", 1.0)]
    take_in(settings, there, text, "argilla")
    assert len(said(there)) == 4


@pytest.mark.parametrize("form", FORMATS)
def test_open_tasks_go_out_are_answered_elsewhere_and_close(tmp_path: Path, form: Format) -> None:
    settings, lake = world(tmp_path, label(1))
    text = written(open_tasks(lake), form)
    assert list(read(text, form)) == []
    take_in(settings, lake, _answered(text, form), form)
    assert said(lake, "response_id", "reviewer", "score", "stream", "inclusion_probability") == [
        ("r0", "cy", 2.0, "audit", AUDIT),
        ("r1", "ann", 3.0, "audit", AUDIT),
        ("r2", "cy", 2.0, "targeted", None),
    ]
    assert plan_tasks(lake, CATALOG, now=NOW).waiting == 0


def _answered(text: str, form: Format) -> str:
    """As somebody called cy fills it in there, giving twos."""
    if form == "csv":
        table = list(csv.DictReader(io.StringIO(text)))
        out = io.StringIO()
        writer = csv.DictWriter(out, list(table[0]))
        writer.writeheader()
        writer.writerows(row | {"reviewer": "cy", "score": "2"} for row in table)
        return out.getvalue()
    found = json.loads(text)
    for one in found:
        if form == "argilla":
            one["responses"] = {AXIS: [{"user_id": "cy", "value": 2}]}
        else:
            choice = {"from_name": AXIS, "to_name": "response", "type": "choices", "value": {"choices": ["2"]}}
            one["annotations"] = [
                {"completed_by": {"email": "cy"}, "result": [choice | {"id": "x1"}], "created_at": NOW.isoformat()},
                {"completed_by": 7, "was_cancelled": True, "result": []},
            ]
    return json.dumps(found)


def test_what_cannot_be_true_is_refused_with_its_place_and_the_rest_is_taken(tmp_path: Path) -> None:
    settings, lake = world(tmp_path)
    head = "response_id,axis,reviewer,score,stream,occurred_at\n"
    lines = [
        f"r0,{AXIS},ann,3,,",
        f"nobody,{AXIS},ann,3,,",
        f"r0,{AXIS},ann2,7,,",
        f"r0,{AXIS},ann3,good,,",
        f"r0,{AXIS},,3,,",
        "r0,charm,ann4,3,,",
        f"r2,{AXIS},ann5,3,audit,",  # it was not drawn
        f"r1,{AXIS},bo,1,,2026-11-10T13:00:00Z",
        f"r1,{AXIS},bo,3,,2026-11-10T13:00:00Z",  # which of the two is the last?
        f"r1,{AXIS},cy,3,,2026-11-10 13:00",
    ]
    judged = take_in(settings, lake, head + "\n".join(lines), "csv")
    assert len(judged.lines) == 1
    told = [
        ("line 3", "no answer 'nobody' is in the lake"),
        ("line 4", "7.0 is not on the scale 1, 2, 3"),
        ("line 5", "'good' is not on the scale"),
        ("line 6", "reviewer: missing"),
        ("line 7", "axis: 'charm' has no live judge"),
        ("line 8", "it says 'audit', the answer is targeted"),
        ("line 9", "another one at the same time"),
        ("line 10", "another one at the same time"),
        ("line 11", "occurred_at"),
    ]
    assert [place for place, _ in judged.refused] == [place for place, _ in told]
    assert all(words in reason for (_, reason), (_, words) in zip(judged.refused, told, strict=True))
    assert said(lake, "reviewer", "stream", "inclusion_probability") == [("ann", None, None)]


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ("csv", "a,b\n1,2\n"),
        ("label-studio", "{}"),
        ("label-studio", '[{"annotations": []}]'),
        ("argilla", "no json"),
        ("argilla", "[1]"),
    ],
)
def test_a_file_of_another_kind_is_told(form: Format, text: str) -> None:
    if text == "{}":
        assert list(read(text, form)) == []
        return
    with pytest.raises(ReviewError, match="import: "):
        list(read(text, form))


def test_progress_counts_tasks_and_people(tmp_path: Path) -> None:
    _, lake = world(tmp_path, label(0, attributes={"seconds": 8.0}), label(1, reviewer="bo"))
    assert tasks_by_stream(lake, now=NOW) == [
        StreamProgress(axis=AXIS, stream="audit", tasks=2, done=2, labels=2),
        StreamProgress(axis=AXIS, stream="targeted", tasks=1, done=0, labels=0),
    ]
    assert labels_by_person(lake, now=NOW) == [
        PersonProgress(reviewer="ann", labels=1, seconds=8.0),
        PersonProgress(reviewer="bo", labels=1, seconds=None),
    ]
    assert tasks_by_stream(lake, now=NOW + timedelta(days=60)) == []
