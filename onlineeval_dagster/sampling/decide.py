"""The decisions of some days, for every judge at once, written to files that are not yet committed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

import pyarrow as pa

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.sampling_file import TARGETED, Sampling, Stratum
from onlineeval_dagster.contracts.arrow import INSTANT
from onlineeval_dagster.lake.commit import Part
from onlineeval_dagster.lake.copied import copy_part
from onlineeval_dagster.lake.delta import Changes, Lake
from onlineeval_dagster.lake.scan import Connection, engine, literals
from onlineeval_dagster.sampling.draw import Cell, Drawn, draw, nested, rules_of
from onlineeval_dagster.sampling.sessions import idle_of, sessions_sql, undecided_sql, with_neighbours
from onlineeval_dagster.sampling.spent import paced_windows
from onlineeval_dagster.sampling.strata import deploy_days, placed_sql


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who is asked, and on which days there may be something to decide for them. Without a judge: people's review."""

    name: str
    axis: str
    version: str
    policy: str
    changes: Changes
    days: frozenset[date]
    judge: Judge | None

    @property
    def is_of_sessions(self) -> bool:
        return self.judge is not None and self.judge.is_of_sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """Files with the rows, and how many of these are selected."""

    parts: tuple[Part, ...]
    selected: int


def decide(lake: Lake, catalog: Catalog, asked: list[Asked], days: frozenset[date], *, now: datetime) -> Decided:
    """Decide for every eligible answer of `days` that has no row yet and whose window need not be waited for."""
    sampling = catalog.sampling
    salts = sorted({sampling.salt, *sampling.salts.values()})
    idle = idle_of(catalog)
    of_sessions = any(one.is_of_sessions for one in asked)
    seen = with_neighbours(days) if of_sessions else days
    tables = {"responses": seen, "signals": seen, "selections": seen, "deploys": deploy_days(lake, sampling, seen)}
    with engine(lake, tables) as connection:
        connection.execute("set preserve_insertion_order = false")
        connection.execute(f"create temp table placed as {placed_sql(sampling, salts)}")
        if of_sessions:
            sessions = sessions_sql(sampling.environments, idle, salts)
            connection.execute(f"create temp table sessions as {sessions}")
        has_rows = bool(lake.rows_by_day("selections", days))
        drawn_of: dict[str, list[Drawn]] = {}
        waiting: set[tuple[str, datetime]] = set()
        for number, one in enumerate(asked):
            salt = sampling.salt_of(one.name)
            _make_undecided(connection, catalog, one, days, number, salts.index(salt), has_rows=has_rows, now=now)
            rules = rules_of(sampling, one.judge)
            cells = _cells(connection, sampling, one, rules, number)
            paced = paced_windows(lake, sampling, one.judge, rules, cells, now=now) if one.judge else {}
            drawn = draw(
                cells,
                rules,
                window_minutes=sampling.window_minutes,
                late_rate=sampling.late_rate,
                now=now - idle if one.is_of_sessions else now,
                paced=paced,
            )
            if one.judge is None:
                drawn = nested(drawn_of.values(), drawn, waiting=waiting)
            elif salt == sampling.salt and not one.is_of_sessions:
                drawn_of[one.name] = drawn
                waiting |= _keys(cells) - _keys(drawn)
            connection.register(f"drawn_{number}", _as_table(drawn))
        sql = " union all ".join(_rows_sql(one, number, now=now) for number, one in enumerate(asked))
        parts = [
            copy_part(connection, lake, "selections", f"select * from ({sql}) where day = '{day}'", day)
            for day in sorted(days)
        ]
        selected = sum(_selected(connection, number) for number in range(len(asked)))
    return Decided(parts=tuple(part for part in parts if part is not None), selected=selected)


def _make_undecided(
    connection: Connection,
    catalog: Catalog,
    one: Asked,
    days: frozenset[date],
    number: int,
    chance: int,
    *,
    has_rows: bool,
    now: datetime,
) -> None:
    """The answers without a row for the judge's version."""
    wanted = literals(str(day) for day in sorted(one.days & days)) or "null"
    unpaid = _is_unpaid(catalog, one.judge)
    if one.is_of_sessions:
        sql = undecided_sql(one.name, one.version, wanted, chance, unpaid, idle_of(catalog), now=now)
        connection.execute(f"create temp table undecided_{number} as {sql}")
        return
    without = f"""
        and not exists (
            from selections
            where selections.response_id = placed.response_id
            and judge = '{one.name}' and judge_version = '{one.version}' and selections.stratum <> '{TARGETED}'
        )
    """
    connection.execute(f"""
        create temp {"table" if has_rows else "view"} undecided_{number} as
        select
            response_id, response_at, day, stratum, window_start, chance_{chance} as chance,
            is_error or {unpaid} as is_filtered
        from placed
        where day in ({wanted}) {without if has_rows else ""}
    """)


def _cells(
    connection: Connection, sampling: Sampling, one: Asked, rules: Mapping[str, Stratum], number: int
) -> list[Cell]:
    """Every stratum and window with undecided answers or with rows of before."""
    smallest = " ".join(
        f"when stratum = '{name}' then min(chance, {rule.at_least + 1}) "
        f"filter (where stratum = '{name}' and not is_filtered)[{rule.at_least + 1}]"
        for name, rule in rules.items()
        if rule.at_least
    )
    frozen = f"""
        select
            stratum,
            time_bucket(to_minutes({sampling.window_minutes}), response_at) as window_start,
            max(inclusion_probability) as frozen,
            bool_or(state = 'shed') as shed
        from selections
        where judge = '{one.name}' and judge_version = '{one.version}' and inclusion_probability is not null
        group by all
    """
    sql = f"""
        with seen as (
            select
                stratum,
                window_start,
                count(*) filter (where not is_filtered) as seen,
                {f"case {smallest} end" if smallest else "null"}::double as smallest
            from undecided_{number}
            group by stratum, window_start
        ),
        decided as ({frozen})
        select stratum, window_start, coalesce(seen, 0) as seen, smallest, frozen, coalesce(shed, false) as shed
        from seen
        full join decided using (stratum, window_start)
    """
    return [Cell(**row) for row in connection.sql(sql).to_arrow_table().to_pylist()]


def _rows_sql(one: Asked, number: int, *, now: datetime) -> str:
    return f"""
    select
        response_id,
        response_at,
        '{one.name}' as judge,
        '{one.axis}' as axis,
        '{one.version}' as judge_version,
        recorded_as as stratum,
        case when not is_filtered then threshold end as inclusion_probability,
        case
            when is_filtered then 'filtered'
            when chance >= threshold then 'not_selected'
            when shed then 'shed'
            else 'selected'
        end as state,
        '{one.policy}' as policy_version,
        '{now.isoformat()}'::timestamptz as selected_at,
        day
    from undecided_{number}
    join drawn_{number} using (stratum, window_start)
    """


def _selected(connection: Connection, number: int) -> int:
    found = connection.execute(
        f"select count(*) from undecided_{number} join drawn_{number} using (stratum, window_start) "
        "where not is_filtered and not shed and chance < threshold"
    ).fetchone()
    return found[0] if found else 0


def _as_table(drawn: list[Drawn]) -> pa.Table:
    return pa.table(
        {
            "stratum": pa.array([cell.stratum for cell in drawn], pa.string()),
            "window_start": pa.array([cell.window_start for cell in drawn], INSTANT),
            "recorded_as": pa.array([cell.recorded_as for cell in drawn], pa.string()),
            "threshold": pa.array([cell.threshold for cell in drawn], pa.float64()),
            "shed": pa.array([cell.shed for cell in drawn], pa.bool_()),
        }
    )


def _keys(cells: Iterable[Cell | Drawn]) -> set[tuple[str, datetime]]:
    return {(cell.stratum, cell.window_start) for cell in cells}


def _is_unpaid(catalog: Catalog, judge: Judge | None) -> str:
    """SQL: whether nobody agreed to pay for judging the answer. A remote judge without a budget is not asked at all.

    People see what a judge saw: where all judges are remote, their budget is the review's as well.
    """
    budget = catalog.sampling.budget
    is_free = judge.is_local if judge is not None else any(one.is_local for one in catalog.asked_judges)
    if is_free or budget is None or budget.judge_history:
        return "false"
    return f"response_at < '{budget.confirmed_at.isoformat()}'::timestamptz"
