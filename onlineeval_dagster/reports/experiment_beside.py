"""What stands beside an experiment's numbers: its judges and their cost, changes in production, earlier definitions."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from onlineeval_dagster.catalog.experiment_file import Experiment
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.contracts.agreement import JudgeAgreement, JudgeCalibration
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, literals, rows
from onlineeval_dagster.reports.model import Change
from onlineeval_dagster.reports.stage import changes_of
from onlineeval_dagster.review.worth import read_worth


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingCost:
    """What a judge was asked of a variant's answers, retries too, and what that cost in US dollars."""

    judge: str
    variant: str
    calls: int
    usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Redefined:
    """An earlier week that was analysed by another definition."""

    week: int
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """agreement, calibration: of the judge versions in force, over all answers; changes: while it ran."""

    agreement: tuple[JudgeAgreement, ...] = ()
    calibration: tuple[JudgeCalibration, ...] = ()
    costs: tuple[JudgingCost, ...] = ()
    changes: tuple[Change, ...] = ()
    redefined: tuple[Redefined, ...] = ()


def read_beside(lake: Lake, catalog: Catalog, name: str, experiment: Experiment, *, end: date) -> Beside:
    """Up to the Monday `end`."""
    days = [experiment.starts_on + timedelta(days=n) for n in range((end - experiment.starts_on).days)]
    used = {catalog.metrics.metrics[metric].judge for metric in experiment.metrics}
    in_force = {(judge.name, judge.version) for judge in catalog.judges if judge.name in used}
    worth = read_worth(lake)
    return Beside(
        agreement=tuple(
            row for row in worth.judges if (row.judge, row.judge_version) in in_force and row.slice == "all"
        ),
        calibration=tuple(row for row in worth.calibration if (row.judge, row.judge_version) in in_force),
        costs=tuple(_costs(lake, name, experiment, days, [judge for judge, _ in in_force])),
        changes=tuple(change for change in changes_of(lake, days) if change.occurred_at.date() in days),
        redefined=tuple(_redefined(lake, name, experiment, end)),
    )


def _costs(
    lake: Lake, name: str, experiment: Experiment, days: Sequence[date], judges: Sequence[str]
) -> list[JudgingCost]:
    if not judges:
        return []
    asked = f"""
        with met as (
            select unit_id, min_by(variant, occurred_at) as variant, min(occurred_at) as met_at
            from ({first_rows("exposures")})
            where experiment = {literals([name])} and unit = {literals([experiment.unit])}
            group by unit_id
            having count(distinct variant) = 1
        ),
        answers as (
            select distinct response_id, met.variant
            from responses join met on responses.{experiment.unit}_id = met.unit_id
            where responses.occurred_at >= met.met_at - interval 1 minute
        )
        select judge, answers.variant, count(*) as calls, coalesce(sum(cost_usd), 0) as usd
        from ({first_rows("verdicts")}) join answers using (response_id)
        where judge in ({literals(judges)}) and coalesce(error_kind, '') <> 'shed'
        group by judge, answers.variant
        order by judge, answers.variant
    """
    found = rows(lake, asked, dict.fromkeys(("exposures", "responses", "verdicts"), days))
    return [JudgingCost(**row) for row in found.to_pylist()]


def _redefined(lake: Lake, name: str, experiment: Experiment, end: date) -> list[Redefined]:
    if not lake.exists("experiment_results"):
        return []
    asked = (
        "select distinct week, experiment_version as version from experiment_results "
        f"where experiment = {literals([name])} and as_of < timestamptz '{end} 00:00:00+00' "
        f"and experiment_version <> {literals([experiment.version])} order by week"
    )
    return [Redefined(**row) for row in rows(lake, asked, {"experiment_results": None}).to_pylist()]
