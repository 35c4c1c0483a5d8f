"""What signals are worth on labelled answers: each against what people said, with baselines beside. Pure."""

# pyarrow.compute makes its functions when it is imported, where no type checker sees them.
# pyright: reportAttributeAccessIssue=false

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from onlineeval_dagster.contracts.estimates import Estimate, NotEnough
from onlineeval_dagster.signals.agreement import (
    NEEDED_OF_A_KIND,
    NEEDED_PAIRS,
    auc,
    rank_correlation,
    stratified_auc,
)
from onlineeval_dagster.signals.detectors.interface import COLUMNS, Detector, text_of

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Measure = str

AUC: Measure = "AUC"
ALIKE: Measure = "AUC, alike in length"
RANKS: Measure = "rank correlation"

LENGTH, OVERLAP = "answer length", "word overlap"

# Answers whose lengths differ by less than 10 % or so are compared with each other. With strata of 20 % the length
# alone still reaches .62 on halueval_qa, with these .50: the width was chosen on the length, on no signal.
LENGTH_RATIO = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """One signal on some answers. `value`: higher speaks worse of the answer, NaN where it cannot tell."""

    name: str
    value: Floats
    flagged: Bools | None = None
    baseline: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What is known of the same answers.

    against   who said what: "people: hallucinated"
    bad       True where the answer is bad
    known     False where nobody said; such rows are left out
    goodness  a graded score where there is one, higher is better: for the rank correlation
    clusters  an id a row of what belongs together: a dialog, a question
    strata    an id a row; only rows of one stratum are compared (measure ALIKE)
    """

    against: str
    bad: Bools
    known: Bools | None = None
    goodness: Floats | None = None
    clusters: NDArray | None = None
    strata: NDArray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Labelled:
    """A set of labelled answers: `table` has `response_id` and some of detectors' COLUMNS.

    detectors  names of those that are meaningful here, whether they exist or not; None: all there are
    observed   signals that are no detectors', and baselines
    note       what a reader must know of the set
    """

    data: str
    table: pa.Table
    truths: tuple[Truth, ...]
    detectors: tuple[str, ...] | None = None
    observed: tuple[Observed, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Worth:
    """One signal against one truth by one measure.

    n, positives     labelled answers, and the bad ones among them
    coverage         share of them that the signal could tell something of, in [0, 1]
    flagged          share of them that it flags; of the bad ones; None for baselines
    value            the measure over those it could tell something of. An AUC above .5 means that the signal speaks
                     worse of bad answers; a rank correlation above 0 that it speaks better of good ones
    """

    data: str
    signal: str
    against: str
    measure: Measure
    n: int
    positives: int
    coverage: float
    flagged: float | None
    flagged_of_bad: float | None
    value: Estimate | NotEnough
    baseline: bool = False


def evaluate(labelled: Labelled, detectors: Mapping[str, Detector]) -> list[Worth]:
    """A row for each signal of the set, truth and measure that there is; baselines last."""
    names = labelled.detectors if labelled.detectors is not None else tuple(detectors)
    signals = [detected(detectors[name], labelled.table) for name in names if name in detectors]
    ordered = sorted((*signals, *labelled.observed), key=lambda signal: signal.baseline)
    return [row for truth in labelled.truths for signal in ordered for row in _rows(labelled, signal, truth)]


def detected(detector: Detector, table: pa.Table) -> Observed:
    """A detector's verdict on the answers of `table`; columns that it needs and that are not there are null."""
    count = table.num_rows
    columns = {"response_id": table.column("response_id")} | {
        name: table.column(name).cast(COLUMNS.field(name).type)
        if name in table.column_names
        else pa.nulls(count, COLUMNS.field(name).type)
        for name in detector.needs
    }
    found = detector.score(pa.table(columns))
    value = found.column("raw_value").to_numpy(zero_copy_only=False).astype(np.float64)
    flagged = found.column("flagged").to_numpy(zero_copy_only=False).astype(np.bool_)
    return Observed(name=detector.name, value=value if detector.better == "low" else -value, flagged=flagged)


def baselines(table: pa.Table, *, against: str | None = None) -> tuple[Observed, ...]:
    """What every signal has to beat: the answer's length, and the share of its words in the column `against`."""
    length = pc.utf8_length(text_of(table)).to_numpy().astype(np.float64)
    found = (Observed(name=LENGTH, value=length, baseline=True),)
    if against is None:
        return found
    return (Observed(name=OVERLAP, value=-_word_overlap(table, against), baseline=True), *found)


def length_strata(table: pa.Table) -> NDArray:
    """Answers of about the same length have the same number."""
    length = np.maximum(pc.utf8_length(text_of(table)).to_numpy(), 1)
    return np.floor(np.log(length) / np.log(LENGTH_RATIO)).astype(np.int64)


def _word_overlap(table: pa.Table, against: str) -> Floats:
    """Share of the answer's words that stand in the other text; NaN where one of them has none."""
    texts = (
        pc.split_pattern_regex(pc.utf8_lower(text_of(table, name)).combine_chunks(), r"[^\pL\pN]+").to_pylist()
        for name in ("response", against)
    )
    return np.array([_share(set(answer) - {""}, set(other) - {""}) for answer, other in zip(*texts, strict=True)])


def _share(words: set[str], others: set[str]) -> float:
    return len(words & others) / len(words) if words and others else float("nan")


def _rows(labelled: Labelled, signal: Observed, truth: Truth) -> Iterator[Worth]:
    known = np.ones(len(truth.bad), dtype=np.bool_) if truth.known is None else truth.known
    tells = known & ~np.isnan(signal.value)
    count, bad = int(known.sum()), truth.bad & known
    for measure, value in _measured(signal, truth, tells):
        yield Worth(
            data=labelled.data,
            signal=signal.name,
            against=truth.against,
            measure=measure,
            n=count,
            positives=int(bad.sum()),
            coverage=float(tells.sum() / count) if count else 0.0,
            flagged=None if signal.flagged is None else _mean(signal.flagged[known]),
            flagged_of_bad=None if signal.flagged is None else _mean(signal.flagged[bad]),
            value=value,
            baseline=signal.baseline,
        )


def _measured(signal: Observed, truth: Truth, tells: Bools) -> Iterator[tuple[Measure, Estimate | NotEnough]]:
    value, bad = signal.value[tells], truth.bad[tells]
    clusters = None if truth.clusters is None else truth.clusters[tells]
    shortage = _shortage(value)
    yield AUC, shortage or auc(value, bad, clusters=clusters)
    if truth.strata is not None:
        yield ALIKE, shortage or stratified_auc(value, bad, truth.strata[tells])
    if truth.goodness is not None and not signal.baseline:
        short = shortage and shortage.model_copy(update={"needed": max(shortage.needed, NEEDED_PAIRS)})
        yield RANKS, short or rank_correlation(-value, truth.goodness[tells], clusters=clusters)


def _shortage(value: Floats) -> NotEnough | None:
    if not len(value):
        return NotEnough(have=0, needed=2 * NEEDED_OF_A_KIND, reason="the signal can tell of no answer here")
    if np.ptp(value) == 0:
        return NotEnough(have=1, needed=2, reason="the signal says the same of all answers")
    return None


def _mean(flags: Bools) -> float | None:
    return float(flags.mean()) if len(flags) else None
