"""Answers whose right score is known: how they are found, mixed in, and kept out of every estimate."""

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest

from onlineeval_dagster.catalog.gold_file import GoldItem
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.catalog.sampling_file import Review
from onlineeval_dagster.errors import CatalogError
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.review.desk import Desk
from onlineeval_dagster.review.gold import freeze_gold, gold_texts
from onlineeval_dagster.review.published import publish
from onlineeval_dagster.review.tasks import plan_tasks
from onlineeval_dagster.review.totals import PEOPLE_SQL
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.review.task_worlds import AXIS, CATALOG, label, put, selected
from tests.worlds import NOON, answer, lake_of, settings_at

NOW = NOON + timedelta(days=1)
KNOWN = tuple(GoldItem(axis=AXIS, score=1, query=f"Known {n}?", response="Kettles.") for n in range(8))


def catalog_with(gold=(), share: float = 0.5):
    sampling = CATALOG.sampling.model_copy(update={"review": Review(rate=0.05, gold_share=share)})
    return dataclasses.replace(CATALOG, sampling=sampling, gold=gold)


def gold_rows(lake):
    sql = "select response_id, score, source, people from gold_answers order by response_id"
    return [tuple(row.values()) for row in rows(lake, sql, {"gold_answers": None}).to_pylist()]


def test_what_two_people_agree_on_becomes_gold_once_and_stays(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    said = [
        *(label(0, 3, reviewer=name) for name in ("ann", "bo")),
        *(label(1, score, reviewer=name) for name, score in (("ann", 3), ("bo", 2))),
        label(2, 1),
        *(label(3, 1, reviewer=name, stream="targeted", inclusion_probability=None) for name in ("ann", "bo")),
    ]
    lake = lake_of(settings, [*(answer(n) for n in range(4)), *said], now=NOW)
    assert freeze_gold(lake, CATALOG, now=NOW) == 1
    assert gold_rows(lake) == [("r0", 3.0, "people", 2)]
    lake_of(settings, [label(0, 1, reviewer="cy"), label(2, 1, reviewer="bo")], now=NOW)
    assert freeze_gold(lake, CATALOG, now=NOW) == 1
    assert gold_rows(lake) == [("r0", 3.0, "people", 2), ("r2", 1.0, "people", 2)]
    assert freeze_gold(lake, CATALOG, now=NOW) == 0


def test_items_of_the_catalog_are_gold_and_a_changed_one_is_another(tmp_path: Path) -> None:
    lake = lake_of(settings_at(tmp_path), [answer(0)], now=NOW)
    catalog = catalog_with(KNOWN[:1])
    assert freeze_gold(lake, catalog, now=NOW) == 1 and freeze_gold(lake, catalog, now=NOW) == 0
    (shown,) = gold_texts(lake, catalog).to_pylist()
    assert (shown["response_id"], shown["response"]) == (KNOWN[0].response_id, "Kettles.")
    changed = KNOWN[0].model_copy(update={"score": 3})
    assert changed.response_id != KNOWN[0].response_id
    assert gold_texts(lake, catalog_with((changed,))).num_rows == 0, "what the catalog no longer has is not shown"


@pytest.mark.parametrize(
    ("line", "told"), [('axis = "tone"\nscore = 1', "no judge scores"), ('axis = "relevance"\nscore = 7', "1, 2, 3")]
)
def test_an_item_off_the_scale_or_of_no_axis_is_told(tmp_path: Path, line: str, told: str) -> None:
    import shutil

    folder = shutil.copytree(PACKAGED_CATALOG, tmp_path / "catalog")
    (folder / "gold.toml").write_text(f'[[gold]]\n{line}\nquery = "q"\nresponse = "a"\n')
    with pytest.raises(CatalogError, match=told):
        load_catalog(folder)


@pytest.fixture
def mixed(tmp_path: Path):
    """40 audit tasks and eight gold items, half of what is shown gold."""
    settings = settings_at(tmp_path)
    lake = lake_of(settings, [answer(n, response=f"answer {n}") for n in range(40)], now=NOW)
    put(lake, "selections", [selected(n) for n in range(40)])
    catalog = catalog_with(KNOWN)
    freeze_gold(lake, catalog, now=NOW)
    plan_tasks(lake, catalog, now=NOW)
    assert publish(settings.review_tasks_file, lake, catalog, now=NOW, redact=str).open == 40
    return settings, lake, catalog


def shown(settings, reviewer: str, count: int) -> list[str]:
    seen = []
    with Desk(settings.review_state_file, settings.review_tasks_file) as desk:
        for _ in range(count):
            task = desk.take(reviewer, now=NOW)
            assert task is not None
            desk.check(task.lease, reviewer, 3, now=NOW)
            desk.rated(task, reviewer, 3, now=NOW)
            seen.append(task.stream)
    return seen


def test_gold_comes_in_between_in_no_rhythm_each_item_once_a_person(mixed) -> None:
    settings, *_ = mixed
    seen = [shown(settings, name, 14) for name in ("ann", "bo")]
    for of_one in seen:
        assert 3 <= of_one.count("gold") <= 8
    assert seen[0] != seen[1]


def test_gold_alone_keeps_nobody_busy(mixed) -> None:
    settings, *_ = mixed
    shown(settings, "ann", 36)
    with Desk(settings.review_state_file, settings.review_tasks_file) as desk:
        left = desk.progress("ann", now=NOW)
        while (task := desk.take("ann", now=NOW)) is not None:
            desk.check(task.lease, "ann", 3, now=NOW)
            desk.rated(task, "ann", 3, now=NOW)
        assert left.of >= 40
        assert desk.take("ann", now=NOW) is None


def test_who_labelled_an_answer_is_not_asked_again_when_it_becomes_gold(tmp_path: Path) -> None:
    settings = settings_at(tmp_path)
    said = [label(0, 3, reviewer=name) for name in ("ann", "bo")]
    lake = lake_of(settings, [*(answer(n) for n in range(30)), *said], now=NOW)
    put(lake, "selections", [selected(n) for n in range(30)])
    catalog = catalog_with()
    freeze_gold(lake, catalog, now=NOW)
    plan_tasks(lake, catalog, now=NOW)
    publish(settings.review_tasks_file, lake, catalog, now=NOW, redact=str)
    assert "gold" not in shown(settings, "ann", 12)
    assert shown(settings, "cy", 12).count("gold") == 1


def test_labels_on_gold_enter_no_estimate(tmp_path: Path) -> None:
    gold = label(0, 1, stream="gold", inclusion_probability=None, event_id="g")
    lake = lake_of(settings_at(tmp_path), [answer(0), label(0, 3), gold], now=NOW)
    sql = PEOPLE_SQL.replace("$axis", f"'{AXIS}'")
    assert [row["score"] for row in rows(lake, sql, {"labels": None}).to_pylist()] == [3.0]
