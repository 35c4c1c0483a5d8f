"""The AI reviewers of an experiment against people, and what they cost each variant."""

from collections.abc import Iterator

from onlineeval_dagster.contracts.experiments import ExperimentResult
from onlineeval_dagster.reports.experiment_beside import Beside
from onlineeval_dagster.reports.experiment_parts import Metrics, Part, Rows, values_of

_MEASURES = {"raw": "agree", "kappa": "kappa", "lenience": "kinder by"}


def reviewers_parts(beside: Beside) -> Iterator[Part]:
    """A part each, of what there is."""
    if beside.agreement:
        yield _agreement(beside)
    if beside.calibration:
        yield _calibration(beside)
    if beside.costs:
        yield _costs(beside)


def _agreement(beside: Beside) -> Part:
    heads = ("AI reviewer", "version", "measure", "value", "likely range", "answers with both")
    lines = [
        (
            row.judge,
            row.judge_version,
            _MEASURES[row.measure],
            row.reason or f"{row.value:.2f}",
            "" if row.low is None or row.high is None else f"{row.low:.2f} to {row.high:.2f}",
            f"{row.n:,}",
        )
        for row in beside.agreement
        if row.measure in _MEASURES
    ]
    told = (
        "Over all answers of the audit, not these variants alone. Kappa is agreement beyond chance: 1 is all, 0 none."
    )
    return Part(title="How far the AI reviewers agree with people", lines=(told,), table=(heads, *lines))


def _calibration(beside: Beside) -> Part:
    heads = ("AI reviewer", "gives", "people give on average", "likely range", "human checks")
    lines = [
        (
            row.judge,
            f"{row.judge_score:g}",
            "" if row.people is None else f"{row.people:.2f}",
            ""
            if row.people_low is None or row.people_high is None
            else f"{row.people_low:.2f} to {row.people_high:.2f}",
            f"{row.labels:,}",
        )
        for row in beside.calibration
    ]
    return Part(title="What a score of theirs is worth", table=(heads, *lines))


def _costs(beside: Beside) -> Part:
    heads = ("AI reviewer", "variant", "asked", "cost, $", "an answer, $")
    lines = [
        (one.judge, one.variant, f"{one.calls:,}", f"{one.usd:.2f}", f"{one.usd / one.calls:.5f}")
        for one in beside.costs
    ]
    return Part(title="What reviewing cost", table=(heads, *lines))


def judged_part(metrics: Metrics, whole: Rows) -> Part:
    """The reviewer's word beside people's, and whom it may favour."""
    heads = ("metric", "variant", "AI reviewer's lift", "likely range", "people's lift", "likely range",
             "the reviewer favours the variant by")  # fmt: skip
    by = {(row.metric, row.variant, row.said_by): row for row in whole}
    lines = [
        (
            metrics[metric].title,
            variant,
            *values_of(metrics[metric], judge)[2:],
            *values_of(metrics[metric], by[metric, variant, "people"])[2:],
            _favour(by[metric, variant, "people"]),
        )
        for (metric, variant, said_by), judge in by.items()
        if said_by == "judge"
    ]
    told = (
        "The AI reviewer's lift takes for granted that it errs alike in all variants. People's lift corrects each by "
        "its own human checks; a favour outside the last column is ruled out."
    )
    return Part(title="AI reviewers", lines=(told,) if lines else ("None.",), table=(heads, *lines) if lines else ())


def _favour(row: ExperimentResult) -> str:
    return "cannot be told" if row.bias_low is None else f"{row.bias_low:+.3f} to {row.bias_high:+.3f}"
