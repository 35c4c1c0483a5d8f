"""Homes with a person in them whose every word has a marker, and a search through all that a home holds."""

from datetime import timedelta
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.contracts.arrow import to_table
from onlineeval_dagster.contracts.events import Exposure, Label, Span, Verdict
from onlineeval_dagster.contracts.review import GoldAnswer, ReviewTask
from onlineeval_dagster.contracts.rows import TraceState
from onlineeval_dagster.contracts.tables import TABLES
from onlineeval_dagster.contracts.trials import JudgeTrial
from onlineeval_dagster.judges.batch_state import BatchState, Intent
from onlineeval_dagster.judges.work import WorkItem
from onlineeval_dagster.keeping.person import personal_tables
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.review.desk import Desk
from onlineeval_dagster.review.published import publish, task_id
from onlineeval_dagster.sampling.select import select_responses
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from onlineeval_dagster.signals.stage import derive_signals
from tests.worlds import NOON, NOW, action, answer, log_events, settings_at

MARK = "Zq7marker"
USER = f"user-{MARK}"
PERSONAL = (*personal_tables(), "quarantine")


def verdict(number: int | str, **more: object) -> Verdict:
    fields = {"axis": "relevance", "judge": "relevance", "judge_version": "1", "score": 1.0} | more
    return Verdict(
        event_id=f"v{number}",
        response_id=f"r{number}",
        response_at=NOON,
        occurred_at=NOON,
        received_at=NOON,
        **fields,  # type: ignore[arg-type]
    )


def label(number: int | str, **more: object) -> Label:
    fields = {"axis": "relevance", "score": 1.0, "reviewer": "kim", "response_at": NOON} | more
    return Label(event_id=f"l{number}", response_id=f"r{number}", occurred_at=NOON, received_at=NOON, **fields)  # type: ignore[arg-type]


def exposure(key: str, user: str) -> Exposure:
    return Exposure(
        event_id=f"x{key}",
        occurred_at=NOON,
        received_at=NOON,
        experiment="e",
        variant="b",
        unit_id=user,
        propensity=0.5,
    )


def span(trace: str, number: int, **more: object) -> Span:
    return Span(
        event_id=f"{trace}:{number}",
        trace_id=trace,
        span_id=f"{number:016x}",
        name="chat",
        occurred_at=NOON,
        received_at=NOON,
        **more,  # type: ignore[arg-type]
    )


def their_events(mark: str = MARK, user: str = USER) -> list:
    """One person's two answers (one of a session before the login), and all that others said of them."""
    said = {"query": f"My name is {mark}, where is it?", "response": f"Dear {mark}, on its way.", "context": f"{mark}."}
    said["reference"] = f"{mark} was told on Monday."
    return [
        answer(mark, user_id=user, session_id=f"s{mark}", **said, attributes={"note": mark}),
        answer(f"{mark}-guest", user_id=None, session_id=f"s{mark}", at=NOON - timedelta(days=1), **said),
        action(mark, "comment", text=f"thanks from {mark}", user_id=user),
        verdict(mark, rationale=f"{mark} was answered badly"),
        label(mark, note=f"ask {mark}"),
        exposure(mark, user),
        span(f"t{mark}", 1, user_id=user, attributes={"input.value": f"I am {mark}"}),
        span(f"t{mark}", 2, attributes={"input.value": f"rewrite: I am {mark}"}),
    ]


def other_events() -> list:
    return [
        *(answer(n, session_id=f"s{n}", response=f"On its way {n}.") for n in range(6)),
        *(verdict(n, rationale="good") for n in range(6)),
        *(label(n, note="fine") for n in range(3)),
        *(action(n, "copy", user_id=f"u{n}") for n in range(4)),
        exposure("1", "u1"),
        span("t1", 1, user_id="u1", attributes={"input.value": "hello"}),
    ]


def home_with_a_person(folder: Path, *, derived: bool = True, **more: object) -> Settings:
    """A home with others and the person, everything ingested, compacted once, and what is derived without a model."""
    settings = settings_at(folder, warehouse_wait_seconds=1, **more)
    log_events(settings, [*other_events(), *their_events()])
    bad = f'{{"kind": "response", "user_id": "{USER}", "query": "{MARK}"\n{{"kind": "nonsense", "user_id": "u1"}}\n'
    (settings.log_folder / "sdk.bad-00000000-20261110T120000000000Z.ndjson").write_text(bad)
    lake = Lake(settings.lake_folder)
    ingest(settings, lake, now=NOW)
    log_events(settings, [answer("late")])
    ingest(settings, lake, now=NOW)
    lake.compact("responses")
    if derived:
        catalog = load_catalog(PACKAGED_CATALOG)
        derive_signals(lake, catalog, now=NOW)
        select_responses(lake, catalog, now=NOW)
        for name, some in _derived(("1", MARK)).items():
            told = to_table(some, TABLES[name].contract)
            day = pa.array([NOON.date()] * told.num_rows, pa.date32())
            lake.append(name, told.append_column("day", day).select(TABLES[name].schema.names))
        publish(settings.review_tasks_file, lake, catalog, now=NOW, redact=lambda text: text)
        _in_hand(settings, load_catalog(PACKAGED_CATALOG).live_judges[0])
    return settings


def _in_hand(settings: Settings, judge: Judge) -> None:
    """Reviewers who had every task in hand, and a batch that waits for its replies."""
    with Desk(settings.review_state_file, settings.review_tasks_file) as desk:
        while task := desk.take("ann", now=NOW):
            desk.rated(task, "ann", 1, now=NOW)
        while task := desk.take("bo", now=NOW):
            desk.skip(task.lease, "bo", now=NOW)
        desk.take("cy", now=NOW)
    items = [(mark, WorkItem(response_id=f"r{mark}", response_at=NOON, query="", response="")) for mark in ("1", MARK)]
    with BatchState(settings.judge_state_file) as batches:
        batches.intend(Intent(key="k", judge=judge, usd=0.0, made_at=NOW), items, at_most=None)


def _derived(marks: tuple[str, ...]) -> dict[str, list]:
    """A row for each mark in the tables that need a model or people, by table."""
    made: dict[str, list] = {"review_tasks": [], "gold_answers": [], "judge_trials": [], "trace_states": []}
    for mark in marks:
        of = {"response_id": f"r{mark}", "axis": "relevance"}
        made["review_tasks"].append(
            ReviewTask(**of, response_at=NOON, stream="audit", inclusion_probability=0.5, reason="random", raters=2)
        )
        made["gold_answers"].append(
            GoldAnswer(**of, response_at=NOON, score=1.0, source="people", people=2, frozen_at=NOON)
        )
        made["judge_trials"].append(
            JudgeTrial(
                **of,
                trial_set="gold",
                set_version="1",
                item=f"r{mark}",
                group="people",
                judge="relevance",
                judge_version="1",
                replicate=0,
                tried_at=NOON,
                score=1.0,
            )
        )
        made["trace_states"].append(
            TraceState(
                trace_id=f"t{mark}", first_at=NOON, last_at=NOON, state="response", response_id=f"r{mark}", spans=2
            )
        )
    return made


def warehouse_with(settings: Settings) -> None:
    """A warehouse such as dbt builds: a row an answer, and what was counted of them."""
    settings.warehouse_file.parent.mkdir(parents=True, exist_ok=True)
    lake = Lake(settings.lake_folder)
    facts = rows(lake, "select response_id, day, occurred_at, session_id, user_id from responses", {"responses": None})
    with duckdb.connect(str(settings.warehouse_file)) as warehouse:
        warehouse.register("facts", facts)
        warehouse.execute("create schema marts")
        warehouse.execute("create schema tick")
        warehouse.execute("create table tick.days as select distinct day from facts")
        warehouse.execute("create table marts.response_facts as from facts")
        warehouse.execute(
            "create table marts.daily_coverage as select day, count(*) as responses from facts group by 1"
        )
        warehouse.execute("create view marts.seen as select day from marts.response_facts")


def counted(settings: Settings) -> list:
    with duckdb.connect(str(settings.warehouse_file)) as warehouse:
        return warehouse.execute("from marts.daily_coverage order by day").fetchall()


def task_names(mark: str = MARK) -> list[str]:
    """Names of the tasks on the answer with this mark, that nobody has salted."""
    return [task_id(f"r{mark}", "relevance", stream) for stream in ("audit", "targeted", "gold")]


def holding_files(home: Path, mark: str = MARK) -> list[str]:
    """Files below a home that hold the mark: in their bytes, in their names, or in the values of a Parquet file."""
    found = []
    for file in sorted(path for path in home.rglob("*") if path.is_file()):
        told = str(file).encode() + file.read_bytes()
        if file.suffix == ".parquet":
            told += repr(pq.ParquetFile(file).read().to_pylist()).encode()
        if mark.encode() in told:
            found.append(str(file.relative_to(home)))
    return found


def tables(settings: Settings, names: tuple[str, ...] = PERSONAL) -> dict[str, list]:
    lake = Lake(settings.lake_folder)
    return {
        name: rows(lake, f"select * exclude (file_name) from {name} order by all", {name: None}).to_pylist()
        for name in names
    }
