"""What signals are worth on labelled answers: known truth, and a team's own file."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from onlineeval_dagster.catalog.load import load_catalog
from onlineeval_dagster.cli import app
from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.errors import SourceError
from onlineeval_dagster.settings import PACKAGED_CATALOG
from onlineeval_dagster.signals.detectors.interface import NO_REASON, Detector, found
from onlineeval_dagster.signals.detectors.registry import DETECTORS
from onlineeval_dagster.signals.evaluate import (
    ALIKE,
    AUC,
    LENGTH,
    OVERLAP,
    RANKS,
    Labelled,
    Observed,
    Truth,
    baselines,
    evaluate,
    length_strata,
)
from onlineeval_dagster.signals.labelled import own_set
from onlineeval_dagster.signals.replay import behaviour_of
from onlineeval_dagster.signals.shown import as_json, cells, markdown

CATALOG = load_catalog(PACKAGED_CATALOG)


def detector(name="shouting", *, better="low", needs=("response",), raw=lambda text: pc.utf8_length(text)):
    """One whose raw value is known: the length of the answer, null where it is empty."""

    def score(batch):
        text = batch.column("response")
        value = pc.if_else(pc.equal(text, ""), None, pc.cast(raw(text), pa.float64()))
        flagged = pc.fill_null(pc.greater(value, 15), False)
        return found(batch, flagged=flagged, score=-1.0, reason=pc.if_else(flagged, "long", NO_REASON), raw_value=value)

    return Detector(name=name, version="1", cost_us=1.0, cannot_see="the rest", needs=needs, better=better, score=score)


def labelled(answers, bad, *, observed=(), detectors=None, **more):
    table = pa.table({"response_id": [str(at) for at in range(len(answers))], "response": answers})
    truth = Truth(against="the test", bad=np.array(bad), **more)
    return Labelled(data="made up", table=table, truths=(truth,), detectors=detectors, observed=observed)


LONG, SHORT = ["a" * length for length in range(11, 31)], ["a" * length for length in range(1, 21)]
TWENTY_OF_EACH = labelled(LONG + SHORT, [True] * 20 + [False] * 20)


def of(rows, signal, measure=AUC):
    (row,) = [row for row in rows if (row.signal, row.measure) == (signal, measure)]
    return row


def test_an_auc_is_the_chance_that_a_bad_answer_scores_above_a_good_one():
    row = of(evaluate(TWENTY_OF_EACH, {"shouting": detector()}), "shouting")
    pairs = [(long > short) + (long == short) / 2 for long in range(11, 31) for short in range(1, 21)]
    assert isinstance(row.value, Estimate)
    assert row.value.value == pytest.approx(np.mean(pairs))
    assert row.value.low < row.value.value < row.value.high
    assert (row.n, row.positives, row.coverage) == (40, 20, 1.0)


def test_flags_are_counted_among_all_and_among_the_bad():
    row = of(evaluate(TWENTY_OF_EACH, {"shouting": detector()}), "shouting")
    assert (row.flagged, row.flagged_of_bad) == ((15 + 5) / 40, 15 / 20)


def test_a_detector_whose_high_values_praise_is_turned_round():
    low = of(evaluate(TWENTY_OF_EACH, {"x": detector()}), "shouting").value
    high = of(evaluate(TWENTY_OF_EACH, {"x": detector(better="high")}), "shouting").value
    assert isinstance(low, Estimate) and isinstance(high, Estimate)
    assert high.value == pytest.approx(1 - low.value)


def test_answers_of_which_a_signal_cannot_tell_lower_its_coverage_and_do_not_enter_its_value():
    whole = evaluate(TWENTY_OF_EACH, {"x": detector()})
    holes = labelled(LONG + SHORT + [""] * 10, [True] * 20 + [False] * 20 + [True] * 10)
    row = of(evaluate(holes, {"x": detector()}), "shouting")
    assert row.coverage == pytest.approx(0.8)
    assert row.positives == 30
    assert row.value == of(whole, "shouting").value


@pytest.mark.parametrize(
    ("answers", "reason"),
    [([""] * 40, "can tell of no answer here"), (["aaaa"] * 40, "says the same of all answers")],
)
def test_a_signal_that_says_nothing_gets_a_reason_and_no_half(answers, reason):
    value = of(evaluate(labelled(answers, [True] * 20 + [False] * 20), {"x": detector()}), "shouting").value
    assert isinstance(value, NotEnough)
    assert reason in value.reason


def test_rows_that_nobody_labelled_are_left_out():
    known = np.array([True] * 40 + [False] * 5)
    more = labelled(LONG + SHORT + ["a" * 99] * 5, [True] * 20 + [False] * 25, known=known)
    row = of(evaluate(more, {"x": detector()}), "shouting")
    assert row == of(evaluate(TWENTY_OF_EACH, {"x": detector()}), "shouting")


def test_a_set_names_its_detectors_and_without_names_every_registered_one_appears():
    registry = {"one": detector("one"), "two": detector("two")}
    assert {row.signal for row in evaluate(TWENTY_OF_EACH, registry)} == {"one", "two"}
    named = labelled(LONG + SHORT, [True] * 20 + [False] * 20, detectors=("two", "not written yet"))
    assert {row.signal for row in evaluate(named, registry)} == {"two"}


def test_a_column_that_a_detector_needs_and_the_set_lacks_is_null():
    row = of(evaluate(TWENTY_OF_EACH, {"x": detector(needs=("response", "context", "latency_ms"))}), "shouting")
    assert isinstance(row.value, Estimate)


def test_a_score_that_only_knows_the_length_is_worth_nothing_among_answers_alike_in_length():
    rng = np.random.default_rng(7)
    bad = rng.random(3000) < 0.5
    length = np.where(bad, rng.integers(40, 90, 3000), rng.integers(20, 70, 3000))
    knows = bad + rng.normal(0, 1, 3000)
    table = pa.table({"response_id": [str(at) for at in range(3000)], "response": ["x" * size for size in length]})
    truth = Truth(against="the test", bad=bad, strata=length_strata(table))
    observed = (*baselines(table), Observed(name="knows", value=knows))
    rows = evaluate(Labelled(data="d", table=table, truths=(truth,), observed=observed), {})
    plain, alike = (of(rows, LENGTH, measure).value for measure in (AUC, ALIKE))
    assert isinstance(plain, Estimate) and isinstance(alike, Estimate)
    assert plain.value > 0.75
    assert alike.value == pytest.approx(0.5, abs=0.05)
    honest = of(rows, "knows", ALIKE).value
    assert isinstance(honest, Estimate)
    assert honest.value == pytest.approx(0.76, abs=0.03)  # of two normals one deviation apart: Phi(1 / sqrt 2)


def test_word_overlap_is_the_share_of_the_answers_words_that_the_other_text_has():
    table = pa.table(
        {"response": ["The red fox!", "Über alles", "", "fox"], "context": ["a RED, fox", "über", "x", None]}
    )
    value = -baselines(table, against="context")[0].value
    assert value[:2].tolist() == [pytest.approx(2 / 3), 0.5]
    assert np.isnan(value[2:]).all()


def test_replayed_dialogs_get_the_signals_that_the_pipeline_would_give_them():
    dialogs = [7, 7, 7, 9, 9]
    questions = ["Where is my parcel?", "where is my parcel", "That is wrong.", "Hello there", "And the weather?"]
    observed = {signal.name: signal.value for signal in behaviour_of(dialogs, questions, CATALOG)}
    nan = float("nan")
    assert observed["retry"].tolist() == pytest.approx([1, 0, nan, 0, nan], nan_ok=True)
    assert observed["correction"].tolist() == pytest.approx([0, 1, nan, 0, nan], nan_ok=True)
    assert observed["abandonment"].astype(bool).tolist() == [False, False, True, False, True]


def own_file(folder, **columns):
    file = folder / "labelled.parquet"
    pq.write_table(pa.table(columns), file)
    return file


ANSWERS = {"response": ["I'm sorry, but I can't help with that."] * 15 + ["Your parcel comes on Monday at ten."] * 25}


def run(*arguments):
    return CliRunner().invoke(app, ["signals", "evaluate", *map(str, arguments)], catch_exceptions=True)


def test_a_team_measures_every_detector_on_its_own_answers(tmp_path):
    file = own_file(tmp_path, **ANSWERS, query=["Where?"] * 40, label=[True] * 15 + [False] * 25, id=[1] * 40)
    done = run("--file", file, "--label", "label", "--json")
    assert done.exit_code == 0, done.output
    rows = {(row["signal"], row["measure"]): row for row in json.loads(done.output)}
    assert set(DETECTORS) <= {signal for signal, _ in rows}
    assert rows["refusal_or_empty", AUC]["value"] == 1.0
    assert rows["refusal_or_empty", AUC]["low"] < 1.0
    assert (rows["refusal_or_empty", AUC]["n"], rows["refusal_or_empty", AUC]["positives"]) == (40, 15)
    assert rows[OVERLAP, AUC]["baseline"]
    shown = run("--file", file, "--label", "label")
    assert "labelled.parquet: label is true (15 of 40)" in shown.output


@pytest.mark.parametrize(
    ("label", "good_from", "bad"),
    [
        ([1] * 15 + [0] * 25, None, 15),
        ([1.0] * 15 + [3.0] * 20 + [2.0] * 5, 3, 20),
        ([1] * 12 + [None] * 3 + [0] * 25, None, 12),
        ([1] * 12 + [None] * 3 + [3] * 25, 2, 12),
    ],
)
def test_a_label_is_a_truth_value_or_a_score_with_a_bound_and_null_says_nothing(tmp_path, label, good_from, bad):
    own = own_set(own_file(tmp_path, **ANSWERS, label=label), label="label", good_from=good_from)
    row = of(evaluate(own, DETECTORS), "refusal_or_empty")
    assert (row.n, row.positives) == (sum(value is not None for value in label), bad)
    graded = [row for row in evaluate(own, DETECTORS) if row.measure == RANKS]
    assert bool(graded) == (good_from is not None)


@pytest.mark.parametrize(
    ("columns", "label", "said"),
    [
        (ANSWERS | {"label": ["yes"] * 40}, "label", r"--label label is string; it has to be true or false"),
        (ANSWERS | {"label": [1, 2] * 20}, "label", r"holds 2, neither 0 nor 1; .*--good-from"),
        (ANSWERS | {"label": [True] * 40}, "lable", r"no column 'lable'; it has response, label"),
        ({"answer": ["x"], "label": [True]}, "label", r"no column 'response'; it has answer, label"),
        (ANSWERS | {"latency_ms": ["slow"] * 40, "label": [True] * 40}, "label", r"latency_ms is string .* double"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_place_value_and_remedy(tmp_path, columns, label, said):
    with pytest.raises(SourceError, match=said):
        own_set(own_file(tmp_path, **columns), label=label)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "no labelled data is named; give --data FOLDER"),
        (("--data", "/nowhere"), "/nowhere/toxicity/openai_moderation.parquet is not there"),
        (("--file", "x.parquet"), "--label COLUMN is missing"),
        (("--label", "bad"), "--file FILE is missing"),
        (("--file", "x.parquet", "--label", "bad"), "x.parquet is not there"),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(monkeypatch, arguments, said):
    monkeypatch.delenv("ONLINEEVAL_LABELLED_DATA", raising=False)
    done = run(*arguments)
    assert isinstance(done.exception, SourceError)
    assert said in str(done.exception)


def test_a_file_that_is_no_parquet_is_named(tmp_path):
    (tmp_path / "x.parquet").write_text("hello")
    with pytest.raises(SourceError, match=r"x\.parquet cannot be read as Parquet"):
        own_set(tmp_path / "x.parquet", label="label")


def test_table_and_json_say_the_same():
    rows = evaluate(TWENTY_OF_EACH, {"x": detector()})
    (told,) = as_json(rows)
    assert f"{told['value']:.3f} ({told['low']:.3f} to {told['high']:.3f})" == cells(rows[0])[-1]
    assert markdown(rows).count("\n") == 3
    assert "can tell of no answer" in cells(evaluate(labelled([""] * 40, [True] * 40), {"x": detector()})[0])[-1]
