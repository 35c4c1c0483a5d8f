"""Label plans in words: how wide the range is now, how many labels the wanted one takes, and whose time that is."""

from collections.abc import Iterator

from onlineeval_dagster.review.planning import LabelPlan, Seen

HEADINGS = (
    "answers",
    "good, people say",
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
        f"{plan.rate:.0%}",
        f"{plan.labels_now:,.0f}",
        f"± {100 * plan.half_now:.1f}" if plan.half_now is not None else "not enough yet",
        f"{plan.needed:,}" if plan.needed is not None else f"none does: ± {100 * plan.best_half:.1f} at best",
        f"{plan.alone:,}",
        "–" if plan.needed is None else hours(plan.needed, seconds),
    )


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
                f"{plan.name}: the judged answers alone leave ± {100 * plan.best_half:.1f} points; no number of human "
                "checks makes it narrower. Raise the AI reviewer's rate (onlineeval judge plan), or ask for less."
            )
        elif plan.labels_now >= plan.needed:
            yield f"{plan.name}: {plan.labels_now:,.0f} human checks a week are enough for ± {100 * half:g} points."
        else:
            more = plan.needed / max(plan.labels_now, 1)
            told = f", some [review] rate = {min(rate * more, 1):.3g} in sampling.toml" if rate else ""
            time = "" if seen.seconds is None else f" ({hours(plan.needed, seen.seconds)} hours of people's time)"
            yield (
                f"{plan.name}: ± {100 * half:g} points take {plan.needed:,} human checks a week{time}, "
                f"{more:.1f} times those of now{told}. The AI reviewer explains {plan.worth:.0%} of what people say; "
                f"without it there would have to be {plan.alone:,}."
            )
    if seen.unlabelled:
        yield f"Without a human check, so nothing is known: {', '.join(seen.unlabelled)}."
