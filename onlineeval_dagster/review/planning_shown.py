"""Label plans in words: how wide the range is now, how many labels the wanted one takes, and whose time that is."""

from collections.abc import Iterator

from onlineeval_dagster.review.planning import LabelPlan, Of, Seen

HEADINGS = (
    "answers",
    "people say",
    "human checks a week",
    "range now",
    "needed a week",
    "without AI",
    "hours a week",
)


def plan_cells(plan: LabelPlan, *, seconds: float | None) -> tuple[str, ...]:
    """One line, in the order of `HEADINGS`."""
    return (
        plan.name,
        f"{plan.level:.0%}" if plan.of == "good" else f"{plan.level:.2f}",
        f"{plan.labels_now:,.0f}",
        width(plan.half_now, plan.of) if plan.half_now is not None else "not enough yet",
        f"{plan.needed:,}" if plan.needed is not None else f"none does: {width(plan.best_half, plan.of)} at best",
        f"{plan.alone:,}",
        "–" if plan.needed is None else hours(plan.needed, seconds),
    )


def width(half: float, of: Of) -> str:
    """Half a range as a table says it: in points, or in the score's unit.

    >>> width(0.05, "good"), width(0.05, "score")
    ('± 5.0', '± 0.05')
    """
    return f"± {100 * half:.1f}" if of == "good" else f"± {half:.2f}"


def wanted(half: float, of: Of) -> str:
    """
    >>> wanted(0.05, "good"), wanted(0.05, "score")
    ('± 5 points', '± 0.05')
    """
    return f"± {100 * half:g} points" if of == "good" else f"± {half:g}"


def hours(labels: float, seconds: float | None) -> str:
    """People's time for so many labels. `not timed` where nobody labelled on the pages.

    >>> hours(224, 40), hours(12, 40), hours(12, None)
    ('2.5', '0.1', 'not timed')
    """
    return "not timed" if seconds is None else f"{labels * seconds / 3600:,.1f}"


def plan_words(plans: list[LabelPlan], seen: Seen, *, half: float, rate: float | None) -> Iterator[str]:
    """What to do, and what is not known."""
    for plan in plans:
        if plan.needed is None:
            yield (
                f"{plan.name}: the judged answers alone leave {width(plan.best_half, plan.of)}; no number of human "
                "checks makes it narrower. Raise the AI reviewer's rate (onlineeval judge plan), or ask for less."
            )
        elif plan.labels_now >= plan.needed:
            yield f"{plan.name}: {plan.labels_now:,.0f} human checks a week are enough for {wanted(half, plan.of)}."
        else:
            more = plan.needed / max(plan.labels_now, 1)
            told = f", some [review] rate = {min(rate * more, 1):.3g} in sampling.toml" if rate else ""
            time = "" if seen.seconds is None else f" ({hours(plan.needed, seen.seconds)} hours of people's time)"
            yield (
                f"{plan.name}: {wanted(half, plan.of)} takes {plan.needed:,} human checks a week{time}, "
                f"{more:.1f} times those of now{told}. The AI reviewer explains {plan.worth:.0%} of what people say; "
                f"without it there would have to be {plan.alone:,}."
            )
    if seen.unlabelled:
        yield f"Without a human check, so nothing is known: {', '.join(seen.unlabelled)}."
