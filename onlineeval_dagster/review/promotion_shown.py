"""The gate's evidence for people: Markdown, and one page that loads nothing."""

from collections.abc import Sequence

from onlineeval_dagster.contracts.promotion import PromotionEvidence
from onlineeval_dagster.review.gate import WANTED_POWER, Condition

NOTHING = "No shadow judge is on trial."
Found = Sequence[tuple[PromotionEvidence, list[Condition]]]


def headline(evidence: PromotionEvidence) -> str:
    """One sentence: may it be promoted, and how many conditions do not hold."""
    name = f"{evidence.judge} {evidence.judge_version}"
    against = f" in place of {evidence.incumbent}" if evidence.incumbent else ""
    if evidence.ready:
        return f"{name} may be promoted{against}: every condition holds."
    count = len(evidence.missing)
    return f"{name} may not be promoted{against} yet: {count} condition{'s do' if count > 1 else ' does'} not hold."


def basis(evidence: PromotionEvidence) -> list[str]:
    """What it rests on, how well people agree, and what a week's labels can show."""
    told = [
        f"{evidence.labels:,} labels on {evidence.responses:,} answers since {evidence.since:%Y-%m-%d}, "
        f"{evidence.labels_a_week:,.0f} a week."
    ]
    if evidence.people_kappa is None:
        told.append(
            f"How well people agree with each other is not known ({evidence.people_shared} answers labelled by two); "
            f"the limit is the catalog's, {evidence.limit:.2f}. For a better one: raters = {{ {evidence.axis} = 2 }}."
        )
    else:
        told.append(
            f"People agree with each other at kappa {evidence.people_kappa:.2f} on {evidence.people_shared} answers; "
            f"the limit is {evidence.limit:.2f}."
        )
    if evidence.same is not None and evidence.incumbent_same is not None:
        told.append(f"People's very score: {evidence.same:.0%} against {evidence.incumbent_same:.0%}.")
    if evidence.power is not None and evidence.labels_needed is not None:
        told.append(
            f"An equally good judge passes the margin of {100 * evidence.margin:g} points with a week's labels with "
            f"chance {evidence.power:.2f}; {evidence.labels_needed:,} labels make it {WANTED_POWER:g}."
        )
    return told


def evidence_markdown(found: Found) -> str:
    """A section a shadow judge; a sentence where there is none."""
    if not found:
        return NOTHING
    return "\n\n".join(_section(evidence, held) for evidence, held in found)


def _section(evidence: PromotionEvidence, held: Sequence[Condition]) -> str:
    rows = [f"| {'yes' if one.holds else 'no'} | {one.name} | {one.found} |".replace("\n", " ") for one in held]
    table = "\n".join(["| holds | condition | found |", "|---|---|---|", *rows])
    return "\n\n".join([f"**{headline(evidence)}**", table, "\n".join(f"- {line}" for line in basis(evidence))])


def evidence_page(found: Found) -> str:
    """One HTML page: texts are escaped, nothing is loaded, no script runs."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("onlineeval_dagster.review", "web"), autoescape=True, undefined=StrictUndefined
    )
    shown = [(evidence, headline(evidence), held, basis(evidence)) for evidence, held in found]
    return templates.get_template("evidence.html.j2").render(found=shown, nothing=NOTHING)
