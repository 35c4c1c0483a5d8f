"""Write docs/corrected.md: `python -m tests.calibration.people [windows]`, 23 minutes at 4,000 on a busy machine."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np

from onlineeval_dagster.review.cells import JudgedCells, LabelledCells, corrected_rates
from onlineeval_dagster.review.label_moments import LabelMoments
from onlineeval_dagster.review.prediction_powered import Corrected, corrected_means, difference
from tests.review.label_worlds import (
    MIDDLING,
    SEES,
    celled_windows,
    graded_mean,
    graded_moments,
    sampled_windows,
    scored_moments,
    scored_windows,
)

PAGE = Path(__file__).parents[2] / "docs" / "corrected.md"
LABELS = (50, 200, 1000)
PER_LABEL = 20
_AT_ONCE = 100

HEAD = """# Judges corrected by people: how often the intervals hold the truth

Written by `python -m tests.calibration.people`. {windows:,} simulated windows a line: a coverage of 95 % has a
Monte-Carlo error of {error:.2f} points. Twenty verdicts a label, labels nested among them.

- *answered*: share of windows that got a number rather than "not enough yet"
- *coverage*: of those with a number; *wrong*: share of **all** windows whose interval misses the truth, at most 5 %
- *width*: mean width over that of labels alone, of the same windows and by the same method (a judge of one score)

## Means (`corrected_means`): PPI++; three responses a user, correlation within users .2

Theory of the width at twenty verdicts a label: sqrt(1 - .95 r^2): .87 at .5, .73 at .7, .48 at .9.
"""

GRADED = """
## Means of scores from 1 to 3, most of them 3 (`corrected_means`)

Judges as below, and to answers that people give a 2, six of ten that do not pass, with these chances: {middling}.
Three answers a user, people's word correlated by .2 within users. Skew bends the interval (review/skewed); with fewer
than five labels of the rarer kind, counted by the skew of the labels, there is no number, and intervals of windows that
are seldom answered know that five were seen. {windows:,} windows a line: Monte-Carlo error {error:.2f} points where all
are answered. *difference*: of two such windows; *borrowed*: a window of a tenth of the verdicts with these labels.
Before, with Student's limits and 50 labels, 92 % held at .85 and 88 % at .92, with 200 at .92 93 %. Two numbers were
chosen by worlds of this kind, with other seeds: the least chance of an answer (.15), and four degrees of freedom a
label of the rarer kind.
"""

RATES = """
## Pass rates (`corrected_rates`): a Beta posterior per judge score

Judges give 1, 2, 3 to answers that people do not pass, and to those they do, with these chances: {judges}.
Fewer than five labels of the rarer kind get no number. Where five are more than are expected, windows with an answer
are those that saw too many failures; the interval knows that (it is divided by the chance of an answer, by a fifth at
least) and holds there too, if anything above its level: without that 88 to 91 % of such windows held. Where fewer than
one in twenty has an answer, *coverage* is left out, and *wrong* says how many of all windows mislead. {windows:,}
windows a line, independent answers: Monte-Carlo error {error:.2f} points. *difference*: of two such windows.
"""

SAMPLED = """
## Pass rates, weighted and clustered

The same, as the product has them: three answers a user, people's word correlated by .2 within users; one answer in ten
is flagged, fails three times as often and is always judged, of the others a third; of all answers the same share is
labelled. Five verdicts a label; {windows:,} windows a line, Monte-Carlo error {error:.2f} points. *flagged twice*: the
flagged are labelled twice as often, so that labels have weights as well.
"""

RATES_AT, FEW = (0.85, 0.92, 0.98), 0.05
GRADED_TIMES = 2
INDEPENDENT = 10
"""Times as many windows of independent answers, which are drawn as counts; half as many of weighted ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLine:
    """One line: shares of windows, mean width over that of labels alone. `coverage`: NaN where few have an answer."""

    labels: int
    rate: float
    judge: str
    answered: float
    coverage: float
    wrong: float
    width: float
    difference: float = np.nan
    borrowed: float = np.nan


def main(windows: int) -> None:
    """Simulate, and write the page."""
    lines = [HEAD.format(windows=windows, error=_error(windows))]
    lines += _table(["labels", "correlation", "answered", "coverage", "width", "lambda"], _means(windows))
    lines += ["", "Differences of two such windows, and a day of 400 verdicts that borrows the labels of a month:", ""]
    lines += _table(["labels", "correlation", "difference: coverage", "borrowed: coverage"], _others(windows))
    heads = ["labels", "pass rate", "judge", "answered", "coverage", "wrong", "width"]
    middling = "; ".join(f"{name} {chances}" for name, chances in MIDDLING.items())
    graded = windows * GRADED_TIMES
    lines += [GRADED.format(middling=middling, windows=graded, error=_error(graded))]
    lines += _table([*heads, "difference", "borrowed"], map(_graded_cells, graded_lines(graded)))
    lines += ["", "Weighted: one answer in ten is flagged, as below; five verdicts a label.", ""]
    lines += _table([*heads, "difference", "borrowed"], map(_graded_cells, graded_lines(graded, is_sampled=True)))
    judges = "; ".join(f"{name} {bad} and {good}" for name, (bad, good) in SEES.items())
    many = windows * INDEPENDENT
    lines += [RATES.format(judges=judges, windows=many, error=_error(many))]
    lines += _table([*heads, "difference"], (_cells(line, with_difference=True) for line in rate_lines(many)))
    some = windows // 2
    lines += [SAMPLED.format(windows=some, error=_error(some))]
    lines += _table(heads, map(_cells, sampled_lines(some)))
    lines += ["", "Flagged twice:", ""]
    lines += _table(heads, map(_cells, sampled_lines(some, flagged_labels=2.0)))
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _error(windows: int) -> float:
    return 100 * float((0.95 * 0.05 / windows) ** 0.5)


def _means(windows: int) -> Iterator[list[str]]:
    for labels, correlation in product(LABELS, (0.0, 0.5, 0.7, 0.9)):
        rng, told = np.random.default_rng([labels, int(10 * correlation)]), []
        for size in _pieces(windows):
            world = {"judged": PER_LABEL * labels, "labels": labels, "correlation": correlation}
            totals, window, counts = scored_windows(rng, size, **world)  # type: ignore[arg-type]
            found = corrected_means(LabelMoments.of_users(totals, window, labels=counts, groups=size))
            totals[:, [1, 4]] = 0
            alone = corrected_means(LabelMoments.of_users(totals, window, labels=counts, groups=size))
            told.append(
                (found.answered, _holds(found, 0), (found.high - found.low) / (alone.high - alone.low), found.power)
            )
        answered, holds, width, power = (np.concatenate(column) for column in zip(*told, strict=True))
        yield [
            *(f"{labels:,}", f"{correlation:.1f}", _percent(answered.mean()), _percent(holds[answered].mean())),
            *(f"{width[answered].mean():.3f}", f"{power[answered].mean():.2f}"),
        ]


def _others(windows: int) -> Iterator[list[str]]:
    for labels, correlation in product((50, 200), (0.5, 0.9)):
        rng, told = np.random.default_rng([labels, int(10 * correlation), 1]), []
        for size in _pieces(windows):
            first, second = (
                scored_moments(rng, size, judged=PER_LABEL * labels, labels=labels, correlation=correlation)
                for _ in "12"
            )
            day = scored_moments(rng, size, judged=400, labels=1, correlation=correlation)
            gap = difference(corrected_means(first), corrected_means(second))
            told.append([_holds(gap, 0), gap.answered, *_held(corrected_means(day, borrowed=first), 0)])
        gaps, answered, borrowed, lent = (np.concatenate(column) for column in zip(*told, strict=True))
        yield [f"{labels}", f"{correlation:.1f}", _percent(gaps[answered].mean()), _percent(borrowed[lent].mean())]


def graded_lines(windows: int, *, is_sampled: bool = False, seed: int = 0) -> Iterator[RateLine]:
    """Mean scores of users who come again; half of the windows less the other half are the differences."""
    for labels, rate, judge in product(LABELS, RATES_AT, SEES):
        rng, told = np.random.default_rng([labels, int(100 * rate), len(judge), seed, 3]), []
        world = {"rate": rate, "judge": judge, "is_sampled": is_sampled}
        judged, truth = labels * (5 if is_sampled else PER_LABEL), graded_mean(rate)
        for size in _pieces(windows):
            moments = graded_moments(rng, size, judged=judged, labels=labels, **world)
            found, alone = corrected_means(moments), corrected_means(_without_judge(moments))
            first, second = (corrected_means(moments.take(np.arange(size)[part::2][: size // 2])) for part in (0, 1))
            gap = difference(first, second)
            day = graded_moments(rng, size, judged=judged // 10, labels=1, **world)
            lent = corrected_means(day, borrowed=moments)
            of_pairs = [np.resize(column, size) for column in (gap.answered, _holds(gap, 0))]
            told.append([*_seen(found, alone, truth), *of_pairs, *_held(lent, truth)])
        *seen, both, held, borrowed, lends = (np.concatenate(column) for column in zip(*told, strict=True))
        yield replace(
            _line(labels, rate, judge, *seen), difference=_share(held, both), borrowed=_share(borrowed, lends)
        )


def _without_judge(moments: LabelMoments) -> LabelMoments:
    """The same windows, had the judge said the same of all."""
    seen = np.array([1.0, 0.0, 1.0, 1.0, 0.0])
    pair = seen[:, None] * seen
    return replace(
        moments,
        sums=moments.sums * seen,
        products=moments.products * pair,
        cubes=moments.cubes * pair[:, :, None] * seen,
    )


def rate_lines(windows: int, *, seed: int = 0) -> Iterator[RateLine]:
    """Independent answers, everything judged with the same chance."""
    for labels, rate, judge in product(LABELS, RATES_AT, SEES):
        rng, told = np.random.default_rng([labels, int(100 * rate), len(judge), seed]), []
        world = {"judged": PER_LABEL * labels, "labels": labels, "rate": rate, "judge": judge}
        for size in _pieces(windows, 2_000):
            judged, labelled = celled_windows(rng, size, **world)  # type: ignore[arg-type]
            found = corrected_rates(judged, labelled)
            gap = difference(found, corrected_rates(*celled_windows(rng, size, **world)))  # type: ignore[arg-type]
            alone = corrected_rates(*_one_score(judged, labelled))
            told.append([*_seen(found, alone, rate), gap.answered, _holds(gap, 0)])
        *seen, both, held = (np.concatenate(column) for column in zip(*told, strict=True))
        line = _line(labels, rate, judge, *seen)
        yield replace(line, difference=_share(held, both))


def sampled_lines(windows: int, *, flagged_labels: float = 1.0, seed: int = 0) -> Iterator[RateLine]:
    """Weighted and clustered answers, five verdicts a label."""
    for labels, rate, judge in product(LABELS, RATES_AT, ("good", "useless")):
        rng, told = np.random.default_rng([labels, int(100 * rate), len(judge), seed]), []
        world = {"judged": 5 * labels, "labels": labels, "rate": rate, "judge": judge, "flagged_labels": flagged_labels}
        for size in _pieces(windows, _AT_ONCE):
            judged, labelled, _ = sampled_windows(rng, size, **world)  # type: ignore[arg-type]
            told.append(_seen(corrected_rates(judged, labelled), corrected_rates(*_one_score(judged, labelled)), rate))
        yield _line(labels, rate, judge, *(np.concatenate(column) for column in zip(*told, strict=True)))


def _seen(found: Corrected, alone: Corrected, truth: float) -> list[np.ndarray]:
    return [found.answered, _holds(found, truth), (found.high - found.low) / (alone.high - alone.low)]


def _share(holds: np.ndarray, answered: np.ndarray) -> float:
    """Of those with a number; NaN where they are few."""
    return float(holds[answered].mean()) if answered.mean() > FEW else np.nan


def _line(labels: int, rate: float, judge: str, answered: np.ndarray, holds: np.ndarray, width: np.ndarray) -> RateLine:
    few = answered.mean() < FEW  # too few intervals to say how often such ones hold
    return RateLine(
        labels=labels,
        rate=rate,
        judge=judge,
        answered=float(answered.mean()),
        coverage=np.nan if few else float(holds[answered].mean()),
        wrong=float((answered & ~holds).mean()),
        width=np.nan if few else float(width[answered].mean()),
    )


def _cells(line: RateLine, *, with_difference: bool = False) -> list[str]:
    told = [f"{line.labels:,}", f"{line.rate:.2f}", line.judge, _percent(line.answered), _percent(line.coverage)]
    told += [_percent(line.wrong), "" if np.isnan(line.width) else f"{line.width:.2f}"]
    return [*told, _percent(line.difference)] if with_difference else told


def _graded_cells(line: RateLine) -> list[str]:
    return [*_cells(line, with_difference=True), _percent(line.borrowed)]


def _one_score(judged: JudgedCells, labelled: LabelledCells) -> tuple[JudgedCells, LabelledCells]:
    """The same windows, had the judge given one score to all."""
    size = labelled.size.sum(axis=1, keepdims=True)
    rate = (labelled.rate * labelled.size).sum(axis=1, keepdims=True) / size
    return (
        replace(judged, share=np.ones_like(size)),
        replace(labelled, rate=rate, size=size),
    )


def _holds(found: Corrected, truth: float) -> np.ndarray:
    return (found.low <= truth) & (found.high >= truth)


def _held(found: Corrected, truth: float) -> list[np.ndarray]:
    return [_holds(found, truth), found.answered]


def _pieces(windows: int, at_once: int = _AT_ONCE) -> list[int]:
    return [min(at_once, windows - start) for start in range(0, windows, at_once)]


def _percent(share: float) -> str:
    return "" if np.isnan(share) else f"{100 * share:.1f}"


def _table(heads: list[str], rows: Iterable[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "|".join(" --- " for _ in heads) + "|"
    yield from ("| " + " | ".join(row) + " |" for row in rows)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000)
