"""Agreement, biases and calibration from the lake: a judge that flatters long answers, people who do not."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.catalog.promotion_file import Promotion
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.contracts.events import Label, Verdict
from onlineeval_dagster.contracts.review import ReviewTask
from onlineeval_dagster.review.bias import effect_at_equal
from onlineeval_dagster.review.tasks import targeted_in_estimates
from onlineeval_dagster.review.worth import Worth, judge_worth, read_worth, write_worth
from onlineeval_dagster.review.worth_shown import (
    agreement_markdown,
    below_limit,
    bias_markdown,
    calibration_markdown,
    confusion_markdown,
    drifted,
    reliability_svg,
    without_labels,
)
from onlineeval_dagster.settings import PACKAGED_CATALOG
from tests.review.task_worlds import put
from tests.worlds import answer, lake_of, settings_at

CATALOG = load_catalog(PACKAGED_CATALOG)
JUDGE = next(judge for judge in CATALOG.live_judges if judge.name == "relevance")
NOW = datetime(2026, 11, 24, tzinfo=UTC)
AUDIT = 0.05


def events(rng: np.random.Generator, count: int) -> list:
    """Answers of 28 days that people and the judge scored; the judge gives long ones a point too much."""
    made: list = []
    for number in range(count):
        at = NOW - timedelta(days=int(rng.integers(0, 27)), hours=1)
        quality, long = int(rng.integers(1, 4)), rng.random() < 0.5
        text = "A word. " * (400 if long else 20)
        given = min(3, quality + long) if rng.random() < 0.8 else int(rng.integers(1, 4))
        model = "openai/gpt-4o" if rng.random() < 0.5 else "anthropic/claude-9"
        made.append(answer(number, at=at, response=text, language="de" if number % 3 else "en", model=model))
        made.append(verdict(number, given, at=at))
        made += [label(number, person, quality if rng.random() < 0.9 else 2, at=at) for person in ("ann", "bo")]
    return made


def verdict(number: int, score: float, *, at: datetime) -> Verdict:
    who = {"axis": "relevance", "judge": JUDGE.name, "judge_version": JUDGE.version, "model": "gpt-4.1-mini"}
    when = {"response_at": at, "occurred_at": at, "received_at": at}
    return Verdict(
        event_id=f"v{number}", response_id=f"r{number}", score=score, inclusion_probability=1.0, **who, **when
    )  # type: ignore[arg-type]


def label(number: int, who: str, score: float, *, at: datetime, stream: str = "audit") -> Label:
    when = {"response_at": at, "occurred_at": at, "received_at": at}
    key = {"event_id": f"l{number}{who}", "response_id": f"r{number}", "axis": "relevance", "reviewer": who}
    chance = AUDIT if stream == "audit" else None
    return Label(score=score, stream=stream, inclusion_probability=chance, **key, **when)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory):
    settings = settings_at(tmp_path_factory.mktemp("home"))
    at = NOW - timedelta(days=2)
    more = [answer("x", at=at), verdict("x", 1, at=at), label("x", "ann", 3, at=at, stream="targeted")]  # type: ignore[arg-type]
    return lake_of(settings, [*events(np.random.default_rng(60), 400), *more], now=NOW)


@pytest.fixture(scope="module")
def found(lake) -> Worth:
    write_worth(lake, CATALOG, now=NOW)
    return read_worth(lake)


def measure(found: Worth, name: str, slice_value: str = "all"):
    (row,) = [row for row in found.judges if row.measure == name and row.slice_value == slice_value]
    return row


def test_what_is_written_is_what_was_computed_and_twice_is_once(lake, found):
    assert read_worth(lake) == found
    again = write_worth(lake, CATALOG, now=NOW)
    key = lambda row: (row.slice, row.slice_value, row.measure)  # noqa: E731
    assert sorted(again.judges, key=key) == sorted(read_worth(lake).judges, key=key)


def test_only_labels_of_the_audit_are_compared(found):
    assert measure(found, "raw").n == 800 and measure(found, "raw").users == 400
    assert {row.n for row in found.reviewers} == {400} and {row.reviewers for row in found.reviewers} == {2}


def test_every_measure_has_its_range_in_every_slice(found):
    for value in ("all", "de", "en", "under 500 characters", "over 2,000 characters"):
        for name in ("raw", "kappa", "quadratic_kappa", "ac1", "alpha", "spearman", "kendall", "pearson"):
            row = measure(found, name, value)
            assert row.low < row.value < row.high
    short, long = (measure(found, "raw", name) for name in ("under 500 characters", "over 2,000 characters"))
    assert short.low > long.high


def test_people_agree_with_each_other_better_than_the_judge_with_them(found):
    (people,) = [row for row in found.reviewers if row.measure == "quadratic_kappa"]
    assert people.low > measure(found, "quadratic_kappa").high

    def below(reviewers: list, **asked: float) -> list[str]:
        return below_limit(found.judges, reviewers, CATALOG.live_judges, promotion=Promotion(**asked))  # type: ignore

    assert below(found.reviewers)[0].startswith("relevance: kappa")
    assert below([]) == []  # above 0.4
    assert below(found.reviewers, of_people=0.3) == [] and below([], at_least=0.9)[0].endswith("limit 0.90")


def test_the_confusion_matrix_adds_up_and_has_ranges(found):
    cells = [row for row in found.judges if row.measure.startswith("share_")]
    assert len(cells) == 9 and sum(row.value for row in cells) == pytest.approx(1)
    assert all(0 <= row.low <= row.value <= row.high <= 1 for row in cells)
    assert "judge 3" in confusion_markdown(found.judges)


def test_that_it_flatters_long_answers_is_told_and_that_it_does_not_prefer_its_own_as_well(found):
    verbosity, own, lenience = (measure(found, name) for name in ("verbosity", "self_preference", "lenience"))
    # Twenty times as long, 4.3 doublings, are worth some half a point: it cannot give 4.
    assert 0.05 < verbosity.low < 0.5 / 4.3 < verbosity.high + 0.02
    assert own.low < 0 < own.high and lenience.low > 0.1
    assert "twice as long" in bias_markdown(found.judges)


def test_a_worth_that_changed_in_the_last_week_is_told_and_a_steady_one_is_not(lake, found, tmp_path):
    assert drifted(found.judges) == []
    rng = np.random.default_rng(61)
    made = [
        replace_score(event) if isinstance(event, Label) and event.occurred_at > NOW - timedelta(days=7) else event
        for event in events(rng, 400)
    ]
    other = lake_of(settings_at(tmp_path), made, now=NOW)
    (told,) = drifted(judge_worth(other, CATALOG, now=NOW).judges)
    assert "in the last week" in told


def replace_score(event: Label) -> Label:
    return event.model_copy(update={"score": max(event.score - 1, 1)})


def test_the_map_never_falls_and_the_table_says_what_people_give(found):
    rows = sorted(found.calibration, key=lambda row: row.judge_score)
    assert [row.judge_score for row in rows] == [1, 2, 3] and sum(row.labels for row in rows) == 800
    assert all(first.expected <= second.expected for first, second in pairwise(rows))
    assert all(row.people_low < row.people < row.people_high for row in rows)
    assert all(abs(row.out_of_fold - row.expected) < 0.2 for row in rows)
    text = calibration_markdown(found.calibration)
    assert "data:image/svg+xml;base64," in text and "<script" not in reliability_svg(rows)


def test_a_judge_without_labels_is_named_and_nothing_at_all_is_a_sentence(found, tmp_path):
    named = [line.partition(":")[0] for line in without_labels(found.judges, CATALOG.live_judges)]
    assert "relevance" not in named and len(named) == len([j for j in CATALOG.live_judges if j.status == "active"]) - 1
    empty = lake_of(settings_at(tmp_path), [], now=NOW)
    nothing = judge_worth(empty, CATALOG, now=NOW)
    assert nothing.judges == [] and {row.value for row in nothing.reviewers} <= {None}
    assert agreement_markdown([], []).startswith("Nobody")
    assert json.dumps(calibration_markdown([])).startswith('"No judged')


def test_a_targeted_label_that_claims_to_be_of_the_audit_is_counted(lake):
    assert targeted_in_estimates(lake, now=NOW) == 0
    at = NOW - timedelta(days=2)
    who = {"response_id": "r1", "response_at": at, "axis": "relevance", "raters": 1}
    put(lake, "review_tasks", [ReviewTask(**who, stream="targeted", reason="flagged")])  # type: ignore
    assert targeted_in_estimates(lake, now=NOW) == 2


def test_an_effect_at_equal_scores_is_covered_with_users_of_many_answers():
    rng, hits = np.random.default_rng(62), 0
    for _ in range(300):
        user = rng.integers(0, 60, 240)
        mood, length = rng.normal(size=60)[user], rng.normal(size=60)[user] + rng.normal(size=240)
        people = np.digitize(rng.normal(size=240) + 0.5 * length, [-1, 1])
        score = people + 0.3 * length + mood + rng.normal(size=240)
        found = effect_at_equal(score, people, length, users=user, weights=rng.choice([1, 10], 240))
        assert isinstance(found, Estimate)
        hits += found.low <= 0.3 <= found.high
    # Monte-Carlo error of 300 runs at 95 %: 1.3 points.
    assert hits / 300 == pytest.approx(0.95, abs=3 * 0.013)
    alike = effect_at_equal(score, people, np.ones(240), users=user, weights=np.ones(240))
    assert isinstance(alike, NotEnough) and "alike" in alike.reason


def test_the_verb_says_it_all(lake, monkeypatch):
    from typer.testing import CliRunner

    from onlineeval_dagster.cli import app
    from onlineeval_dagster.verbs import judge

    class Then(datetime):
        """The clock of the world's own day."""

        @classmethod
        def now(cls, tz=None):
            return NOW

    monkeypatch.setattr(judge, "datetime", Then)
    monkeypatch.setenv("ONLINEEVAL_HOME", str(Path(lake.folder).parent))
    monkeypatch.setenv("COLUMNS", "250")
    done = CliRunner().invoke(app, ["judge", "agreement"])
    assert done.exit_code == 0, done.output
    found = judge_worth(lake, CATALOG, now=NOW)
    kappa = measure(found, "quadratic_kappa")
    said = " ".join(done.output.split())
    # Cells of a table may be wrapped anywhere.
    for part in (f"{kappa.value:.2f}", f"({kappa.low:.2f} …", "people", "twice as long", "judge 3", "out of"):
        assert part in said, part
    assert f"relevance: kappa {kappa.value:.2f}, likely at most {kappa.high:.2f}, limit" in said
    empty = settings_at(Path(lake.folder).parent / "nobody")
    monkeypatch.setenv("ONLINEEVAL_HOME", str(empty.home))
    nothing = CliRunner().invoke(app, ["judge", "agreement"])
    assert nothing.exit_code == 0 and "No judged answer of the audit has a label" in nothing.output
