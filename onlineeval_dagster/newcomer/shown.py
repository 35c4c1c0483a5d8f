"""What `onlineeval init` prints: rows as they were understood, limits, traffic, cost."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from onlineeval_dagster.catalog.prices_file import Prices
from onlineeval_dagster.contracts.events import Response
from onlineeval_dagster.newcomer.cost import (
    CHARS_A_TOKEN,
    MONTH_DAYS,
    REPLY_TOKENS,
    Audit,
    JudgeCost,
    judge_cost,
    month_usd,
)
from onlineeval_dagster.newcomer.limits import can, cannot
from onlineeval_dagster.newcomer.survey import SHOWN, Survey, Traffic
from onlineeval_dagster.privacy.redaction import redact

LONGEST = 120
_MODELS_SHOWN = 3


def show_rows(found: Survey, out: Console) -> None:
    """The first answers, field by field, redacted and cut."""
    table = Table(title=f"The first {min(SHOWN, len(found.shown))} answers as read", title_justify="left")
    table.add_column("", no_wrap=True)
    for number in range(1, len(found.shown) + 1):
        table.add_column(str(number), overflow="fold")
    columns = [_fields(said) for said in found.shown]
    for name in columns[0]:
        table.add_row(name, *(escape(column[name]) for column in columns))
    out.print(table)
    out.print(f"{found.answers:,} answers, {found.actions.total():,} user actions, {found.deploys:,} deploys")
    if found.bad:
        out.print(f"[yellow]![/] {found.bad:,} rows could not be read and would go to quarantine; the first:")
        for row in found.bad_shown:
            out.print(f"  {escape(row.place)}: {escape(redact(row.reason))}", markup=True)


def show_limits(found: Survey, out: Console) -> None:
    out.print("\nThis file can measure:")
    for line in can(found):
        out.print(f"  ✓ {line}")
    if lines := cannot(found):
        out.print("It cannot measure, and why:")
        for line in lines:
            out.print(f"  ✗ {line}")


def show_traffic(traffic: Traffic, out: Console) -> None:
    out.print(f"\nAnswers a day: {traffic.answers_a_day:,.0f} ({traffic.answers_how})")
    out.print(f"Daily users: {traffic.users_a_day:,.0f} ({traffic.users_how})")
    if traffic.profile == "weekly":
        out.print(
            "Fewer than 10,000 daily users: the weekly profile. All is judged that the cap allows; "
            "numbers by day and by week, traffic and errors by minute."
        )


def show_costs(costs: Sequence[JudgeCost], judged_a_day: float, audit: Audit, out: Console) -> None:
    """Dollars and hours a month at 10 % and at 100 %."""
    table = Table(title="A month of judging", title_justify="left")
    table.add_column("")
    shares = (0.1, 1.0)
    for share in shares:
        table.add_column(f"{100 * share:.0f} % of answers", justify="right")
    for cost in costs:
        model = "local, costs nothing" if cost.judge.is_local else cost.judge.model
        month = [month_usd([cost], answers_a_day=judged_a_day, rate=share) for share in shares]
        table.add_row(f"judge {escape(cost.judge.name)} ({escape(model)})", *map(usd, month))
    table.add_row("all judges", *(usd(month_usd(costs, answers_a_day=judged_a_day, rate=share)) for share in shares))
    judged = judged_a_day * MONTH_DAYS
    table.add_row("reviewers' time", *(hours(audit.hours(judged * share)) for share in shares))
    out.print(table)
    for cost in costs:
        if not cost.judge.is_local and cost.judge.price is not None:
            price = cost.judge.price
            out.print(
                f"{cost.judge.name}: {cost.input_tokens:,.0f} tokens in (texts and rubric, {CHARS_A_TOKEN} characters "
                f"to a token), {REPLY_TOKENS} out taken for a reply (more where the model thinks first); "
                f"${price.input_usd_per_million:g} and ${price.output_usd_per_million:g} per million"
            )
        if cost.judge.is_of_sessions:
            answers = f"{1 / cost.calls_an_answer:,.1f}"
            out.print(f"{cost.judge.name}: reads a conversation whole, once it is over: {answers} answers a call")
        if cost.own_rate:
            out.print(f"{cost.judge.name}: its own rate is {cost.own_rate:g}, so it never sees less than that")
    out.print(
        f"A month is {MONTH_DAYS} days. Reviewers look at {100 * audit.share:g} % of judged answers, "
        f"{audit.seconds:g} seconds each (--audit-share, --audit-seconds)."
    )


def show_models(
    costs: Sequence[JudgeCost], answers: Sequence[Response], judged_a_day: float, listed: Prices, out: Console
) -> None:
    """What the cheapest models of the list would cost in place of judges that are local."""
    judges = [cost.judge for cost in costs if cost.judge.is_local]
    months: dict[str, tuple[float, float]] = {}
    for model in listed.models:
        asked = [judge_cost(replace(judge, model=model, price=listed.of(model)), answers) for judge in judges]
        ten, all_ = (month_usd(asked, answers_a_day=judged_a_day, rate=share) for share in (0.1, 1.0))
        months[model] = ten, all_
    cheapest = sorted(months, key=lambda model: months[model])[:_MODELS_SHOWN]
    if judges and cheapest:
        told = "; ".join(f"{model} {usd(months[model][0])} and {usd(months[model][1])}" for model in cheapest)
        out.print(
            f"With a model in place of the local {'judge' if len(judges) == 1 else 'judges'}, at 10 % and 100 % "
            f"(list of {listed.as_of}): {told}. Add --model NAME.",
            markup=False,
        )


def hours(amount: float) -> str:
    """
    >>> hours(0), hours(0.02), hours(0.5), hours(12.345)
    ('0 minutes', '1 minute', '30 minutes', '12.3 hours')
    """
    minutes = round(amount * 60)
    return f"{amount:,.1f} hours" if minutes >= 60 else f"{minutes} minute{'' if minutes == 1 else 's'}"


def usd(amount: float) -> str:
    """
    >>> usd(0.0), usd(0.004), usd(1234.5)
    ('$0', 'under $0.01', '$1,234.50')
    """
    return "$0" if amount == 0 else "under $0.01" if amount < 0.01 else f"${amount:,.2f}"


def _fields(said: Response) -> dict[str, str]:
    version = " · ".join(part for part in (said.prompt_version, said.variant) if part)
    time = f"{said.occurred_at:%Y-%m-%d %H:%M:%S} UTC" if said.occurred_at.utcoffset() == timedelta() else ""
    answer = said.response if said.error is None else f"(failed: {said.error})"
    return {
        "question": _cut(said.query),
        "answer": _cut(answer),
        "time": time or said.occurred_at.isoformat(),
        "user": _cut(said.user_id or "–"),
        "session": _cut(said.session_id or "–"),
        "version": _cut(version or "–"),
    }


def _cut(text: str) -> str:
    # Redacted before it is cut: half an address is none that a pattern would know.
    clean = " ".join(redact(text).split())
    return clean if len(clean) <= LONGEST else f"{clean[: LONGEST - 1]}…"
