"""The parts of an experiment's page, each a few sentences and a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import ndtri

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.contracts.experiments import ExperimentResult
from onlineeval_dagster.experiments.path import PathPoint
from onlineeval_dagster.reports.model import Change

STATES = {
    "improved": "improved",
    "pass": "holds",
    "harm_within_margin": "worse, within its margin",
    "at_risk": "not shown to hold",
    "breach": "broken",
}
_METHODS = {
    "t": "Student's t",
    "boundary": "group-sequential boundary",
    "always_valid": "confidence sequence",
    "score": "Miettinen and Nurminen's, as every unit gave one answer,",
}
_SAID_BY = {"counted": "counted", "judge": "AI reviewer", "people": "people"}

Rows = Sequence[ExperimentResult]
Metrics = Mapping[str, Metric]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of the page: what is said, then a table with its heads first, or none."""

    title: str
    lines: tuple[str, ...] = ()
    table: tuple[tuple[str, ...], ...] = ()


def trust_part(row: ExperimentResult) -> Part:
    """What was looked at before any lift, what failed first."""
    broken = row.broken.split("; ") if row.broken else []
    told = [f"FAILED: {line}" for line in broken] + (row.held.split("; ") if row.held else [])
    return Part(title="Can it be trusted?", lines=tuple(line[0].upper() + line[1:] + "." for line in told))


def planned_part(experiment: Experiment, whole: Rows, planned: int | None) -> Part:
    """Hypothesis, weeks, looks spent and units, against the plan."""
    row = next(row for row in whole if row.role == "primary" and row.said_by != "people")
    looks = ", ".join(str(look) for look in experiment.planned_looks)
    spent = [look for look in experiment.planned_looks if look <= row.week]
    seen = row.units + row.control_units
    share = (
        f": {100 * seen / planned:.0f} % of {planned:,}, if every week brought as many new ones as the first"
        if planned
        else ""
    )
    return Part(
        title="Plan and actual",
        lines=(
            f"Believed: {experiment.hypothesis}.",
            f"Week {row.week} of {experiment.weeks}, until {experiment.ends_on}. The rule may decide after week "
            f"{looks}: {len(spent)} of {len(experiment.planned_looks)} looks spent. Design: {experiment.design}.",
            f"{row.control_units:,} {experiment.unit}s in {experiment.control_name}, {row.units:,} in {row.variant}"
            f"{share}. Many come back, so that fewer are new each week.",
        ),
    )


def primary_part(experiment: Experiment, metrics: Metrics, whole: Rows) -> Part:
    """Every line of the primary metric in a column, the one that decides marked."""
    rows = [row for row in whole if row.role == "primary"]
    heads = ("", *(f"{row.variant}, {_SAID_BY[row.said_by or 'counted']}" for row in rows))
    metric = metrics[experiment.primary]
    told = {
        "decides": lambda row: "this one" if row.decides and len(rows) > len(experiment.treatments) else "",
        "control, treatment": lambda row: "" if row.value is None else " → ".join(values_of(metric, row)[:2]),
        "lift": lambda row: values_of(metric, row)[2],
        "likely range": lambda row: values_of(metric, row)[3],
        "p": lambda row: "" if row.p_value is None else _p(row.p_value),
        f"smallest change found {100 * experiment.power:.0f} times in 100": lambda row: _least_found(experiment, row),
        "chance that it is better": chance,
        "too small to matter": lambda row: _share(row.chance_negligible, 0),
        "lost on average by shipping": lambda row: _share(row.expected_loss, 2),
        "lost on average by not shipping": lambda row: _share(row.loss_if_kept, 2),
        "chance alone reaches": lambda row: "" if row.noise is None else f"± {_share(row.noise, 1)}",
        "spread taken out by the past and strata": lambda row: _share(row.removed, 0),
    }
    lines = [(name, *map(said, rows)) for name, said in told.items()]
    kept = tuple(line for line in lines if any(line[1:]))
    return Part(title=f"Primary metric: {metric.title}", table=(heads, *kept))


def _share(value: float | None, digits: int) -> str:
    return "" if value is None else f"{100 * value:.{digits}f} %"


def shown(metric: Metric, value: float) -> str:
    """A metric's value in its unit."""
    return {
        "share": f"{100 * value:.1f} %",
        "ms": f"{value:,.0f} ms",
        "usd": f"${value:.4f}",
        "score": f"{value:.2f}",
        "count": f"{value:,.1f}",
    }[metric.unit]


def values_of(metric: Metric, row: ExperimentResult) -> tuple[str, str, str, str]:
    """Control, treatment, lift and its range; in the place of the last the reason where there are none."""
    if row.value is None or row.control_value is None:
        return "", "", "", row.reason or ""
    wide = "" if row.lift_low is None else f"{percent(row.lift_low)} to {percent(row.lift_high)}"
    return shown(metric, row.control_value), shown(metric, row.value), percent(row.lift), wide


def _least_found(experiment: Experiment, row: ExperimentResult) -> str:
    """The lift that such a look finds with the planned power, from the width it has."""
    if row.lift_low is None or row.lift_high is None or row.method != "t":
        return ""
    reach = float(ndtri(0.5 + row.level / 2))
    return f"{50 * (row.lift_high - row.lift_low) * (reach + float(ndtri(experiment.power))) / reach:.1f} %"


def guardrails_part(experiment: Experiment, metrics: Metrics, deciding: Rows) -> Part:
    """Each guardrail with its margin and one of five states."""
    lines = [
        (
            metrics[row.metric].title,
            row.variant,
            *values_of(metrics[row.metric], row),
            f"{100 * experiment.guardrails[row.metric].margin:g} %",
            STATES[row.state] if row.state else "no interval",
        )
        for row in deciding
        if row.role == "guardrail"
    ]
    heads = ("metric", "variant", "control", "treatment", "lift", "likely range", "may get worse by", "says")
    return Part(title="Guardrails", table=(heads, *lines) if lines else (), lines=() if lines else ("None.",))


_FAMILIES = {
    "bh": "Benjamini-Hochberg: of those that count one in {} is false on average",
    "by": "Benjamini-Yekutieli, whatever they have in common: of those that count one in {} is false on average",
    "holm": "Holm: the chance of any false one is one in {}",
    "bonferroni": "Bonferroni: the chance of any false one is one in {}",
}


def secondary_part(experiment: Experiment, metrics: Metrics, deciding: Rows) -> Part:
    """With the family stated, p-values adjusted in it, and whether they count."""
    found = [row for row in deciding if row.role == "secondary"]
    lines = [
        (
            metrics[row.metric].title,
            row.variant,
            *values_of(metrics[row.metric], row),
            "" if row.adjusted_p is None else _p(row.adjusted_p),
            "" if row.noise is None else f"± {_share(row.noise, 1)}",
            "counts" if row.counts else "",
        )
        for row in found
    ]
    heads = ("metric", "variant", "control", "treatment", "lift", "likely range", "p, adjusted", "noise", "says")
    family = (
        f"The family is {len(found)} comparison{'s' if len(found) != 1 else ''} (secondary metrics by variant). "
        f"{_FAMILIES[experiment.family].format(round(1 / experiment.alpha))}. "
        "They count where the primary metric of the variant won, at a look at which the rule may decide."
    )
    return Part(
        title="Secondary metrics", lines=(family,) if found else ("None.",), table=(heads, *lines) if found else ()
    )


def segments_part(rows: Rows) -> Part:
    """Shrunken lifts, and whether segments differ at all."""
    lines = [
        (f"{row.slice} = {row.slice_value}", row.variant, percent(row.shrunk_lift), _differ(row))
        for row in rows
        if row.slice != "all" and row.role == "primary" and row.decides
    ]
    heads = ("segment", "variant", "lift, drawn towards all", "do segments differ?")
    return Part(
        title="Segments named before the start",
        lines=() if lines else ("None.",),
        table=(heads, *lines) if lines else (),
    )


def _differ(row: ExperimentResult) -> str:
    if row.interaction_p is None:
        return row.reason or "one segment alone"
    told = "they do" if row.interaction_p < 0.01 else "no evidence of a difference"
    return f"{told} (p {row.interaction_p:.2f})"


def time_part(path: Sequence[PathPoint], changes: Sequence[Change] = ()) -> Part:
    """How the primary's lift got to where it is, and what changed in production meanwhile."""
    heads = ("day", "variant", "lift so far", "band")
    lines = [
        (f"{one.until:%Y-%m-%d}", one.variant, percent(one.lift), f"{percent(one.low)} to {percent(one.high)}")
        for one in path
    ]
    told = "All that was known by the end of each day. The band may be looked at every day, and is wider for it."
    marked = [f"{number}: {one.title}, {one.occurred_at:%d %b %H:%M} UTC" for number, one in enumerate(changes, 1)]
    met = f"Changes while it ran, which both variants met: {'; '.join(marked)}." if marked else "Nothing else changed."
    return Part(
        title="Day by day",
        lines=(told if lines else "No day has a number.", met),
        table=(heads, *lines) if lines else (),
    )


def computed_part(experiment: Experiment, row: ExperimentResult) -> Part:
    """Methods, prior, what was left out, versions."""
    return Part(
        title="How was this computed",
        lines=(
            f"Intervals: {_METHODS[row.method]} at {100 * row.level:.1f} %, clustered by {experiment.unit}; lifts by "
            f"Fieller; covariates: {', '.join(experiment.covariates) or 'none'}."
            + (
                f" The variants are compared within each {experiment.stratify_by}, and these weighted by their shares "
                "(not in people's rows)."
                if experiment.stratify_by
                else ""
            ),
            f"Prior of the lift: normal around 0, sd {100 * experiment.prior.sd:.0f} % ({experiment.prior.name}). Too "
            f"small to matter: within {100 * experiment.prior.negligible:g} %." + _of_rates(experiment),
            f"Left out: {row.several or 0:,} {experiment.unit}s that met several variants. Capped: "
            + ("nothing." if experiment.winsorise == 1 else f"means at the {100 * experiment.winsorise:g} % quantile."),
            "Noise: the lift that one in twenty of 1,000 re-splits of the same units reaches; seeds are fixed.",
            f"Definition {row.experiment_version}; numbers up to {row.as_of:%Y-%m-%d %H:%M} UTC. "
            "docs/experiments.md has the formulas and their simulated error rates.",
        ),
    )


def _of_rates(experiment: Experiment) -> str:
    if experiment.prior.rates is None:
        return ""
    a, b = experiment.prior.rates
    return (
        f" Where every {experiment.unit} gave one answer, chances and losses are by a Beta({a:g}, {b:g}) of each rate."
    )


def chance(row: ExperimentResult) -> str:
    """That the treatment is better; never a full hundred."""
    return "" if row.chance_better is None else f"{min(99.9, 100 * row.chance_better):.3g} %"


def _p(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}"


def percent(share: float | None) -> str:
    """With its sign; nothing where there is none."""
    return "" if share is None else f"{100 * share:+.1f} %"
