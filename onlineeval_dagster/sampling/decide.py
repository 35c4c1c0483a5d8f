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
from onlineeval_dagster.sampling.draw import LATE, Cell, Drawn, draw, nested, rules_of
from onlineeval_dagster.sampling.sessions import idle_of, sessions_sql, undecided_sql, with_neighbours
from onlineeval_dagster.sampling.spent import paced_windows
from onlineeval_dagster.sampling.strata import deploy_days, placed_sql

STATES = ("filtered", "not_selected", "shed", "selected")
_WORDS = ("judge", "axis", "judge_version", "stratum", "state", "policy_version")
"""Columns of few values, which are written as enums (lake/copied.py)."""


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
    with engine(lake, tables, alone=True) as connection:
        connection.execute("set preserve_insertion_order = false")
        connection.execute(f"create temp table placed as {placed_sql(sampling, salts)}")
        if of_sessions:
            sessions = sessions_sql(sampling.environments, idle, salts)
            connection.execute(f"create temp table sessions as {sessions}")
        connection.execute(f"create temp type word as enum ({literals(_words(sampling, asked))})")
        has_rows = bool(lake.rows_by_day("selections", days))
        counted: dict[str, str] = {}
        drawn_of: dict[str, list[Drawn]] = {}
        waiting: set[tuple[str, datetime]] = set()
        selects: list[str] = []
        for number, one in enumerate(asked):
            salt = sampling.salt_of(one.name)
            undecided = _undecided_sql(catalog, one, days, salts.index(salt), has_rows=has_rows, now=now)
            if has_rows or one.is_of_sessions:
                connection.execute(f"create temp table undecided_{number} as {undecided}")
                undecided = f"from undecided_{number}"
            rules = rules_of(sampling, one.judge)
            cells = _cells(connection, sampling, one, _seen(connection, rules, undecided, counted))
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
            connection.register("drawn", _as_table(drawn))
            # Windows of before may name a stratum that the catalog no longer has; no new answer falls into it.
            connection.execute(
                f"create temp table drawn_{number} as select * replace (recorded_as::word as recorded_as) from drawn "
                f"where stratum in ({literals(sampling.strata)})"
            )
            selects.append(_rows_sql(one, undecided, number, now=now))
        sql = " union all ".join(selects)
        made = [
            copy_part(connection, lake, "selections", f"select * from ({sql}) where day = '{day}'", day, words=_WORDS)
            for day in sorted(days)
        ]
        parts = tuple(part for part in made if part is not None)
        selected = _selected(connection, [str(lake.folder / "selections" / part.path) for part in parts])
    return Decided(parts=parts, selected=selected)


def _words(sampling: Sampling, asked: Iterable[Asked]) -> list[str]:
    """Every value of the columns `_WORDS`."""
    names = (word for one in asked for word in (one.name, one.axis, one.version, one.policy))
    return list(dict.fromkeys((*names, *sampling.strata, LATE, *STATES)))


def _undecided_sql(
    catalog: Catalog, one: Asked, days: frozenset[date], chance: int, *, has_rows: bool, now: datetime
) -> str:
    """The answers without a row for the judge's version."""
    wanted = literals(str(day) for day in sorted(one.days & days)) or "null"
    unpaid = _is_unpaid(catalog, one.judge)
    if one.is_of_sessions:
        return undecided_sql(one.name, one.version, wanted, chance, unpaid, idle_of(catalog), now=now)
    without = f"""
        and not exists (
            from selections
            where selections.response_id = placed.response_id
            and judge = '{one.name}' and judge_version = '{one.version}' and selections.stratum <> '{TARGETED}'
        )
    """
    return f"""
        select
            response_id, response_at, day, stratum, window_start, chance_{chance} as chance,
            is_error or {unpaid} as is_filtered
        from placed
        where day in ({wanted}) {without if has_rows else ""}
    """


def _seen(connection: Connection, rules: Mapping[str, Stratum], undecided: str, counted: dict[str, str]) -> str:
    """The table of undecided answers by stratum and window. Judges for whom it is the same share it by `counted`."""
    smallest = " ".join(
        f"when stratum = '{name}' then min(chance, {rule.at_least + 1}) "
        f"filter (where stratum = '{name}' and not is_filtered)[{rule.at_least + 1}]"
        for name, rule in rules.items()
        if rule.at_least
    )
    sql = f"""
        select
            stratum,
            window_start,
            count(*) filter (where not is_filtered) as seen,
            {f"case {smallest} end" if smallest else "null"}::double as smallest
        from ({undecided})
        group by stratum, window_start
    """
    if sql not in counted:
        counted[sql] = f"seen_{len(counted)}"
        connection.execute(f"create temp table {counted[sql]} as {sql}")
    return counted[sql]


def _cells(connection: Connection, sampling: Sampling, one: Asked, seen: str) -> list[Cell]:
    """Every stratum and window with undecided answers, counted in table `seen`, or with rows of before."""
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
        with decided as ({frozen})
        select stratum, window_start, coalesce(seen, 0) as seen, smallest, frozen, coalesce(shed, false) as shed
        from {seen}
        full join decided using (stratum, window_start)
    """
    return [Cell(**row) for row in connection.sql(sql).to_arrow_table().to_pylist()]


def _rows_sql(one: Asked, undecided: str, number: int, *, now: datetime) -> str:
    return f"""
    select
        response_id,
        response_at,
        '{one.name}'::word as judge,
        '{one.axis}'::word as axis,
        '{one.version}'::word as judge_version,
        recorded_as as stratum,
        case when not is_filtered then threshold end as inclusion_probability,
        case
            when is_filtered then 'filtered'::word
            when chance >= threshold then 'not_selected'::word
            when shed then 'shed'::word
            else 'selected'::word
        end as state,
        '{one.policy}'::word as policy_version,
        '{now.isoformat()}'::timestamptz as selected_at,
        day
    from ({undecided})
    join drawn_{number} using (stratum, window_start)
    """


def _selected(connection: Connection, files: list[str]) -> int:
    """Counted in what was written, one column of few values: the join that made it would take ten times as long."""
    if not files:
        return 0
    found = connection.execute(f"select count(*) from read_parquet([{literals(files)}]) where state = 'selected'")
    return (found.fetchone() or (0,))[0]


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
