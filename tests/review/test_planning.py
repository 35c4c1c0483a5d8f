"""How many labels a wanted range needs: the plan is held against the ranges that so many labels then give."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from onlineeval_dagster.cli import app
from onlineeval_dagster.review.cells import corrected_rates
from onlineeval_dagster.review.label_moments import LabelMoments
from onlineeval_dagster.review.planning import WEEKS, Group, plan_labels, seen
from onlineeval_dagster.review.planning_shown import plan_words
from onlineeval_dagster.review.prediction_powered import corrected_means
from tests.pipeline import living_at
from tests.review.label_worlds import SEES, celled_windows
from tests.review.task_worlds import JUDGE, label, verdict
from tests.worlds import NOW, answer, lake_of, settings_at

JUDGED = 3000


def group(judge: str, *, rate: float, labels: int, effective: float = JUDGED) -> Group:
    """As seen in 28 days: the judge's true chances, `labels` a week."""
    bad, good = (np.array(chances) for chances in SEES[judge])
    share = rate * good + (1 - rate) * bad
    of_all = WEEKS * labels
    return Group(
        name="all",
        share=share,
        labels=share * of_all,
        said=rate * good * of_all,
        squares=rate * good * of_all,
        cubes=rate * good * of_all,
        judged=JUDGED,
        effective=effective,
    )


@pytest.mark.parametrize("judge", ["good", "bad", "useless"])
@pytest.mark.parametrize("half", [0.03, 0.05])
def test_so_many_labels_give_the_range_that_was_wanted(judge: str, half: float) -> None:
    plan = plan_labels(group(judge, rate=0.8, labels=200), half=half)
    assert plan.needed is not None and plan.needed <= plan.alone
    rng = np.random.default_rng(11)
    judged, labelled = celled_windows(rng, 200, judged=JUDGED, labels=plan.needed, rate=0.8, judge=judge)
    found = corrected_rates(judged, labelled)
    got = float(np.nanmean(found.high - found.low)) / 2
    assert got == pytest.approx(half, rel=0.1)


@pytest.mark.parametrize("correlation", [0.0, 0.8])
def test_so_many_labels_give_the_range_of_a_mean_that_was_wanted(correlation: float) -> None:
    """Scores of one answer a user, cut to three steps: what a step says is its share of the labels' variance."""
    rng, half = np.random.default_rng(12), 0.08
    label, noise = rng.normal(size=(2, 200_000))
    step = np.digitize(correlation * label + np.sqrt(1 - correlation**2) * noise, [-0.6, 0.6])
    scored = [np.bincount(step, part, 3) for part in (np.ones_like(label), label, label**2, label**3)]
    of_all = [part * WEEKS * 200 / len(label) for part in scored]
    seen_then = Group(
        name="all",
        share=scored[0] / len(label),
        **dict(zip(("labels", "said", "squares", "cubes"), of_all, strict=True)),
        judged=JUDGED,
        effective=JUDGED,
    )
    plan = plan_labels(seen_then, half=half, of="score")
    assert plan.needed is not None and plan.needed <= plan.alone
    shape = (60, JUDGED)
    picked = rng.integers(0, len(label), shape)
    is_labelled = np.arange(JUDGED) < plan.needed
    columns = [np.ones(shape), step[picked], is_labelled * np.ones(shape), is_labelled * label[picked]]
    totals = np.stack([*columns, is_labelled * step[picked]], axis=2).reshape(-1, 5).astype(float)
    moments = LabelMoments.of_users(
        totals, np.repeat(np.arange(60), JUDGED), labels=np.tile(is_labelled, 60).astype(np.int64), groups=60
    )
    found = corrected_means(moments)
    assert float((found.high - found.low).mean()) / 2 == pytest.approx(half, rel=0.1)


def test_a_good_judge_saves_labels_and_a_useless_one_none() -> None:
    good, useless = (plan_labels(group(judge, rate=0.8, labels=200), half=0.04) for judge in ("good", "useless"))
    assert good.worth > 0.5 and useless.worth == pytest.approx(0, abs=0.02)
    assert good.needed is not None and useless.needed is not None
    assert good.needed < 0.6 * useless.needed
    assert useless.needed == pytest.approx(useless.alone, rel=0.1)


def test_users_who_come_again_can_make_the_wanted_range_impossible() -> None:
    plan = plan_labels(group("good", rate=0.8, labels=200, effective=150), half=0.04)
    assert plan.needed is None and plan.best_half > 0.04
    (told,) = plan_words([plan], _nothing(), half=0.04, rate=0.01)
    assert "no number of human checks" in told


def test_a_rare_kind_needs_five_of_its_own() -> None:
    plan = plan_labels(group("good", rate=0.99, labels=200), half=0.05)
    assert plan.needed is not None and plan.needed >= 5 / 0.011


def test_a_rare_score_needs_five_of_its_own_too() -> None:
    seen_then = group("good", rate=0.97, labels=200)
    plan = plan_labels(seen_then, half=0.2, of="score")
    moments = LabelMoments.of_users(
        np.repeat([[1.0, 0.9, 1.0, 1.0, 0.9], [1.0, 0.9, 1.0, 0.0, 0.9]], [970, 30], axis=0),
        np.zeros(1000, dtype=np.int64),
        labels=np.ones(1000, dtype=np.int64),
        groups=1,
    )
    assert plan.needed == pytest.approx(5 * 1000 / corrected_means(moments).rare[0], abs=2) and plan.needed > 140
    assert plan_labels(group("good", rate=0.8, labels=200), half=0.2, of="score").needed == 30


def _nothing():
    from onlineeval_dagster.review.planning import Seen

    return Seen(groups=[], unlabelled=[], seconds=None)


@pytest.fixture
def home(tmp_path: Path):
    """160 judged answers in two languages, of which every second German one has a label."""
    at = NOW - timedelta(days=3)
    events: list = []
    for n in range(160):
        is_german, truth = n % 2 == 0, 3 if n % 5 else 1
        events.append(answer(n, at=at, language="de" if is_german else "en"))
        events.append(verdict(n, truth, at=at, inclusion_probability=0.1, stratum="normal"))
        if is_german and n % 4 == 0:
            events.append(label(n, truth if n % 40 else 2, at=at, attributes={"seconds": 30}))
    settings = settings_at(tmp_path)
    return settings, lake_of(settings, events, now=NOW)


def test_what_was_seen_is_told_by_group_with_the_time_it_takes(home) -> None:
    _, lake = home
    found = seen(lake, JUDGE, by="language", now=NOW)
    (german,) = found.groups
    assert (german.name, german.labels.sum(), found.unlabelled, found.seconds) == ("de", 40, ["en"], 30)
    assert german.judged == 20 and german.share.sum() == pytest.approx(1)
    (whole,) = seen(lake, JUDGE, by="all", now=NOW).groups
    assert whole.judged == 40 and whole.effective <= 40
    (scores,) = seen(lake, JUDGE, by="all", now=NOW, of="score").groups
    # Forty labels: every fifth answer a 1, else a 3, of which one in ten is labelled 2.
    assert scores.labels.sum() == 40 and 1 < scores.said.sum() / 40 < 3
    planned = plan_labels(scores, half=0.1, of="score")
    assert 1 < planned.level < 3 and 0.6 < planned.worth < 0.9
    told = " ".join(plan_words([plan_labels(german, half=0.1)], found, half=0.1, rate=0.01))
    assert "en" in told and "de:" in told


def test_the_verb_says_what_to_do_or_that_nothing_is_known(home, tmp_path: Path) -> None:
    settings, _ = home
    with living_at(settings.home):
        said = CliRunner().invoke(app, ["review", "plan", "--within", "5", "--by", "stratum"])
        scores = CliRunner().invoke(app, ["review", "plan", "--of", "score", "--by", "stratum"])
        wrong = CliRunner().invoke(app, ["review", "plan", "--within", "70"])
    # The world's time is fixed; by the clock of now its labels may be too old, which is told.
    assert said.exit_code == 0 and ("human checks" in said.output or "Nobody" in said.output)
    assert scores.exit_code == 0
    assert wrong.exit_code != 0 and "between 0.5 and 50" in str(wrong.output) + str(wrong.exception)
    with living_at(tmp_path / "empty"):
        nothing = CliRunner().invoke(app, ["review", "plan"])
    assert nothing.exit_code == 0 and "Nobody has labelled" in nothing.output
