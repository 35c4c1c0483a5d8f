"""The Batch API: half the price; whatever is killed, an answer is sent, paid for and taken in once."""

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.errors import JudgeError
from onlineeval_dagster.judges.backfill import judge_to_ask
from onlineeval_dagster.judges.batch_client import BatchEndpoint
from onlineeval_dagster.judges.batch_state import BatchState, _without_text
from onlineeval_dagster.judges.batching import (
    Collected,
    Sent,
    batch_door,
    collect_batches,
    open_batches,
    poll_batches,
    send_batch,
)
from onlineeval_dagster.judges.state import JudgeState
from onlineeval_dagster.settings import Settings
from tests.fake_batches import FakeBatches
from tests.fake_endpoint import completion, serving
from tests.judges.judge_worlds import catalog_in, said
from tests.newcomer.files import REMOTE
from tests.pipeline import table
from tests.worlds import NOON, NOW, answer, lake_of, settings_at

ROOT = Path(__file__).parents[2]
PRICED = REMOTE.replace("[scale]", "daily_budget_usd = 1.0\nparameters = { max_tokens = 10 }\n\n[scale]")


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return load_catalog(catalog_in(tmp_path / "catalog", judge=PRICED))


@pytest.fixture
def desk() -> FakeBatches:
    return FakeBatches()


@pytest.fixture
def settings(tmp_path: Path, desk: FakeBatches):
    """Twenty answers that an old version of `tone` judged, and an endpoint with a desk for batches."""
    with serving(lambda number, body: completion('{"score": 1}'), routes=desk.routes()) as fake:
        there = {"OPENAI_BASE_URL": fake.base_url, "OPENAI_API_KEY": "k"}
        home = settings_at(tmp_path / "home", catalog=tmp_path / "catalog", **there)
        answers = [answer(n, at=NOON - timedelta(hours=n)) for n in range(20)]
        lake_of(home, [*answers, *(said(n) for n in range(20))])
        yield home


def send(settings: Settings, catalog: Catalog, *, limit: int = 200) -> Sent:
    return send_batch(settings, catalog, judge_to_ask(catalog, "tone"), days=28, limit=limit, now=NOW)


def collect(settings: Settings, *, later: timedelta = timedelta(0)) -> list[Collected]:
    return collect_batches(settings, now=NOW + later)


def of_now(settings: Settings, catalog: Catalog) -> list[dict[str, Any]]:
    version = judge_to_ask(catalog, "tone").version
    return [row for row in table(settings, "verdicts") if row["judge_version"] == version]


def spent(settings: Settings) -> float:
    with JudgeState(settings.judge_state_file) as state:
        return state.spent("tone", NOW.date())


def test_a_batch_is_sent_taken_in_once_and_carries_half_the_price(settings, catalog, desk) -> None:
    sent = send(settings, catalog)
    assert (sent.batch_id, sent.answers) == ("batch_0", 20)
    assert spent(settings) == pytest.approx(sent.most_usd), "the most is set aside before the answers are there"
    (waits,) = collect(settings)
    assert (waits.status, waits.done) == ("validating", 0)
    desk.work()
    (done,) = collect(settings)
    assert (done.status, done.done, done.failed, done.missing) == ("completed", 20, 0, 0)
    rows = of_now(settings, catalog)
    judge = judge_to_ask(catalog, "tone")
    assert judge.price is not None
    assert [row["cost_usd"] for row in rows] == pytest.approx([judge.price.of(100, 10) / 2] * 20)
    assert {(row["score"], row["latency_ms"], row["inclusion_probability"]) for row in rows} == {(1.0, None, 0.25)}
    assert spent(settings) == pytest.approx(10 * judge.price.of(100, 10)), "what was set aside for more came back"
    assert collect(settings) == []
    assert send(settings, catalog).batch_id is None
    assert max(Counter(desk.paid).values()) == 1


def test_what_an_open_batch_asks_for_is_not_sent_again(settings, catalog, desk) -> None:
    assert send(settings, catalog, limit=12).answers == 12
    assert send(settings, catalog).answers == 8
    desk.work()
    assert [one.done for one in collect(settings)] == [12, 8]
    assert Counter(row["response_id"] for row in of_now(settings, catalog)) == {f"r{n}": 1 for n in range(20)}


def test_what_expired_waits_again_and_costs_nothing(settings, catalog, desk) -> None:
    send(settings, catalog)
    desk.work(status="expired", most=6)
    (done,) = collect(settings)
    assert (done.status, done.done, done.missing) == ("expired", 6, 14)
    assert spent(settings) == pytest.approx(done.cost_usd)
    assert send(settings, catalog).answers == 14
    desk.work()
    collect(settings)
    assert len(of_now(settings, catalog)) == len(desk.paid) == 20


def test_a_line_that_failed_is_an_error_verdict_and_tried_again_under_the_next_attempt(settings, catalog, desk) -> None:
    well = desk.answer
    desk.answer = lambda body: (500, {"error": {}}) if len(desk.paid) == 3 else well(body)
    send(settings, catalog, limit=5)
    desk.work()
    (done,) = collect(settings)
    assert (done.done, done.failed) == (3, 2)
    assert {row["error_kind"] for row in of_now(settings, catalog)} == {None, "endpoint"}
    desk.answer = well
    assert send(settings, catalog, limit=2).answers == 2
    desk.work()
    collect(settings)
    rows = of_now(settings, catalog)
    assert sorted(row["attempt"] for row in rows) == [0] * 5 + [1] * 2
    assert sum(row["score"] is not None for row in rows) == 5


def test_lines_that_are_none_and_strangers_lines_are_left_out(settings, catalog, desk) -> None:
    send(settings, catalog, limit=3)
    desk.work()
    name = desk.batches["batch_0"]["output_file_id"]
    desk.files[name] += b'{"custom_id": "stranger", "response": {"status_code": 200, "body": {}}}\nnot json\n[]\n'
    desk.files[name] += desk.files[name].splitlines()[0] + b"\n"
    (done,) = collect(settings)
    assert (done.done, done.failed, done.missing) == (3, 0, 0)


def test_a_batch_that_was_refused_whole_says_why_and_is_not_sent_over_and_over(settings, catalog, desk) -> None:
    send(settings, catalog)
    desk.work(status="failed")
    (done,) = collect(settings)
    assert (done.status, done.reason, done.cost_usd) == ("failed", "the model is unknown", 0)
    assert spent(settings) == 0
    again = send(settings, catalog)
    assert (again.batch_id, again.reason) == (None, "these answers were sent before: refused, the model is unknown")


def test_money_is_the_limit_before_anything_is_sent(settings, tmp_path, desk) -> None:
    poor = PRICED.replace("daily_budget_usd = 1.0", "daily_budget_usd = 0.0006")
    catalog = load_catalog(catalog_in(tmp_path / "catalog", judge=poor))
    sent = send(settings, catalog)
    assert 0 < sent.answers < 20
    assert spent(settings) == pytest.approx(sent.most_usd) and sent.most_usd <= 0.0003, "half of the day's money"
    assert len(desk.files["file-0"].splitlines()) == sent.answers


def test_a_batch_outlives_its_judges_file(settings, catalog, tmp_path, desk) -> None:
    old = judge_to_ask(catalog, "tone").version
    send(settings, catalog)
    (tmp_path / "catalog" / "judges" / "tone.md").write_text(PRICED.replace("Is it kind", "How kind is it"))
    desk.work()
    collect(settings)
    assert len([row for row in table(settings, "verdicts") if row["judge_version"] == old]) == 20


def test_a_kill_between_making_a_batch_and_noting_its_id_finds_it_again_by_its_key(settings, catalog, desk) -> None:
    real = batch_door(settings)

    class Forgets(BatchEndpoint):
        def submit(self, key: str, lines: bytes) -> str:
            super().submit(key, lines)
            raise JudgeError("the power went out")

    def door(judge: Any) -> BatchEndpoint:
        made = real(judge)
        made.__class__ = Forgets
        return made

    with pytest.raises(JudgeError):
        send_batch(settings, catalog, judge_to_ask(catalog, "tone"), days=28, limit=200, now=NOW, door=door)
    (intent,) = open_batches(settings)
    assert intent.batch_id is None
    assert [seen for _, seen in poll_batches(settings)] == [None]
    assert send(settings, catalog).batch_id is None, "what may be under way is not sent again"
    desk.hidden = True
    assert [one.status for one in collect(settings)] == ["not seen yet"], "a listing may lag"
    desk.hidden = False
    desk.work()
    (done,) = collect(settings)
    assert (done.batch_id, done.done) == ("batch_0", 20)
    assert len(desk.batches) == 1 and max(Counter(desk.paid).values()) == 1


def test_what_was_never_sent_is_dropped_after_a_while_and_its_money_comes_back(settings, catalog, desk) -> None:
    class Unreachable(BatchEndpoint):
        def submit(self, key: str, lines: bytes) -> str:
            raise JudgeError("no route")

    def door(judge: Any) -> BatchEndpoint:
        made = batch_door(settings)(judge)
        made.__class__ = Unreachable
        return made

    with pytest.raises(JudgeError):
        send_batch(settings, catalog, judge_to_ask(catalog, "tone"), days=28, limit=200, now=NOW, door=door)
    assert spent(settings) > 0
    assert [one.status for one in collect(settings, later=timedelta(minutes=11))] == ["never sent"]
    assert spent(settings) == 0
    assert send(settings, catalog).answers == 20


def test_a_kill_after_verdicts_were_written_writes_them_again_and_each_counts_once(settings, catalog, desk) -> None:
    send(settings, catalog)
    desk.work()
    with BatchState(settings.judge_state_file) as state:
        (intent,) = state.open()
        items = state.items(intent.key)
    collect(settings)
    with BatchState(settings.judge_state_file) as state:  # as if the kill had come before this was written down
        state._connection.execute("update batch_intents set state = 'submitted'")
        state._connection.executemany(
            "insert into batch_items values (?, ?, ?)",
            [(intent.key, custom_id, _without_text(item)) for custom_id, item in items.items()],
        )
    collect(settings)
    first = "select distinct event_id from verdicts where judge_version <> 'old'"
    assert len(table(settings, "verdicts", first)) == 20
    assert len(desk.paid) == 20


def test_no_key_and_no_batch_api_are_one_clear_error_each(settings, catalog) -> None:
    keyless = settings.model_copy(update={"openai_api_key": None})
    with pytest.raises(JudgeError, match="OPENAI_API_KEY: not set"):
        send(keyless, catalog)
    with serving(lambda number, body: completion("1")) as bare:
        other = settings.model_copy(update={"openai_base_url": bare.base_url})
        with pytest.raises(JudgeError, match=r"HTTP 404 .* without --batch"):
            send(other, catalog)


WORKER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.judges.backfill import judge_to_ask
from onlineeval_dagster.judges.batching import collect_batches, send_batch
from onlineeval_dagster.settings import load_settings

settings = load_settings(home=Path(sys.argv[1]), OPENAI_BASE_URL=sys.argv[2], OPENAI_API_KEY="k")
catalog, now = load_catalog(Path(sys.argv[3])), datetime(2026, 11, 20, tzinfo=UTC)
collect_batches(settings, now=now)
send_batch(settings, catalog, judge_to_ask(catalog, "tone"), days=28, limit=200, now=now)
"""


def test_a_process_killed_while_the_endpoint_holds_its_answer_pays_for_no_batch_twice(settings, catalog, desk) -> None:
    killed: list[subprocess.Popen[bytes]] = []

    def kill() -> None:
        os.kill(killed[0].pid, signal.SIGKILL)

    desk.before_reply = kill
    command = [sys.executable, "-c", WORKER, str(settings.home), settings.openai_base_url, str(catalog.folder)]
    killed.append(subprocess.Popen(command, cwd=ROOT))
    assert killed[0].wait(60) == -signal.SIGKILL
    desk.before_reply = lambda: None
    assert len(desk.batches) == 1
    assert subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode == 0
    assert len(desk.batches) == 1, "found again by its key, and nothing sent"
    desk.work()
    assert [one.done for one in collect(settings)] == [20]
    assert len(desk.paid) == 20
