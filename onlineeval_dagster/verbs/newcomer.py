"""`onlineeval init`: what one log file can measure, what judging it costs, and a first catalog."""

import re
import shlex
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from onlineeval_dagster.errors import CatalogError, SourceError
from onlineeval_dagster.settings import PACKAGED_CATALOG, load_settings
from onlineeval_dagster.terminal import printed_on
from onlineeval_dagster.verbs.sources import column_map, instant

if TYPE_CHECKING:
    from onlineeval_dagster.catalog.judge_file import Price
    from onlineeval_dagster.catalog.load import Catalog
    from onlineeval_dagster.catalog.prices_file import Prices
    from onlineeval_dagster.newcomer.cost import JudgeCost
    from onlineeval_dagster.newcomer.survey import Survey

out = printed_on()


def init(
    logfile: Annotated[Path, typer.Argument(help="A log of questions and answers, as onlineeval import reads it.")],
    to: Annotated[Path, typer.Option(help="Where the catalog goes.")] = Path("catalog"),
    cap: Annotated[
        float | None, typer.Option(min=0, help="US dollars a month for judging; asked for if not given.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Write without asking.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Change the catalog that is there.")] = False,
    judge_history: Annotated[
        bool, typer.Option("--judge-history", help="Remote judges see the answers from before today as well.")
    ] = False,
    model: Annotated[str | None, typer.Option(help="A model of your endpoint for the judges that are local.")] = None,
    price_in: Annotated[
        float | None, typer.Option(min=0, help="US dollars per million tokens that --model reads.")
    ] = None,
    price_out: Annotated[float | None, typer.Option(min=0, help="The same for what it writes.")] = None,
    answers_per_day: Annotated[
        float | None, typer.Option(min=0.001, help="If the file is a part of the traffic.")
    ] = None,
    users_per_day: Annotated[float | None, typer.Option(min=0, help="If the file does not show it.")] = None,
    audit_share: Annotated[float, typer.Option(min=0, max=1, help="Of judged answers, seen by a person too.")] = 0.01,
    audit_seconds: Annotated[float, typer.Option(min=0, help="That one of these takes.")] = 45.0,
    name: Annotated[str | None, typer.Option(help="Of the source in sources.toml; from the file's name.")] = None,
    source: Annotated[str, typer.Option(help="The dialect: see onlineeval sources.")] = "jsonl",
    column: Annotated[list[str] | None, typer.Option("--map", help="our_field=their.field, as often as needed")] = None,
    environment: Annotated[str, typer.Option(help="Of rows that do not say.")] = "production",
    app_name: Annotated[str, typer.Option("--app", help="Which product the rows are of.")] = "default",
    at: Annotated[str | None, typer.Option(help="When rows without a time of their own occurred: ISO 8601.")] = None,
    zone: Annotated[str | None, typer.Option(help="Zone of times that name none, such as Europe/Berlin.")] = None,
) -> None:
    """Look at a log file, see what judging it would cost, and write a catalog. Nothing is sent to any model."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.newcomer.cost import Audit, judge_cost
    from onlineeval_dagster.newcomer.shown import show_costs, show_limits, show_models, show_rows, show_traffic
    from onlineeval_dagster.newcomer.survey import survey, traffic
    from onlineeval_dagster.newcomer.written import Learned, ask_model, check_target, draft, put_in_place, write_learned

    now, target = datetime.now(UTC), to.absolute()
    check_target(target, force=force)
    _check_answers(cap, yes=yes)
    entry = {"dialect": source, "path": str(logfile.absolute()), "map": column_map(column or [])}
    entry |= {"environment": environment, "app": app_name} | ({"zone": zone} if zone else {})
    found = survey(_rows(entry, at=at, now=now), place=str(logfile))
    show_rows(found, out)
    show_limits(found, out)
    about = traffic(found, answers_a_day=answers_per_day, users_a_day=users_per_day)
    show_traffic(about, out)
    with draft(load_settings().catalog, target, force=force) as staged:
        local = tuple(judge for judge in load_catalog(staged).whole().live_judges if judge.is_local)
        if model is not None:
            ask_model(staged, local, model, price_of_model(staged, model, price_in, price_out))
        elif price_in is not None or price_out is not None:
            raise CatalogError(
                "--price-in, --price-out: the catalog's judges say their prices themselves; give --model too"
            )
        catalog = load_catalog(staged)
        conversations = found.turns.conversations(timedelta(minutes=catalog.signals.sessions.idle_minutes))
        costs = [judge_cost(judge, found.texts, conversations) for judge in catalog.live_judges]
        judged_a_day = about.answers_a_day * (1 - found.failed / found.answers)
        show_costs(costs, judged_a_day, Audit(share=audit_share, seconds=audit_seconds), out)
        show_models(costs, found.texts, judged_a_day, _listed(staged), out)
        cap = _cap(cap)
        rate = _rate(costs, judged_a_day, cap)
        is_paid = any(not cost.judge.is_local for cost in costs) and rate is not None
        if catalog.sampling.budget is not None and not is_paid:
            _check_no_old_budget(catalog)
        history = is_paid and _history(costs, found, rate or 0.0, judge_history=judge_history, asks=not yes)
        _confirm(target, yes=yes)
        learned = Learned(
            source_name=_source_name(name or logfile.name.split(".")[0]),
            source=entry if at is None else None,
            profile=about.profile,
            rate=rate,
            environments=_environments(catalog, found),
            cap_usd=cap,
            confirmed_at=now if is_paid else None,
            judge_history=history,
        )
        write_learned(staged, learned)
        written = put_in_place(staged, target)
    _tell(written, command=_import_command(logfile, entry, at))


def _check_answers(cap: float | None, *, yes: bool) -> None:
    """Raise CatalogError where something would have to be asked and nobody is there."""
    if cap is not None and not 0 <= cap < float("inf"):
        raise CatalogError(f"--cap: must be US dollars a month, 0 or more, got {cap:g}; write --cap 50")
    if sys.stdin.isatty():
        return
    if cap is None:
        raise CatalogError(
            "init: no monthly cap, and no terminal to ask at; add --cap 50 --yes (0: nothing is paid for)"
        )
    if not yes:
        raise CatalogError("init: no terminal to confirm at; add --yes")


def _check_no_old_budget(catalog: "Catalog") -> None:
    if any(not judge.is_local for judge in catalog.asked_judges):
        raise CatalogError(
            f"--cap: pays for no judge, but {catalog.folder.name}/sampling.toml has a [budget] from before; "
            "raise the cap, or take [budget] out"
        )


def _rows(entry: dict[str, Any], *, at: str | None, now: datetime) -> Any:
    from pydantic import ValidationError

    from onlineeval_dagster.catalog.source_file import Source
    from onlineeval_dagster.sources.place import opened
    from onlineeval_dagster.sources.registry import dialect_of, read_items

    try:
        said = Source(**entry)
    except ValidationError as error:
        first = error.errors()[0]
        raise SourceError(
            f"init: --{'.'.join(map(str, first['loc'])) or 'source'}: {first['msg']}; correct it"
        ) from error
    dialect_of(said, f"--source {said.dialect}")
    return read_items(opened(said, place="init", now=now, occurred_at=instant(at)), {})


def price_of_model(folder: Path, model: str, price_in: float | None, price_out: float | None) -> "Price":
    """What `--model` costs: as said, or by the list of a catalog. Raises CatalogError where nobody says."""
    from onlineeval_dagster.catalog.judge_file import Price

    if price_in is not None and price_out is not None:
        return Price(input_usd_per_million=price_in, output_usd_per_million=price_out)
    listed = _listed(folder)
    price = listed.of(model)
    if price is None or price_in is not None or price_out is not None:
        known = ", ".join(listed.models)
        why = f"its price is not in prices.toml (there are {known})" if price is None else "one price was given"
        raise CatalogError(
            f"--model {model}: {why}; give both --price-in and --price-out, US dollars per million tokens, "
            "0 for a model of your own"
        )
    out.print(f"\nPrices of {model}: the list of {listed.as_of} (prices.toml); compare with your provider's page.")
    return price


def _listed(folder: Path) -> "Prices":
    """The price list of a catalog, the packaged one where it has none. Raises CatalogError."""
    from onlineeval_dagster.catalog.prices_file import load_prices

    file = folder / "prices.toml"
    return load_prices(file if file.exists() else PACKAGED_CATALOG / "prices.toml")


def _cap(cap: float | None) -> float:
    while cap is None or cap < 0 or cap != cap or cap == float("inf"):
        if cap is not None:
            out.print("The cap is a number of dollars, 0 or more.")
        cap = typer.prompt("\nAt most how many US dollars a month may judging cost? 0: local judges only", type=float)
    return float(cap)


def _rate(costs: "list[JudgeCost]", judged_a_day: float, cap: float) -> float | None:
    """The rate that the cap allows, told; None where it allows none."""
    from onlineeval_dagster.newcomer.cost import month_usd, rate_within
    from onlineeval_dagster.newcomer.shown import usd

    rate = rate_within(costs, answers_a_day=judged_a_day, cap_usd=cap)
    if rate is None:
        least = month_usd(costs, answers_a_day=judged_a_day, rate=0.0)
        why = f": the judges' own rates cost {usd(least)}, lower `rate` in their files" if least > cap else ""
        out.print(f"[yellow]![/] A cap of ${cap:g} a month pays for no remote judge{why}. They will wait.")
    else:
        month = month_usd(costs, answers_a_day=judged_a_day, rate=rate)
        out.print(f"A cap of ${cap:g} allows {100 * rate:g} % of the answers: {usd(month)} a month by this estimate.")
    if all(cost.judge.is_local for cost in costs):
        out.print("No judge asks a model, so no budget is confirmed: come back with --force when you add one.")
    return rate


def _history(costs: "list[JudgeCost]", found: "Survey", rate: float, *, judge_history: bool, asks: bool) -> bool:
    """Whether answers from before now go to remote judges too, with what that costs once."""
    from onlineeval_dagster.newcomer.shown import usd

    answers = found.answers - found.failed
    once = usd(sum(cost.usd_an_answer * max(rate, cost.own_rate) for cost in costs) * answers)
    if judge_history:
        out.print(f"--judge-history: the {answers:,} answers of this file cost {once} more, once.")
        return True
    if asks and typer.confirm(f"Judge the {answers:,} answers of this file too, for {once} once?", default=False):
        return True
    out.print(
        f"Remote judges see answers from now on only. To have the {answers:,} of this file judged too, for {once} "
        "once, say so before the first run: --judge-history. What a run passed over is not judged later."
    )
    return False


def _confirm(target: Path, *, yes: bool) -> None:
    if not yes and not typer.confirm(f"Write the catalog to {target}?", default=True):
        raise CatalogError("init: not confirmed, and nothing was written; say --yes to write without asking")


def _environments(catalog: "Catalog", found: "Survey") -> tuple[str, ...] | None:
    """The environment to count where the file has none of those that are counted."""
    if any(name in catalog.sampling.environments for name in found.environments):
        return None
    most = found.environments.most_common(1)[0][0]
    out.print(
        f"The file's answers are of environment {escape(repr(most))}: metrics will count that one (sampling.toml)."
    )
    return (most,)


def _source_name(text: str) -> str:
    """A name as sources.toml has them: lower case letters, digits and _."""
    name = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60]
    return name if name[:1].isalpha() else f"log_{name}".rstrip("_")


def _import_command(logfile: Path, entry: dict[str, Any], at: str | None) -> str:
    words = ["onlineeval", "import", str(logfile.absolute())]
    words += [] if entry["dialect"] == "jsonl" else ["--source", entry["dialect"]]
    for field, column in entry["map"].items():
        words += ["--map", f"{field}={column}"]
    given = {"--environment": entry["environment"], "--app": entry["app"], "--zone": entry.get("zone"), "--at": at}
    usual = {"--environment": "production", "--app": "default", "--zone": None, "--at": None}
    for option, value in given.items():
        words += [option, value] if value != usual[option] and value is not None else []
    return shlex.join(words)


def _tell(catalog: "Catalog", *, command: str) -> None:
    from onlineeval_dagster.newcomer.waiting import waiting_for_budget

    out.print(f"\n{catalog.folder} is written. Next:\n", markup=False)
    out.print(f"  export ONLINEEVAL_CATALOG={shlex.quote(str(catalog.folder))}", markup=False)
    if any(not judge.is_local for judge in catalog.asked_judges):
        out.print("  export OPENAI_API_KEY=…                 # and OPENAI_BASE_URL, for another endpoint", markup=False)
    out.print(f"  {command}", markup=False)
    out.print("  onlineeval run", markup=False)
    if waits := waiting_for_budget(catalog):
        out.print(f"\n[yellow]![/] {escape(waits)}")
