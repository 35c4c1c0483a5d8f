"""Real conversations at the times of real traffic, through import, run and report: nothing lost, every key kept."""

import json
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from onlineeval_dagster.warehouse.duckdb import query
from tests.pipeline import living_at, run_in, table
from tests.worlds import settings_at

DATA = Path(__file__).parents[3] / "shared" / "data"
FILES = {
    "turns": DATA / "judge" / "conture_turns.parquet",
    "answers": DATA / "judge" / "openqa_system_answers.parquet",
    "arrivals": DATA / "traces" / "azure_llm_2023_code.parquet",
}
missing = [str(file) for file in FILES.values() if not file.exists()]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"real data is not there: {', '.join(missing)}")

DAY = date(2023, 11, 16)
KEPT_DAYS = (datetime.now(UTC).date() - DAY).days + 30
RATED = 50


def composed(folder: Path) -> Path:
    """Each answer at the time of one real request, evenly over the trace. It says of itself that it is composed."""
    turns, answers, arrivals = (pq.read_table(file).to_pylist() for file in FILES.values())
    rows = [
        {"id": f"turn-{row['dialog_id']}-{row['turn']}", "question": row["user"], "answer": row["chatbot"]}
        | {"session_id": f"dialog-{row['dialog_id']}", "user_id": f"dialog-{row['dialog_id']}", "model": "chatbot"}
        for row in turns
    ]
    rows += [
        {"id": f"qa-{row['question_id']}-{row['system']}", "question": row["question"], "answer": row["answer"]}
        | {"user_id": f"reader-{row['question_id'] % 200}", "model": row["system"]}
        for row in answers
    ]
    step = len(arrivals) / len(rows)
    for at, row in enumerate(rows):
        arrival = arrivals[int(at * step)]
        row |= {"created_at": arrival["timestamp"].isoformat(), "input_tokens": arrival["context_tokens"]}
        row |= {"output_tokens": arrival["generated_tokens"], "composed": True}
        if at < RATED:
            row["thumbs"] = "up" if at % 2 else "down"
    file = folder / "composed.jsonl"
    lines = [json.dumps(row) for row in rows]
    file.write_text("\n".join([*lines, lines[0], '{"id": "torn', ""]), encoding="utf-8")
    return file


class World:
    def __init__(self, folder: Path) -> None:
        self.file = composed(folder)
        self.rows = [json.loads(line) for line in self.file.read_text(encoding="utf-8").splitlines()[:-2]]
        self.settings: Settings = settings_at(folder / "home", retention_days=KEPT_DAYS)
        kept = {"ONLINEEVAL_RETENTION_DAYS": str(KEPT_DAYS)}
        with living_at(self.settings.home, **kept):
            from onlineeval_dagster.cli import app

            self.said = CliRunner().invoke(app, ["import", "--source", "jsonl", str(self.file)])
        assert self.said.exit_code == 0, self.said.output
        assert run_in(self.settings.home, **kept).success
        assert run_in(self.settings.home, "report", partition=str(DAY), **kept).success

    def ask(self, sql: str) -> list[dict]:
        return query(self.settings.warehouse_file, sql).to_pylist()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("real"))


def test_every_row_is_in_the_lake_under_its_own_id_on_its_own_day(world: World) -> None:
    responses = table(world.settings, "responses")
    assert {row["response_id"] for row in responses} == {row["id"] for row in world.rows}
    assert {row["day"] for row in responses} == {DAY}
    assert len(world.rows) == 465 + 1812


def test_the_row_that_was_there_twice_counts_once_and_the_torn_one_is_kept_with_its_reason(world: World) -> None:
    assert world.ask("select count(*) as n from marts.response_facts") == [{"n": len(world.rows)}]
    (bad,) = table(world.settings, "quarantine")
    assert bad["reason"] and "torn" in bad["text"]


def test_texts_times_and_tokens_arrive_as_they_were(world: World) -> None:
    wanted = {row["id"]: row for row in world.rows}
    for row in table(world.settings, "responses"):
        source = wanted[row["response_id"]]
        assert (row["query"], row["response"], row["model"]) == (source["question"], source["answer"], source["model"])
        assert row["occurred_at"] == datetime.fromisoformat(source["created_at"])
        assert (row["input_tokens"], row["output_tokens"]) == (source["input_tokens"], source["output_tokens"])


def test_composed_data_says_that_it_is_composed(world: World) -> None:
    assert all(json.loads(row["attributes"]) == {"composed": True} for row in table(world.settings, "responses"))


def test_every_opinion_is_a_signal(world: World) -> None:
    found = Counter(row["signal"] for row in table(world.settings, "signals") if row["kind"] == "explicit")
    assert found == {"thumbs_up": RATED // 2, "thumbs_down": RATED // 2}


def test_every_detector_looked_at_every_answer(world: World) -> None:
    found = Counter(row["signal"] for row in table(world.settings, "signals") if row["kind"] == "automated")
    assert found == dict.fromkeys(load_catalog(PACKAGED_CATALOG).signals.detectors, len(world.rows))


def test_every_answer_has_a_selection_and_every_selected_one_a_verdict(world: World) -> None:
    selections = {row["response_id"]: row for row in table(world.settings, "selections")}
    assert set(selections) == {row["id"] for row in world.rows}
    selected = {name for name, row in selections.items() if row["state"] == "selected"}
    verdicts = table(world.settings, "verdicts")
    assert sorted(row["response_id"] for row in verdicts) == sorted(selected)
    assert all((row["score"] is None) != (row["error_kind"] is None) for row in verdicts)
    shown = [row for row in selections.values() if row["stratum"] == "flagged"]
    assert len(shown) >= RATED // 2, "whom users voted down is always looked at"


def test_the_day_has_a_number_and_a_report(world: World) -> None:
    points = [
        row
        for row in table(world.settings, "metric_points")
        if (row["metric"], row["grain"], row["slice"]) == ("good_answers", "day", "all")
    ]
    assert [(row["population"], row["value"] is not None) for row in points] == [(len(world.rows), True)]
    text = (world.settings.report_folder / "daily" / f"{DAY}.md").read_text(encoding="utf-8")
    assert "simulated" not in text.lower()
    assert f"{len(world.rows):,}" in text
    assert (world.settings.report_folder / "daily" / f"{DAY}.html").stat().st_size > 10_000


def test_the_report_says_which_answers_were_rated(world: World) -> None:
    text = (world.settings.report_folder / "daily" / f"{DAY}.md").read_text(encoding="utf-8")
    rated = RATED / len({row["id"] for row in world.rows})
    row = next(line for line in text.splitlines() if line.startswith("| all | all |"))
    assert f"| {rated:.4g} |" in row
    assert "Who rates: over 7 days" in text


def test_importing_it_again_adds_nothing(world: World) -> None:
    before = world.ask("select response_id from marts.response_facts order by all")
    kept = {"ONLINEEVAL_RETENTION_DAYS": str(KEPT_DAYS)}
    with living_at(world.settings.home, **kept):
        from onlineeval_dagster.cli import app

        assert CliRunner().invoke(app, ["import", str(world.file)]).exit_code == 0
    assert run_in(world.settings.home, **kept).success
    assert world.ask("select response_id from marts.response_facts order by all") == before
    assert len(table(world.settings, "selections")) == len(before)
