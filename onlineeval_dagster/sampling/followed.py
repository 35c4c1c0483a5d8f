"""Targeted selections: answers that began to look wrong after their decision. Shown and followed up, in no estimate.

The decision stays: an answer's chance is what it was when the draw was made. Judged under the flagged stratum's chance
it would be counted with a weight that it never had (tests/calibration: some 2 points of bias).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from onlineeval_dagster.catalog.judge_file import Judge
from onlineeval_dagster.catalog.load import Catalog
from onlineeval_dagster.catalog.sampling_file import TARGETED
from onlineeval_dagster.lake.commit import Part
from onlineeval_dagster.lake.copied import copy_part
from onlineeval_dagster.lake.delta import Lake
from onlineeval_dagster.lake.scan import engine
from onlineeval_dagster.sampling.chance import unit_interval_sql
from onlineeval_dagster.sampling.spent import calls_of_day

_PLACE = "flags"


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """Files with the rows, not yet committed; how many of them a judge is asked for; and how far flags were read."""

    parts: list[Part] = field(default_factory=list)
    selected: int = 0
    reads: Mapping[str, int] = field(default_factory=dict)


def days_with_flags(lake: Lake, catalog: Catalog, *, now: datetime) -> tuple[frozenset[date], int]:
    """Days of decided answers whose signals changed since the last call, and the version of the signals there is."""
    changes = lake.changes("signals", lake.read_through("selections", _PLACE))
    first = (now - timedelta(days=catalog.sampling.flagged.follow_up_days)).date()
    days = frozenset(day for day in changes.days & lake.days("selections") if day >= first)
    return days if catalog.sampling.flagged.follow_up_days else frozenset(), changes.version


def follow_up(lake: Lake, catalog: Catalog, *, policies: Mapping[str, str], now: datetime) -> Followed:
    """Open a targeted selection for each answer that was not drawn and has a flag by now, at the flagged rate."""
    days, version = days_with_flags(lake, catalog, now=now)
    followed = Followed(reads={_PLACE: version} if version >= 0 else {})
    if not days or not catalog.asked_judges:
        return followed
    selected = 0
    with engine(lake, {"selections": days, "signals": days}) as connection:
        for day in sorted(days):
            selects = [_sql(lake, catalog, judge, policies[judge.name], day, now=now) for judge in catalog.asked_judges]
            sql = " union all ".join(selects)
            if part := copy_part(connection, lake, "selections", sql, day):
                followed.parts.append(part)
                found = connection.execute(f"select count(*) from ({sql}) where state = 'selected'").fetchone()
                selected += found[0] if found else 0
    return Followed(parts=followed.parts, selected=selected, reads=followed.reads)


def _sql(lake: Lake, catalog: Catalog, judge: Judge, policy: str, day: date, *, now: datetime) -> str:
    sampling = catalog.sampling
    earliest = now - timedelta(days=sampling.flagged.follow_up_days)
    chance = unit_interval_sql("response_id", sampling.salt_of(judge.name))
    is_spent = sampling.pace is not None and calls_of_day(lake, judge, day) >= sampling.pace.calls_a_day
    return f"""
    select
        response_id,
        response_at,
        judge,
        axis,
        judge_version,
        '{TARGETED}' as stratum,
        null as inclusion_probability,
        '{"shed" if is_spent else "selected"}' as state,
        '{policy}' as policy_version,
        '{now.isoformat()}'::timestamptz as selected_at
    from selections as drawn
    where day = '{day}'
    and judge = '{judge.name}'
    and judge_version = '{judge.version}'
    and state = 'not_selected'
    and stratum <> 'flagged'
    and response_at >= '{earliest.isoformat()}'::timestamptz
    and {chance} < {sampling.flagged.rate or sampling.late_rate}
    and response_id in (select response_id from signals where flagged)
    and not exists (
        from selections as opened
        where opened.response_id = drawn.response_id
        and opened.judge = drawn.judge and opened.stratum = '{TARGETED}'
    )
    """
