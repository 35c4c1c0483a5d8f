"""How well each person labels: agreement, gold answers and time, with ranges or the reason why there is none."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from onlineeval_dagster.catalog.gold_file import GoldItem
from onlineeval_dagster.review.gold import freeze_gold
from onlineeval_dagster.review.people import median_range, off_gold, read_quality, reviewer_quality, write_quality
from onlineeval_dagster.review.people_shown import quality_markdown
from tests.review.task_worlds import AXIS, label
from tests.review.test_gold import catalog_with
from tests.worlds import NOON, answer, lake_of, settings_at

NOW = NOON + timedelta(days=1)
KNOWN = tuple(GoldItem(axis=AXIS, score=1, query=f"Known {n}?", response="Kettles.") for n in range(20))


@pytest.fixture
def lake(tmp_path: Path):
    """Ann and Bo label 40 answers, alike on 30; Ann gets 19 of 20 gold answers right, Cy 4 and labels nothing else."""
    settings = settings_at(tmp_path)
    truth = [1 + n % 3 for n in range(40)]
    anns = [label(n, truth[n], reviewer="ann", attributes={"seconds": 10 + n}) for n in range(40)]
    bos = [label(n, truth[n] if n < 30 else max(truth[n] - 1, 1), reviewer="bo") for n in range(40)]
    gold = [
        label(n, score, reviewer=name, stream="gold", inclusion_probability=None, event_id=f"{name}-{n}").model_copy(
            update={"response_id": item.response_id}
        )
        for name, right in (("ann", 19), ("cy", 4))
        for n, item in enumerate(KNOWN)
        for score in [1 if n < right else 3]
    ]
    catalog = catalog_with(KNOWN)
    lake = lake_of(settings, [*(answer(n) for n in range(40)), *anns, *bos, *gold], now=NOW)
    freeze_gold(lake, catalog, now=NOW)
    return lake


def test_each_person_stands_beside_the_others_and_beside_gold(lake) -> None:
    found = {row.reviewer: row for row in reviewer_quality(lake, now=NOW)}
    ann, bo, cy = found["ann"], found["bo"], found["cy"]
    alike = sum(1 + n % 3 == (1 + n % 3 if n < 30 else max(n % 3, 1)) for n in range(40)) / 40
    assert ann.same == pytest.approx(alike) and ann.same_low < alike < ann.same_high
    assert (ann.shared, ann.others, ann.labels) == (40, 1, 40)
    assert ann.kappa == pytest.approx(bo.kappa) and ann.lean == pytest.approx(-bo.lean) and ann.lean > 0
    assert ann.gold_right == pytest.approx(0.95) and bo.gold_right is None and "0 of 5" in bo.gold_reason
    assert (ann.seconds, ann.timed) == (29.5, 40) and ann.seconds_low < 29.5 < ann.seconds_high
    assert cy.labels == 0 and cy.same is None and cy.gold_right == pytest.approx(0.2)
    assert [row.reviewer for row in off_gold(list(found.values()))] == ["cy"]


def test_what_is_measured_is_kept_by_day_and_told(lake) -> None:
    write_quality(lake, now=NOW)
    found = write_quality(lake, now=NOW)
    assert {row.reviewer for row in read_quality(lake)} == {"ann", "bo", "cy"} and len(read_quality(lake)) == len(found)
    assert "95% (76% … 99%) of 20" in quality_markdown(found) and "too few gold answers: 0 of 5" in quality_markdown(
        found
    )


def test_without_labels_nobody_is_measured(tmp_path: Path) -> None:
    lake = lake_of(settings_at(tmp_path), [answer(0)], now=NOW)
    assert reviewer_quality(lake, now=NOW) == [] and "Nobody" in quality_markdown([])


def test_the_range_of_a_median_covers_it_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    found = [median_range(rng.lognormal(3, 1, 25)) for _ in range(2000)]
    covered = np.mean([low <= np.exp(3) <= high for _, low, high in found if found])
    assert 0.94 < covered < 0.985  # whole places: 95.7 % at 25
    assert median_range(np.arange(5.0)) is None
