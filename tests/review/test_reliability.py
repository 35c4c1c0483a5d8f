"""How far a judge can be relied on: counted by hand, and its ranges by simulation."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.contracts.events import Verdict
from onlineeval_dagster.contracts.tables import DAY
from onlineeval_dagster.contracts.trials import JudgeReliability, JudgeTrial
from onlineeval_dagster.judges.canaries import CONTROL, canaries_for
from onlineeval_dagster.judges.status import Memory, judge_status
from onlineeval_dagster.judges.status_shown import notes, status_json
from onlineeval_dagster.judges.trials import TrialItem, latest_reliability
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.review.reliability import mean_of_shares, measure_reliability, obedient, write_reliability
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.worlds import NOON, NOW, answer, lake_of, log_events, settings_at


@pytest.fixture
def catalog() -> Catalog:
    return load_catalog(PACKAGED_CATALOG)


def the_judge(catalog: Catalog) -> Judge:
    (judge,) = catalog.live_judges
    return judge


def put(lake: Lake, judge: Judge, scores: dict[str, list[float]], **more: Any) -> None:
    """Trials on canaries by item: one score after the other. Others get the lowest score."""
    said = []
    for item in canaries_for(judge).items:
        for number, score in enumerate(scores.get(item.item, [1.0])):
            said.append(trial(judge, item, number, score, **more))
    day = pa.array([NOON.date()] * len(said), DAY.type)
    lake.append("judge_trials", to_table(list(said), JudgeTrial).append_column(DAY, day))


def trial(judge: Judge, item: TrialItem, number: int, score: float, **more: Any) -> JudgeTrial:
    fields = {"trial_set": "canaries", "set_version": "1", "judge_version": judge.version} | more
    return JudgeTrial(
        **fields,
        item=item.item,
        group=item.group,
        axis=judge.axis,
        judge=judge.name,
        replicate=number,
        tried_at=NOON + timedelta(minutes=number),
        ordered=item.ordered,
        score=score,
    )


def only(lake: Lake, catalog: Catalog) -> JudgeReliability:
    (found,) = measure_reliability(lake, catalog, now=NOW)
    return found


def test_an_order_is_obeyed_where_the_text_alone_got_less_and_a_canary_counts_once(
    tmp_path: Path, catalog: Catalog
) -> None:
    """72 orders; of `train` the text alone gets the top, so that its 12 tell nothing. 2 obeyed, one of them half."""
    lake, judge = Lake(tmp_path), the_judge(catalog)
    put(lake, judge, {"train": [3.0], "plain-train": [3.0], "plain-code": [3.0, 3.0], "german-code": [3.0, 1.0]})
    found = only(lake, catalog)
    assert (found.canaries, found.canary_trials) == (60, 62)
    assert found.obeyed == pytest.approx(1.5 / 60)
    assert found.obeyed_low is not None and found.obeyed_high is not None
    assert 0 < found.obeyed_low < 0.025 < found.obeyed_high < 0.11
    assert found.repeats_reason == "too few users with answers judged twice: 0 of 10"
    assert obedient([found]) == []


def test_a_judge_that_obeys_is_named_and_other_versions_and_sets_do_not_count(tmp_path: Path, catalog: Catalog) -> None:
    lake, judge = Lake(tmp_path), the_judge(catalog)
    obeys = {item.item: [3.0] for item in canaries_for(judge).items if item.group != CONTROL and "o" in item.item}
    put(lake, judge, obeys)
    put(lake, judge, {}, judge_version="older")
    put(lake, judge, {}, set_version="0")
    found = only(lake, catalog)
    assert found.obeyed == pytest.approx(len(obeys) / 72)
    assert obedient([found]) == [found]


def test_without_controls_nothing_is_said(tmp_path: Path, catalog: Catalog) -> None:
    lake, judge = Lake(tmp_path), the_judge(catalog)
    put(lake, judge, {item.item: [] for item in canaries_for(judge).items if item.group == CONTROL})
    found = only(lake, catalog)
    assert found.obeyed is None
    assert found.obeyed_reason == "too few canaries whose text alone gets less than the highest score: 0 of 10"


def said(judge: Judge, number: int, replicate: int, score: float, chance: float | None = 0.5, **more: Any) -> Verdict:
    return Verdict(
        **{"event_id": f"v{number}-{replicate}", "occurred_at": NOON, "received_at": NOON, "response_at": NOON}
        | {"response_id": f"r{number}", "axis": judge.axis, "judge": judge.name, "judge_version": judge.version}
        | {"replicate": replicate, "score": score, "inclusion_probability": chance}
        | more
    )


def test_what_moves_between_two_readings_is_weighted_and_written_down_for_each_version(
    tmp_path: Path, catalog: Catalog
) -> None:
    """20 answers judged twice: one of the rare stratum (chance 0.1) moves by 2, one of the common one (0.5) by 1."""
    settings, judge = settings_at(tmp_path / "home"), the_judge(catalog)
    first = [3.0, 3.0] + [1.0, 2.0, 3.0] * 6
    second = [1.0, 2.0] + [1.0, 2.0, 3.0] * 6
    chances = [0.1] + [0.5] * 19
    lake = lake_of(settings, [answer(n) for n in range(25)])
    verdicts = [said(judge, n, 0, score, chances[n]) for n, score in enumerate(first)]
    verdicts += [said(judge, n, 1, score, chances[n]) for n, score in enumerate(second)]
    verdicts += [said(judge, 20, 0, 1.0), said(judge, 21, 0, 1.0, None), said(judge, 21, 1, 3.0, None)]
    verdicts += [said(judge, 22, 0, 1.0, judge_version="older"), said(judge, 22, 1, 3.0, judge_version="older")]
    log_events(settings, verdicts)
    ingest(settings, lake, now=NOW)
    (found,) = write_reliability(lake, catalog, now=NOW)
    weight = 10 + 19 * 2
    assert (found.repeats, found.users) == (20, 20)
    assert found.moved == pytest.approx((10 + 2) / weight)
    assert found.noise == pytest.approx(np.sqrt((10 * 4 + 2 * 1) / weight))
    assert found.noise_low is not None and found.noise_high is not None and found.moved_high is not None
    assert 0 < found.noise_low < found.noise < found.noise_high < 2
    assert found.self_kappa is not None and 0.2 < found.self_kappa < 0.9
    assert write_reliability(lake, catalog, now=NOW) == [found], "again on the same day: in its place"
    assert latest_reliability(lake) == {(judge.name, judge.version): found}
    (status,) = judge_status(lake, catalog, Memory(), now=NOW)
    assert status.reliability == found
    (line,) = notes([status], retired=[], now=NOW)
    assert "asked again of 20 answers, 25% of its scores move" in line and "too few canaries" in line
    (told,) = status_json([status])
    assert told["reliability"]["repeats"] == 20


@pytest.mark.parametrize(("share", "users"), [(0.03, 150), (0.1, 60), (0.5, 30)])
def test_the_likely_range_of_a_share_covers_the_truth(share: float, users: int) -> None:
    """2,000 worlds each: weights of two strata, users with one to four answers that move together in part."""
    rng, hit, done = np.random.default_rng(7), 0, 2_000
    for _ in range(done):
        each = rng.integers(1, 5, users)
        clusters = np.repeat(np.arange(users), each)
        own = rng.beta(share * 8, (1 - share) * 8, users)[clusters]
        values = (rng.random(len(clusters)) < own).astype(np.float64)
        weights = np.where(rng.random(len(clusters)) < 0.3, 1.0, 4.0)
        found = mean_of_shares(values, weights=weights, clusters=clusters, reason="few")
        assert isinstance(found, Estimate)
        hit += found.low <= share <= found.high
    assert 0.935 <= hit / done <= 0.99


def test_no_move_at_all_still_has_a_range_and_few_users_are_not_enough() -> None:
    none = mean_of_shares(np.zeros(100), weights=np.ones(100), clusters=np.arange(100), reason="few")
    assert isinstance(none, Estimate)
    assert (none.value, none.low) == (0.0, 0.0) and 0.03 < none.high < 0.04
    few = mean_of_shares(np.zeros(9), weights=np.ones(9), clusters=np.arange(9), reason="few")
    assert few == NotEnough(have=9, needed=10, reason="few")
