"""SQL that puts every eligible answer into its stratum and window, with its number in [0, 1) for each salt."""

from collections.abc import Collection, Sequence
from datetime import date, timedelta

from onlineeval_dagster.catalog.sampling_file import Sampling
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import first_rows, literals
from onlineeval_dagster.sampling.chance import unit_interval_sql

AWAY_DAYS = 30
"""A prompt version or variant that was not deployed for so long is new again: back after a rollback, say."""


def deploy_days(lake: Lake, sampling: Sampling, days: Collection[date]) -> set[date]:
    """The days whose deploys can make an answer of `days` one of a new version."""
    watched = 0.0 if sampling.watched is None else sampling.watched.minutes / 60
    hours = max(sampling.new_version.hours, watched)
    first = min(days) - timedelta(hours=hours) - timedelta(days=AWAY_DAYS + 1)
    return {day for day in lake.days("deploys") if first <= day <= max(days)}


def placed_sql(sampling: Sampling, salts: Sequence[str]) -> str:
    """A select over responses, signals and deploys: response_id, response_at, day, is_error, stratum, window_start and
    chance_0, chance_1 … in the order of `salts`. Grain: one eligible response.
    """
    chances = ",\n        ".join(
        f"{unit_interval_sql('response_id', salt)} as chance_{n}" for n, salt in enumerate(salts)
    )
    segments = "\n            ".join(
        f"when {segment.column}::varchar in ({literals(segment.values)}) then '{name}'"
        for name, segment in sampling.segments.items()
    )
    hours = f"to_seconds({sampling.new_version.hours * 3600})"
    watched = "" if sampling.watched is None else "when response_id in (from met) then 'watched'"
    return f"""
    with released as (
        select kind, name, occurred_at
        from (
            select 'prompt_version' as kind, prompt_version as name, occurred_at from deploys
            union all
            select 'variant', variant, occurred_at from deploys
        )
        where name is not null
        qualify coalesce(
            occurred_at > lag(occurred_at) over (partition by kind, name order by occurred_at)
                + to_days({AWAY_DAYS}),
            true
        )
    ),
    answers as (
        select * from ({first_rows("responses")})
        where environment in ({literals(sampling.environments)})
    ),
    flagged as (select distinct response_id from signals where flagged),
    {_met_sql(sampling)}
    fresh as (
        select distinct response_id
        from answers
        join released
            on released.name = case released.kind when 'variant' then variant else prompt_version end
            and answers.occurred_at >= released.occurred_at
            and answers.occurred_at < released.occurred_at + {hours}
    )
    select
        response_id,
        occurred_at as response_at,
        day,
        error is not null as is_error,
        case
            when response_id in (from flagged) then 'flagged'
            {watched}
            when response_id in (from fresh) then 'new_version'
            {segments}
            else 'normal'
        end as stratum,
        time_bucket(to_minutes({sampling.window_minutes}), occurred_at) as window_start,
        {chances}
    from answers
    """


def _met_sql(sampling: Sampling) -> str:
    """The CTE `met`: answers that a deploy meets while it is watched; nothing where nothing is watched."""
    if sampling.watched is None:
        return ""
    same = " and ".join(
        f"(deploys.{name} is null or deploys.{name} = answers.{name})"
        for name in ("prompt_version", "variant", "model")
    )
    return f"""met as (
        select distinct response_id
        from answers
        join deploys
            on deploys.app = answers.app
            and deploys.environment = answers.environment
            and answers.occurred_at >= deploys.occurred_at
            and answers.occurred_at < deploys.occurred_at + to_seconds({sampling.watched.minutes * 60})
            and {same}
    ),
    """
