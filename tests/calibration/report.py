"""Write docs/calibration.md: `python -m tests.calibration.report [windows]`, some five minutes at 10,000 windows."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from onlineeval_dagster.catalog.sampling_file import Stratum
from onlineeval_dagster.metrics.estimates import Estimates
from tests.calibration import agreement
from tests.calibration.coverage import (
    FLAGGED_PASS_RATES,
    JUDGED,
    SIZES,
    Coverage,
    coverages,
    difference_coverage,
    scenarios,
)
from tests.calibration.selections import day_estimates, late_flags
from tests.calibration.traffic import Traffic

PAGE = Path(__file__).parents[2] / "docs" / "calibration.md"

HEAD = """# Calibration: how often the intervals hold the truth

Written by `python -m tests.calibration.report`; the tests marked slow (`make calibration`) hold such numbers to their
bands. {windows:,} simulated windows a line: a coverage of 95 % has a Monte-Carlo error of {error:.2f} points.

The traffic: users with a latent quality of their own (intra-class correlation .2, and .1 more within sessions) who ask
unequally often; 5 % of the responses are flagged and pass less often, more of them with unhappy users; the flagged are
always judged, of the others the share given under *judged* (`all`: one stratum, no sampling). 52 users send 130
responses an hour, 240 send 600, 400 send 1,000; 800 send 3,200 a day (tests/calibration/traffic.py).

- *answered*: share of windows that got a number rather than "not enough yet"; the rest of a line is about these
- *coverage*: share of intervals that hold the truth; *too low*, *too high*: that lie wholly below, above it
- *width*: mean, in points (rates) or in the score's unit; *n_eff*: median n of independent responses as good as this
- *unweighted Wald* ignores strata and users, *weighted Wald* knows the strata but not the users
"""

RATES = """
## Rates, the product's quality (`estimate_rates`)

Band wanted: 94-96 %, and 93-97 % below 100 effective.
"""

FALLS_SHORT = """
Four lines with 100 effective or more leave the band, all upwards (96.3 to 97.2), and for one reason: fewer than 5
failures are expected among the judged normal responses (or among all). Their count is too coarse there for any interval
to be exact, and Wilson's errs by a low end that is too low. So nearly all of its misses lie below the truth: read
one-sided, "it got worse" errs in up to 6 % at such sizes, not in 2.5 %. `limits=jeffreys` is up to a quarter narrower
there and more even, but covers up to 98 %; it is an argument, not the default. For the same reason differences between
two windows with few failures cover up to 99.5 %: both ends are long on the same side.
"""

WINDOWS = """
## Rates, this window's responses (`estimand="window"`)

With all judged the interval is the number itself, exactly, and says nothing of the product's quality: not listed.
"""

MEANS = """
## Means of a score from 1 to 3 (`estimate_means`)

Coverage and width are those of an estimate that is told the scale ends at 1 and 3 (`bounds`); *by t* is not told.
"""

DIFFERENCES = """
## Differences, after minus before (`difference`)

Two independent windows of the size given; the pass rate goes from *before* to *after*. n_eff is that of *after*.
"""

HEAVY = """
## Rates, under worse clustering than assumed

Everything judged, and 10 % judged. *heavy* users: 4, 8 or 20 responses each on average, most of them by few.
The weakest point is a day owned by a handful of users with few failures: 100 users, 98 % pass, all judged.
"""

SELECTIONS = """
## What is selected: late flags, bottom-k

3,200 answers a day, 5 % of them flagged sooner or later; these are judged at 100 %, the rest at 5 %. A flag that comes
after the decision opens a targeted selection, which is in no estimate. *lent*: what those verdicts would do to the mean
if they were counted with their present chance of 1 beside weights that are stale. *bias* in points, with its
Monte-Carlo error; {days:,} days a line. Sizes and floors are drawn in four windows a day; see
tests/calibration/selections.py.
"""

AGREEMENT = """
## Agreement of a signal with people (`signals/agreement.py`)

{samples:,} samples a line: a coverage of 95 % has a Monte-Carlo error of {error:.2f} points. *true*: the AUC; *share*:
of the *rows*, those that are positive; *answered*: with ten of each kind, or ten users with some. Where few rows of
the rarer kind are misplaced the limits are wide rather than wrong: DeLong's on the logit scale cover 88 % of *positives
vary more* at .95 with 12 of 80 positive.
"""

CORRELATIONS = """
Rank correlations of a score with three marks; *users*: rows a user, who is alike in both (0: every row its own).
"""

HEAVY_TRAFFIC = {
    "800 users, 4 each, correlation .5": Traffic(users=800, sessions_per_user=1.6, user_share=0.5),
    "400 users, 8 each": Traffic(users=400, sessions_per_user=3.2),
    "400 users, 8 each, correlation .5": Traffic(users=400, sessions_per_user=3.2, user_share=0.5),
    "100 users, 20 each": Traffic(users=100, sessions_per_user=8),
}


def main(windows: int) -> None:
    """Simulate, and write the page."""
    lines = [HEAD.format(windows=windows, error=100 * (0.95 * 0.05 / windows) ** 0.5), *_rates(windows)]
    lines += [*_means(windows), *_differences(windows), *_heavy(windows), *_selections(windows)]
    lines += _agreement(windows // 5)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(line.rstrip("\n") for line in lines) + "\n", encoding="utf-8")


def _rates(windows: int) -> Iterator[str]:
    found = [
        (
            (size, judged, f"{traffic.pass_rate:.2f}"),
            coverages(traffic, ("product", "product, Jeffreys", "window"), windows=windows),
        )
        for size, judged, traffic in scenarios()
    ]
    naive = ("unweighted Wald", "weighted Wald")
    yield RATES
    yield from _table(
        ["responses", "judged", "pass rate", *_COLUMNS, *naive, "Jeffreys", "its width"],
        (
            [
                *(*key, *_cells(of["product"]), *(_percent(of[name].covered) for name in naive)),
                *(_percent(of["product, Jeffreys"].covered), _points(of["product, Jeffreys"].width)),
            ]
            if of["product"].answered >= 0.01
            else [*key, *_cells(of["product"]), *("" for _ in (*naive, "Jeffreys", "its width"))]
            for key, of in found
        ),
    )
    yield FALLS_SHORT
    yield WINDOWS
    yield from _table(
        ["responses", "judged", "pass rate", *_COLUMNS],
        ([*key, *_cells(of["window"])] for key, of in found if key[1] != "all" and of["window"].answered >= 0.01),
    )


def _means(windows: int) -> Iterator[str]:
    yield MEANS
    rows = []
    for size, (judged, rate), passing in product(("1,000 an hour", "3,200 a day"), JUDGED.items(), (0.85, 0.95)):
        traffic = replace(
            SIZES[size], pass_rate=passing, flagged_pass_rate=FLAGGED_PASS_RATES[passing], judged_rate=rate
        )
        of = coverages(traffic, ("score in bounds", "score by t"), windows=windows, scores=True)
        by_t = of["score by t"]
        rows.append(
            [
                *(size, judged, f"{passing:.2f}", *_cells(of["score in bounds"], width=3)),
                *(_percent(by_t.covered), f"{by_t.width:.3f}", _percent(of["unweighted Wald"].covered)),
            ]
        )
    yield from _table(["responses", "judged", "share of 3s", *_COLUMNS, "by t", "its width", "unweighted Wald"], rows)


def _differences(windows: int) -> Iterator[str]:
    yield DIFFERENCES
    rows = []
    for size, (judged, rate), (before, after) in product(
        ("1,000 an hour", "3,200 a day"), JUDGED.items(), ((0.90, 0.90), (0.95, 0.95), (0.95, 0.85))
    ):
        first, second = (
            replace(SIZES[size], pass_rate=at, flagged_pass_rate=FLAGGED_PASS_RATES[at], judged_rate=rate)
            for at in (before, after)
        )
        rows.append(
            [
                size,
                judged,
                f"{before:.2f}",
                f"{after:.2f}",
                *_cells(difference_coverage(first, second, windows=windows)),
            ]
        )
    yield from _table(["responses", "judged", "before", "after", *_COLUMNS], rows)


def _heavy(windows: int) -> Iterator[str]:
    yield HEAVY
    rows = []
    for (name, traffic), (judged, rate), passing in product(
        HEAVY_TRAFFIC.items(), (("10 %", 0.1), ("all", 1.0)), (0.90, 0.98)
    ):
        flagged = FLAGGED_PASS_RATES[passing]
        world = replace(traffic, pass_rate=passing, flagged_pass_rate=flagged, judged_rate=rate)
        of = coverages(world, ("product",), windows=windows)
        rows.append([name, judged, f"{passing:.2f}", *_cells(of["product"]), _percent(of["weighted Wald"].covered)])
    yield from _table(["users", "judged", "pass rate", *_COLUMNS, "weighted Wald"], rows)


def _selections(windows: int) -> Iterator[str]:
    days = max(200, windows // 2 // 200 * 200)
    yield SELECTIONS.format(days=days)
    rows = []
    for late_share in (0.0, 0.4, 0.8):
        found = late_flags(days, np.random.default_rng(5), late_share=late_share)
        cells = [f"{100 * late_share:.0f} % of the flags late", *_bias(found.kept, found.truth, found.covered)]
        rows.append([*cells, f"{100 * (found.lent.mean() - found.truth):+.2f}"])
    for name, rule in {"60 a window": Stratum(size=60), "30 %, at least 40": Stratum(rate=0.3, floor=40)}.items():
        kept, truth = day_estimates(days, np.random.default_rng(9), rule, windows=4)
        covered = float(((kept.low <= truth) & (truth <= kept.high)).mean())
        rows.append([name, *_bias(kept, truth, covered), ""])
    yield from _table(["selection", "bias", "its error", "coverage", "width", "bias if lent"], rows)


def _bias(found: Estimates, truth: float, covered: float) -> list[str]:
    error = 100 * (found.value - truth)
    spread = error.std() / len(error) ** 0.5
    return [f"{error.mean():+.3f}", f"{spread:.3f}", _percent(covered), _points(float((found.high - found.low).mean()))]


def _agreement(samples: int) -> Iterator[str]:
    yield AGREEMENT.format(samples=samples, error=100 * (0.95 * 0.05 / samples) ** 0.5)
    rows = []
    for name, true, size, share in agreement.scenarios():
        found = agreement.auc_coverage(agreement.KINDS[name], true, size, share, samples=samples)
        rows.append([name, f"{true:.2f}", str(size), f"{share:.2f}", *_cells(found, width=3)])
    yield from _table(["scores", "true", "rows", "share", *_COLUMNS], rows)
    yield CORRELATIONS
    rows = []
    for true, size, users in product((0.0, 0.3, 0.8), agreement.SIZES, (0, 4)):
        found = agreement.correlation_coverage(true, size, users, samples=samples)
        rows.append([f"{true:.1f}", str(size), str(users), *_cells(found, width=3)])
    yield from _table(["true, before cutting", "rows", "users", *_COLUMNS], rows)


_COLUMNS = ("answered", "coverage", "too low", "too high", "width", "n_eff")


def _cells(found: Coverage, *, width: int = 0) -> list[str]:
    shown = f"{found.width:.{width}f}" if width else _points(found.width)
    if found.answered < 0.01:  # too few intervals to count
        return [_percent(found.answered), "", "", "", "", ""]
    shares = (found.answered, found.covered, found.above, found.below)
    return [*(_percent(share) for share in shares), shown, f"{found.n_effective:,.0f}"]


def _percent(share: float) -> str:
    return "" if share != share else f"{100 * share:.1f}"


def _points(width: float) -> str:
    return "" if width != width else f"{100 * width:.2f}"


def _table(columns: Iterable[str], rows: Iterable[list[str]]) -> Iterator[str]:
    heads = list(columns)
    yield ""
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "|".join(" --- " for _ in heads) + "|"
    for row in rows:
        yield "| " + " | ".join(row) + " |"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
