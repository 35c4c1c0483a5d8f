"""`onlineeval judge new`: a judge of one's own, tried on ten of one's own answers once its price was shown."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from onlineeval_dagster.errors import CatalogError, JudgeError
from onlineeval_dagster.settings import PACKAGED_CATALOG, Settings, load_settings
from onlineeval_dagster.terminal import printed_on

if TYPE_CHECKING:
    from rich.console import Console

    from onlineeval_dagster.catalog.judge_file import Judge, Price
    from onlineeval_dagster.catalog.load import Catalog
    from onlineeval_dagster.judges.first_look import Looked
    from onlineeval_dagster.judges.rubric import Redact
    from onlineeval_dagster.judges.work import WorkItem

_LONGEST = 60


def new(
    name: Annotated[str, typer.Argument(help="Of the judge, and of its file: judges/NAME.md.")],
    question: Annotated[str, typer.Option("--question", help="The one thing it judges, as a yes-no question.")],
    axis: Annotated[str | None, typer.Option(help="What it scores; its name by default.")] = None,
    model: Annotated[str, typer.Option(help="As the endpoint calls it; local/overlap needs no key.")] = "local/overlap",
    base_url: Annotated[str | None, typer.Option(help="An endpoint of its own.")] = None,
    api_key_env: Annotated[str | None, typer.Option(help="The environment variable that holds its key.")] = None,
    price_in: Annotated[float | None, typer.Option("--price-in", help="US dollars per million tokens read.")] = None,
    price_out: Annotated[float | None, typer.Option("--price-out", help="The same for tokens written.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Try it without asking, whatever it costs.")] = False,
) -> None:
    """Write a judge file, asleep, and try it on ten of your own answers: scores, reasons, cost. Nothing is kept."""
    from onlineeval_dagster.catalog.load import load_catalog

    settings, out = load_settings(), printed_on()
    file = settings.catalog / "judges" / f"{name}.md"
    _check(settings, name, file)
    text = _text(settings, name, question, axis, model, base_url, api_key_env, price_in, price_out)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    try:
        catalog = load_catalog(settings.catalog)
        if name in catalog.broken:
            raise catalog.broken[name]
    except CatalogError:
        file.unlink()
        raise
    judge = next(one for one in catalog.judges if one.name == name)
    out.print(f"{file} is written: version {judge.version}, asleep. Edit its anchors: they are what makes a judge.")
    items = _answers(settings, catalog, judge, out)
    if items and _agreed(judge, items, out, yes=yes):
        _try(settings, catalog, judge, items, out)
    out.print(f'To have it judge: write status = "shadow" in {file.name}, then onlineeval run.', markup=False)


def _check(settings: Settings, name: str, file: Path) -> None:
    from onlineeval_dagster.catalog.judge_reading import NAME

    if settings.catalog == PACKAGED_CATALOG:
        raise CatalogError(
            "judge new: the packaged catalog is not yours to write to; copy it (onlineeval init does) and set "
            "ONLINEEVAL_CATALOG to the copy"
        )
    if not NAME.fullmatch(name):
        raise CatalogError(f"judge new: {name!r} is no judge's name; use lower-case letters, digits, - and _ (64)")
    if file.exists():
        raise CatalogError(f"judge new: {file} is there already; edit it, or choose another name")


def _text(
    settings: Settings,
    name: str,
    question: str,
    axis: str | None,
    model: str,
    base_url: str | None,
    api_key_env: str | None,
    price_in: float | None,
    price_out: float | None,
) -> str:
    from onlineeval_dagster.catalog.judge_file import LOCAL
    from onlineeval_dagster.judges.first_look import judge_text
    from onlineeval_dagster.verbs.newcomer import price_of_model

    said = {"--question": question, "--axis": axis, "--model": model, "--base-url": base_url}
    for option, value in said.items():
        if value is not None and (not value.strip() or any(mark in value for mark in '"\\{}\n')):
            raise CatalogError(f"{option}: a plain text without quotes, braces and line breaks, got {value!r}")
    price: Price | None = None
    if not model.startswith(LOCAL):
        price = price_of_model(settings.catalog, model, price_in, price_out)
    return judge_text(
        axis=axis or name,
        question=question.strip(),
        model=model,
        price=price,
        base_url=base_url,
        api_key_env=api_key_env,
    )


def _answers(settings: Settings, catalog: "Catalog", judge: "Judge", out: "Console") -> "list[WorkItem]":
    """What it can be tried on; none, and why, where there is nothing or nobody agreed to pay."""
    from onlineeval_dagster.judges.first_look import own_answers
    from onlineeval_dagster.lake.delta import Lake

    if not judge.is_local and catalog.sampling.budget is None:
        out.print(
            f"[yellow]![/] Not tried: {escape(judge.model)} costs money, and sampling.toml has no \\[budget]. "
            "See what judging costs and confirm one: onlineeval init LOGFILE --force"
        )
        return []
    items = own_answers(Lake(settings.lake_folder), catalog, judge)
    if not items:
        why = "" if judge.is_local else " since the budget was confirmed"
        out.print(f"[yellow]![/] Not tried: no answer is in the lake{why}. First: onlineeval import FILE…")
    return items


def _agreed(judge: "Judge", items: "list[WorkItem]", out: "Console", *, yes: bool) -> bool:
    """The price, told before anything is sent; whether it may be."""
    from onlineeval_dagster.judges.purse import most_usd
    from onlineeval_dagster.judges.rubric import messages
    from onlineeval_dagster.newcomer.cost import item_cost

    if judge.is_local:
        return True
    cost, units = item_cost(judge, items), "conversations" if judge.is_of_sessions else "answers"
    most = sum(most_usd(judge, messages(judge, item, boundary="0123456789abcdef")) for item in items)
    out.print(
        f"{len(items)} of your {units} go to {judge.model}: about {cost.input_tokens:,.0f} tokens each, "
        f"${cost.usd_a_call * len(items):.4f} in all, ${most:.4f} at the most; "
        f"1,000 {units} cost about ${1000 * cost.usd_a_call:.2f}.",
        markup=False,
    )
    if yes:
        return True
    if not sys.stdin.isatty():
        out.print("[yellow]![/] Not tried: no terminal to ask at; say --yes.")
        return False
    return typer.confirm("Send them?", default=False)


def _try(settings: Settings, catalog: "Catalog", judge: "Judge", items: "list[WorkItem]", out: "Console") -> None:
    from onlineeval_dagster.judges.client import endpoint_of
    from onlineeval_dagster.judges.first_look import first_look
    from onlineeval_dagster.judges.state import JudgeState
    from onlineeval_dagster.privacy.policy import load_privacy

    redact = load_privacy(settings, catalog).clean_text
    with JudgeState(settings.judge_state_file) as state:
        looked = first_look(
            judge, items, endpoint=endpoint_of(settings), state=state, redact=redact, now=lambda: datetime.now(UTC)
        )
    out.print(_table(looked, redact))
    done = looked.summary
    out.print(
        f"{done.done} scored, {done.failed} failed, {done.shed} not paid for; ${done.cost_usd:.4f}. Nothing is kept."
    )
    if done.paused_reason:
        raise JudgeError(f"judge {judge.name}: {done.paused_reason}")


def _table(looked: "Looked", redact: "Redact") -> Table:
    table = Table(title="Your newest answers", title_justify="left")
    for head in ("question", "answer", "score", "why"):
        table.add_column(head, justify="right" if head == "score" else "left")
    for item, verdict in looked.pairs:
        score = "–" if verdict.score is None else f"{verdict.score:g}"
        why = (verdict.rationale or "") if verdict.score is not None else f"{verdict.error_kind}: {verdict.error}"
        cells = (_short(redact(item.query)), _short(redact(item.response)), score, _short(why, 3 * _LONGEST))
        table.add_row(*map(escape, cells))
    return table


def _short(text: str, longest: int = _LONGEST) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= longest else f"{one_line[: longest - 1]}…"
