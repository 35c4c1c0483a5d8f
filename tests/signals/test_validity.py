"""What signals are worth, in worlds whose truth is known: the simulator knows how good each answer is."""

from datetime import timedelta
from typing import NamedTuple

import pytest

from onlineeval_dagster.catalog.load import Catalog, load_catalog
from onlineeval_dagster.contracts.validity import QualityWeight, SignalValidity
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.ingest import ingest
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.signals.readings import read_window
from onlineeval_dagster.signals.stage import derive_signals
from onlineeval_dagster.signals.validity import Measured, measure_signals, write_measured
from onlineeval_dagster.simulate.behaviour import HABITS
from onlineeval_dagster.simulate.truth import Truth
from tests.pipeline import table
from tests.signals.labelled_worlds import NOW, label, labels_of, lake_with, noise, shop
from tests.worlds import action, answer, lake_of, log_events, settings_at


class World(NamedTuple):
    lake: Lake
    catalog: Catalog
    truth: Truth
    found: Measured


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    settings, truth = shop(tmp_path_factory.mktemp("shop"))
    lake, catalog = lake_with(settings, labels_of(truth, rate=0.5), noise(truth, "click_through", rate=0.3))
    return World(lake=lake, catalog=catalog, truth=truth, found=measure_signals(lake, catalog, now=NOW))


def agreement(found: Measured, signal: str) -> tuple[float, float, float]:
    """AUC, low, high."""
    row = of(found, signal)
    assert row.auc is not None and row.auc_low is not None and row.auc_high is not None, row.auc_reason
    return row.auc, row.auc_low, row.auc_high


def of(found: Measured, signal: str, axis: str = "relevance") -> SignalValidity:
    (row,) = [row for row in found.validity if (row.signal, row.axis) == (signal, axis)]
    return row


def weights(found: Measured, axis: str = "relevance") -> dict[str, QualityWeight]:
    return {row.signal: row for row in found.weights if row.axis == axis}


def true_auc(name: str) -> float:
    """Of what everybody could have done: one half, and half of how much oftener it follows good answers than others."""
    habit = next(habit for habit in HABITS if habit.action == name)
    return 0.5 + abs(habit.good - habit.bad) / 2


def test_intervals_hold_the_auc_that_the_simulator_planted_and_one_half_for_noise(world) -> None:
    truths = {name: true_auc(name) for name in ("copy", "task_completed", "regenerate", "follow_up")}
    held = 0
    for name, truth in (truths | {"click_through": 0.5}).items():
        value, low, high = agreement(world.found, name)
        assert abs(value - truth) < 1.6 * (high - low) / 2, name  # three standard errors
        assert high - low < 0.08
        held += low <= truth <= high
    assert held >= 4


def test_bad_signs_are_turned_so_that_more_than_one_half_is_right(world) -> None:
    for name in ("regenerate", "thumbs_down", "abandonment", "refusal_or_empty", "truncated"):
        rank_low = of(world.found, name).rank_low
        assert agreement(world.found, name)[1] > 0.5 and rank_low is not None and rank_low > 0, name


def test_a_signal_is_counted_over_all_answers_and_an_opinion_judged_over_those_who_gave_one(world) -> None:
    responses = len(world.truth.qualities)
    copied, thumbs = of(world.found, "copy"), of(world.found, "thumbs_up")
    assert copied.responses == thumbs.responses == responses
    assert copied.labelled == pytest.approx(responses / 2, rel=0.05)
    assert copied.coverage == pytest.approx(0.33, abs=0.03)
    assert thumbs.labelled == of(world.found, "thumbs_down").labelled
    assert thumbs.labelled < 0.12 * copied.labelled
    # An opinion is up or down: among those who gave one the two say the same.
    assert thumbs.auc == of(world.found, "thumbs_down").auc


def test_what_has_no_direction_or_never_came_says_so(world) -> None:
    assert of(world.found, "dwell").auc_reason == "signals.toml does not say which way it points"
    assert of(world.found, "csat").auc_reason == "no answer of the window has it"
    assert of(world.found, "csat").coverage == 0
    assert of(world.found, "csat").signal_version is None
    assert of(world.found, "star_rating").labelled > 0


def test_the_index_orders_the_answers_of_users_it_never_saw_better_than_any_signal_alone(world) -> None:
    intercept = weights(world.found)["intercept"]
    assert intercept.fitted_auc is not None and intercept.fitted_low is not None and intercept.fitted_high is not None
    assert intercept.fitted_auc > 0.85
    everyone = [row.auc for row in world.found.validity if row.coverage and row.coverage > 0.2 and row.auc is not None]
    assert len(everyone) >= 4
    assert intercept.fitted_low > max(everyone)
    assert intercept.fitted_high - intercept.fitted_low < 0.06


def test_what_an_axis_uses_follows_from_its_gain(world) -> None:
    found = weights(world.found)
    intercept = found["intercept"]
    assert intercept.gain_low is not None
    assert (intercept.method == "fitted") == (intercept.gain_low > 0)
    assert len(found) == 1 + len([row for row in world.found.validity if row.axis == "relevance"])
    if intercept.method == "fitted":
        assert abs(found["click_through"].weight) < 0.25 * found["copy"].weight


def test_with_few_labels_the_catalogs_weights_stay_and_the_reason_is_told(tmp_path) -> None:
    settings, truth = shop(tmp_path, users=60)
    lake, catalog = lake_with(settings, labels_of(truth, rate=0.04))
    found = weights(measure_signals(lake, catalog, now=NOW))
    intercept = found["intercept"]
    assert {row.method for row in found.values()} == {"catalog"}
    assert intercept.reason is not None
    assert intercept.reason.startswith(f"{intercept.labelled} labelled answers, {intercept.rarer} of the rarer outcome")
    assert intercept.fitted_auc is None and intercept.penalty is None
    assert found["copy"].weight == 1 and found["comment"].weight == 0 and intercept.weight == 0


def test_without_labels_there_is_no_number_but_every_signal_has_its_row(tmp_path) -> None:
    settings = settings_at(tmp_path)
    lake = lake_of(settings, [answer(1, at=NOW - timedelta(days=2))], now=NOW)
    catalog = load_catalog(PACKAGED_CATALOG)
    derive_signals(lake, catalog, now=NOW)
    found = measure_signals(lake, catalog, now=NOW)
    assert {row.axis for row in found.validity} == {judge.axis for judge in catalog.live_judges}
    assert all(row.auc is None and row.auc_reason for row in found.validity)
    assert of(found, "toxicity").coverage == 1
    assert weights(found)["intercept"].labelled == 0


def small(tmp_path, events, labels, *, catalog=None):
    """A few answers, what was done with them and said of them."""
    settings = settings_at(tmp_path)
    lake = lake_of(settings, [*events, *labels], now=NOW)
    catalog = catalog or load_catalog(PACKAGED_CATALOG)
    derive_signals(lake, catalog, now=NOW)
    return lake, catalog


YESTERDAY = NOW - timedelta(days=1, hours=1)


def answers(count: int, **more):
    return [answer(number, at=YESTERDAY + timedelta(seconds=number), **more) for number in range(count)]


def test_labels_of_answers_that_are_not_there_count_for_nothing(tmp_path) -> None:
    there, gone = [label(f"r{n}", 3.0) for n in range(30)], [label(f"erased{n}", 1.0) for n in range(30)]
    lake, catalog = small(tmp_path, [*answers(30), action(1, "copy", at=YESTERDAY)], [*there, *gone])
    (axis,) = read_window(lake, catalog, now=NOW).axes
    assert len(axis.label) == 30 and axis.label.min() == 3.0


def test_targeted_labels_and_those_of_other_environments_count_for_nothing(tmp_path) -> None:
    said = [label(f"r{n}", 3.0, inclusion_probability=0.5) for n in range(20)]
    targeted = [label(f"r{n}", 1.0, stream="targeted", inclusion_probability=0.5) for n in range(20, 40)]
    staging = answer("s", at=YESTERDAY, environment="staging")
    lake, catalog = small(tmp_path, [*answers(40), staging], [*said, *targeted, label("rs", 1.0)])
    window = read_window(lake, catalog, now=NOW)
    assert window.responses == 40
    (axis,) = window.axes
    assert len(axis.label) == 20 and axis.design == "audit" and set(axis.weight) == {2.0}


def test_labels_without_a_design_are_used_only_where_there_are_no_others_and_are_called_so(tmp_path) -> None:
    plain = [label(f"r{n}", 3.0, stream=None) for n in range(20, 40)]
    few = [label(f"r{n}", 1.0, inclusion_probability=0.1) for n in range(19)]
    lake, catalog = small(tmp_path / "few", answers(40), [*plain, *few])
    (axis,) = read_window(lake, catalog, now=NOW).axes
    assert axis.design == "undesigned" and len(axis.label) == 20 and set(axis.weight) == {1.0}
    one_more = label("r19", 1.0, inclusion_probability=0.1)
    lake, catalog = small(tmp_path / "enough", answers(40), [*plain, *few, one_more])
    (axis,) = read_window(lake, catalog, now=NOW).axes
    assert axis.design == "audit" and set(axis.label) == {1.0} and set(axis.weight) == {10.0}


def test_the_last_word_of_each_reviewer_counts_and_reviewers_are_averaged(tmp_path) -> None:
    first = label("r1", 1.0, at=NOW - timedelta(hours=3))
    said = [first, label("r1", 3.0), label("r1", 2.0, reviewer="bob")]
    lake, catalog = small(tmp_path, answers(3), said)
    (axis,) = read_window(lake, catalog, now=NOW).axes
    assert axis.label.tolist() == [2.5]


def test_an_axis_without_a_pass_mark_has_correlations_but_no_auc(tmp_path) -> None:
    said = [label(f"r{n}", float(n % 5), axis="charm") for n in range(60)]
    copies = [action(n, "copy", at=YESTERDAY + timedelta(minutes=5)) for n in range(60) if n % 5 > 2]
    lake, catalog = small(tmp_path, [*answers(60), *copies], said)
    found = measure_signals(lake, catalog, now=NOW)
    row = of(found, "copy", "charm")
    assert row.auc is None and row.auc_reason == "no judge file says from which score on an answer is good"
    assert row.rank_correlation is not None and row.rank_low is not None and row.rank_low > 0.7
    assert "charm" in (weights(found, "charm")["intercept"].reason or "")


def test_before_an_action_was_first_sent_its_absence_says_nothing(tmp_path) -> None:
    old = [answer(n, at=NOW - timedelta(days=5)) for n in range(100, 140)]
    copied = action(1, "copy", at=YESTERDAY + timedelta(minutes=1))
    said = [label(f"r{n}", 3.0) for n in range(20)] + [
        label(f"r{n}", 1.0, response_at=NOW - timedelta(days=5)) for n in range(100, 140)
    ]
    lake, catalog = small(tmp_path, [*answers(20), *old, copied], said)
    found = measure_signals(lake, catalog, now=NOW)
    assert of(found, "copy").labelled == 20
    assert of(found, "toxicity").labelled == 60


def test_answers_with_an_older_version_of_a_signal_are_left_out(tmp_path) -> None:
    folder = tmp_path / "catalog"
    folder.mkdir()
    for file in PACKAGED_CATALOG.rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            copy = folder / file.relative_to(PACKAGED_CATALOG)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    settings = settings_at(tmp_path / "home")
    old = [answer(n, at=NOW - timedelta(days=5)) for n in range(10)]
    copies = [action(n, "copy", at=NOW - timedelta(days=5) + timedelta(minutes=n)) for n in range(5)]
    lake = lake_of(settings, [*old, *copies], now=NOW)
    derive_signals(lake, load_catalog(folder), now=NOW)
    text = (folder / "signals.toml").read_text()
    (folder / "signals.toml").write_text(text.replace("score = 0.8", "score = 0.7"))
    changed = load_catalog(folder)
    new = [answer(n, at=YESTERDAY) for n in range(10, 20)]
    log_events(settings, [*new, action(12, "copy", at=YESTERDAY + timedelta(minutes=1))])
    log_events(settings, [label(f"r{n}", 3.0, response_at=NOW - timedelta(days=5 if n < 10 else 1)) for n in range(20)])
    ingest(settings, lake, now=NOW)
    derive_signals(lake, changed, now=NOW)
    row = of(measure_signals(lake, changed, now=NOW), "copy")
    assert row.with_signal == 1 and row.labelled == 15  # the five older copies are of another version


def test_measuring_again_on_the_same_day_replaces_and_on_the_next_day_adds(tmp_path) -> None:
    lake, catalog = small(tmp_path, answers(5), [label("r1", 3.0)])
    first = write_measured(lake, catalog, now=NOW + timedelta(hours=1))
    write_measured(lake, catalog, now=NOW + timedelta(hours=2))
    settings = settings_at(tmp_path)
    assert len(table(settings, "signal_validity")) == len(first.validity)
    assert len(table(settings, "quality_weights")) == len(first.weights)
    write_measured(lake, catalog, now=NOW + timedelta(days=1))
    assert len(table(settings, "signal_validity")) == 2 * len(first.validity)
