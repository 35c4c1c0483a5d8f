"""A week of an experiment as a page and as Markdown: what to do and why first, then every number it rests on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.metrics_file import Metric
from onlineeval_dagster.contracts.experiments import ExperimentResult
from onlineeval_dagster.reports.markdown import lined_up, plain

_DO = {
    "ship": "Ship {}",
    "do_not_ship": "Do not ship {}",
    "keep_running": "Keep {} running",
    "stop_for_harm": "Stop {}: it does harm",
    "no_decision": "No decision on {} is supported",
}
_STATES = {
    "improved": "improved",
    "pass": "holds",
    "harm_within_margin": "worse, within its margin",
    "at_risk": "not shown to hold",
    "breach": "broken",
}
_METHODS = {"t": "Student's t", "boundary": "group-sequential boundary", "always_valid": "confidence sequence"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A lift as drawn, in percent of the control's value: the interval, the estimate, and a guardrail's edge."""

    title: str
    low: float
    middle: float
    high: float
    edge: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExperimentPage:
    """Everything a page says. Tables are rows of texts, heads first."""

    title: str
    sentences: tuple[str, ...]
    why: tuple[str, ...]
    trust: tuple[str, ...]
    planned: tuple[str, ...]
    bars: tuple[Bar, ...]
    metrics: tuple[tuple[str, ...], ...]
    segments: tuple[tuple[str, ...], ...]
    computed: tuple[str, ...]


def build_page(
    name: str, experiment: Experiment, metrics: Mapping[str, Metric], rows: Sequence[ExperimentResult]
) -> ExperimentPage:
    """The page of one week; rows are those of the experiment with one `as_of`, and there is one at least."""
    whole = [row for row in rows if row.slice == "all"]
    decided = [row for row in whole if row.outcome is not None]
    first = decided[0]
    return ExperimentPage(
        title=f"{name}, week {first.week} of {experiment.weeks}",
        sentences=tuple(_sentence(experiment, row) for row in decided),
        why=tuple(_why(metrics, row) for row in decided),
        trust=_trust(experiment, first),
        planned=_planned(experiment, first),
        bars=tuple(_bars(experiment, metrics, whole)),
        metrics=(_HEADS, *(_line(experiment, metrics, row) for row in whole)),
        segments=_segments(metrics, rows),
        computed=_computed(experiment, first),
    )


def _sentence(experiment: Experiment, row: ExperimentResult) -> str:
    said = _DO[row.outcome or "no_decision"].format(row.variant)
    override = experiment.override
    if override is not None:
        return f"{said}. {override.by} decided otherwise on {override.decided_on}: {override.reason}"
    return f"{said}: {row.rule}" + (f" ({row.because})." if row.because else ".")


def _why(metrics: Mapping[str, Metric], row: ExperimentResult) -> str:
    title = metrics[row.metric].title
    if row.value is None:
        return f"{title}: no number yet, {row.reason}."
    if row.lift is None:
        return f"{title}: {row.control_value:.4g} in the control, {row.value:.4g} with {row.variant}; no relative lift."
    return (
        f"{title}: {_percent(row.lift)} with {row.variant} "
        f"(likely {_percent(row.lift_low)} to {_percent(row.lift_high)}). "
        "Changes beyond these two are ruled out. "
        f"Without the luck of a winner some {_percent(row.posterior_lift)}."
    )


def _trust(experiment: Experiment, row: ExperimentResult) -> tuple[str, ...]:
    several = f"{row.several or 0:,} {experiment.unit}s met several variants and are left out"
    if row.broken is None:
        return (f"{experiment.unit.capitalize()}s fit their shares; {several}.",)
    return (*row.broken.split("; "), several, "Nothing below is a conclusion until this is mended.")


def _planned(experiment: Experiment, row: ExperimentResult) -> tuple[str, ...]:
    looks = ", ".join(str(look) for look in experiment.planned_looks)
    return (
        experiment.hypothesis,
        f"{row.week} of {experiment.weeks} weeks; the rule may decide after week {looks}. Design: {experiment.design}.",
        f"{row.control_units:,} {experiment.unit}s in {experiment.control_name}, {row.units:,} in {row.variant}.",
    )


_HEADS = ("metric", "role", "variant", "control", "treatment", "lift", "likely range", "p", "chance better", "says")


def _line(experiment: Experiment, metrics: Mapping[str, Metric], row: ExperimentResult) -> tuple[str, ...]:
    title = metrics[row.metric].title
    if row.value is None:
        return (title, row.role, row.variant, "", "", "", "", "", "", row.reason or "")
    says = _STATES[row.state] if row.state else ""
    if row.metric in experiment.guardrails:
        says = f"{says or 'no interval'}; margin {_percent(experiment.guardrails[row.metric].margin, signed=False)}"
    p = row.adjusted_p if row.adjusted_p is not None else row.p_value
    return (
        title,
        row.role,
        row.variant,
        f"{row.control_value:.4g}",
        f"{row.value:.4g}",
        _percent(row.lift),
        "" if row.lift_low is None else f"{_percent(row.lift_low)} to {_percent(row.lift_high)}",
        "" if p is None else _p(p) + (" adjusted" if row.adjusted_p is not None else ""),
        "" if row.chance_better is None else f"{100 * row.chance_better:.0f} %",
        says,
    )


def _segments(metrics: Mapping[str, Metric], rows: Sequence[ExperimentResult]) -> tuple[tuple[str, ...], ...]:
    lines = [
        (
            metrics[row.metric].title,
            f"{row.slice} = {row.slice_value}",
            row.variant,
            "" if row.shrunk_lift is None else _percent(row.shrunk_lift),
            _differ(row),
        )
        for row in rows
        if row.slice != "all" and row.role == "primary"
    ]
    return (("metric", "segment", "variant", "lift, drawn towards all", "do segments differ?"), *lines) if lines else ()


def _differ(row: ExperimentResult) -> str:
    if row.interaction_p is None:
        return row.reason or "one segment alone"
    told = "they do" if row.interaction_p < 0.01 else "no evidence of a difference"
    return f"{told} (p {row.interaction_p:.2f})"


def _computed(experiment: Experiment, row: ExperimentResult) -> tuple[str, ...]:
    removed = (
        "" if row.removed is None else f" Covariates took out {100 * row.removed:.0f} % of the primary's variance."
    )
    return (
        f"Intervals: {_METHODS[row.method]} at {100 * row.level:.1f} %, clustered by {experiment.unit}; "
        f"lifts by Fieller.{removed}",
        f"Prior of the lift: normal around 0, sd {100 * experiment.prior.sd:.0f} % ({experiment.prior.name}).",
        "Secondary metrics: Benjamini-Hochberg over all of them and all variants; they count once the primary won.",
        f"Definition {row.experiment_version}; numbers up to {row.as_of:%Y-%m-%d %H:%M} UTC.",
    )


def _bars(experiment: Experiment, metrics: Mapping[str, Metric], rows: Iterable[ExperimentResult]) -> Iterable[Bar]:
    for row in rows:
        if row.lift is None or row.lift_low is None or row.lift_high is None:
            continue
        guardrail = experiment.guardrails.get(row.metric)
        sign = 1 if metrics[row.metric].direction == "down" else -1
        name = metrics[row.metric].title + (f", {row.variant}" if len(experiment.treatments) > 1 else "")
        yield Bar(
            title=name,
            low=100 * row.lift_low,
            middle=100 * row.lift,
            high=100 * row.lift_high,
            edge=None if guardrail is None else 100 * sign * guardrail.margin,
        )


def _p(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}"


def _percent(share: float | None, *, signed: bool = True) -> str:
    if share is None:
        return ""
    return f"{100 * share:+.1f} %" if signed else f"{100 * share:g} %"


def page_markdown(page: ExperimentPage) -> str:
    """The same as the page without its plot."""
    blocks = [
        f"# {plain(page.title)}",
        *(f"**{plain(sentence)}**" for sentence in page.sentences),
        *map(plain, page.why),
        "## Can it be trusted?",
        "\n".join(f"- {plain(line)}" for line in page.trust),
        "## Plan",
        "\n".join(f"- {plain(line)}" for line in page.planned),
        "## All metrics",
        lined_up(page.metrics[0], page.metrics[1:]),
    ]
    if page.segments:
        blocks += ["## Segments", lined_up(page.segments[0], page.segments[1:])]
    blocks += ["## How was this computed", "\n".join(f"- {plain(line)}" for line in page.computed)]
    return "\n\n".join(blocks) + "\n"


def page_html(page: ExperimentPage) -> str:
    """One file, no script, nothing loaded from anywhere."""
    from importlib.resources import files

    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("onlineeval_dagster.reports", ""), autoescape=True, undefined=StrictUndefined
    )
    css = files("onlineeval_dagster.reports").joinpath("daily.css").read_text(encoding="utf-8")
    return environment.get_template("experiment.html.j2").render(page=page, css=Markup(css), drawn=_drawn(page.bars))


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Bars in the plot's own units: 0 to 1,000 across."""

    title: str
    text: str
    y: int
    low: float
    width: float
    middle: float
    edge: float | None


def _drawn(bars: Sequence[Bar]) -> dict[str, object]:
    """Places on a common scale around nothing, with room for the widest interval."""
    reach = max((abs(edge) for bar in bars for edge in (bar.low, bar.high, bar.edge or 0)), default=1.0) * 1.05 or 1.0

    def at(percent: float) -> float:
        return round(500 + 500 * percent / reach, 1)

    lines = [
        Drawn(
            title=bar.title,
            text=f"{bar.middle:+.1f} % ({bar.low:+.1f} to {bar.high:+.1f})",
            y=56 * place,
            low=at(bar.low),
            width=round(at(bar.high) - at(bar.low), 1),
            middle=at(bar.middle),
            edge=None if bar.edge is None else at(bar.edge),
        )
        for place, bar in enumerate(bars)
    ]
    return {"lines": lines, "height": 56 * len(bars) + 4}
