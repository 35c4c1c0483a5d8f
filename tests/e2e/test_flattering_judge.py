"""Simulated traffic, a judge that flatters long answers, a better one on trial beside it, people who know the truth.

What is true of every answer is known; so it can be seen which number is wrong, which one holds, and what the report
says of each. One run from log to metrics, one of what is made at night, one report, one promotion: some 40 s of a
core, most of it dbt and the judges' 2,000 calls, for what no part of it proves by itself.
"""

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.cli import app
from onlineeval_dagster.contracts.base import LogEvent
from onlineeval_dagster.contracts.events import Deploy, Label, Response
from onlineeval_dagster.defs.launch import _failures
from onlineeval_dagster.judges.canaries import canaries_for
from onlineeval_dagster.judges.client import endpoint_of
from onlineeval_dagster.judges.trials import try_judges
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.log.segments import open_log
from onlineeval_dagster.reports.people import ALONE
from onlineeval_dagster.reports.stage import write_daily_report
from onlineeval_dagster.review.promoted import promotions, unbacked
from onlineeval_dagster.sampling.chance import unit_interval
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings
from onlineeval_dagster.simulate.days import AUDIT_COHORT, REVIEWER_SCORE
from onlineeval_dagster.simulate.texts import Quality
from onlineeval_dagster.simulate.traffic import Simulation, simulate
from onlineeval_dagster.simulate.write import write_traffic
from tests.fake_endpoint import Say, completion, serving
from tests.pipeline import LAKE, definitions, instance_at, living_at, run_assets, table
from tests.worlds import settings_at

NOW = datetime.now(UTC)
DAYS = 12
_BACK = NOW.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS)
START = _BACK - timedelta(days=_BACK.weekday())
"""A Monday, whatever day the test runs on: weekdays differ in traffic, and so would what is drawn."""
LAST = (START + timedelta(days=DAYS - 1)).date()
AUDIT = 0.1
LONG = 130  # characters; about half of the answers
AT_NIGHT = (
    *("gold_answers", "reviewer_quality", "corrected_points", "judge_trials", "judge_reliability", "judge_drift"),
    *("promotion_evidence", "reviewer_agreement", "judge_agreement", "judge_calibration"),
)
BY_DAY = (
    *("selections", "verdicts", "stg_responses", "stg_deploys", "stg_labels", "stg_selections", "stg_signals"),
    *("stg_verdicts", "selection_outcomes", "response_facts", "arrivals", "daily_coverage", "judge_coverage"),
    *("metric_moments", "week_moments", "metric_points"),
)
_TEXT = re.compile(r"<<(\w+):(context|response)>>\n(.*?)\n<<\1:end>>", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What was made of the traffic. `good`: ids of the answers that are; `metadata`: of the assets made at night."""

    settings: Settings
    good: dict[str, bool]
    day_of: dict[str, date]
    metadata: dict[str, dict[str, Any]]
    checks: dict[str, bool]
    report: str

    @property
    def catalog(self) -> Catalog:
        return load_catalog(self.settings.catalog)

    def truth(self, first: date, last: date) -> float:
        those = [good for name, good in self.good.items() if first <= self.day_of[name] <= last]
        return sum(those) / len(those)

    def corrected(self, grain: str, metric: str = "good_answers") -> dict[str, Any]:
        sql = (
            f"select * from corrected_points where metric = '{metric}' and grain = '{grain}' and slice = 'all' "
            f"and as_of = '{LAST} 00:00+00'"
        )
        (point,) = table(self.settings, "corrected_points", sql)
        return point


def catalog_at(folder: Path) -> Path:
    """One judge, and a shadow of it that is told apart by two words of its prompt."""
    made = Path(shutil.copytree(PACKAGED_CATALOG, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__")))
    active = (made / "judges" / "relevance.md").read_text(encoding="utf-8")
    shutil.rmtree(made / "judges")
    (made / "judges").mkdir()
    paid = 'model = "m"\nrepeat_rate = 0.1\nprice = { input_usd_per_million = 0.1, output_usd_per_million = 0.4 }'
    active = active.replace('model = "local/overlap"', paid)
    shadow = active.replace('"active"', '"shadow"').replace("Judge one thing only", "Judge strictly")
    (made / "judges" / "relevance.md").write_text(active, encoding="utf-8")
    (made / "judges" / "relevance-2.md").write_text(shadow, encoding="utf-8")
    metrics = made / "metrics.toml"
    ours = metrics.read_text(encoding="utf-8").split("[metrics.thumbs_down_share]")[0]
    days_alone = '[windows]\ngrains = ["day", "week"]\n\n[metrics.good_answers]'
    metrics.write_text(ours.replace("[metrics.good_answers]", days_alone, 1), encoding="utf-8")
    (made / "alerts.toml").unlink()  # its rules name metrics that are left out here
    sampling = made / "sampling.toml"
    text = sampling.read_text(encoding="utf-8")
    text = text.replace("[normal]\nrate = 0.1", "[normal]\nrate = 0.3")
    budget = f"[budget]\nmonthly_cap_usd = 10\nconfirmed_at = {START.isoformat()}\njudge_history = true\n"
    sampling.write_text(f"{text}\n{budget}", encoding="utf-8")
    return made


def judging(qualities: Mapping[tuple[str, str], Quality]) -> Any:
    """The active judge gives every long answer a 3. Else both know the truth; it errs once in 20, the shadow in 50."""

    def answer(number: int, body: dict[str, Any]) -> Say:
        asked = body["messages"][-1]["content"]
        texts = {name: text for _, name, text in _TEXT.findall(asked)}
        quality = qualities.get((texts["context"], texts["response"]))
        score = 1 if quality is None else int(REVIEWER_SCORE[quality])
        is_strict = "Judge strictly" in asked
        if unit_interval(texts["context"] + texts["response"], f"err {is_strict}") < (0.02 if is_strict else 0.05):
            score = 1 + score % 3
        if not is_strict and len(texts["response"]) >= LONG:
            score = 3
        return completion(json.dumps({"score": score, "reason": "so it is"}))

    return answer


def labels_of(answers: list[Response], quality_of: dict[str, Quality]) -> Iterator[Label]:
    """Two people look at one answer in ten; each errs one time in fifty."""
    for answer in answers:
        if unit_interval(answer.response_id, AUDIT_COHORT) >= AUDIT:
            continue
        for reviewer in ("ann", "bo"):
            score = REVIEWER_SCORE[quality_of[answer.response_id]]
            if unit_interval(answer.response_id, reviewer) < 0.02:
                score = 1 + score % 3
            at = answer.occurred_at + timedelta(hours=1)
            yield Label(
                event_id=f"{answer.response_id}:{reviewer}",
                **{"occurred_at": at, "received_at": at, "response_id": answer.response_id},
                **{"axis": "relevance", "score": score, "reviewer": reviewer, "response_at": answer.occurred_at},
                **{"inclusion_probability": AUDIT, "stream": "audit"},
                **{"environment": answer.environment, "app": answer.app, "attributes": {"simulated": True}},
            )


def traffic() -> tuple[Simulation, list[Response], dict[str, Quality]]:
    """Twelve days of some 240 answers, a deploy that makes them worse, people's labels; the quality of each answer.

    Ids are the same on every day that the test runs, and with them all that is drawn by a hash.
    """
    made = simulate(
        days=DAYS, start=START, seed=6, daily_users=110, population=330, responses_per_day=240, pass_rate=0.75
    )
    quality_of: dict[str, Quality] = {}
    events: list[LogEvent] = []
    for event in made.events:
        if isinstance(event, Response):
            name = f"w-{event.response_id.rpartition('-')[2]}"
            events.append(event.model_copy(update={"response_id": name, "event_id": name}))
            if event.environment == "production":
                quality_of[name] = made.truth.qualities[event.response_id]
        elif isinstance(event, Deploy):
            events.append(event)
    answers = {one.response_id: one for one in events if isinstance(one, Response) and one.response_id in quality_of}
    labels = labels_of(list(answers.values()), quality_of)
    return replace(made, events=iter([*events, *labels])), list(answers.values()), quality_of


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("flattered")
    made, answers, quality_of = traffic()
    known: dict[tuple[str, str], Quality]
    known = {(one.context or "", one.response): quality_of[one.response_id] for one in answers}
    settings = settings_at(folder / "home", catalog=catalog_at(folder / "catalog"))
    with open_log(settings, door="test") as log:
        write_traffic(log.append, made, bad_lines=0)
    with serving(judging(known)) as endpoint:
        there = {"OPENAI_BASE_URL": endpoint.base_url, "OPENAI_API_KEY": "k"}
        there |= {"ONLINEEVAL_CATALOG": str(settings.catalog)}
        done = run_assets(settings.home, [*LAKE, *BY_DAY], **there)
        assert done.success, _failures(done)
        with living_at(settings.home, **there) as living:
            _canaries_of_three_days(living)
        metadata, checks = night(settings, there)
    report = write_daily_report(settings, Lake(settings.lake_folder), load_catalog(settings.catalog), day=LAST, now=NOW)
    return World(
        settings=settings,
        good={name: quality == "good" for name, quality in quality_of.items()},
        day_of={one.response_id: one.occurred_at.date() for one in answers},
        metadata=metadata,
        checks=checks,
        report=report.markdown.read_text(encoding="utf-8"),
    )


def _canaries_of_three_days(settings: Settings) -> None:
    """A dozen a day and judge; ten must tell something before it is known what a judge obeys."""
    catalog, lake = load_catalog(settings.catalog), Lake(settings.lake_folder)
    for back in (3, 2, 1):
        moment = NOW - timedelta(days=back)
        asked = [(judge, canaries_for(judge)) for judge in catalog.asked_judges]
        try_judges(lake, asked, endpoint=endpoint_of(settings, now=lambda at=moment: at), now=lambda at=moment: at)


def night(settings: Settings, there: dict[str, str]) -> tuple[dict[str, dict[str, Any]], dict[str, bool]]:
    """All that is made once a day of judges and people, in one run; metadata by asset, and whether checks passed."""
    with living_at(settings.home, **there) as living, instance_at(living) as instance:
        job = definitions().resolve_implicit_global_asset_job_def()
        done = job.execute_in_process(
            instance=instance,
            asset_selection=[dg.AssetKey(name) for name in AT_NIGHT],
            raise_on_error=False,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )
    assert done.success
    made = [event.materialization for event in done.get_asset_materialization_events()]
    told = {one.asset_key.to_user_string(): dict(one.metadata) for one in made}
    return told, {check.check_name: check.passed for check in done.get_asset_check_evaluations()}


def test_the_raw_number_is_wrong_and_the_corrected_one_covers_the_truth(world: World) -> None:
    truth, point = world.truth(START.date(), LAST), world.corrected("days28")
    assert point["raw_low"] > truth + 0.05, "the judge alone is wrong, and sure of it"
    assert point["low"] < truth < point["high"] < point["raw_low"]
    assert point["labels"] > 200 and point["method"] == "beta-cells"
    week = world.corrected("week")
    assert week["low"] < world.truth(LAST - timedelta(days=4), LAST) < week["high"] < week["raw"]
    mean = world.corrected("days28", "relevance_score")
    assert mean["method"] == "ppi" and mean["high"] < mean["raw_low"]


def test_the_change_of_the_week_covers_what_changed(world: World) -> None:
    now, before = (world.truth(LAST - timedelta(days=4 + ago), LAST - timedelta(days=ago)) for ago in (0, 7))
    week = world.corrected("week")
    assert now < before, "the deploy made it worse"
    assert week["change_low"] < now - before < week["change_high"]


def test_the_report_says_of_each_number_which_it_is(world: World) -> None:
    rows = {line.split("|")[1].strip(): line.split("|")[2:] for line in world.report.splitlines() if "|" in line}
    raw, corrected = (rows[f"Answers were good: {whose}"] for whose in (ALONE, "corrected by people"))
    (own,) = table(
        world.settings,
        "metric_points",
        "select value from metric_points where metric = 'good_answers' and grain = 'day' and slice = 'all' "
        f"and window_start = '{LAST} 00:00+00'",
    )
    for cell, value in ((raw[0], own["value"]), (corrected[0], world.corrected("day")["value"])):
        assert ("not enough yet" if value is None else f"{100 * value:.0f} %") in cell
    (line,) = [line for line in world.report.splitlines() if line.startswith("Corrected by people: over 28 days")]
    month = world.corrected("days28")
    said = f"over 28 days {100 * month['value']:.0f} %, likely {100 * month['low']:.0f}–{100 * month['high']:.0f} %"
    alone = f"(uncorrected, the AI reviewer alone: {100 * month['raw']:.0f} %; {month['labels']} human checks)"
    assert line.startswith(f"Corrected by people: {said} {alone}; this week so far")
    assert "on the same days a week earlier" in line


def test_one_run_makes_all_that_is_known_of_judges_and_people(world: World) -> None:
    assert set(world.metadata) == set(AT_NIGHT)
    for name in ("reviewer_quality", "judge_trials", "judge_drift", "promotion_evidence", "judge_calibration"):
        assert world.metadata[name]["dagster/row_count"].value > 0, name
    assert world.metadata["gold_answers"]["added"].value > 50, "answers on which two people agree"
    tried = {(row["judge"], row["trial_set"]) for row in table(world.settings, "judge_trials")}
    assert tried == {(judge, kind) for judge in ("relevance", "relevance-2") for kind in ("canaries", "gold")}
    quality = table(world.settings, "reviewer_quality")
    assert {row["reviewer"] for row in quality} == {"ann", "bo"} and all(row["kappa"] > 0.8 for row in quality)
    assert "data:image/svg+xml" in world.metadata["judge_calibration"]["reliability"].value


def test_checks_name_the_judge_that_flatters(world: World) -> None:
    wrong = {name for name, passed in world.checks.items() if not passed}
    assert wrong == {"judges_agree_with_people"}
    (row,) = table(
        world.settings,
        "judge_agreement",
        "select * from judge_agreement where judge = 'relevance' and measure = 'verbosity' and slice = 'all'",
    )
    assert row["low"] > 0.2, "it scores an answer twice as long higher at people's equal score"


def test_the_better_shadow_is_ready_and_one_command_promotes_it(world: World) -> None:
    settings, before = world.settings, {judge.name: judge for judge in world.catalog.judges}
    assert world.metadata["promotion_evidence"]["ready"].value == "relevance-2"
    with living_at(settings.home, ONLINEEVAL_CATALOG=str(settings.catalog)):
        done = CliRunner().invoke(app, ["judge", "promote", "relevance-2"])
    assert done.exit_code == 0 and "Promoted." in done.output, done.output
    after = {judge.name: judge for judge in world.catalog.judges}
    assert after["relevance"].version == before["relevance-2"].version and after["relevance"].status == "active"
    assert after["relevance-2"].version == before["relevance"].version and after["relevance-2"].status == "retired"
    lake = Lake(settings.lake_folder)
    ingest(settings, lake, now=datetime.now(UTC) + timedelta(hours=1))
    (one,) = promotions(lake, now=NOW)
    assert one.ready and unbacked(lake, now=NOW) == []
