"""Data-quality checks: the contract and the suite of every table, on touched days in a tick, on all of it at night."""

from collections.abc import Iterable, Iterator

import dagster as dg

from onlineeval_dagster.defs.ingest import INGESTED
from onlineeval_dagster.defs.place import Place
from onlineeval_dagster.defs.tables import FULL
from onlineeval_dagster.lake.scan import rows
from onlineeval_dagster.quality.progress import checked_through, passed
from onlineeval_dagster.quality.run import Checked, check_freshness, check_table
from onlineeval_dagster.quality.suite import fresh_tables, joined_limits
from onlineeval_dagster.quality.unjoined import recent_days, unjoined_actions


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

    # Subsets: a backfill of one table asks for its own check alone.
    @dg.multi_asset_check(specs=specs, name=name, can_subset=True)
    def checked(context: dg.AssetCheckExecutionContext, place: Place) -> Iterator[dg.AssetCheckResult]:
        full = context.run.tags.get(FULL) == "true"
        for table in _asked(context, tables):
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


def _asked(context: dg.AssetCheckExecutionContext, tables: Iterable[str]) -> list[str]:
    """Those of `tables` whose check this run asks for."""
    asked = {key.asset_key.to_user_string() for key in context.selected_asset_check_keys}
    return [table for table in tables if table in asked]


def _check(place: Place, table: str, *, full: bool) -> Checked:
    lake, progress = place.lake(), place.settings().home / "quality"
    changes = lake.changes(table, None if full else checked_through(progress, table))
    outcome = check_table(lake, table, changes.days)
    if outcome.passed:
        passed(progress, table, changes.version)
    return outcome


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec("fresh", asset=table, description="The newest row is young enough (suites.toml).")
        for table in fresh_tables()
    ],
    name="check_freshness",
    can_subset=True,
)
def fresh(context: dg.AssetCheckExecutionContext, place: Place) -> Iterator[dg.AssetCheckResult]:
    """Warn where a table has had no new rows for too long."""
    for table in _asked(context, fresh_tables()):
        outcome = check_freshness(place.lake(), table, now=place.now())
        yield dg.AssetCheckResult(
            asset_key=table,
            check_name="fresh",
            passed=outcome.passed,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"found": "\n".join(outcome.failures) or "young enough"},
        )


@dg.asset_check(
    asset="signals",
    name="actions_joined",
    description="Actions speak of responses that are known: few speak of none, once that had an hour to arrive.",
)
def actions_joined(context: dg.AssetCheckExecutionContext, place: Place) -> dg.AssetCheckResult:
    """Count the actions without a response: of the last two days in a tick, of all days at night."""
    lake = place.lake()
    full = context.run.tags.get(FULL) == "true"
    found = unjoined_actions(lake, None if full else recent_days(lake), now=place.now())
    return dg.AssetCheckResult(
        passed=found.passed,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "actions looked at": found.actions,
            "that speak of no known response": found.count,
            f"of these younger than {joined_limits().hours:g} h": found.waiting,
            "oldest": f"{found.oldest:%Y-%m-%d %H:%M} UTC" if found.oldest else "none",
            "before their response (clocks disagree; joined)": found.early,
            "told again (counted once)": found.repeated,
        },
    )


@dg.asset_check(
    asset="judge_coverage",
    name="states_close",
    description="On each day the states of a judge add up to the selections there are: no response is lost on the way.",
)
def states_close(place: Place) -> dg.AssetCheckResult:
    """Compare the lake's selections with the warehouse's states, by judge, on the days last built."""
    with place.warehouse("checking that states close"), place.duckdb().get_connection() as warehouse:
        counted = warehouse.execute(
            "select judge, sum(responses)::bigint as responses from marts.judge_coverage "
            "where day in (select day from tick.days) group by judge"
        ).fetchall()
        days = [row[0] for row in warehouse.execute("select day from tick.days").fetchall()]
    sql = "select judge, count(*) as responses from selections group by judge"
    selected = {row["judge"]: row["responses"] for row in rows(place.lake(), sql, {"selections": days}).to_pylist()}
    return dg.AssetCheckResult(
        passed=dict(counted) == selected, metadata={"selections": selected, "states": dict(counted)}
    )


defs = dg.Definitions(
    asset_checks=[
        contract_checks("check_imports", ["imports"]),
        contract_checks("check_ingested", INGESTED),
        contract_checks("check_signals", ["signals"]),
        contract_checks("check_validity", ["signal_validity", "quality_weights"]),
        contract_checks("check_selections", ["selections"]),
        contract_checks("check_verdicts", ["verdicts"]),
        contract_checks("check_coverage", ["coverage"]),
        contract_checks("check_detrended", ["detrended_metrics"]),
        contract_checks("check_metrics", ["metric_points", "rolling_points", "minute_counts", "deploy_effects"]),
        fresh,
        actions_joined,
        states_close,
    ]
)
