"""Experiments whose truth is known, and the summary of them: `python -m tests.calibration.experiments [worlds]`.

Writes the last part of docs/experiments.md; some two minutes at 4,000 worlds.
"""

import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
from scipy import stats

from onlineeval_dagster.experiments.compare import Comparison, compare
from onlineeval_dagster.experiments.corrected import arm_bias, compare_corrected
from onlineeval_dagster.experiments.health import ratio_p, sequential_ratio_p
from onlineeval_dagster.experiments.moments import UnitMoments
from onlineeval_dagster.experiments.multiplicity import adjusted
from onlineeval_dagster.experiments.power import least_lift
from onlineeval_dagster.experiments.sequential import BURN_IN, boundary, one_sided_boundary
from onlineeval_dagster.experiments.spending import spending_bounds
from onlineeval_dagster.review.label_moments import LabelMoments
from tests.calibration.experiment_methods import gates, own_history, plain_rates, quantiles, strata
from tests.calibration.lines import Line, share

PAGE = Path(__file__).parents[2] / "docs" / "experiments.md"
HEAD = "## What is proved by simulation"
_AT_ONCE = 250


def worlds(
    rng: np.random.Generator,
    count: int,
    units: int,
    *,
    lift: float = 0.0,
    correlation: float = 0.0,
    kind: str = "score",
) -> Comparison:
    """`count` experiments of `units` an arm: users with 1 + Poisson(2) answers each, alike within a user.

    score  a user's level normal around 1; rate: a user's chance Beta(8.5, 1.5), answers pass or not. The past has a
           level of its own, which correlates as told.
    """
    found = [_moments(rng, size, units, lift, correlation, kind) for size in _pieces(count)]
    return compare(UnitMoments(products=np.concatenate(found)), is_rate=kind == "rate")


def _moments(rng, count: int, units: int, lift: float, correlation: float, kind: str) -> np.ndarray:
    shape = (count, 2, units)
    d = 1.0 + rng.poisson(2, shape)
    effect = lift * np.array([0.0, 1.0])[:, None]
    if kind == "rate":
        y = rng.binomial(d.astype(int), np.clip(rng.beta(8.5, 1.5, shape) * (1 + effect), 0, 1)).astype(float)
        rows = np.stack([np.ones(shape), y, d], axis=-1)
    else:
        common = rng.normal(size=(2, *shape))
        now = 1 + effect + 0.5 * common[0]
        past = 1 + 0.5 * (correlation * common[0] + (1 - correlation**2) ** 0.5 * common[1])
        rows = np.stack([np.ones(shape), now * d, d, past, np.ones(shape)], axis=-1)
        rows = rows if correlation else rows[..., :3]
    return np.einsum("cauk,caul->cakl", rows, rows)


def fixed_looks(rng: np.random.Generator, count: int) -> Iterator[Line]:
    """Type-I error, uniform p-values, coverage and power of one look."""
    for units in (100, 1_000):
        for kind in ("score", "rate"):
            # Small worlds are cheap, and their level the more in question.
            p = worlds(rng, count * (5 if units == 100 else 1), units, kind=kind).p_value()[:, 0]
            yield share(f"A/A, {kind}, {units:,} users an arm: p < .05", p < 0.05, wanted=0.05)
            uniform = stats.kstest(p, "uniform").pvalue
            yield Line(what="… its p-values are uniform (KS p)", found=uniform, wanted="≥ .1 %", low=0.001, high=1)
    found = worlds(rng, count, 300, lift=0.05)
    low, high = found.lift_limits(found.quantile(0.05))
    yield share("lift of 5 % covered, 300 an arm", (low <= 0.05) & (high >= 0.05), wanted=0.95)
    spread = _spread(rng)
    lift = least_lift(spread, control=300, treatment=300)
    won = worlds(rng, count, 300, lift=lift).p_value()[:, 0] < 0.05
    yield Line(what="power at the planned lift", found=float(won.mean()), wanted="80 %", low=0.77, high=0.83)


def _spread(rng: np.random.Generator) -> float:
    found = worlds(rng, 200, 2_000)
    return float(np.mean(found.error[:, 0] / found.control[:, 0]) * (2_000 / 2) ** 0.5)


def cuped(rng: np.random.Generator, count: int) -> Iterator[Line]:
    """Variance that is left over, against 1 - rho^2 of a unit's influence, and the level with covariates."""
    for rho in (0.3, 0.5, 0.7, 0.9):
        found = worlds(rng, count, 400, correlation=rho)
        left = float(np.mean(1 - found.removed))
        # Users with more answers weigh more: rho of the influence is rho E d / sqrt(E d^2) = rho 3 / sqrt(11).
        theory = 1 - rho**2 * 9 / 11
        yield Line(
            what=f"CUPED, correlation {rho}: variance left", found=left, wanted=f"{100 * theory:.1f} %",
            low=theory - 0.01, high=theory + 0.01,
        )  # fmt: skip
        yield share("… A/A: p < .05", found.p_value()[:, 0] < 0.05, wanted=0.05)


def sequences(rng: np.random.Generator, count: int, *, planned: int = 2_000) -> Iterator[Line]:
    """A look after every unit from the burn-in to the planned end and as far again: nothing but chance to be found."""
    hits: dict[str, list[np.ndarray]] = {name: [] for name in ("naive", "valid", "harm", "hybrid")}
    n = np.arange(1, 2 * planned + 1)
    late = n >= BURN_IN
    for size in _pieces(count):
        z = _path(rng, size, 2 * planned)
        hits["naive"].append(np.any((np.abs(z) > 1.96)[:, late], axis=1))
        hits["valid"].append(np.any((np.abs(z) > boundary(n / planned, alpha=0.05))[:, late], axis=1))
        until = late & (n <= planned)
        harm = np.any((z < -one_sided_boundary(n / planned, alpha=0.0125))[:, until], axis=1)
        hits["harm"].append(harm)
        hits["hybrid"].append(harm | (np.abs(z[:, planned - 1]) > 2.2414))
    told = {name: np.concatenate(found) for name, found in hits.items()}
    yield Line(
        what="peeking with 1.96 after every unit",
        found=float(told["naive"].mean()),
        wanted="far above 5 %",
        low=0.2,
        high=1,
    )
    yield share("confidence sequence, mSPRT: ever excludes nothing, rate .85", told["valid"], wanted=0.05, at_most=True)
    yield share("hybrid: stopped for harm without any", told["harm"], wanted=0.0125, at_most=True)
    yield share("hybrid: any wrong call", told["hybrid"], wanted=0.05, at_most=True)


def _path(rng: np.random.Generator, count: int, pairs: int) -> np.ndarray:
    """z of two rates of .85 after each pair of units."""
    x = (rng.random((2, count, pairs)) < 0.85).astype(np.float64).cumsum(axis=2)
    n = np.arange(1, pairs + 1)
    mean = x / n
    variance = (mean * (1 - mean)).sum(axis=0) / n
    return (mean[1] - mean[0]) / np.sqrt(np.maximum(variance, 1e-9))


def people(rng: np.random.Generator, count: int) -> Iterator[Line]:
    """Judged experiments whose judge passes 30 % of what is bad in the treatment; nothing is better in truth."""
    for labelled in (0.25, 0.5):
        # lambda is fitted to few labels: whether that costs coverage is a question for many worlds.
        told = [_judged(rng, 600, flattered=0.3, labelled=labelled) for _ in range(5 * count)]
        both = LabelMoments(
            **{one.name: np.concatenate([getattr(x, one.name) for x in told]) for one in fields(told[0])}
        )
        shape = (len(told), 1, 2)
        found = compare_corrected(both, shape)
        low, high = (limit[:, 0, 0] for limit in found.limits(found.quantile(0.05)))
        bottom, top = (limit[:, 0, 0] for limit in arm_bias(both, shape))
        raw = compare(_of_judge(both, len(told))).p_value()[:, 0]
        what = f"people's row, {360 * labelled * 2:.0f} labels an arm: covers nothing"
        yield share(what, (low <= 0) & (high >= 0), wanted=0.95)
        # 25 % are bad, of which the sound judge passes 15 %: it passes 30 % of the other 85 % on top.
        bias = 0.25 * 0.85 * 0.3
        yield share("… the bias is covered", (bottom <= bias) & (top >= bias), wanted=0.95)
        yield Line(
            what="… the judge's row calls a win or loss", found=float((raw < 0.05).mean()), wanted="far above 5 %",
            low=0.2, high=1,
        )  # fmt: skip


def _judged(rng: np.random.Generator, users: int, *, flattered: float, labelled: float) -> LabelMoments:
    """Two arms of `users` with 1 + Poisson(1) answers, 60 % of them judged, of these `labelled` by people too."""
    user = np.repeat(np.arange(2 * users), 1 + rng.poisson(1, 2 * users))
    good = rng.random(len(user)) < rng.beta(7.5, 2.5, 2 * users)[user]
    says = np.where(rng.random(len(user)) < 0.15, ~good, good)
    says |= (user >= users) & ~good & (rng.random(len(user)) < flattered)
    judged = rng.random(len(user)) < 0.6
    label = judged & (rng.random(len(user)) < labelled)
    w, v = judged / 0.6, label / (0.6 * labelled)
    totals = np.stack([np.bincount(user, x, 2 * users) for x in (w, w * says, v, v * good, v * says)], axis=1).astype(
        np.float64
    )
    counts = np.bincount(user, label, 2 * users).astype(np.int64)
    return LabelMoments.of_users(totals, (np.arange(2 * users) >= users).astype(np.int64), labels=counts, groups=2)


def _of_judge(both: LabelMoments, count: int) -> UnitMoments:
    """The judge's own moments of the same worlds: 1, w f, w. Users without an answer judged count as units."""
    products = np.zeros((2 * count, 3, 3))
    products[:, 1:, 1:] = both.products[:, [1, 0], :][:, :, [1, 0]]
    products[:, 0, 1:] = products[:, 1:, 0] = both.sums[:, [1, 0]]
    products[:, 0, 0] = 600
    return UnitMoments(products=products.reshape(count, 2, 3, 3))


def planned_looks(rng: np.random.Generator, count: int) -> Iterator[Line]:
    """Four looks of a group-sequential design on users' ratios."""
    for kind in ("obrien_fleming", "pocock"):
        bounds = spending_bounds([0.25, 0.5, 0.75, 1.0], kind=kind)  # type: ignore[arg-type]
        crossed = []
        for size in _pieces(count):
            parts = np.stack([_moments(rng, size, 150, 0.0, 0.0, "score") for _ in range(4)])
            z = compare(UnitMoments(products=parts.cumsum(axis=0))).z()[..., 0]
            crossed.append((np.abs(z) > bounds[:, None]).any(axis=0))
        yield share(f"four looks, {kind}: any crossing", np.concatenate(crossed), wanted=0.05)


def families(rng: np.random.Generator, count: int) -> Iterator[Line]:
    """20 metrics with correlation .5, five of which moved: share of false among the found."""
    common, own = rng.normal(size=(count, 1)), rng.normal(size=(count, 20))
    z = 0.5**0.5 * common + 0.5**0.5 * own + 3.0 * (np.arange(20) < 5)
    p = 2 * stats.norm.sf(np.abs(z))
    for method in ("bh", "by"):
        found = adjusted(p, method) <= 0.05  # type: ignore[arg-type]
        false = found[:, 5:].sum(axis=1) / np.maximum(found.sum(axis=1), 1)
        yield Line(
            what=f"false discoveries, {method}, correlation .5",
            found=float(false.mean()),
            wanted="≤ 5 %",
            low=0,
            high=0.05,
        )


def mismatches(rng: np.random.Generator, count: int) -> Iterator[Line]:
    """Sound assignments that are called broken."""
    first = rng.binomial(3_000, 0.5, 40 * count)
    p = ratio_p(np.stack([first, 3_000 - first], axis=-1), [0.5, 0.5])
    yield share("sample ratio, one look: p < .001", p < 0.001, wanted=0.001)
    hits = []
    n = np.arange(20, 3_001, 20)
    for size in _pieces(count):
        units = rng.binomial(20, 0.5, (size, len(n))).cumsum(axis=1)
        hits.append((sequential_ratio_p(np.stack([units, n - units], axis=-1), [0.5, 0.5]) < 0.01).any(axis=1))
    yield share("sample ratio, sequential, 150 looks: ever p < .01", np.concatenate(hits), wanted=0.01, at_most=True)


def lines(count: int) -> Iterator[Line]:
    """Every line of the summary, each part with a seed of its own."""
    first = (fixed_looks, cuped, sequences, planned_looks, families, mismatches, people)
    for seed, part in enumerate((*first, strata, quantiles, plain_rates, gates, own_history)):
        yield from part(np.random.default_rng([8, seed]), count)


def _pieces(count: int) -> list[int]:
    return [min(_AT_ONCE, count - start) for start in range(0, count, _AT_ONCE)]


def main(count: int) -> None:
    """Simulate, and write the page's last part."""
    told = [
        HEAD,
        "",
        f"Written by `python -m tests.calibration.experiments`: {count:,} worlds a line, five times as many with 100",
        "users an arm and in people's row; a share holds within three Monte-Carlo errors. Users have 1 + Poisson(2)",
        "answers each, and a level of their own. In the lines of people's row nothing is better, and the judge passes",
        "30 % of the bad answers that it had found in the treatment.",
        "",
        "| | found | has to be | |",
        "| --- | --- | --- | --- |",
    ]
    told += [
        f"| {one.what} | {100 * one.found:.1f} % | {one.wanted} | {'' if one.holds else 'NO'} |" for one in lines(count)
    ]
    kept = PAGE.read_text(encoding="utf-8").partition(HEAD)[0].rstrip("\n")
    PAGE.write_text(kept + "\n\n" + "\n".join(told) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 4_000)
