"""`onlineeval experiment plan` before the start, `onlineeval experiment gate` in a deployment pipeline."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from onlineeval_dagster.errors import CatalogError, ReportError
from onlineeval_dagster.settings import load_settings
from onlineeval_dagster.terminal import printed_on
from onlineeval_dagster.verbs.experiment_apart import before_after, choose

if TYPE_CHECKING:
    from onlineeval_dagster.catalog.experiment_file import Experiment
    from onlineeval_dagster.catalog.load import Catalog

experiment_app = typer.Typer(no_args_is_help=True, help="Experiments of the catalog's experiments.toml.")
experiment_app.command("before-after")(before_after)
experiment_app.command("choose")(choose)


@experiment_app.command("plan")
def plan(
    name: Annotated[str, typer.Argument(help="An experiment of experiments.toml.")],
    lift: Annotated[
        float, typer.Option(min=0.001, max=1, help="The smallest change worth knowing: .02 is 2 percent.")
    ] = 0.02,
    labels: Annotated[
        float | None,
        typer.Option(min=1, help="Human checks a week, of all variants; as many as there were by default."),
    ] = None,
) -> None:
    """Weeks and sizes with the traffic seen; what to do instead where it is too little; what guardrails can pass.

    Exits 1 where the primary metric fails its A/A: re-splits of its own last weeks.
    """
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.contracts.estimates import NotEnough
    from onlineeval_dagster.experiments import planning
    from onlineeval_dagster.experiments.plan_shown import plan_lines, unfit_primary
    from onlineeval_dagster.experiments.seen import look_back
    from onlineeval_dagster.experiments.stage import labels_of
    from onlineeval_dagster.lake.delta import Lake
    from onlineeval_dagster.warehouse.duckdb import warehouse_held

    settings = load_settings()
    catalog = load_catalog(settings.catalog)
    known = {name: _known(catalog, name)}
    file, now = settings.warehouse_file, datetime.now(UTC)
    past = now.date() - timedelta(weeks=5)
    people = labels_of(Lake(settings.lake_folder), catalog, known[name], since=past, until=now.date())
    with warehouse_held(file, wait_seconds=settings.warehouse_wait_seconds, purpose="planning an experiment"):
        seen = look_back(file, catalog, known[name], now=now, labels=people)
    if isinstance(seen, NotEnough):
        raise ReportError(f"experiment {name}: {seen.reason}; import a week of answers and run `onlineeval run`")
    found = planning.plan(known[name], seen, wanted_lift=lift, labels_a_week=labels)
    if isinstance(found, NotEnough):
        raise ReportError(f"experiment {name}: {known[name].primary} has no past to plan from ({found.reason})")
    out = printed_on()
    is_judged = catalog.metrics.metrics[known[name].primary].judge is not None
    for line in plan_lines(name, known[name], seen, found, is_judged=is_judged):
        out.print(escape(line))
    unfit = unfit_primary(known[name], seen)
    if unfit is not None:
        raise ReportError(f"experiment {name}: {unfit}")


@experiment_app.command("gate")
def gate(
    name: Annotated[str, typer.Argument(help="An experiment of experiments.toml.")],
    variant: Annotated[
        str | None, typer.Option(help="The variant to be shipped; the only treatment by default.")
    ] = None,
) -> None:
    """Exit 0 where the variant may be shipped, 1 while the primary metric, a guardrail or the trust gate blocks it."""
    from onlineeval_dagster.catalog.load import load_catalog
    from onlineeval_dagster.experiments.gate import may_ship
    from onlineeval_dagster.experiments.stage import latest_results
    from onlineeval_dagster.lake.delta import Lake

    settings = load_settings()
    one = _known(load_catalog(settings.catalog), name)
    if variant is None and len(one.treatments) > 1:
        raise CatalogError(
            f"experiment {name} has several treatments; add --variant, one of {', '.join(one.treatments)}"
        )
    wanted = variant or next(iter(one.treatments))
    if wanted not in one.treatments:
        raise CatalogError(f"experiment {name} has no treatment {wanted!r}; choose of {', '.join(one.treatments)}")
    passed = may_ship(name, one, wanted, latest_results(Lake(settings.lake_folder), name))
    printed_on().print(escape(passed.told))
    if not passed.ships:
        raise typer.Exit(1)


def _known(catalog: "Catalog", name: str) -> "Experiment":
    known = catalog.experiments.experiments
    if name not in known:
        there = ", ".join(known) or "none; the packaged experiments.toml shows one"
        raise CatalogError(f"experiments.toml: no experiment {name!r}; there are {there}")
    return known[name]
