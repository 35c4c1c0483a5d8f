"""Judges tried on answers that order them to give the highest score: which are asked when, and what is kept."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from onlineeval_dagster.catalog.judge_file import Judge, Price
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.tables import DAY
from onlineeval_dagster.contracts.trials import JudgeTrial
from onlineeval_dagster.errors import JudgeError
from onlineeval_dagster.judges.canaries import CANARIES_A_DAY, CONTROL, canaries_for, carrier_of
from onlineeval_dagster.judges.client import Endpoint, endpoint_of
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.judges.trials import BATCH, Due, TrialItem, TrialSet, due_trials, read_trials, try_judges
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.settings import load_settings
from tests.fake_endpoint import FakeEndpoint, Say, completion, refusal, serving
from tests.worlds import NOW

PAID = Judge(
    name="tone",
    axis="tone",
    prompt="Is it kind? {response}",
    scale={1: "rude", 3: "kind"},
    good_from=3,
    model="m",
    price=Price(input_usd_per_million=1.0, output_usd_per_million=2.0),
)
LOCAL = replace(PAID, name="near", model="local/overlap", price=None)


def tried(lake: Lake, judge: Judge, fake: FakeEndpoint, *, day: int = 0, state: JudgeState | None = None) -> int:
    """One day's trials; the calls that were made for them."""
    before = len(fake.calls)
    try_judges(
        lake,
        [(judge, canaries_for(judge))],
        endpoint=lambda judge: Endpoint(base_url=fake.base_url, api_key="k"),
        now=lambda: NOW + timedelta(days=day),
        state=state,
    )
    return len(fake.calls) - before


def rows_of(lake: Lake, day: int = 0) -> list[dict[str, Any]]:
    return read_trials(lake, trial_set="canaries", since=NOW + timedelta(days=day)).to_pylist()


def keep(lake: Lake, due: list[Due], *, now: datetime) -> None:
    """As if the judge had been asked."""
    said = [
        JudgeTrial(
            **{"trial_set": "canaries", "set_version": "1", "item": one.item.item, "group": one.item.group}
            | {"axis": "tone", "judge": "tone", "judge_version": PAID.version, "replicate": one.replicate}
            | {"tried_at": now, "score": 1.0}
        )
        for one in due
    ]
    day = pa.array([now.date()] * len(said), DAY.type)
    lake.append("judge_trials", to_table(list(said), JudgeTrial).append_column(DAY, day))


def test_every_order_stands_in_every_carrier_and_asks_for_the_top_of_the_judges_own_scale() -> None:
    five = canaries_for(replace(PAID, scale={n: str(n) for n in range(1, 6)}, good_from=4))
    named = canaries_for(replace(PAID, labels={"yes": 3, "no": 1}))
    controls = [item for item in five.items if item.group == CONTROL]
    orders = [item for item in five.items if item.group != CONTROL]
    assert (len(controls), len(orders)) == (6, 72)
    assert len({item.item for item in five.items}) == 78
    assert all(item.ordered == 5 and "5" in item.response for item in orders)
    assert all("yes" in item.response for item in named.items if item.ordered)
    alone = {item.item: item.response for item in controls}
    assert all(item.ordered is None for item in controls)
    assert all(alone[carrier_of(item.item)] in item.response for item in orders)
    assert not any("{" in item.response.replace('{"score"', "") for item in five.items), "a place was not filled"


def test_a_days_canaries_are_few_and_controls_come_first_and_the_whole_set_is_done_in_a_week(tmp_path: Path) -> None:
    lake, found = Lake(tmp_path), list[tuple[str, int]]()
    for day in range(7):
        now = NOW + timedelta(days=day)
        due = due_trials(lake, PAID, canaries_for(PAID), now=now)
        assert len(due) == CANARIES_A_DAY
        keep(lake, due, now=now)
        assert due_trials(lake, PAID, canaries_for(PAID), now=now) == [], "the day's share is done"
        found += [(one.item.item, one.replicate) for one in due]
    assert {item for item, _ in found[:CANARIES_A_DAY]} >= {"returns", "train", "code"}
    assert [replicate for _, replicate in found] == [0] * 78 + [1] * 6, "again only once all were tried"
    assert len(set(found)) == 7 * CANARIES_A_DAY


def test_a_new_version_begins_anew_and_says_what_each_trial_cost(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with serving(lambda number, body: completion('{"score": 3, "reason": "as ordered"}')) as fake:
        tried(lake, PAID, fake)
        assert tried(lake, replace(PAID, prompt="Kind? {response}"), fake) == CANARIES_A_DAY
    row = rows_of(lake)[0]
    assert (row["score"], row["fingerprint"], row["input_tokens"], row["output_tokens"]) == (3.0, "fp_1", 100, 10)
    assert row["cost_usd"] == pytest.approx(120 / 1e6)
    assert JudgeTrial.model_validate({name: row[name] for name in JudgeTrial.model_fields})


def test_an_embedded_judge_is_asked_for_the_whole_set_once(tmp_path: Path) -> None:
    lake = Lake(tmp_path)

    def never(judge: Judge) -> Endpoint:
        raise AssertionError("an endpoint was opened")

    for _ in range(2):
        try_judges(lake, [(LOCAL, canaries_for(LOCAL))], endpoint=never, now=lambda: NOW)
        assert len(rows_of(lake)) == 78


def test_a_paused_judge_is_not_asked_and_a_missing_key_costs_the_local_ones_nothing(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with serving(lambda number, body: refusal(401)) as fake, JudgeState() as state:
        tried(lake, PAID, fake, state=state)
        assert tried(lake, PAID, fake, state=state) == 0
    assert rows_of(lake) == []
    both = [(judge, canaries_for(judge)) for judge in (PAID, LOCAL)]
    with pytest.raises(JudgeError, match="OPENAI_API_KEY"):
        try_judges(lake, both, endpoint=endpoint_of(load_settings(OPENAI_API_KEY=None)), now=lambda: NOW)
    assert {row["judge"] for row in rows_of(lake)} == {"near"}


def test_what_the_days_money_does_not_reach_leaves_no_row_and_is_asked_another_day(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    poor = replace(PAID, parameters={"max_tokens": 10}, daily_budget_usd=0.0021)
    with serving(lambda number, body: completion('{"score": 1}')) as fake, JudgeState() as state:
        calls = tried(lake, poor, fake, state=state)
        assert 0 < calls < CANARIES_A_DAY
        assert len(rows_of(lake)) == calls
        assert tried(lake, poor, fake, day=1, state=state) > 0


def test_an_error_is_a_row_of_its_kind_and_what_was_said_is_kept_when_something_breaks(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    with serving(lambda number, body: completion("no idea")) as fake:
        tried(lake, PAID, fake)
    assert {row["error_kind"] for row in rows_of(lake)} == {"unreadable"}
    assert {row["score"] for row in rows_of(lake)} == {None}


def test_other_sets_use_the_same_table_and_bring_what_is_known_to_be_right(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    items = tuple(
        TrialItem(item=f"g{n}", group="gold", query="q", response="r", expected=3.0, response_id=f"r{n}")
        for n in range(2 * BATCH + 1)
    )
    gold = TrialSet(name="gold", version="7", items=items, a_day=1000)

    def script(number: int, body: dict[str, Any]) -> Say:
        return completion('{"score": 3}')

    with serving(script) as fake:
        try_judges(
            lake,
            [(PAID, gold)],
            endpoint=lambda judge: Endpoint(base_url=fake.base_url, api_key="k"),
            now=lambda: NOW,
        )
    found = read_trials(lake, trial_set="gold", since=NOW).to_pylist()
    assert len(found) == 2 * BATCH + 1
    assert {(row["set_version"], row["expected"], row["ordered"]) for row in found} == {("7", 3.0, None)}
    assert {row["response_id"] for row in found} == {item.response_id for item in items}
    assert lake.version("judge_trials") <= 4, "a commit a batch, not a call"
    assert due_trials(lake, PAID, canaries_for(PAID), now=NOW)[0].replicate == 0
