"""Data-quality checks: the contract and the suite of every table, on touched days in a tick, on all of it at night."""

from collections.abc import Iterator

import dagster as dg

from onlineeval_dagster.defs.ingest import INGESTED
from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.quality.progress import checked_through, passed
from onlineeval_dagster.quality.run import Checked, check_table

FULL = "onlineeval/full_check"


def contract_checks(name: str, tables: list[str]) -> dg.AssetChecksDefinition:
    """One blocking check a table, run together so that Great Expectations is loaded once."""
    specs = [
        dg.AssetCheckSpec(
            "contract",
            asset=table,
            blocking=True,
            description="Columns, keys, ranges and words as the contract and suites.toml say (Great Expectations).",
        )
        for table in tables
    ]

    @dg.multi_asset_check(specs=specs, name=name)
    def checked(context: dg.AssetCheckExecutionContext, place: Place) -> Iterator[dg.AssetCheckResult]:
        full = context.run.tags.get(FULL) == "true"
        for table in tables:
            outcome = _check(place, table, full=full)
            yield dg.AssetCheckResult(
                asset_key=table,
                check_name="contract",
                passed=outcome.passed,
                metadata={
                    "rows checked": outcome.rows,
                    "expectations": outcome.expectations,
                    "failures": dg.MetadataValue.md("\n".join(f"- {line}" for line in outcome.failures) or "none"),
                },
            )

    return checked


def _check(place: Place, table: str, *, full: bool) -> Checked:
    lake, progress = place.lake(), place.settings().home / "quality"
    changes = lake.changes(table, None if full else checked_through(progress, table))
    outcome = check_table(lake, table, changes.days)
    if outcome.passed:
        passed(progress, table, changes.version)
    return outcome


defs = dg.Definitions(
    asset_checks=[
        contract_checks("check_ingested", INGESTED),
        contract_checks("check_signals", ["signals"]),
        contract_checks("check_selections", ["selections"]),
        contract_checks("check_verdicts", ["verdicts"]),
        contract_checks("check_metrics", ["metric_points", "deploy_effects"]),
    ]
)
