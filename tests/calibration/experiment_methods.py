"""Worlds for what an experiment may ask for besides the plain comparison: strata, quantiles, rates, gates."""

from collections.abc import Iterator

import numpy as np
from scipy.special import ndtr

from onlineeval_dagster.experiments.compare import compare
from onlineeval_dagster.experiments.health import resplit
from onlineeval_dagster.experiments.moments import UnitMoments, moments_of_units
from onlineeval_dagster.experiments.multiplicity import adjusted, gatekept
from onlineeval_dagster.experiments.plan_shown import UNIFORM_LEVEL
from onlineeval_dagster.experiments.rates import score_lift_limits
from onlineeval_dagster.experiments.strata import post_stratified
from tests.calibration.lines import Line, share
from tests.experiments.worlds import recentred


def strata(rng: np.random.Generator, count: int) -> Iterator[Line]:
    """Three kinds of users, who differ in level and in number of answers; a lift of 10 %."""
    covered, false = [], []
    for lift in (0.0, 0.1):
        cells, units = (count, 3, 2), 100
        kind = np.arange(3)[:, None, None]
        # Shares of kinds and arms are a draw, too: some of 100 places in each cell are filled.
        there = rng.random((*cells, units)) < 0.8
        d = (1.0 + rng.poisson(1 + kind, (*cells, units))) * there
        y = d * (1 + kind + 0.5 * rng.normal(size=d.shape)) * (1 + lift * np.array([0.0, 1.0])[:, None])
        rows = np.stack([there.astype(float), y, d], axis=-1)
        found = compare(post_stratified(UnitMoments(products=np.einsum("...uk,...ul->...kl", rows, rows))))
        low, high = found.lift_limits(found.quantile(0.05))
        (covered if lift else false).append((low <= lift) & (high >= lift))
    yield share("strata, three kinds of users: A/A p < .05", ~np.concatenate(false), wanted=0.05)
    yield share("… a lift of 10 % covered", np.concatenate(covered), wanted=0.95)


def quantiles(rng: np.random.Generator, count: int) -> Iterator[Line]:
    """The .9 quantile of lognormal answers of users with a speed of their own, 10 % slower in the treatment."""
    hits = []
    for _ in range(count // 4):
        user = np.repeat(np.arange(600), 1 + rng.poisson(2, 600))
        arm = (np.arange(600) % 2)[user]
        x = np.exp(rng.normal(0, 0.3, 600)[user] + rng.normal(0, 0.4, len(user))) * (1 + 0.1 * arm)
        fewest, y = int(np.bincount(arm).min()), np.zeros(len(x))
        for one in (0, 1):
            y[arm == one] = recentred(x[arm == one], 0.9, fewest)
        totals = np.column_stack([np.bincount(user, y), np.bincount(user)])
        found = compare(moments_of_units(totals, np.arange(600) % 2, (2,)))
        low, high = found.lift_limits(found.quantile(0.05))
        hits.append(bool(low[0] <= 0.1 <= high[0]))
    yield share("the .9 quantile of clustered answers, 300 an arm: lift covered", np.array(hits), wanted=0.95)


def plain_rates(rng: np.random.Generator, count: int) -> Iterator[Line]:
    """Score intervals where a normal one gives up: 97 % against 95 %, 60 units an arm."""
    x1, x2 = rng.binomial(60, 0.97, 5 * count), rng.binomial(60, 0.95, 5 * count)
    low, high = score_lift_limits(x1, 60, x2, 60)
    lift = 0.97 / 0.95 - 1
    covers = (low <= lift) & (high >= lift)
    # Counts are whole: at one pair of rates the coverage may lie off 95 %, and here nearly all answers are good.
    yield Line(
        what="rates of .97 and .95, 60 units an arm: lift covered (score)", found=float(covers.mean()),
        wanted="93.5 to 98 %, as counts are whole", low=0.935, high=0.98,
    )  # fmt: skip


def gates(rng: np.random.Generator, count: int) -> Iterator[Line]:
    """Nothing moved: a primary and ten secondary metrics that go together by .5; any call at all."""
    z = 0.5**0.5 * rng.normal(size=(count * 5, 1)) + 0.5**0.5 * rng.normal(size=(count * 5, 11))
    won = z[:, 0] > 2.2414  # the hybrid's only look for wins
    p = adjusted(2 * ndtr(-np.abs(z[:, 1:])), "bh")
    found = np.stack([gatekept(won, p[:, place], alpha=0.05) for place in range(10)]).any(axis=0)
    yield share("ten secondary metrics behind a primary, nothing moved: any counts", found, wanted=0.0125, at_most=True)


def own_history(rng: np.random.Generator, count: int) -> Iterator[Line]:
    """Sound metrics that the plan refuses for their own re-splits."""
    refused = []
    for seed in range(count // 20):
        d = 1.0 + rng.poisson(3, 512)
        totals = np.column_stack([np.ones(512), rng.normal(5, 2, 512) * d, d])
        found = resplit(totals[:, :, None] * totals[:, None, :], splits=1_000, rng=np.random.default_rng(seed))
        refused.append(found.errs_more_than_told or found.uniform_p < UNIFORM_LEVEL)
    hits = np.array(refused)
    yield Line(
        what="a sound metric is refused as a primary by its A/A", found=float(hits.mean()), wanted="≤ 2 %",
        low=0, high=0.02,
    )  # fmt: skip
